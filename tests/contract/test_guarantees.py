"""docs/guarantees.md and SECURITY.md promise nothing that no test holds."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENTS = ("docs/guarantees.md", "SECURITY.md")
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
SUITES = {"crash points": "faults/test_crash_single.py", "schedules": "faults/test_schedules.py"}


def _rows(document: str) -> list[list[str]]:
    """Return the cells of all tables; the last one names what holds the others."""
    lines = (TESTS.parent / document).read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if line.startswith("| ") and not line.startswith(("| promise", "| who | what", "| ---"))
    ]


ROWS = [row for document in DOCUMENTS for row in _rows(document)]


@cache
def _tests(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_promise_names_what_holds_it(row: list[str]) -> None:
    """A suite, or tests that exist."""
    holders = row[-1]
    named = NAMED.findall(holders)
    suites = [suite for suite in SUITES if suite in holders]
    assert named or suites
    for file, test in named:
        assert test in _tests(file), f"{file} has no {test}"
    for suite in suites:
        assert (TESTS / SUITES[suite]).is_file()


@pytest.mark.parametrize(("document", "cells", "least"), [("docs/guarantees.md", 2, 20), ("SECURITY.md", 4, 12)])
def test_there_are_promises(document: str, cells: int, least: int) -> None:
    """The tables are read at all."""
    assert [len(row) for row in _rows(document)] == [cells] * len(_rows(document))
    assert len(_rows(document)) > least
