"""The mutation check: every guard is taken out of a copy of the repository, and its scenario must fail there.

`python -m tests.faults.guards` does it (minutes), `--only TEXT` for the guards whose names hold the text, and `--table`
prints them as docs/faults.md shows them.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.faults.guard_table import GUARDS, Guard

ROOT = Path(__file__).parents[2]
NEEDED = ("layers", "functions", "local", "tests", "scripts", "pyproject.toml", "template.yaml")
"""What the scenarios need of the repository."""

LIMIT = 120.0
"""Seconds for one scenario; those that pass take a few. A loss that makes one hang is noticed by this."""

ALL_LIMIT = 600.0
"""Seconds for what runs several scenarios at once."""

OURS = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "AFTERWARD_SEED", "AFTERWARD_SCHEDULES"}
"""Variables that would make scenarios others than those of the table."""

FAILED, SELECTED_NONE = 1, 5
"""Exit codes of pytest."""


class Verdict(StrEnum):
    CAUGHT = "caught"
    UNNOTICED = "UNNOTICED"
    BROKEN = "BROKEN"
    """The check says nothing: the edit does not fit any more, or pytest could not run the scenario."""


@dataclass(frozen=True, slots=True)
class Finding:
    guard: Guard
    verdict: Verdict
    detail: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.verdict:9} {self.seconds:5.1f} s  {self.guard.name}\n                   {self.detail}"


@dataclass(frozen=True, slots=True)
class Run:
    """How pytest ended; `code` is None where it ran out of time."""

    code: int | None
    output: str

    @property
    def told(self) -> str:
        """What failed first, or else pytest's last words."""
        lines = [line for line in self.output.splitlines() if line.strip()]
        failed = [line for line in lines if line.startswith("FAILED ")]
        return (failed or lines or ["nothing was printed"])[0 if failed else -1][:300]


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the repository that may be changed."""

    root: Path

    def run(self, arguments: Sequence[str], seconds: float, *, compiling: bool = False) -> Run:
        """Run pytest. Only whole sources are compiled for later runs, also by the processes that tests start."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        environment = {name: value for name, value in os.environ.items() if name not in OURS} | {"COLUMNS": "300"}
        if not compiling:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        try:
            done = subprocess.run(
                [*command, *arguments],
                cwd=self.root,
                env=environment,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as late:
            return Run(None, late.output.decode(errors="replace") if isinstance(late.output, bytes) else "")
        return Run(done.returncode, done.stdout)

    @contextmanager
    def without(self, guard: Guard) -> Iterator[None]:
        """Take a guard out, and put it back."""
        path = self.root / guard.file
        text, times = path.read_text("utf-8"), path.stat()
        path.write_text(mutated(guard, text), "utf-8")
        # Bytecode is known by its source's second and size, which an edit may leave as they were.
        os.utime(path, (times.st_atime, times.st_mtime + 60))
        try:
            yield
        finally:
            path.write_text(text, "utf-8")
            os.utime(path, (times.st_atime, times.st_mtime))


@contextmanager
def copied() -> Iterator[Copy]:
    """Copy what the scenarios need to a temporary folder."""
    leave = shutil.ignore_patterns("__pycache__", ".*")
    with tempfile.TemporaryDirectory(prefix="guards-") as folder:
        for name in NEEDED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=leave)
            else:
                shutil.copy2(source, target)
        yield Copy(Path(folder))


def mutated(guard: Guard, text: str) -> str:
    """Return a source without the guard; raise ValueError where the edit does not fit it."""
    for old, new in guard.edits:
        if text.count(old) != 1 or old == new:
            raise ValueError(f"{guard.name}: stands {text.count(old)} times in {guard.file}: {old!r}")
        text = text.replace(old, new)
    return text


def whole(copy: Copy, guards: Iterable[Guard]) -> Run | None:
    """Run all scenarios with every guard in its place, those of a file together; return the run that fails, if any."""
    named, chosen = list[str](), defaultdict[str, list[str]](list)
    for scenario in dict.fromkeys(guard.scenario for guard in guards):
        file, *rest = shlex.split(scenario)
        if rest:
            chosen[file].append(f"({rest[-1]})")
        else:
            named.append(file)
    commands = [named] * bool(named) + [[file, "-k", " or ".join(which)] for file, which in chosen.items()]
    runs = (copy.run(command, ALL_LIMIT, compiling=True) for command in commands)
    return next((run for run in runs if run.code != 0), None)


def check(copy: Copy, guard: Guard) -> Finding:
    """Take one guard out and see whether its scenario fails."""
    began = time.monotonic()
    try:
        with copy.without(guard):
            run = copy.run(shlex.split(guard.scenario), LIMIT)
    except ValueError as error:
        return Finding(guard, Verdict.BROKEN, str(error), 0.0)
    return Finding(guard, *_judged(guard, run), time.monotonic() - began)


def _judged(guard: Guard, run: Run) -> tuple[Verdict, str]:
    if run.code is None:
        return Verdict.CAUGHT if guard.hangs else Verdict.BROKEN, f"ran for more than {LIMIT:.0f} s"
    if run.code == 0:
        return Verdict.UNNOTICED, f"passes: pytest {guard.scenario}"
    if run.code == FAILED and re.search(r"^\d+ failed", run.output, re.MULTILINE):
        return Verdict.CAUGHT, run.told
    nothing = " (it names no test)" if run.code == SELECTED_NONE else ""
    return Verdict.BROKEN, f"pytest {guard.scenario} ended with {run.code}{nothing}: {run.told}"


def examine(guards: Sequence[Guard]) -> bool:
    """Check guards and tell of each; say whether the loss of every one was noticed."""
    began = time.monotonic()
    with copied() as copy:
        broken = whole(copy, guards)
        if broken is not None:
            print(f"With every guard in its place a scenario does not pass: {broken.told}\n{broken.output[-4000:]}")
            return False
        print(f"With every guard in its place all scenarios pass ({time.monotonic() - began:.0f} s).", flush=True)
        findings = [_told(check(copy, guard)) for guard in guards]
    bad = [finding for finding in findings if finding.verdict is not Verdict.CAUGHT]
    noticed, seconds = len(findings) - len(bad), time.monotonic() - began
    print(f"The loss of {noticed} of {len(findings)} guards was noticed ({seconds:.0f} s).")
    return not bad


def _told(finding: Finding) -> Finding:
    print(finding, flush=True)
    return finding


def table() -> str:
    """Return the guards as a table in Markdown."""
    rows = [f"| {one.name} | {one.why} | `{one.scenario.removeprefix('tests/')}` |" for one in GUARDS]
    return "\n".join(["| guard | without it | noticed by (under `tests/`) |", "|---|---|---|", *rows])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.guards", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="check the guards whose names hold this text")
    parser.add_argument("--table", action="store_true", help="print the table of docs/faults.md, and check nothing")
    asked = parser.parse_args(arguments)
    if asked.table:
        print(table())
        return 0
    chosen = [guard for guard in GUARDS if asked.only.casefold() in guard.name.casefold()]
    if not chosen:
        parser.error(f"no guard's name holds {asked.only!r}")
    return 0 if examine(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
