"""The stores in memory: the same contract as the AWS ones, for tests and for `AFTERWARD_STORE=memory`. Not durable."""

import base64
import math
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from afterward.clock import Clock
from afterward.effects import LIMIT
from afterward.errors import BadEffects, BadMessage, UsageError
from afterward.listing import Cursor, Page, Place, read_page
from afterward.queues import MAX_DELAY, MAX_PUT_OFF, Incoming, Outgoing
from afterward.records import Break, Claim, Held, Joined, Record, RequestKey, Seat, Swap, Written, key_of
from afterward.writes import Delete, Item, Put, Write, item_of, merged, place_of

VISIBILITY = 60.0
"""Seconds for which a message that was received is hidden from others."""

DEAD_LETTERS = ""
"""The name under which the dead letters lie among the queues; no task can have it."""


Tables = dict[str, dict[str, Item]]
"""What effects have written, by table and item."""


class MemoryRecords:
    """Records in a dictionary, under one lock, and beside them the tables that effects write."""

    def __init__(self, clock: Clock) -> None:
        self.tables: Tables = {}
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._joins: dict[str, dict[int, Break | None]] = {}
        self._runs: dict[tuple[str, int], int] = {}
        self._latest: dict[str, int] = {}
        self._retries: dict[tuple[str, str], int] = {}
        self._keys: dict[str, RequestKey] = {}
        self._lock = threading.Lock()

    def get(self, owner: str, job_id: str) -> Record | None:
        with self._lock:
            return self._live(key_of(owner, job_id))

    def _live(self, key: str) -> Record | None:
        record = self._records.get(key)
        return record if record is not None and record.expires > self._clock.now() else None

    def add(self, record: Record) -> Written | Held:
        with self._lock:
            stands = self._live(record.key)
            if stands is None:
                stands = self._records[record.key] = record
        return Written(stands) if stands.nonce == record.nonce else Held(stands)

    def add_all(self, records: list[Record]) -> None:
        for record in records:
            self.add(record)

    def claim(self, claim: Claim) -> Written | Held:
        with self._lock:
            stands = self._records.get(claim.fresh.key)
            if stands is not None and not claim.admits(stands):
                return Written(stands) if stands.nonce == claim.nonce else Held(stands)
            claimed = claim.claimed(stands or claim.fresh)
            self._records[claimed.key] = claimed
        return Written(claimed)

    def swap(self, old: Record, new: Record, effects: Sequence[Write] = ()) -> Written | Held:
        with self._lock:
            stands = self._records.get(old.key)
            if stands is not None and _version(stands) == _version(old):
                self.tables = _written(self.tables, effects)
                self._records[new.key] = new
                return Written(new)
        return Written(stands) if stands is not None and stands.nonce == new.nonce else Held(stands)

    def remove(self, record: Record) -> bool:
        with self._lock:
            stands = self._records.get(record.key)
            if stands is not None and stands.nonce == record.nonce:
                del self._records[record.key]
                return True
        return stands is None

    def get_all(self, owner: str, job_ids: Sequence[str]) -> dict[str, Record]:
        found = {job_id: self.get(owner, job_id) for job_id in job_ids}
        return {job_id: record for job_id, record in found.items() if record is not None}

    def page(self, owner: str, limit: int, cursor: Cursor | None, shards: int) -> Page:
        return read_page(partial(self._listed, owner), partial(self.get_all, owner), shards, limit, cursor)

    def _listed(self, owner: str, shard: int, cursor: Cursor | None, most: int) -> list[Place]:
        with self._lock:
            shard_of = [one for one in self._records.values() if one.listing == f"{owner}#{shard}"]
        behind = cursor and cursor.place(shard)
        listed = sorted(((one.created, one.id) for one in shard_of), reverse=True)
        if behind:
            listed = [one for one in listed if one < (behind.created, behind.id)]
        elif cursor:
            listed = [one for one in listed if one[0] <= cursor.until]
        return [Place(*one) for one in listed[:most]]

    def join(self, key: str, slot: int, broken: Break | None, now: float, *, run: int = 0) -> Joined:  # noqa: ARG002 - nothing expires here
        with self._lock:
            if run < self._runs.get((key, slot), 0):
                return Joined(0, None)
            joined = self._joins.setdefault(key, {})
            joined[slot] = broken
            breaks = [one for _, one in sorted(joined.items()) if one is not None]
            return Joined(len(joined), breaks[0] if breaks else None, self._latest.get(key, 0))

    def next_run(self, owner: str, chain: str, least: int, now: float) -> int:  # noqa: ARG002 - nothing expires here
        with self._lock:
            run = self._retries[owner, chain] = max(least, self._retries.get((owner, chain), 0) + 1)
        return run

    def swap_all(self, swaps: Sequence[Swap], leaving: Sequence[Seat] = ()) -> bool:
        with self._lock:
            standing = [
                (self._live(one.new.key) if one.old is None else self._records.get(one.new.key), one.old)
                for one in swaps
            ]
            if any(_version(stands) != _version(old) for stands, old in standing):
                return False
            self._records |= {one.new.key: one.new for one in swaps}
            for seat in leaving:
                self._joins.get(seat.key, {}).pop(seat.slot, None)
                self._runs[seat.key, seat.slot] = seat.run
                self._latest[seat.key] = seat.run
        return True

    def recall(self, name: str, now: float) -> RequestKey | None:
        key = self._keys.get(name)
        return key if key is not None and key.expires > now else None

    def remember(self, key: RequestKey, now: float) -> RequestKey:
        with self._lock:
            stands = self.recall(key.name, now) or key
            self._keys[key.name] = stands
            return stands

    def all(self) -> list[Record]:
        """Return every record, oldest first; the stores of AWS have no such scan."""
        with self._lock:
            return sorted(self._records.values(), key=lambda record: record.created)


def _version(record: Record | None) -> tuple[str, int] | None:
    """Return what a write compares."""
    return (record.nonce, record.attempt) if record else None


def _written(tables: Tables, effects: Sequence[Write]) -> Tables:
    """Return the tables as they are after the effects; raise BadEffects, and have changed nothing, as DynamoDB does."""
    if len(effects) > LIMIT:
        raise BadEffects(f"memory does not take the effects on {effects[0].table}: they are more than {LIMIT}")
    tables = tables | {write.table: dict(tables.get(write.table, {})) for write in effects}
    for write in effects:
        items, place = tables[write.table], place_of(write)
        stands = Put(write.table, write.key, items[place]) if place in items else Delete(write.table, write.key)
        try:
            outcome = merged(stands, write)
        except UsageError as error:
            raise BadEffects(f"memory does not take the effects on {write.table}: {error}") from None
        items.pop(place, None)
        if isinstance(outcome, Put):
            items[place] = item_of(outcome)
    return tables


@dataclass(slots=True)
class _Message:
    incoming: Incoming
    visible: float


@dataclass(slots=True)
class MemoryQueues:
    """Queues with visibility, receive counts and longest delays as SQS has them; no order is promised there or used."""

    clock: Clock
    _messages: dict[str, list[_Message]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    arrived: threading.Event = field(default_factory=threading.Event)

    def send(self, messages: list[Outgoing]) -> None:
        for message in messages:
            self._add(message.task, message.body, {}, message.delay)

    def bury(self, message: Incoming, reason: str, error: str) -> None:
        told = {"reason": reason, "error": error, "message": message.id}
        self._add(DEAD_LETTERS, message.body, {name: text for name, text in told.items() if text}, 0)

    def put_off(self, task: str, message: Incoming, seconds: float) -> None:
        with self._lock:
            for one in self._messages.get(task, []):
                if one.incoming.receipt == message.receipt:
                    one.visible = self.clock.now() + max(0, min(MAX_PUT_OFF, math.ceil(seconds)))

    def put_off_dead_letter(self, message: Incoming, seconds: float) -> None:
        self.put_off(DEAD_LETTERS, message, seconds)

    def receive(self, name: str, limit: int = 1) -> list[Incoming]:
        now = self.clock.now()
        with self._lock:
            chosen = [one for one in self._messages.get(name, []) if one.visible <= now][:limit]
            for one in chosen:
                one.visible = now + VISIBILITY
                one.incoming = replace(one.incoming, receives=one.incoming.receives + 1, receipt=uuid.uuid4().hex)
        return [one.incoming for one in chosen]

    def delete(self, name: str, messages: Iterable[Incoming]) -> None:
        gone = {message.id for message in messages}
        with self._lock:
            self._messages[name] = [one for one in self._messages.get(name, []) if one.incoming.id not in gone]

    def names(self) -> list[str]:
        with self._lock:
            return [name for name, messages in self._messages.items() if messages]

    def waiting(self, name: str) -> list[Incoming]:
        """Return the messages of a queue, seen or not, without receiving them."""
        with self._lock:
            return [one.incoming for one in self._messages.get(name, [])]

    def next_visible(self) -> float | None:
        """Return the earliest time at which a message can be received; None where there is none."""
        with self._lock:
            return min((one.visible for messages in self._messages.values() for one in messages), default=None)

    def _add(self, name: str, body: str, attributes: dict[str, str], delay: float) -> None:
        now = self.clock.now()
        message = Incoming(str(uuid.uuid4()), "", body, 0, now, attributes)
        with self._lock:
            self._messages.setdefault(name, []).append(_Message(message, now + min(MAX_DELAY, delay)))
        self.arrived.set()


class MemoryBlobs:
    """Objects in a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.files: dict[str, tuple[bytes, str]] = {}

    def put(self, key: str, text: str) -> None:
        self.objects[key] = text

    def put_once(self, key: str, text: str) -> None:
        self.objects.setdefault(key, text)

    def put_bytes(self, key: str, body: bytes, content_type: str) -> None:
        self.files[key] = (body, content_type)

    def link(self, key: str, seconds: int, filename: str) -> str:  # noqa: ARG002 - it holds the object, and needs neither
        body, content_type = self.files[key]
        return f"data:{content_type};base64,{base64.b64encode(body).decode()}"

    def get(self, key: str) -> str:
        try:
            return self.objects[key]
        except KeyError:
            raise BadMessage("the envelope that the message points at is gone from S3") from None

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return (key for key in sorted({*self.objects, *self.files}) if key.startswith(prefix) and key > after)
