"""What a task may want written, how several writes of an item come to one, and what is refused at the call."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from afterward.annotations import refusal
from afterward.attributes import value_of, wire
from afterward.builtin import BUILTIN
from afterward.effects import LIMIT, Batches, Effects
from afterward.errors import UsageError
from afterward.writes import Delete, Put, Update, Write

KEY = {"user": "ada", "id": "1"}
OTHER = {"user": "ada", "id": "2"}

Call = Callable[[Effects], None]


def put(**values: Any) -> Call:
    return lambda effects: effects.put("things", KEY, values)


def update(**about: Any) -> Call:
    return lambda effects: effects.update("things", KEY, **about)


def delete(effects: Effects) -> None:
    effects.delete("things", KEY)


def of(*calls: Call) -> list[Write]:
    """Return what the calls come to when they are committed."""
    batches = Batches()
    for call in calls:
        call(Effects(batches))
    batches.close()
    return list(batches.staged()[1])


def merged(*calls: Call) -> Write:
    (write,) = of(*calls)
    return write


# Values


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -7,
    10**37,
    Decimal("1.50"),
    Decimal("1E-130"),
    Decimal("9.9E+125"),
    "",
    "text ✓",
    b"",
    b"bytes",
    bytearray(b"array"),
    Binary(b"of boto3"),
    {1, 2},
    frozenset({"a"}),
    {b"x"},
    [],
    [1, [None, {"a": True}]],
    (1, 2),
    {},
    {"a": {"b": {3}}},
]


@pytest.mark.parametrize("value", VALUES)
def test_values_travel_as_boto3_sends_them(value: Any) -> None:
    """What boto3's own serializer takes means the same here."""
    assert wire(value_of(value)) == TypeSerializer().serialize(value)


def test_what_is_added_is_a_copy() -> None:
    """What the task does with its own objects afterwards changes nothing."""
    names = ["ada"]
    (write,) = of(put(names=names), lambda _: names.append("bob"))
    assert write == Put("things", KEY, {"names": ["ada"]})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, "DynamoDB has no float; pass a Decimal"),
        ([1, {"a": 0.1}], "DynamoDB has no float; pass a Decimal"),
        (Decimal("NaN"), "DynamoDB has no NaN"),
        (Decimal("Infinity"), "DynamoDB has no Infinity"),
        (10**38 + 1, "a number has at most 38 digits"),
        (Decimal("1E+126"), "lies between 1E-130 and 9.9E"),
        (Decimal("1E-131"), "lies between 1E-130 and 9.9E"),
        (set(), "a set is not empty, and holds only texts, only numbers or only bytes"),
        ({1, "a"}, "a set is not empty, and holds only"),
        ({True, 2}, "a set is not empty, and holds only"),
        ({(1, 2)}, "a set is not empty, and holds only"),
        ({1.5}, "a set is not empty, and holds only"),
        ({1: "a"}, "an attribute's name is a text that is not empty, got 1"),
        ({"": "a"}, "an attribute's name is a text that is not empty, got ''"),
        ("\ud800", "a text holds half of a surrogate pair"),
        (object(), "DynamoDB has no object"),
        (len, "DynamoDB has no builtin_function_or_method"),
    ],
)
def test_what_no_table_takes_is_refused_at_the_call(value: Any, said: str) -> None:
    """The error names the item, the attribute and what to do."""
    with pytest.raises(UsageError, match=rf"things\[id='1', user='ada'\]: `value`: .*{said}"):
        of(put(value=value))
    with pytest.raises(UsageError, match=said):
        of(update(values={"value": value}))


def test_nesting_has_an_end() -> None:
    """DynamoDB takes 32 levels."""
    value: Any = 1
    for _ in range(31):
        value = [value]
    of(put(value=value))
    with pytest.raises(UsageError, match="nested in more than 32 levels"):
        of(put(value=[[value]]))


@pytest.mark.parametrize("table", ["", None, 7])
def test_a_table_has_a_name(table: Any) -> None:
    """A variable that is not set is said here, and not by DynamoDB later."""
    with pytest.raises(UsageError, match="an effect needs a table's name"):
        Effects().delete(table, KEY)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({}, "needs a key of one or two attributes"),
        ({"a": 1, "b": 2, "c": 3}, "needs a key of one or two attributes"),
        ({"user": ""}, "`user` is no key"),
        ({"user": b""}, "`user` is no key"),
        ({"user": None}, "`user` is no key"),
        ({"user": True}, "`user` is no key"),
        ({"user": ["a"]}, "`user` is no key"),
        ({"user": {"a"}}, "`user` is no key"),
        ({"user": 1.5}, "`user`: DynamoDB has no float"),
        ("ada", "needs its attributes by name, got str"),
    ],
)
def test_a_key_names_an_item(key: Any, said: str) -> None:
    """One or two attributes, each a text, bytes or a number."""
    with pytest.raises(UsageError, match=said):
        Effects().put("things", key, {})


@pytest.mark.parametrize("call", [put(id="2"), update(values={"id": "2"}), update(add={"id": 1})])
def test_a_key_stands_once(call: Call) -> None:
    """Values cannot give it again."""
    with pytest.raises(UsageError, match="`id` is in the key already"):
        of(call)


def test_an_update_says_something() -> None:
    """An update of nothing is a mistake; so is one that writes an attribute twice."""
    with pytest.raises(UsageError, match=r"things\[.*\]: an update needs values, add or initial"):
        of(update())
    with pytest.raises(UsageError, match="one update writes `a` twice"):
        of(update(values={"a": 1}, add={"a": 1}))


@pytest.mark.parametrize("amount", ["1", [1], {"a": 1}, True, None])
def test_only_numbers_and_sets_are_added(amount: Any) -> None:
    """As DynamoDB's ADD."""
    with pytest.raises(UsageError, match="`count`: only numbers, and sets of one kind, can be added"):
        of(update(add={"count": amount}))


# Several writes of one item

MERGED: list[tuple[list[Call], Write]] = [
    ([put(a=1), put(b=2)], Put("things", KEY, {"b": 2})),
    ([put(a=1), delete], Delete("things", KEY)),
    ([update(add={"a": 1}), put(b=2)], Put("things", KEY, {"b": 2})),
    ([update(add={"a": 1}), delete], Delete("things", KEY)),
    ([delete, put(a=1)], Put("things", KEY, {"a": 1})),
    ([delete, delete], Delete("things", KEY)),
    ([delete, update(values={"a": 1}, add={"n": 2}, initial={"b": 3})], Put("things", KEY, {"a": 1, "b": 3, "n": 2})),
    ([put(a=1, b=2), update(values={"b": 3})], Put("things", KEY, {"a": 1, "b": 3})),
    ([put(n=1), update(add={"n": 2, "m": 3})], Put("things", KEY, {"n": 3, "m": 3})),
    ([put(s={"a"}), update(add={"s": {"b"}})], Put("things", KEY, {"s": {"a", "b"}})),
    ([put(a=1), update(initial={"a": 2, "b": 3})], Put("things", KEY, {"a": 1, "b": 3})),
    ([update(add={"n": 1}), update(add={"n": 2})], Update("things", KEY, add={"n": 3})),
    ([update(add={"s": {1}}), update(add={"s": {2}})], Update("things", KEY, add={"s": {1, 2}})),
    ([update(add={"n": 1}), update(values={"n": 9})], Update("things", KEY, values={"n": 9})),
    ([update(values={"n": 9}), update(add={"n": 1})], Update("things", KEY, values={"n": 10})),
    ([update(values={"n": 9}), update(initial={"n": 1})], Update("things", KEY, values={"n": 9})),
    ([update(add={"n": 9}), update(initial={"n": 1})], Update("things", KEY, add={"n": 9})),
    ([update(initial={"n": 1}), update(initial={"n": 2, "m": 3})], Update("things", KEY, initial={"n": 1, "m": 3})),
    ([update(initial={"n": 1}), update(values={"n": 2})], Update("things", KEY, values={"n": 2})),
    (
        [update(add={"n": 1}), update(values={"a": 1}), update(initial={"t": "x"})],
        Update("things", KEY, {"a": 1}, {"n": 1}, {"t": "x"}),
    ),
]


@pytest.mark.parametrize(("calls", "outcome"), MERGED)
def test_writes_of_an_item_come_to_one(calls: list[Call], outcome: Write) -> None:
    """A transaction takes each item once, and it does what the writes would have done one after the other."""
    assert merged(*calls) == outcome


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([update(initial={"n": 1}), update(add={"n": 1})], "`n` has an initial value in this commit already"),
        ([update(values={"n": "x"}), update(add={"n": 1})], "`n`: only numbers, and sets of one kind"),
        ([put(n=None), update(add={"n": 1})], "`n`: only numbers, and sets of one kind"),
        ([put(s={1}), update(add={"s": {"a"}})], "`s`: only numbers, and sets of one kind"),
        ([put(s={1}), update(add={"s": 1})], "`s`: only numbers, and sets of one kind"),
        ([update(add={"n": 10**37}), update(add={"n": Decimal("0.1")})], "`n`: the sum is no number"),
    ],
)
def test_writes_that_come_to_nothing_known_are_refused(calls: list[Call], said: str) -> None:
    """At the call that makes it so, naming the item; what was added before it stays."""
    batches = Batches()
    calls[0](Effects(batches))
    with pytest.raises(UsageError, match=rf"things\[id='1', user='ada'\]: {said}"):
        calls[1](Effects(batches))
    batches.close()
    assert list(batches.staged()[1]) == of(calls[0])


def test_items_are_told_apart_by_their_keys() -> None:
    """Equal numbers are one key, a text is never a number, and the order of the attributes says nothing."""
    batches = Batches()
    effects = Effects(batches)
    for key in ({"id": 1}, {"id": Decimal("1.0")}, {"id": Decimal("10E-1")}):
        effects.update("things", key, add={"n": 1})
    effects.update("things", {"id": "1"}, add={"n": 1})
    effects.update("things", {"id": b"1"}, add={"n": 1})
    effects.update("other", {"id": 1}, add={"n": 1})
    effects.update("things", {"a": "1", "b": "2"}, add={"n": 1})
    effects.update("things", {"b": "2", "a": "1"}, add={"n": 1})
    batches.close()
    amounts = [write.add["n"] for write in batches.staged()[1] if isinstance(write, Update)]
    assert amounts == [3, 1, 1, 1, 2]


def test_numbers_of_38_digits_are_keys_of_their_own() -> None:
    """None is rounded."""
    long = 10**37
    assert len(of(*(lambda effects, one=one: effects.delete("t", {"id": long + one}) for one in range(3)))) == 3


numbers = st.integers(-3, 3).map(Decimal)
attributes = st.dictionaries(st.sampled_from("abc"), numbers, min_size=1, max_size=2)
writes = st.one_of(
    attributes.map(lambda values: Put("things", KEY, values)),
    st.just(Delete("things", KEY)),
    attributes.map(lambda values: Update("things", KEY, values)),
    attributes.map(lambda add: Update("things", KEY, {}, add)),
    attributes.map(lambda initial: Update("things", KEY, {}, {}, initial)),
)


def applied(item: dict[str, Any] | None, write: Write) -> dict[str, Any] | None:
    """Say what an item is after a write, as DynamoDB documents it."""
    if isinstance(write, Delete):
        return None
    if isinstance(write, Put):
        return dict(write.values)
    after = dict(item or {})
    after |= {name: value for name, value in write.initial.items() if name not in after}
    after |= write.values
    return after | {name: after.get(name, 0) + amount for name, amount in write.add.items()}


@given(st.none() | attributes, st.lists(writes, min_size=1, max_size=6))
def test_one_write_does_what_many_do(item: dict[str, Any] | None, wanted: list[Write]) -> None:
    """Whatever the item was; unless the merge is refused, which is only ever for an addition to an initial value."""
    batches = Batches()
    expected = item
    for write in wanted:
        try:
            batches.add(write)
        except UsageError as error:
            assert "has an initial value" in str(error)  # noqa: PT017 - refused only sometimes
            return
        expected = applied(expected, write)
    batches.close()
    (outcome,) = batches.staged()[1]
    assert applied(item, outcome) == expected


# How much, and how long


def test_a_commit_takes_99_items() -> None:
    """The record is the hundredth of DynamoDB's transaction; the call that is one too many is refused."""
    effects = Effects(batches := Batches())
    for number in range(LIMIT):
        effects.put("things", {"id": number}, {})
    with pytest.raises(UsageError, match=r"things\[id=99\]: one commit takes 99 items and 3,000,000 bytes; commit in"):
        effects.put("things", {"id": LIMIT}, {})
    effects.update("things", {"id": 0}, add={"n": 1})
    batches.close()
    assert len(batches.staged()[1]) == LIMIT


def test_a_commit_has_a_size() -> None:
    """DynamoDB's transaction takes 4 MB in all, the record and what the table holds already included."""
    effects = Effects()
    for number in range(9):
        effects.put("things", {"id": number}, {"text": "x" * 330_000})
    with pytest.raises(UsageError, match=r"things\[id=9\]: one commit takes 99 items and 3,000,000 bytes"):
        effects.put("things", {"id": 9}, {"text": "x" * 330_000})


@pytest.mark.parametrize("value", ["é" * 1_000, b"x" * 2_000, ["x" * 1_000] * 2, {"x" * 1_000: {"a", "b" * 1_000}}])
def test_every_kind_of_value_has_its_size(value: Any) -> None:
    """What is written by an update counts as well."""
    for part in ("values", "initial"):
        batches = Batches()
        Effects(batches).update("things", KEY, **{part: {"value": value}})
        assert 2_000 <= batches._open.size < 2_100


def test_one_item_may_be_written_any_number_of_times() -> None:
    """Its size is that of what its writes come to; and a loop that counts quickly leaves one batch, not thousands."""
    effects = Effects(batches := Batches())
    for _ in range(2_000):
        batches.enter()
        effects.update("things", KEY, values={"text": "x" * 3_000}, add={"n": 1})
        batches.stage(item=True)
    for _ in range(2_000):
        effects.update("things", OTHER, values={"text": "x" * 3_000})
    count, (write,) = batches.staged()
    assert count == 1
    assert isinstance(write, Update)
    assert write.add == {"n": 2_000}


def test_what_a_write_has_carried_is_not_added_to() -> None:
    """It may have been committed without a word; what comes later is another batch."""
    effects = Effects(batches := Batches())
    for expected in (1, 2, 3):
        effects.update("things", KEY, add={"n": 1})
        batches.stage()
        effects.update("things", KEY, add={"n": 1})
        batches.stage()
        assert batches.staged()[0] == expected
    batches.committed(1)
    (write,) = batches.staged()[1]
    assert write == Update("things", KEY, add={"n": 4})


def test_after_the_end_nothing_is_added() -> None:
    """A thread that outlives its attempt is told so, and its effect is not lost in silence."""
    effects = Effects(batches := Batches())
    batches.close()
    with pytest.raises(UsageError, match=r"things\[.*\]: the attempt is over"):
        effects.put("things", KEY, {})


def test_every_injected_type_is_known_where_tasks_are_declared() -> None:
    """Who forgets the `*` is told to put it there, for each type that is injected."""
    for one in BUILTIN:
        assert refusal(one) == f"{one.__name__} is injected: put it after a `*`, with the default `injected`"


def test_effects_alone_keep_what_they_are_given() -> None:
    """A function that takes Effects can be called without a job."""
    effects = Effects()
    effects.put("things", OTHER, {"a": 1})
    with pytest.raises(UsageError, match="an update needs"):
        effects.update("things", OTHER)
