"""What mypy --strict and pyright say of the library's use: nothing about what is right, and every line that is wrong.

A line that must be refused names mypy's codes and pyright's rules: `# refused: arg-type, reportArgumentType`.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = sorted([*HERE.glob("accepted_*.py"), *HERE.glob("refused_*.py")])
MARK = re.compile(r"# refused: (.+)$")

Findings = dict[str, dict[int, set[str]]]
"""Codes by line by file."""


def output(checker: str, *options: str) -> str:
    """Run a checker over all files at once; 1 is its word for findings, anything else a failure of its own."""
    command = [sys.executable, "-m", checker, *options, *map(str, FILES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


@cache
def mypy() -> Findings:
    """Run mypy, strict by pyproject.toml, over all files at once."""
    found: Findings = defaultdict(lambda: defaultdict(set))
    for line in output("mypy", "--output", "json").splitlines():
        one = json.loads(line)
        if one["severity"] == "error":
            found[Path(one["file"]).name][one["line"]].add(one["code"])
    return found


@cache
def pyright() -> Findings:
    """Run pyright over all files at once."""
    found: Findings = defaultdict(lambda: defaultdict(set))
    for one in json.loads(output("pyright", "--outputjson", "--pythonpath", sys.executable))["generalDiagnostics"]:
        found[Path(one["file"]).name][one["range"]["start"]["line"] + 1].add(one["rule"])
    return found


def marked(path: Path, checker: str) -> dict[int, set[str]]:
    """Return the lines of a file that a checker must refuse; pyright's rules begin with `report`."""
    lines = enumerate(path.read_text().splitlines(), 1)
    marks = {number: mark[1].split(", ") for number, line in lines if (mark := MARK.search(line))}
    return {
        number: {code for code in codes if code.startswith("report") is (checker == "pyright")}
        for number, codes in marks.items()
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_exactly_the_marked_lines_are_refused(checker: object, path: Path) -> None:
    """What a file marks as wrong is refused for that reason, and nothing else is."""
    assert checker in {mypy, pyright}
    found = mypy() if checker is mypy else pyright()
    name = "mypy" if checker is mypy else "pyright"
    assert dict(found[path.name]) == marked(path, name)


def test_right_and_wrong_are_both_there() -> None:
    """The files that must be accepted mark nothing, those that must be refused do."""
    for path in FILES:
        assert bool(marked(path, "mypy")) is path.name.startswith("refused_"), path
        assert all(marked(path, checker)[line] for checker in ("mypy", "pyright") for line in marked(path, "mypy"))


def test_both_checkers_read_the_library() -> None:
    """Every import of the files resolves, so that no check is passed for want of types."""
    for found in (mypy(), pyright()):
        codes = {code for lines in found.values() for codes in lines.values() for code in codes}
        assert not codes & {"import-not-found", "import-untyped", "reportMissingImports", "reportMissingTypeStubs"}
