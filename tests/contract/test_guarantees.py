"""docs/guarantees.md promises nothing that no test holds."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
GUARANTEES = (TESTS.parent / "docs" / "guarantees.md").read_text()
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
SUITES = {"crash points": "faults/test_crash_single.py", "schedules": "faults/test_schedules.py"}

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in GUARANTEES.splitlines()
    if line.startswith("| ") and not line.startswith(("| promise", "| ---"))
]


@cache
def _tests(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_promise_names_what_holds_it(row: list[str]) -> None:
    """A suite, or tests that exist."""
    _, holders = row
    named = NAMED.findall(holders)
    suites = [suite for suite in SUITES if suite in holders]
    assert named or suites
    for file, test in named:
        assert test in _tests(file), f"{file} has no {test}"
    for suite in suites:
        assert (TESTS / SUITES[suite]).is_file()


def test_there_are_promises() -> None:
    """The table is read at all."""
    assert len(ROWS) > 20
