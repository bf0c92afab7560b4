"""Cells that a spreadsheet would run, and those that only look so."""

# ruff: noqa: E501, RUF001 - rows of cells, in many scripts

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_pipeline.formulas import neutral, neutralised


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "=cmd|' /C calc'!A0", "+SUM(A1)", "-A1", "@SUM(1)", "\t1", "\r=1", "\n=1", "  =1", "\u00a0=1", "＝1+1", "＋A1", "－A1",
     "＠x", "-5=A1", "-1e5e", "+49 30 x", "-e5", "\t-5", "+1+cmd", "-2+3+cmd|' /C calc'!A0", "=", "@"],
)  # fmt: skip
def test_formulas_get_an_apostrophe(cell: str) -> None:
    """What follows an apostrophe is text."""
    assert neutral(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell",
    ["", "x", "a=b", "1-2", "-5", "+3.5", "-1,234.56", "+49 30 123456", "-", "--", "-12%", "+1 (555) 010-9999", "1e-5", "-1e-5",
     "-1.5E+10", "  -5", "-.5", "－5", "+", "'=1", "2024-02-29", "a@example.com", " ", "-1’000.50", "[EMAIL]"],
)  # fmt: skip
def test_numbers_and_words_stay(cell: str) -> None:
    """Who reads the file back gets the number that was in it."""
    assert neutral(cell) == cell


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("=+-@\t\r\n 5"), max_size=6)
    )
)
def test_many_cells_are_neutralised_as_each_is(cells: list[str]) -> None:
    """Of a column, exactly those change that would change alone."""
    changed = neutralised("\0".join(["", *cells]))
    assert {cell: changed.get(cell, cell) for cell in cells} == {cell: neutral(cell) for cell in cells}


@given(st.text())
def test_what_is_neutral_begins_with_nothing_that_runs(cell: str) -> None:
    """Behind blanks, there is a sign only before a number."""
    text = neutral(cell).lstrip()
    assert not text.startswith(("=", "@", "＝", "＠"))
    assert not text.startswith(("+", "-", "＋", "－")) or not any(
        map(str.isalpha, text.replace("e", "").replace("E", ""))
    )
