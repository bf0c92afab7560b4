"""The table of guards holds what it says: each edit fits the code, each scenario is there, and losses are noticed.

Whether each loss is noticed `make guards` shows, in minutes.
"""

import ast
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.guard_table import GUARDS, Guard, home
from tests.faults.guards import ROOT, examine, mutated, table
from tests.faults.strikes import Fault
from tests.faults.test_schedules import CHUNK, USUAL
from tests.faults.workloads import WORKLOADS

FAST = "the fence asks for the attempt, too"
CRASHES = re.compile(r"\[([a-z-]+)- and -([a-z-]+)\]")
SCHEDULES = re.compile(r"test_clocks_([a-z_]+)\[(\d+)-(\d+)\]")
FIRST = {"agree": 0, "differ_a_little": 1_000_000, "are_wrong": 2_000_000}


def by_name(guard: Guard) -> str:
    return guard.name


def the(name: str) -> Guard:
    (found,) = (guard for guard in GUARDS if guard.name == name)
    return found


@pytest.mark.parametrize("guard", GUARDS, ids=by_name)
def test_an_edit_fits_the_code(guard: Guard) -> None:
    """What it replaces stands there exactly once, and what comes out is other code."""
    text = (ROOT / guard.file).read_text("utf-8")
    assert ast.dump(ast.parse(mutated(guard, text))) != ast.dump(ast.parse(text))


def test_a_guard_is_in_the_table_once() -> None:
    """By its name and by what is edited."""
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)
    assert len({(guard.file, guard.edits) for guard in GUARDS}) == len(GUARDS)


@pytest.mark.parametrize("guard", GUARDS, ids=by_name)
def test_a_scenario_is_there(guard: Guard) -> None:
    """It names a workload and a fault, a chunk of the schedules, or another test that its file has."""
    file, *chosen = shlex.split(guard.scenario)
    path, _, test = file.partition("::")
    if chosen:
        workload, fault = _crash(chosen)
        assert fault in set(Fault)
        assert path == home(workload)
        assert f'"{workload}"' in (ROOT / path).read_text("utf-8")
    else:
        assert test.partition("[")[0] in _tests(ROOT / path)
        assert "[" not in test or _is_case(test)


def _crash(chosen: list[str]) -> tuple[str, str]:
    flag, expression = chosen
    match = CRASHES.fullmatch(expression)
    assert match, expression
    assert flag == "-k"
    return match[1], match[2]


def _tests(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}


def _is_case(test: str) -> bool:
    """Say whether a test with a parameter is a chunk of the schedules as it is cut, or is given the stores in turn."""
    if match := SCHEDULES.fullmatch(test):
        start = int(match[2]) - FIRST[match[1]]
        return start in range(0, USUAL, CHUNK) and int(match[3]) - int(match[2]) == CHUNK - 1
    return test.endswith(("[memory]", "[aws]"))


def test_the_workloads_are_known() -> None:
    """Each has the file in which its crash points are."""
    for name in WORKLOADS:
        assert f'"{name}"' in (ROOT / home(name)).read_text("utf-8")


def test_the_page_shows_the_table() -> None:
    """Exactly these guards, with their scenarios: `python -m tests.faults.guards --table` prints it anew."""
    assert f"\n\n{table()}\n\n" in (ROOT / "docs" / "faults.md").read_text("utf-8")


def test_a_loss_is_noticed() -> None:
    """The command takes the guard out of a copy, sees its scenario fail there, and leaves this tree as it is."""
    guard = the(FAST)
    before = (ROOT / guard.file).read_text("utf-8")
    command = [sys.executable, "-m", "tests.faults.guards", "--only", FAST]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^caught .*{FAST}\n +FAILED .*AssertionError", done.stdout, re.MULTILINE), done.stdout
    assert "loss of 1 of 1 guards was noticed" in done.stdout
    assert (ROOT / guard.file).read_text("utf-8") == before


def test_a_loss_that_goes_unnoticed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The scenario passes without what was taken out, or does not run at all, or the edit does not fit: all are red."""
    guard = the(FAST)
    harmless = replace(guard, name="no guard", new=f"({guard.old})")
    broken = replace(guard, name="no code", new="(")
    gone = replace(guard, name="no edit", old="it is not there")
    assert not examine([harmless, broken, gone])
    told = capsys.readouterr().out
    assert re.search(r"^UNNOTICED .*no guard$", told, re.MULTILINE), told
    assert re.search(r"^BROKEN .*no code$", told, re.MULTILINE), told
    assert re.search(r"^BROKEN .*no edit$", told, re.MULTILINE), told
    assert "loss of 0 of 3 guards was noticed" in told


def test_a_scenario_that_does_not_pass_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With every guard in its place it must, or its failure without one would show nothing."""
    nothing = replace(the(FAST), scenario="tests/unit/test_records.py::test_that_is_not_there")
    assert not examine([nothing])
    assert "a scenario does not pass" in capsys.readouterr().out
