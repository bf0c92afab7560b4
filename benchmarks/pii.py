"""How well and how fast personal data is found: afterward.pii beside presidio-analyzer, scrubadub and datafog.

All read the same texts in the same run, each in a process of its own: the labelled set of tests/support/pii_samples.py,
a second one that is made with faker (benchmarks/_foreign.py), and log lines. The others are installed into environments
under the system's temporary folder; what cannot be had is left out with a word. A finding counts where it overlaps a
value of its kind. presidio has its pattern recognisers only, without a language model. What one does not look for (no
one else knows SECRET) counts for the rows of kinds, and not for its "of its own" row.
Usage: python benchmarks/pii.py [TEXTS]
"""

import json
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "afterward")]

from tests.support.pii_samples import Sample, log_lines, negatives, positives

TEXTS = 2400
SECONDS = 3.0
PACKAGES = {"presidio": "presidio-analyzer", "scrubadub": "scrubadub", "datafog": "datafog"}
FOLDER = Path(tempfile.gettempdir()) / "afterward-benchmark-pii"
LINES = 2000
Found = set[tuple[int, int, str]]


def afterward() -> Callable[[str], Found]:
    from afterward.pii import find  # noqa: PLC0415 - each in its own process

    return lambda text: {(one.start, one.end, one.kind.value) for one in find(text)}


def presidio() -> Callable[[str], Found]:
    """Its engine as its users call it, over its own pattern recognisers, with a language pipeline that has no model."""
    import importlib  # noqa: PLC0415 - the package is in the other environment only

    package: Any = importlib.import_module("presidio_analyzer")
    language: Any = importlib.import_module("presidio_analyzer.nlp_engine").SpacyNlpEngine()
    language.nlp = {"en": importlib.import_module("spacy").blank("en")}
    kinds = {
        "EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CREDIT_CARD", "US_SSN": "US_SSN",
        "IBAN_CODE": "IBAN", "IP_ADDRESS": "IP_ADDRESS", "URL": "URL",
    }  # fmt: skip
    registry = package.RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    engine = package.AnalyzerEngine(registry=registry, nlp_engine=language)

    def found(text: str) -> Found:
        results = engine.analyze(text, language="en", entities=list(kinds))
        return {(one.start, one.end, kinds[one.entity_type]) for one in results}

    return found


def scrubadub() -> Callable[[str], Found]:
    import importlib  # noqa: PLC0415 - see above

    scrubber = importlib.import_module("scrubadub").Scrubber()
    kinds = {
        "email": "EMAIL", "phone": "PHONE", "credit_card": "CREDIT_CARD", "social_security_number": "US_SSN",
        "url": "URL", "credential": "SECRET",
    }  # fmt: skip
    return lambda text: {(one.beg, one.end, kinds[one.type]) for one in scrubber.iter_filth(text) if one.type in kinds}


def datafog() -> Callable[[str], Found]:
    import importlib  # noqa: PLC0415 - see above

    annotator = importlib.import_module("datafog.processing.text_processing.regex_annotator").RegexAnnotator()
    kinds = {
        "EMAIL": "EMAIL",
        "PHONE": "PHONE",
        "CREDIT_CARD": "CREDIT_CARD",
        "SSN": "US_SSN",
        "IP_ADDRESS": "IP_ADDRESS",
    }

    def found(text: str) -> Found:
        spans = annotator.annotate_with_spans(text)[1].spans
        return {(one.start, one.end, kinds[one.label]) for one in spans if one.label in kinds}

    return found


@dataclass
class Score:
    right: Counter[str]
    wrong: Counter[str]
    missed: Counter[str]

    def f1(self, kinds: set[str]) -> tuple[float, float, float]:
        """Return precision, recall and their harmonic mean."""
        right, wrong, missed = (sum(part[kind] for kind in kinds) for part in (self.right, self.wrong, self.missed))
        precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
        return precision, recall, 2 * right / max(1, 2 * right + wrong + missed)


def score(find: Callable[[str], Found], samples: list[Sample]) -> Score:
    result = Score(Counter(), Counter(), Counter())
    for sample in samples:
        found = find(sample.text)
        for one in sample.spans:
            hit = any(_overlap(one, other) for other in found)
            (result.right if hit else result.missed)[one[2]] += 1
        result.wrong.update(other[2] for other in found if not any(_overlap(one, other) for one in sample.spans))
    return result


def _overlap(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return one[2] == other[2] and one[0] < other[1] and other[0] < one[1]


def speed(find: Callable[[str], Found], lines: list[str]) -> float:
    """Return characters per second of CPU."""
    read, began = 0, time.process_time()
    while (took := time.process_time() - began) < SECONDS:
        for line in lines[:50]:
            find(line)
            read += len(line)
        lines = [*lines[50:], *lines[:50]]
    return read / took


def measure(name: str, texts: Path) -> None:
    """Print one competitor's results as JSON; it runs in that competitor's environment."""
    find = {"afterward": afterward, "presidio": presidio, "scrubadub": scrubadub, "datafog": datafog}[name]()
    sets: dict[str, list[Sample]] = {}
    for line in texts.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        sample = Sample(row["text"], tuple((start, end, kind) for start, end, kind in row["spans"]))
        sets.setdefault(row["set"], []).append(sample)
    results = {title: rows(find, samples) for title, samples in sets.items()}
    print(json.dumps({"sets": results, "speed": speed(find, log_lines(LINES))}))


def rows(find: Callable[[str], Found], samples: list[Sample]) -> dict[str, Any]:
    labelled, empty = [one for one in samples if one.spans], [one for one in samples if not one.spans]
    found = score(find, labelled)
    kinds = {kind for part in (found.right, found.missed) for kind in part}
    own = {kind for kind in kinds if found.right[kind]}
    by_kind = {kind: found.f1({kind}) for kind in sorted(kinds)} | {"all": found.f1(kinds), "of its own": found.f1(own)}
    return {"kinds": by_kind, "negatives": len(empty), "touched": sum(bool(find(one.text)) for one in empty)}


def environment(name: str, package: str) -> Path | None:
    """Return the interpreter of an environment that has a package, None if it cannot be installed."""
    python = FOLDER / name / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER / name, with_pip=True)
    command: list[str | Path] = [python, "-m", "pip", "install", "-q", package]
    return python if subprocess.run(command, capture_output=True, check=False).returncode == 0 else None


def write_texts(texts: int, path: Path) -> None:
    """Write the labelled texts of both sets, one JSON object a line, with as many hard negatives as half of them."""
    own = [*positives(texts), *negatives(max(1000, texts // 2))]
    lines = [json.dumps({"set": "own", "text": one.text, "spans": one.spans}) for one in own]
    python = environment("faker", "faker")
    if python is None:
        print("faker cannot be installed: the second set is left out")
    else:
        command: list[str | Path] = [python, ROOT / "benchmarks" / "_foreign.py", str(texts * 11 // 8), "1"]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        lines += [json.dumps({"set": "foreign"} | json.loads(line)) for line in made.stdout.splitlines()]
    path.write_text("\n".join(lines), encoding="utf-8")


def run(name: str, python: Path, texts: Path) -> float:
    """Print the results of one, and return its speed; 0 if it does not run."""
    command: list[str | Path] = [python, __file__, "--measure", name, texts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: left out, since it does not run: {done.stderr.strip().splitlines()[-1]}")
        return 0.0
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {result['speed'] / 1e6:.3f} M characters/s on log lines")
    for title, found in result["sets"].items():
        print(f" {title}: {found['touched']} of {found['negatives']} hard negatives touched")
        for kind, (precision, recall, f1) in found["kinds"].items():
            print(f"  {kind:12} precision {precision:.4f}  recall {recall:.4f}  F1 {f1:.4f}")
    return float(result["speed"])


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
        return
    FOLDER.mkdir(exist_ok=True)
    texts = FOLDER / "texts.jsonl"
    write_texts(int(sys.argv[1]) if len(sys.argv) > 1 else TEXTS, texts)
    fastest = run("afterward", Path(sys.executable), texts)
    for name, package in PACKAGES.items():
        python = environment(name, package)
        if python is None:
            print(f"{name}: left out, since {package} cannot be installed")
            continue
        speed_of_it = run(name, python, texts)
        if speed_of_it:
            print(f" afterward reads {fastest / speed_of_it:.0f} times as many characters in a second")


if __name__ == "__main__":
    main()
