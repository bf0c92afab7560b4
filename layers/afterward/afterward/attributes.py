"""The values of DynamoDB's items: which Python values there are, in one form each, and how they travel.

What boto3's TypeSerializer takes is taken. boto3 itself would be 25 ms of cold start for these few lines.
"""

import decimal
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

DEPTH = 32
"""Levels that lists and maps may be nested in (service quota)."""

NUMBERS = decimal.Context(
    prec=38,
    Emin=-130,
    Emax=125,
    traps=[decimal.Clamped, decimal.Inexact, decimal.Overflow, decimal.Rounded, decimal.Subnormal, decimal.Underflow],
)
"""DynamoDB's numbers, exactly; what has no exact form among them raises."""


def value_of(given: Any, depth: int = 0) -> Any:
    """Return a copy of a value in the one form of its kind; raise ValueError for what DynamoDB does not keep."""
    if depth > DEPTH:
        raise ValueError(f"lists and maps are nested in more than {DEPTH} levels")
    if type(given).__module__ == "boto3.dynamodb.types":
        given = given.value  # Binary, as boto3 reads bytes
    if given is None or isinstance(given, bool):
        return given
    if (form := next((form for kinds, form in _FORMS if isinstance(given, kinds)), None)) is not None:
        return form(given)
    if isinstance(given, Mapping):
        return {_name(name): value_of(value, depth + 1) for name, value in given.items()}
    if isinstance(given, list | tuple):
        return [value_of(value, depth + 1) for value in given]
    advice = "; pass a Decimal" if isinstance(given, float) else ""
    raise ValueError(f"DynamoDB has no {type(given).__name__}{advice}")


def sum_of(one: Any, other: Any) -> Any:
    """Add as DynamoDB's ADD does: numbers, or sets of one kind; raise ValueError for anything else."""
    if isinstance(one, decimal.Decimal) and isinstance(other, decimal.Decimal):
        try:
            return NUMBERS.add(one, other)
        except decimal.DecimalException:
            raise ValueError("the sum is no number that DynamoDB keeps exactly") from None
    if isinstance(one, set) and isinstance(other, set) and _kind(one) is _kind(other):
        return one | other
    raise ValueError("only numbers, and sets of one kind, can be added to each other")


def size_of(value: Any) -> int:
    """Return about how many bytes DynamoDB counts for a value, rather too many than too few."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return 3 + sum(1 + size_of(name) + size_of(one) for name, one in value.items())
    if isinstance(value, list | set):
        return 3 + sum(1 + size_of(one) for one in value)
    return 21  # a number's most


def wire(value: Any) -> dict[str, Any]:
    """Return what travels for a value that `value_of` returned."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, set):
        kind = {str: "SS", bytes: "BS", decimal.Decimal: "NS"}[_kind(value)]
        return {kind: [str(one) if kind == "NS" else one for one in sorted(value)]}
    if isinstance(value, dict):
        return {"M": wires(value)}
    if isinstance(value, list):
        return {"L": [wire(one) for one in value]}
    if isinstance(value, decimal.Decimal):
        return {"N": str(value)}
    return {{bool: "BOOL", str: "S", bytes: "B"}[type(value)]: value}


def wires(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: wire(value) for name, value in values.items()}


def _number(given: int | decimal.Decimal) -> decimal.Decimal:
    try:
        number = NUMBERS.create_decimal(given)
    except decimal.DecimalException:
        raise ValueError("a number has at most 38 digits, and lies between 1E-130 and 9.9E+125") from None
    if not number.is_finite():
        raise ValueError(f"DynamoDB has no {number}")
    return number


def _text(given: str) -> str:
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None
    return str.__str__(given)  # of an enum, its value


def _name(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError(f"an attribute's name is a text that is not empty, got {given!r}")
    return _text(given)


def _set(given: AbstractSet[Any]) -> set[Any]:
    values = {value_of(one) for one in given if isinstance(one, int | decimal.Decimal | str | bytes)}
    kinds = {type(one) for one in values}
    if len(values) != len(given) or len(kinds) != 1 or bool in kinds:
        raise ValueError("a set is not empty, and holds only texts, only numbers or only bytes")
    return values


def _kind(values: set[Any]) -> type:
    return type(next(iter(values)))


_FORMS: tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((int, decimal.Decimal), _number),
    ((str,), _text),
    ((bytes, bytearray), bytes),
    ((AbstractSet,), _set),
)
