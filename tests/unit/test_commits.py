"""Effects and their record in one write: the contract of both stores; below it what only DynamoDB meets on its way."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from afterward.backend import Backend
from afterward.effects import LIMIT, Batches, Effects
from afterward.errors import BadEffects, Unavailable
from afterward.job import Status
from afterward.memory import MemoryRecords
from afterward.records import SKEW, Claim, Held, Record, Written
from afterward.testing import START, ManualClock
from afterward.writes import Delete, Put, Update, Write
from tests.support.cloud import Cloud
from tests.support.jobs import OWNER, record

KEY = {"user": "ada", "id": "1"}
ADDED = Update("things", KEY, add={"n": Decimal(1)})


def create_things(cloud: Cloud, *names: str) -> None:
    for name in names:
        cloud.dynamodb.client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("user", "id")],
            KeySchema=[{"AttributeName": "user", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
        )


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """The stores of AWS with two tables of the tasks' own."""
    create_things(cloud, "things", "others")
    cloud.dynamodb.sent.clear()
    return cloud


@pytest.fixture
def running(stores: Backend) -> Record:
    """The record of a job that runs."""
    return begun(stores)


def begun(using: Backend) -> Record:
    outcome = using.records.claim(Claim(fresh=record(), now=START, lease=START + 10 + SKEW))
    assert isinstance(outcome, Written)
    return outcome.record


def done(running: Record) -> Record:
    return running.changed(START, status=Status.COMPLETED)


@pytest.fixture
def items(request: pytest.FixtureRequest, stores: Backend) -> "Items":
    wire = request.getfixturevalue("cloud").dynamodb if not isinstance(stores.records, MemoryRecords) else None
    return Items(stores, wire.client if wire else None)


class Items:
    """What stands in the tables of the tasks, from either kind of store."""

    def __init__(self, stores: Backend, client: Any = None) -> None:
        self._stores = stores
        self._client = client

    def __call__(self, table: str = "things") -> list[dict[str, Any]]:
        if isinstance(self._stores.records, MemoryRecords):
            return list(self._stores.records.tables.get(table, {}).values())
        read = TypeDeserializer().deserialize
        return [{name: read(one) for name, one in item.items()} for item in scanned(self._client, table)]


def scanned(client: Any, table: str = "things") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.scan(TableName=table)["Items"]
    return found


def commit(using: Backend, running: Record, *effects: Write) -> Record:
    """Finish a job with effects, and return its record."""
    outcome = using.records.swap(running, done(running), effects)
    assert isinstance(outcome, Written)
    return outcome.record


# The contract


def test_effects_are_written_with_the_record(stores: Backend, running: Record, items: Items) -> None:
    """Both stand afterwards, in as many tables as are named."""
    after = done(running)
    effects: list[Write] = [Put("things", KEY, {"a": "x"}), Update("others", KEY, add={"n": Decimal(2)})]
    assert stores.records.swap(running, after, effects) == Written(after)
    assert stores.records.get(OWNER, "job-1") == after
    assert items("things") == [KEY | {"a": "x"}]
    assert items("others") == [KEY | {"n": 2}]


def test_who_is_fenced_writes_no_effects(stores: Backend, running: Record, items: Items) -> None:
    """A record that somebody else has written since stands, and the tables are as they were."""
    cancelled = running.changed(START, status=Status.CANCELLED)
    stores.records.swap(running, cancelled)
    assert stores.records.swap(running, done(running), [ADDED]) == Held(cancelled)
    assert items() == []


def test_a_record_that_is_gone_takes_no_effects(stores: Backend, running: Record, items: Items) -> None:
    """Nothing is made anew."""
    stores.records.remove(running)
    assert stores.records.swap(running, done(running), [ADDED]) == Held(None)
    assert items() == []


def test_a_commit_that_is_repeated_has_succeeded(stores: Backend, running: Record, items: Items) -> None:
    """The same version of the record again, under its own nonce, adds nothing."""
    after = done(running)
    for _ in range(3):
        assert stores.records.swap(running, after, [ADDED]) == Written(after)
    assert items() == [KEY | {"n": 1}]


STEPS: list[tuple[list[Write], list[dict[str, Any]]]] = [
    ([Put("things", KEY, {"a": 1}), Put("things", KEY, {"b": 2})], [{"b": 2}]),
    ([Put("things", KEY, {"a": 1}), Delete("things", KEY)], []),
    ([Delete("things", KEY)], []),
    ([Update("things", KEY, {"a": 1}), Update("things", KEY, {"b": 2})], [{"a": 1, "b": 2}]),
    ([ADDED, ADDED], [{"n": 2}]),
    ([Update("things", KEY, add={"s": {"a"}}), Update("things", KEY, add={"s": {"b"}})], [{"s": {"a", "b"}}]),
    ([Update("things", KEY, initial={"a": 1}), Update("things", KEY, initial={"a": 2, "b": 3})], [{"a": 1, "b": 3}]),
    ([Put("things", KEY, {"n": Decimal(1)}), Update("things", KEY, {"a": "x"}, {"n": Decimal(2)}, {"i": 0, "a.b": 1})],
     [{"n": 3, "a": "x", "i": 0, "a.b": 1}]),
    ([Update("things", KEY, {"count": 1, "user name": 2, "#x": 3, ":y": 4})],
     [{"count": 1, "user name": 2, "#x": 3, ":y": 4}]),
    ([Put("things", KEY, {"all": [None, True, "x", b"y", {"z": {1, 2}}, {b"q"}]})],
     [{"all": [None, True, "x", b"y", {"z": {1, 2}}, {b"q"}]}]),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "outcome"), STEPS)
def test_effects_mean_the_same_everywhere(
    stores: Backend, running: Record, items: Items, steps: list[Write], outcome: list[dict[str, Any]]
) -> None:
    """One commit after the other."""
    for effect in steps:
        running = commit(stores, running, *checked(effect))
    assert items() == [KEY | values for values in outcome]


def checked(write: Write) -> Sequence[Write]:
    """Return a write as Effects would make it."""
    effects = Effects(batches := Batches())
    if isinstance(write, Put):
        effects.put(write.table, write.key, write.values)
    elif isinstance(write, Update):
        effects.update(write.table, write.key, values=write.values, add=write.add, initial=write.initial)
    else:
        effects.delete(write.table, write.key)
    batches.close()
    return batches.staged()[1]


def test_an_effect_that_is_not_taken_leaves_nothing(stores: Backend, running: Record, items: Items) -> None:
    """A number added to a text: the error names the table, and neither record nor other effects are written."""
    running = commit(stores, running, Put("things", KEY, {"n": "text"}))
    other = Put("others", KEY, {})
    with pytest.raises(BadEffects, match=r"does not take the effects on .*things"):
        stores.records.swap(running, done(running), [other, ADDED])
    assert stores.records.get(OWNER, "job-1") == running
    assert (items("things"), items("others")) == ([KEY | {"n": "text"}], [])


def test_99_items_go_with_one_record(stores: Backend, running: Record, items: Items) -> None:
    """What Effects takes fits the transaction, and no item more."""
    many = [Put("things", {"user": "ada", "id": f"{number:02}"}, {}) for number in range(LIMIT + 1)]
    with pytest.raises(BadEffects, match=r"does not take the effects on .*things"):
        stores.records.swap(running, done(running), many)
    commit(stores, running, *many[:LIMIT])
    assert len(items()) == LIMIT


# DynamoDB's own


def requests(cloud: Cloud) -> int:
    return cloud.dynamodb.counts["TransactWriteItems"]


def test_a_commit_is_one_request(cloud: Cloud) -> None:
    """The record first, under its condition, with the nonce as the client's token; then the effects."""
    running = begun(cloud.backend)
    cloud.dynamodb.sent.clear()
    after = commit(cloud.backend, running, ADDED)
    assert cloud.dynamodb.counts == {"TransactWriteItems": 1}
    (body,) = cloud.dynamodb.bodies("TransactWriteItems")
    assert body["ClientRequestToken"] == after.nonce
    first, second = (one["Update"] for one in body["TransactItems"])
    assert first["ConditionExpression"] == "#nonce = :old AND #attempt = :was"
    assert first["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    assert (second["TableName"], "ConditionExpression" in second) == ("things", False)


def test_without_effects_there_is_no_transaction(cloud: Cloud) -> None:
    """It would cost twice as much."""
    commit(cloud.backend, begun(cloud.backend))
    assert requests(cloud) == 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_reply_is_recognised(cloud: Cloud, times: int) -> None:
    """botocore repeats the transaction, which meets our own nonce: nothing is added twice."""
    running = begun(cloud.backend)
    cloud.dynamodb.lose("TransactWriteItems", times=times)
    commit(cloud.backend, running, ADDED)
    assert requests(cloud) == times + 1
    assert scanned(cloud.dynamodb.client)[0]["n"] == {"N": "1"}


PASSING = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"]


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("place", [0, 1])
def test_what_may_pass_is_tried_again_after_a_pause(cloud: Cloud, clock: ManualClock, code: str, place: int) -> None:
    """Another writer of the record or of an item in the same instant costs time and nothing else."""
    running = begun(cloud.backend)
    codes = ["None", "None"]
    codes[place] = code
    cloud.dynamodb.cancel_transaction(*codes, times=3)
    commit(cloud.backend, running, ADDED)
    assert (requests(cloud), scanned(cloud.dynamodb.client)[0]["n"]) == (4, {"N": "1"})
    assert START < clock.now() < START + 3


def test_tries_are_bounded(cloud: Cloud, clock: ManualClock) -> None:
    """What does not pass until shortly before the lease ends is left to another attempt."""
    running = begun(cloud.backend)
    cloud.dynamodb.cancel_transaction("None", "TransactionConflict", times=100)
    with pytest.raises(Unavailable, match="kept cancelling"):
        cloud.backend.records.swap(running, done(running), [ADDED])
    assert requests(cloud) > 8
    assert START + 7 < clock.now() < START + 9


@pytest.mark.parametrize("code", ["ThrottlingException", "TransactionInProgressException", "InternalServerError"])
def test_a_service_that_is_busy_is_unavailable(cloud: Cloud, code: str) -> None:
    """No more is known than that."""
    running = begun(cloud.backend)
    cloud.dynamodb.refuse("TransactWriteItems", code, status=500 if "Internal" in code else 400)
    with pytest.raises(Unavailable, match=code):
        cloud.backend.records.swap(running, done(running), [ADDED])


def test_only_the_records_own_condition_fences(cloud: Cloud) -> None:
    """A record that was taken over in the same instant, whatever else the transaction met."""
    running = begun(cloud.backend)
    cancelled = running.changed(START, status=Status.CANCELLED)
    cloud.dynamodb.meanwhile("TransactWriteItems", lambda: cloud.backend.records.swap(running, cancelled))
    assert cloud.backend.records.swap(running, done(running), [ADDED]) == Held(cancelled)
    assert scanned(cloud.dynamodb.client) == []


@pytest.mark.parametrize("code", ["ValidationError", "ItemCollectionSizeLimitExceeded", "SomethingNew"])
def test_what_cannot_pass_is_said_at_once(cloud: Cloud, code: str) -> None:
    """The error names the table of the item that is refused and the reason, even beside a conflict."""
    running = begun(cloud.backend)
    cloud.dynamodb.cancel_transaction("TransactionConflict", "None", code)
    other = Update("others", KEY, add={"n": Decimal(1)})
    with pytest.raises(BadEffects, match=rf"^DynamoDB does not take the effects on others \({code}\)$"):
        cloud.backend.records.swap(running, done(running), [ADDED, other])
    assert requests(cloud) == 1


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_a_request_that_cannot_pass_names_its_tables(cloud: Cloud, code: str) -> None:
    """A refusal of the whole names all of them; what may hold names of accounts and roles stays in the log."""
    running = begun(cloud.backend)
    cloud.dynamodb.refuse("TransactWriteItems", code)
    said = ": planned" if code == "ValidationException" else ""
    other = Update("others", KEY, add={"n": Decimal(1)})
    with pytest.raises(BadEffects, match=rf"^DynamoDB does not take the effects on others, things \({code}{said}\)$"):
        cloud.backend.records.swap(running, done(running), [ADDED, other])


def test_a_table_that_is_not_there_is_named(cloud: Cloud) -> None:
    """As DynamoDB itself says it."""
    running = begun(cloud.backend)
    with pytest.raises(BadEffects, match=r"the effects on nowhere \(ResourceNotFoundException\)"):
        cloud.backend.records.swap(running, done(running), [Put("nowhere", KEY, {})])


def test_a_key_that_is_not_the_tables_is_refused(cloud: Cloud) -> None:
    """As DynamoDB itself says it."""
    running = begun(cloud.backend)
    with pytest.raises(BadEffects, match=r"the effects on things \(ValidationException"):
        cloud.backend.records.swap(running, done(running), [Update("things", {"name": "x"}, {"a": "y"})])
