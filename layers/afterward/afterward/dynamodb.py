"""Records in a DynamoDB table, by the low-level client: one request per operation."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from afterward.aws import answering, code_of
from afterward.clock import Clock, timestamp
from afterward.errors import Unavailable
from afterward.job import Status
from afterward.records import Claim, Held, Record, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TRANSACTION = 100
"""Items that one TransactWriteItems takes (service quota)."""

CONFLICTS = 8
"""Times that a transaction is tried again when another writer meets it."""

Item = dict[str, Any]

_NUMBERS = {"expires", "run", "attempt", "limit", "not_before", "lease", "progress", "total"}
_FLOATS = {"not_before", "lease"}
_OWN = {"owner", "id"}  # in the key
_NAMES = [field.name for field in fields(Record) if field.name not in _OWN]
_ALIASES = {f"#{name}": name for name in _NAMES}  # many are reserved words of DynamoDB's expressions

_CLAIMABLE = (
    "attribute_not_exists(pk) OR (#run = :run AND #attempt < #limit AND "
    "((#status = :queued AND #not_before <= :now) OR (#status = :running AND #lease <= :now)))"
)
_MADE = ("task", "created", "listing", "expires", "run", "limit", "not_before", "progress", "chain", "digest")


class DynamoDBRecords:
    """The table has the key `pk` ("owner#job id"), a listing index and a time to live on `expires`."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def get(self, owner: str, job_id: str) -> Record | None:
        answer = self._call("get_item", Key=_key(owner, job_id), ConsistentRead=True)
        return _record(answer["Item"]) if "Item" in answer else None

    def add(self, record: Record) -> Written | Held:
        condition = {"ConditionExpression": "attribute_not_exists(pk)"}
        return self._written(record, "put_item", Item=_item(record), **condition)

    def add_all(self, records: list[Record]) -> None:
        if len(records) == 1:
            self.add(records[0])
            return
        for start in range(0, len(records), TRANSACTION):
            self._add_together(records[start : start + TRANSACTION])

    def claim(self, claim: Claim) -> Written | Held:
        fresh = _item(claim.fresh)
        named = [name for name in _MADE if name in fresh]
        made = ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in named)
        values = {f":{name}": fresh[name] for name in named} | {
            ":now": _number(claim.now),
            ":until": _number(claim.lease),
            ":nonce": {"S": claim.nonce},
            ":updated": {"S": timestamp(claim.now)},
            ":queued": {"S": Status.QUEUED},
            ":running": {"S": Status.RUNNING},
            ":zero": {"N": "0"},
            ":one": {"N": "1"},
        }
        used = {"#status", "#attempt", "#lease", "#nonce", "#updated"} | {f"#{name}" for name in named}
        request = {
            "Key": _key(claim.fresh.owner, claim.fresh.id),
            "ConditionExpression": _CLAIMABLE,
            "UpdateExpression": (
                f"SET #status = :running, #attempt = if_not_exists(#attempt, :zero) + :one, #lease = :until, "
                f"#nonce = :nonce, #updated = :updated, {made}"
            ),
            "ExpressionAttributeNames": {alias: _ALIASES[alias] for alias in used},
            "ExpressionAttributeValues": values,
            "ReturnValues": "ALL_NEW",
        }
        return self._written(None, "update_item", nonce=claim.nonce, **request)

    def swap(self, old: Record, new: Record) -> Written | Held:
        return self._written(new, "update_item", **_update(old, new))

    def remove(self, record: Record) -> bool:
        request: Item = {
            "Key": _key(record.owner, record.id),
            "ConditionExpression": "#nonce = :old",
            "ExpressionAttributeNames": {"#nonce": "nonce"},
            "ExpressionAttributeValues": {":old": {"S": record.nonce}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            self._call("delete_item", **request)
        except _ConditionError as refusal:
            return refusal.item is None
        return True

    def _written(self, new: Record | None, operation: str, *, nonce: str = "", **request: Any) -> Written | Held:
        try:
            answer = self._call(operation, ReturnValuesOnConditionCheckFailure="ALL_OLD", **request)
        except _ConditionError as refusal:
            stands = _record(refusal.item) if refusal.item else None
            ours = stands is not None and stands.nonce == (new.nonce if new else nonce)
            return Written(cast("Record", stands)) if ours else Held(stands)
        return Written(new or _record(answer["Attributes"]))

    def _add_together(self, records: list[Record]) -> None:
        waiting = records
        for attempt in range(1, CONFLICTS + 1):
            try:
                self._call("transact_write_items", table=False, TransactItems=[self._put(one) for one in waiting])
            except _CancelledError as cancelled:
                # A condition that failed is a record that its worker has made already, or our own write repeated.
                waiting = [
                    one for one, code in zip(waiting, cancelled.codes, strict=True) if code != "ConditionalCheckFailed"
                ]
                if not waiting:
                    return
                if any(code not in {"ConditionalCheckFailed", "None"} for code in cancelled.codes):
                    self._clock.sleep(self._clock.jitter(0.05 * 2**attempt))
            else:
                return
        raise Unavailable("DynamoDB kept cancelling the transaction that writes the records")

    def _put(self, record: Record) -> Item:
        return {
            "Put": {"TableName": self._table, "Item": _item(record), "ConditionExpression": "attribute_not_exists(pk)"}
        }

    def _call(self, operation: str, *, table: bool = True, **request: Any) -> Item:
        call: Callable[..., Item] = getattr(self._client, operation)
        named = {"TableName": self._table} if table else {}
        with answering("DynamoDB"):
            try:
                return call(**named, **request)
            except ClientError as error:
                if code_of(error) == "ConditionalCheckFailedException":
                    raise _ConditionError(cast("Item", error.response).get("Item")) from None
                if code_of(error) == "TransactionCanceledException":
                    reasons = cast("Item", error.response).get("CancellationReasons", [])
                    raise _CancelledError([reason.get("Code", "None") for reason in reasons]) from None
                raise


class _ConditionError(Exception):
    def __init__(self, item: Item | None) -> None:
        super().__init__("condition failed")
        self.item = item


class _CancelledError(Exception):
    def __init__(self, codes: list[str]) -> None:
        super().__init__("transaction cancelled")
        self.codes = codes


def _update(old: Record, new: Record) -> Item:
    """Say the difference of two versions of a record as one update on the condition that the old one stands."""
    before, after = _item(old), _item(new)
    put = sorted(name for name in after if name != "pk" and after[name] != before.get(name))
    gone = sorted(before.keys() - after.keys())
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in put)
    if gone:
        expression += " REMOVE " + ", ".join(f"#{name}" for name in gone)
    return {
        "Key": _key(old.owner, old.id),
        "ConditionExpression": "#nonce = :old",
        "UpdateExpression": expression,
        "ExpressionAttributeNames": {f"#{name}": name for name in {*put, *gone, "nonce"}},
        "ExpressionAttributeValues": {":old": {"S": old.nonce}} | {f":{name}": after[name] for name in put},
    }


def _key(owner: str, job_id: str) -> Item:
    return {"pk": {"S": f"{owner}#{job_id}"}}


def _item(record: Record) -> Item:
    pairs: Iterable[tuple[str, Any]] = ((name, getattr(record, name)) for name in _NAMES)
    values = {
        name: _number(value) if name in _NUMBERS else {"S": value} for name, value in pairs if value not in {None, ""}
    }
    return {"pk": {"S": record.key}} | values


def _number(value: float) -> Item:
    return {"N": repr(round(value, 3))}


def _record(item: Item) -> Record:
    owner, _, job_id = item["pk"]["S"].rpartition("#")
    values = {name: _value(name, item[name]) for name in _NAMES if name in item}
    return Record(owner=owner, id=job_id, **(values | {"status": Status(values["status"])}))


def _value(name: str, attribute: Item) -> Any:
    if name not in _NUMBERS:
        return attribute["S"]
    return float(attribute["N"]) if name in _FLOATS else int(attribute["N"])
