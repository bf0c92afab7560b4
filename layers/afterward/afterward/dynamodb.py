"""Records in a DynamoDB table, by the low-level client: one request per operation."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from afterward.aws import answering, code_of
from afterward.clock import Clock, timestamp
from afterward.errors import Unavailable
from afterward.job import Status
from afterward.listing import Cursor, Page, Place, read_page
from afterward.records import (
    KEEP_OPEN,
    SKEW,
    Break,
    Claim,
    Held,
    Joined,
    Record,
    RequestKey,
    Seat,
    Swap,
    Written,
    in_steps,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from afterward.writes import Write

TRANSACTION = 100
"""Items that one TransactWriteItems takes (service quota)."""

BATCH = 100
"""Keys that one BatchGetItem takes (service quota)."""

CONFLICTS = 8
"""Times that a transaction is tried again when another writer meets it."""

PATIENCE = 30.0
"""Seconds for which effects are tried again when other writers meet them, as far as the job's lease goes."""

Item = dict[str, Any]

_NUMBERS = {"expires", "run", "attempt", "limit", "not_before", "lease", "progress", "total", "links", "children"}
_FLOATS = {"not_before", "lease"}
_OWN = {"owner", "id"}  # in the key
_NAMES = [field.name for field in fields(Record) if field.name not in _OWN]
_ALIASES = {f"#{name}": name for name in _NAMES}  # many are reserved words of DynamoDB's expressions

_RETURN_OLD: Item = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}

_OPEN = (
    "#run = :run AND #attempt < #limit AND "
    "((#status = :queued AND #not_before <= :now) OR (#status = :running AND #lease <= :now))"
)
_SAME_REQUEST = " AND (attribute_not_exists(#digest) OR #digest = :digest)"
_MADE = (
    "task",
    "created",
    "listing",
    "run",
    "limit",
    "not_before",
    "progress",
    "chain",
    "digest",
    "links",
    "named",
)


class DynamoDBRecords:
    """The table has the key `pk` ("owner#job id"), a listing index and a time to live on `expires`."""

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def get(self, owner: str, job_id: str) -> Record | None:
        answer = self._call("get_item", Key=_key(owner, job_id), ConsistentRead=True)
        return next(self._live([answer["Item"]] if "Item" in answer else []), None)

    def add(self, record: Record) -> Written | Held:
        return self._written(record, "put_item", Item=_item(record), **_free(self._clock.now()))

    def add_all(self, records: list[Record]) -> None:
        if len(records) == 1:
            self.add(records[0])
            return
        for step in in_steps(records, TRANSACTION):
            self._add_together(step)

    def claim(self, claim: Claim) -> Written | Held:
        fresh = _item(claim.fresh)
        named = [name for name in _MADE if name in fresh]
        made = ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in named)
        values = {f":{name}": fresh[name] for name in named} | {
            ":now": _number(claim.now),
            ":until": _number(claim.lease),
            ":expires": fresh["expires"],
            ":nonce": {"S": claim.nonce},
            ":updated": {"S": timestamp(claim.now)},
            ":queued": {"S": Status.QUEUED},
            ":running": {"S": Status.RUNNING},
            ":zero": {"N": "0"},
            ":one": {"N": "1"},
        }
        admitted = _OPEN + (_SAME_REQUEST if claim.fresh.digest else "")
        used = {"#status", "#attempt", "#lease", "#nonce", "#updated", "#expires"} | {f"#{name}" for name in named}
        request = {
            "Key": _key(claim.fresh.owner, claim.fresh.id),
            "ConditionExpression": f"attribute_not_exists(pk) OR ({admitted})",
            "UpdateExpression": (
                f"SET #status = :running, #attempt = if_not_exists(#attempt, :zero) + :one, #lease = :until, "
                f"#nonce = :nonce, #updated = :updated, #expires = :expires, {made}"
            ),
            "ExpressionAttributeNames": {alias: _ALIASES[alias] for alias in used},
            "ExpressionAttributeValues": values,
            "ReturnValues": "ALL_NEW",
        }
        return self._written(None, "update_item", nonce=claim.nonce, **request)

    def swap(self, old: Record, new: Record, effects: "Sequence[Write]" = ()) -> Written | Held:
        if effects:
            return self._swap_with(effects, old, new)
        return self._written(new, "update_item", **_update(old, new))

    def _swap_with(self, effects: "Sequence[Write]", old: Record, new: Record) -> Written | Held:
        from afterward.transaction import refusal_of, requested  # noqa: PLC0415 - tasks without effects pay nothing

        items = [self._swapped(Swap(old, new)), *map(requested, effects)]
        pause, until = 0.1, min(old.lease - SKEW - 1, self._clock.now() + PATIENCE)
        while True:
            try:
                self._call("transact_write_items", table=False, TransactItems=items, ClientRequestToken=new.nonce)
            except _CancelledError as cancelled:
                if cancelled.codes[:1] == ["ConditionalCheckFailed"]:
                    return _met(cancelled.reasons[0].get("Item"), new.nonce)
                if (refusal := refusal_of(cancelled.reasons, effects)) is not None:
                    raise refusal from None
                if self._clock.now() + pause > until:
                    raise Unavailable("DynamoDB kept cancelling the transaction that writes the effects") from None
                self._clock.sleep(self._clock.jitter(pause))
                pause = min(2 * pause, 1.0)
            except Unavailable as unavailable:
                if (refusal := refusal_of(unavailable.__cause__, effects)) is not None:
                    raise refusal from unavailable.__cause__
                raise
            else:
                return Written(new)

    def remove(self, record: Record) -> bool:
        request: Item = {
            "Key": _key(record.owner, record.id),
            "ConditionExpression": "#nonce = :old",
            "ExpressionAttributeNames": {"#nonce": "nonce"},
            "ExpressionAttributeValues": {":old": {"S": record.nonce}},
            **_RETURN_OLD,
        }
        try:
            self._call("delete_item", **request)
        except _ConditionError as refusal:
            return refusal.item is None
        return True

    def get_all(self, owner: str, job_ids: Sequence[str]) -> dict[str, Record]:
        if len(job_ids) == 1:
            record = self.get(owner, job_ids[0])
            return {record.id: record} if record else {}
        keys = [_key(owner, job_id) for job_id in dict.fromkeys(job_ids)]
        records = [record for step in in_steps(keys, BATCH) for record in self._batch(step)]
        return {record.id: record for record in records}

    def _tries(self) -> Iterator[int]:
        """Count the tries of a request, with longer and longer pauses between them."""
        for attempt in range(1, CONFLICTS + 1):
            yield attempt
            self._clock.sleep(self._clock.jitter(min(1.0, 0.05 * 2**attempt)))

    def _batch(self, keys: Sequence[Item]) -> Iterator[Record]:
        waiting = list(keys)
        for _ in self._tries():
            asked = {self._table: {"Keys": waiting, "ConsistentRead": True}}
            answer = self._call("batch_get_item", table=False, RequestItems=asked)
            yield from self._live(answer["Responses"].get(self._table, []))
            waiting = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not waiting:
                return
        raise Unavailable("DynamoDB kept leaving keys unread")

    def page(self, owner: str, limit: int, cursor: Cursor | None, shards: int) -> Page:
        return read_page(partial(self._listed, owner), partial(self.get_all, owner), shards, limit, cursor)

    def _listed(self, owner: str, shard: int, cursor: Cursor | None, most: int) -> list[Place]:
        request = _listing(f"{owner}#{shard}", owner, cursor, shard)
        found: list[Place] = []
        while len(found) < most:
            answer = self._call("query", Limit=most - len(found), **request)
            found += [Place(item["created"]["S"], _id_of(item)) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                break
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return found

    def join(self, key: str, slot: int, broken: Break | None, now: float, *, run: int = 0) -> Joined:
        seat = Seat(key, slot, run)
        request: Item = {
            "Key": _seat_key(seat),
            "ConditionExpression": "attribute_not_exists(#run) OR #run <= :run",
            "UpdateExpression": "ADD #done :slot SET #expires = :expires REMOVE #broken",
            "ExpressionAttributeNames": _seat_names(seat) | {"#expires": "expires"},
            "ExpressionAttributeValues": {
                ":slot": {"NS": [str(seat.slot)]},
                ":run": {"N": str(seat.run)},
                ":expires": {"N": str(int(now) + KEEP_OPEN)},
            },
            "ReturnValues": "ALL_NEW",
        }
        if broken:
            request["UpdateExpression"] = "ADD #done :slot SET #expires = :expires, #broken = :broken"
            request["ExpressionAttributeValues"][":broken"] = {"S": f"{broken.how}#{broken.id}"}
        try:
            item = self._call("update_item", **request)["Attributes"]
        except _ConditionError:
            return Joined(0, None)
        slots = sorted(int(name.removeprefix("broken")) for name in item if name.startswith("broken"))
        how, _, job_id = item[f"broken{slots[0]}"]["S"].partition("#") if slots else ("", "", "")
        latest = int(item["latest"]["N"]) if "latest" in item else 0
        return Joined(len(item["done"]["NS"]), Break(job_id, how) if slots else None, latest)

    def next_run(self, owner: str, chain: str, least: int, now: float) -> int:
        run = least
        while True:
            request: Item = {
                **_RETURN_OLD,
                "Key": {"pk": {"S": f"runs#{owner}#{chain}#"}},  # no job has an empty id
                "ConditionExpression": "attribute_not_exists(#run) OR #run < :run",
                "UpdateExpression": "SET #run = :run, #expires = :expires",
                "ExpressionAttributeNames": {"#run": "run", "#expires": "expires"},
                "ExpressionAttributeValues": {
                    ":run": {"N": str(run)},
                    ":expires": {"N": str(int(now) + KEEP_OPEN)},
                },
            }
            try:
                self._call("update_item", **request)
            except _ConditionError as refusal:
                run = int(refusal.item["run"]["N"]) + 1 if refusal.item else run
            else:
                return run

    def swap_all(self, swaps: Sequence[Swap], leaving: Sequence[Seat] = ()) -> bool:
        if len(swaps) == 1 and swaps[0].old and not leaving:
            return isinstance(self.swap(swaps[0].old, swaps[0].new), Written)
        steps = list(in_steps(swaps, TRANSACTION - len(leaving)))
        return all(self._swap_together(one, leaving if one is steps[-1] else ()) for one in steps)

    def _swap_together(self, swaps: Sequence[Swap], leaving: Sequence[Seat]) -> bool:
        items = [*map(self._swapped, swaps), *map(self._left, leaving)]
        token = swaps[-1].new.nonce
        for _ in self._tries():
            try:
                self._call("transact_write_items", table=False, TransactItems=items, ClientRequestToken=token)
            except _CancelledError as cancelled:
                if "ConditionalCheckFailed" in cancelled.codes:
                    # Our own writes where botocore has repeated them, else those of somebody else.
                    met = [
                        _met(one.get("Item"), swap.new.nonce)
                        for one, swap in zip(cancelled.reasons, swaps, strict=False)
                    ]
                    return all(isinstance(one, Written) for one in met)
            else:
                return True
        raise Unavailable("DynamoDB kept cancelling the transaction that writes the records")

    def _swapped(self, swap: Swap) -> Item:
        if swap.old is None:
            return self._put(swap.new)
        return {"Update": {"TableName": self._table, **_RETURN_OLD, **_update(swap.old, swap.new)}}

    def _left(self, seat: Seat) -> Item:
        return {
            "Update": {
                "TableName": self._table,
                "Key": _seat_key(seat),
                "UpdateExpression": (
                    "DELETE #done :slot REMOVE #broken SET #run = :run, #latest = :run, #expires = :expires"
                ),
                "ExpressionAttributeNames": _seat_names(seat) | {"#latest": "latest", "#expires": "expires"},
                "ExpressionAttributeValues": {
                    ":slot": {"NS": [str(seat.slot)]},
                    ":run": {"N": str(seat.run)},
                    ":expires": {"N": str(int(self._clock.now()) + KEEP_OPEN)},
                },
            }
        }

    def recall(self, name: str, now: float) -> RequestKey | None:
        item = self._call("get_item", Key=_request_key(name), ConsistentRead=True).get("Item")
        key = _request_key_of(name, item) if item else None
        return key if key is not None and key.expires > now else None

    def remember(self, key: RequestKey, now: float) -> RequestKey:
        values = {"seed": {"S": key.seed}, "digest": {"S": key.digest}, "expires": {"N": str(key.expires)}}
        try:
            self._call("put_item", Item=_request_key(key.name) | values, **_free(now), **_RETURN_OLD)
        except _ConditionError as refusal:
            return _request_key_of(key.name, refusal.item) if refusal.item else key
        return key

    def _written(self, new: Record | None, operation: str, *, nonce: str = "", **request: Any) -> Written | Held:
        try:
            answer = self._call(operation, **_RETURN_OLD, **request)
        except _ConditionError as refusal:
            return _met(refusal.item, new.nonce if new else nonce)
        return Written(new or _record(answer["Attributes"]))

    def _add_together(self, records: Sequence[Record]) -> None:
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
        return {"Put": {"TableName": self._table, "Item": _item(record), **_free(self._clock.now()), **_RETURN_OLD}}

    def _live(self, items: "Iterable[Item]") -> Iterator[Record]:
        now = self._clock.now()
        return (record for record in map(_record, items) if record.expires > now)

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
                    raise _CancelledError(reasons) from None
                raise


class _ConditionError(Exception):
    def __init__(self, item: Item | None) -> None:
        super().__init__("condition failed")
        self.item = item


class _CancelledError(Exception):
    """`reasons` has one entry for each item of the transaction, in its order."""

    def __init__(self, reasons: list[Item]) -> None:
        super().__init__("transaction cancelled")
        self.reasons = reasons
        self.codes: list[str] = [reason.get("Code", "None") for reason in reasons]


def _met(item: Item | None, nonce: str) -> Written | Held:
    """Say what a refused write means by the item that it met: under our own new nonce it is ours."""
    stands = _record(item) if item else None
    return Written(stands) if stands is not None and stands.nonce == nonce else Held(stands)


def _free(now: float) -> Item:
    """Ask that nothing stands in the place but what has expired."""
    return {
        "ConditionExpression": "attribute_not_exists(pk) OR #expires <= :now",
        "ExpressionAttributeNames": {"#expires": "expires"},
        "ExpressionAttributeValues": {":now": {"N": str(int(now))}},
    }


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
        "ConditionExpression": "#nonce = :old AND #attempt = :was",
        "UpdateExpression": expression,
        "ExpressionAttributeNames": {f"#{name}": name for name in {*put, *gone, "nonce", "attempt"}},
        "ExpressionAttributeValues": {":old": {"S": old.nonce}, ":was": before["attempt"]}
        | {f":{name}": after[name] for name in put},
    }


def _listing(name: str, owner: str, cursor: Cursor | None, shard: int) -> Item:
    """Ask for the jobs of a shard, newest first: behind the cursor's place in it, or created when the cursor was."""
    request: Item = {
        "IndexName": "listing",
        "ScanIndexForward": False,
        "KeyConditionExpression": "#listing = :listing",
        "ExpressionAttributeNames": {"#listing": "listing"},
        "ExpressionAttributeValues": {":listing": {"S": name}},
    }
    if cursor and (behind := cursor.place(shard)):
        key = {"listing": {"S": name}, "created": {"S": behind.created}}
        request["ExclusiveStartKey"] = _key(owner, behind.id) | key
    elif cursor:
        request["KeyConditionExpression"] += " AND #created <= :until"
        request["ExpressionAttributeNames"]["#created"] = "created"
        request["ExpressionAttributeValues"][":until"] = {"S": cursor.until}
    return request


def _seat_key(seat: Seat) -> Item:
    return {"pk": {"S": f"join#{seat.key}#"}}  # no job has an empty id


def _seat_names(seat: Seat) -> dict[str, str]:
    return {"#done": "done", "#broken": f"broken{seat.slot}", "#run": f"run{seat.slot}"}


def _request_key(name: str) -> Item:
    return {"pk": {"S": f"request#{name}#"}}  # no job has an empty id


def _request_key_of(name: str, item: Item) -> RequestKey:
    return RequestKey(name=name, seed=item["seed"]["S"], digest=item["digest"]["S"], expires=int(item["expires"]["N"]))


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


def _id_of(item: Item) -> str:
    job_id: str = item["pk"]["S"].rpartition("#")[2]
    return job_id


def _record(item: Item) -> Record:
    owner, _, job_id = item["pk"]["S"].rpartition("#")
    values = {name: _value(name, item[name]) for name in _NAMES if name in item}
    return Record(owner=owner, id=job_id, **(values | {"status": Status(values["status"])}))


def _value(name: str, attribute: Item) -> Any:
    if name not in _NUMBERS:
        return attribute["S"]
    return float(attribute["N"]) if name in _FLOATS else int(attribute["N"])
