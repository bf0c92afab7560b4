"""Findings lie in the text as it was given, whatever stands in it, and are no more than they say."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afterward.pii import Finding, Kind, Policy, Treatment, find, mask
from tests.support.pii_samples import positives

PIECES = [sample.text for sample in positives(160, seed=21)]
ODDITIES = [
    "@",
    "://",
    "+1",
    "::",
    "\u200b",
    "\u00ad",
    "@",
    "٣",
    "\u2011",
    "4",
    "-",
    ".",
    " ",
    "key=",
    "\n",
    "\ud800",
    "\\u200b",
    "\\u00e9",
    "&#52;",
    "_",
    "é",
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(ODDITIES), st.text(max_size=12)), max_size=6).map(
    "".join,
)


def assert_in_order(found: Sequence[Finding], text: str) -> None:
    position = 0
    for one in found:
        assert position <= one.start < one.end <= len(text)
        position = one.end


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_text_can_be_read(text: str) -> None:
    assert_in_order(find(text), text)


@given(TEXTS)
@settings(max_examples=200, deadline=None, derandomize=True)
@example("a@b.co" * 3)
def test_nothing_is_found_twice_nor_in_what_is_masked(text: str) -> None:
    assert_in_order(find(text), text)
    masked = mask(text)
    assert find(masked) == []
    assert mask(masked) == masked


@given(TEXTS, st.sampled_from([Treatment.PARTIAL, Treatment.HASH]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_nothing_is_found_in_what_stands_in_a_value_s_place(text: str, treatment: Treatment) -> None:
    masked = mask(text, Policy(treatment, key=b"k"))
    assert find(masked) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("to an\u200bna@exam\u00adple.com now", "an\u200bna@exam\u00adple.com"),
        ("to anna\uff20example\uff0ecom now", "anna\uff20example\uff0ecom"),
        ("\u200b\u200b anna@example.com\u200b now", "anna@example.com"),
        ("card \uff14111 1111 1111 1111.", "\uff14111 1111 1111 1111"),
        ("\U0001f600 ٤١١١١١١١١١١١١١١١ \U0001f600", "٤١١١١١١١١١١١١١١١"),
        ("call 212\u2011555\u20110123 now", "212\u2011555\u20110123"),
        ("call 212\u00a0555\u00a00123 now", "212\u00a0555\u00a00123"),
        ("from 203\uff0e0\uff0e113\uff0e7 now", "203\uff0e0\uff0e113\uff0e7"),
        (
            r"to anna@\u043f\u043e\u0447\u0442\u0430.\u0440\u0443\u0441 now",
            r"anna@\u043f\u043e\u0447\u0442\u0430.\u0440\u0443\u0441",
        ),
        (r"card \ud835\udffa111 1111 1111 1111, \u200b", r"\ud835\udffa111 1111 1111 1111"),
    ],
)
def test_offsets_are_into_the_text_as_it_was_given(text: str, value: str) -> None:
    (one,) = find(text)
    assert text[one.start : one.end] == value


def test_a_finding_is_a_plain_value() -> None:
    assert find("write to anna@example.com") == [Finding(9, 25, Kind.EMAIL)]


def test_bytes_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="not in bytes; decode it first"):
        find(b"anna@example.com")  # type: ignore[arg-type]


def test_nothing_is_left_of_a_value_that_reaches_into_another() -> None:
    text = "http://192.168.59.125/index.html\u0663\u8bf7mysql://root:E3qhlxpVX1@37.55.206.250:3306/db"
    assert "E3qh" not in mask(text)
    assert "55.206" not in mask(text)
