"""What is written into DynamoDB together with a record: one write per item, so later ones are merged into earlier ones.

A transaction takes each item once. What two writes of an item come to can be computed without knowing the item, but for
`initial` and then `add` of the same attribute; that is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from afterward import attributes
from afterward.attributes import NUMBERS, sum_of, value_of
from afterward.errors import UsageError

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Put:
    """The item is `key` and `values`, whatever it was."""

    table: str
    key: Item
    values: Item


@dataclass(frozen=True, slots=True)
class Update:
    """Attributes of the item are set, added to, or set where the item has none of that name."""

    table: str
    key: Item
    values: Item = field(default_factory=dict)
    add: Item = field(default_factory=dict)
    initial: Item = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """The item is gone."""

    table: str
    key: Item


Write = Put | Update | Delete


def put(table: str, key: Mapping[str, Any], values: Mapping[str, Any]) -> Put:
    """Check what a task wants to put; raise UsageError, naming the item, for what no table takes."""
    key = _key(table, key)
    return Put(table, key, _values(table, key, values))


def update(
    table: str,
    key: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    add: Mapping[str, Any] | None = None,
    initial: Mapping[str, Any] | None = None,
) -> Update:
    """Check what a task wants to update, as `put` does."""
    key = _key(table, key)
    made = Update(table, key, *(_values(table, key, given or {}) for given in (values, add, initial)))
    names = [*made.values, *made.add, *made.initial]
    if not names:
        raise _refused(made, "an update needs values, add or initial")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _refused(made, f"one update writes `{twice}` twice")
    for name, amount in made.add.items():
        _sum(made, name, amount, amount)
    return made


def delete(table: str, key: Mapping[str, Any]) -> Delete:
    return Delete(table, _key(table, key))


def place_of(write: Write) -> str:
    """Name the item, the same one always by the same words."""
    return _place(write.table, write.key)


def size_of(write: Write) -> int:
    """Return about how many bytes are written."""
    parts = [getattr(write, name, {}) for name in ("key", "values", "add", "initial")]
    return sum(map(attributes.size_of, parts))


def merged(first: Write, second: Write) -> Write:
    """Return the one write that does what two of the same item do; raise UsageError where there is none."""
    if not isinstance(second, Update):
        return second
    if isinstance(first, Update):
        return _merged_updates(first, second)
    values = first.values if isinstance(first, Put) else {}
    sums = {name: _sum(second, name, values[name], add) if name in values else add for name, add in second.add.items()}
    return Put(second.table, second.key, second.initial | values | second.values | sums)


def item_of(write: Put) -> Item:
    return write.key | write.values


def _merged_updates(first: Update, second: Update) -> Update:
    values = first.values | second.values
    add = {name: amount for name, amount in first.add.items() if name not in second.values}
    initial = {name: value for name, value in first.initial.items() if name not in second.values}
    for name, amount in second.add.items():
        if name in initial:
            raise _refused(second, f"`{name}` has an initial value in this commit already; add the two yourself")
        known = values if name in values else add
        known[name] = _sum(second, name, known[name], amount) if name in known else amount
    missing = {name: value for name, value in second.initial.items() if name not in values and name not in add}
    return Update(first.table, first.key, values, add, missing | initial)


def _sum(write: Write, name: str, one: Any, other: Any) -> Any:
    try:
        return sum_of(one, other)
    except ValueError as error:
        raise _refused(write, f"`{name}`: {error}") from None


def _key(table: str, key: Mapping[str, Any]) -> Item:
    if type(table) is not str or not table:
        raise UsageError(f"an effect needs a table's name, got {table!r}")
    checked = _values(table, {}, key)
    if not 1 <= len(checked) <= 2:  # noqa: PLR2004 - a partition key, and a sort key where the table has one
        raise UsageError(f"an effect on table {table} needs a key of one or two attributes, got {key!r}")
    for name, value in checked.items():
        if value in ("", b"") or type(value) in {bool, type(None), set, list, dict}:
            raise UsageError(f"{_place(table, checked)}: `{name}` is no key: a text, bytes or a number, and not empty")
    return checked


def _values(table: str, key: Item, given: Mapping[str, Any]) -> Item:
    place = _place(table, key) if key else f"an effect on table {table}"
    if not isinstance(given, Mapping):
        raise UsageError(f"{place} needs its attributes by name, got {type(given).__name__}")
    values: Item = {}
    for name, value in given.items():
        try:
            values |= value_of({name: value})
        except ValueError as error:
            raise UsageError(f"{place}: `{name}`: {error}") from None
    if twice := next((name for name in values if name in key), None):
        raise UsageError(f"{place}: `{twice}` is in the key already")
    return values


def _place(table: str, key: Item) -> str:
    return f"{table}[{', '.join(f'{name}={_told(key[name])}' for name in sorted(key))}]"


def _told(value: Any) -> str:
    """Say a key's value such that equal numbers look the same, and no text like a number."""
    return f"{NUMBERS.normalize(NUMBERS.plus(value)):f}" if isinstance(value, Decimal) else repr(value)


def _refused(write: Write, why: str) -> UsageError:
    return UsageError(f"{place_of(write)}: {why}")
