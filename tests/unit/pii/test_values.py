"""Personal data in values of any shape, and in exceptions."""

import io
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterward.pii import Policy, Treatment, sanitised
from afterward.pii.values import DEPTH, LENGTH, sanitised_error

ADA = "ada@example.com"
CARD = 4111111111111111
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@dataclass(frozen=True)
class Customer:
    name: str
    address: str


class Basket:
    """Says more than it should."""

    def __str__(self) -> str:
        return f"the basket of {ADA}"


class Broken:
    """Cannot be told."""

    def __str__(self) -> str:
        raise ValueError(ADA)


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (f"to {ADA}", "to [EMAIL]"),
        (f"to {ADA}".encode(), b"to [EMAIL]"),
        (bytearray(ADA.encode()), b"[EMAIL]"),
        ([ADA, 7, None, True, 1.5], ["[EMAIL]", 7, None, True, 1.5]),
        ((ADA, "x"), ("[EMAIL]", "x")),
        ({ADA}, ["[EMAIL]"]),
        ({"to": {"mail": [ADA]}}, {"to": {"mail": ["[EMAIL]"]}}),
        (OrderedDict(to=ADA), {"to": "[EMAIL]"}),
        ({ADA: 1}, {"[EMAIL]": 1}),
        (CARD, "[CREDIT_CARD]"),
        ({"card": CARD}, {"card": "[CREDIT_CARD]"}),
        (Customer("Ada", ADA), {"name": "Ada", "address": "[EMAIL]"}),
        (Basket(), "the basket of [EMAIL]"),
        ({"password": "swordfish-7"}, {"password": "[SECRET]"}),
        ({"Authorization": f"Bearer {JWT}"}, {"Authorization": "Bearer [SECRET]"}),
        ({"ssn": "078051121"}, {"ssn": "[US_SSN]"}),
        ({"ssn": 378051121}, {"ssn": "[US_SSN]"}),
        (b"\xff\xfe to ada@example.com", b"\xff\xfe to [EMAIL]"),
    ],
)
def test_values_of_any_shape(value: Any, clean: Any) -> None:
    """What is behind a name is read with it."""
    assert sanitised(value) == clean


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        1795000000,
        1.5,
        "rows 1 to 100",
        b"\x00\xff",
        ["a", ("b", 1)],
        {"duration_ms": 12.5, "status": 202, "route": "/tasks/{task_id}", "table": "jobs", "key": "archive/a/b/1.json"},
        {"job_id": "1b4e28ba-2fa1-41d2-883f-0016d3cca427", "timestamp": "2026-11-22 14:00:00,123+0000"},
        Customer("Ada", "5 Main Street"),
        object,
    ],
)
def test_what_holds_nothing_stays(value: Any) -> None:
    """It is the same value of the same type."""
    assert sanitised(value) == value
    assert type(sanitised(value)) is type(value)


def test_an_object_that_holds_nothing_is_the_same_object() -> None:
    """Who formats it later gets it as it was."""
    stream = io.StringIO()
    assert sanitised({"stream": stream})["stream"] is stream


def test_an_object_that_cannot_be_told() -> None:
    """Its own error says nothing either."""
    value = Broken()
    assert sanitised(value) is value


def test_what_lies_too_deep_is_text() -> None:
    """A structure without an end ends there."""
    value: list[Any] = [ADA]
    value.append(value)
    told = str(sanitised(value))
    assert ADA not in told
    nested: Any = ADA
    for _ in range(DEPTH + 5):
        nested = [nested]
    assert ADA not in str(sanitised(nested))


def test_a_text_is_bounded() -> None:
    """What would be more than a log line says how much it was."""
    told = sanitised(f"{'x ' * LENGTH}{ADA}")
    assert told.endswith(f"… ({LENGTH + len(ADA)} characters more)")


def test_a_policy_counts() -> None:
    """The caller's own."""
    policy = Policy(default=Treatment.KEEP, kinds={"CREDIT_CARD": "partial"})  # type: ignore[dict-item]
    assert sanitised([ADA, str(CARD)], policy) == [ADA, "[CREDIT_CARD:**1111]"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda one: st.lists(one) | st.dictionaries(st.text(max_size=5), one),
        max_leaves=20,
    )
)
def test_once_is_enough(value: Any) -> None:
    """What is clean is clean; JSON stays JSON."""
    clean = sanitised(value)
    assert sanitised(clean) == clean


# Exceptions


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 - to have its traceback
    except BaseException as caught:  # noqa: BLE001 - the same
        return caught


def printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_an_exception_without_personal_data_is_itself() -> None:
    """Whoever looks at its type or its fields finds them."""
    error = raised(ValueError("row 7"))
    assert sanitised_error(error) is error
    assert sanitised({"error": error})["error"] is error


def test_an_exception_is_printed_without_it() -> None:
    """With its type, its traceback, its notes and all of its causes."""
    first, second = raised(KeyError(ADA)), raised(ConnectionError(f"{ADA} is gone"))
    error = ValueError(f"no mailbox for {ADA}")
    error.add_note(f"asked for {ADA}")
    error.__cause__ = second
    second.__context__ = first
    told = printed(sanitised_error(raised(error)))
    assert ADA not in told
    assert [
        one in told
        for one in ("KeyError: '[EMAIL]'", "ConnectionError: [EMAIL] is gone", "ValueError: no mailbox for [EMAIL]")
    ] == [True] * 3
    assert "asked for [EMAIL]" in told
    assert "in raised" in told
    assert "direct cause" in told
    assert "During handling" in told
    assert str(error) == f"no mailbox for {ADA}"


def test_a_cause_alone_may_hold_it() -> None:
    """The exception itself says nothing."""
    error = RuntimeError("failed")
    error.__cause__ = ValueError(ADA)
    told = printed(sanitised_error(error))
    assert (ADA in told, "RuntimeError: failed" in told) == (False, True)


def test_causes_in_a_circle() -> None:
    """End where they began."""
    one, other = ValueError(ADA), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert ADA not in printed(sanitised_error(one))


def test_a_group_of_exceptions() -> None:
    """Each of its members is printed, however deep."""
    group = ExceptionGroup(f"for {ADA}", [ValueError(ADA), ExceptionGroup("inner", [KeyError(ADA)])])
    told = printed(sanitised_error(group))
    assert (ADA in told, told.count("[EMAIL]")) == (False, 3)


def test_an_exception_that_cannot_be_told() -> None:
    """As traceback does it, and without its own error."""

    class Untold(Exception):
        def __str__(self) -> str:
            raise ValueError(ADA)

    error = Untold()
    error.add_note(ADA)
    assert ADA not in printed(sanitised_error(error))
