"""The stores in memory: the same contract as the AWS ones, for tests and for `AFTERWARD_STORE=memory`. Not durable."""

import math
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from afterward.clock import Clock
from afterward.errors import BadMessage
from afterward.queues import Incoming, Outgoing
from afterward.records import Claim, Held, Record, Written, key_of

VISIBILITY = 60.0
"""Seconds for which a message that was received is hidden from others."""

DEAD_LETTERS = ""
"""The name under which the dead letters lie among the queues; no task can have it."""


class MemoryRecords:
    """Records in a dictionary, under one lock."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._lock = threading.Lock()

    def get(self, owner: str, job_id: str) -> Record | None:
        with self._lock:
            return self._records.get(key_of(owner, job_id))

    def add(self, record: Record) -> Written | Held:
        with self._lock:
            stands = self._records.setdefault(record.key, record)
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

    def swap(self, old: Record, new: Record) -> Written | Held:
        with self._lock:
            stands = self._records.get(old.key)
            if stands is not None and stands.nonce == old.nonce:
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

    def all(self) -> list[Record]:
        """Return every record, oldest first; the stores of AWS have no such scan."""
        with self._lock:
            return sorted(self._records.values(), key=lambda record: record.created)


@dataclass(slots=True)
class _Message:
    incoming: Incoming
    visible: float


@dataclass(slots=True)
class MemoryQueues:
    """Queues with visibility and receive counts, as SQS has them; no order is promised there, so none is used."""

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
                    one.visible = self.clock.now() + max(0, math.ceil(seconds))

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
            self._messages.setdefault(name, []).append(_Message(message, now + delay))
        self.arrived.set()


class MemoryBlobs:
    """Objects in a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}

    def put(self, key: str, text: str) -> None:
        self.objects[key] = text

    def put_once(self, key: str, text: str) -> None:
        self.objects.setdefault(key, text)

    def get(self, key: str) -> str:
        try:
            return self.objects[key]
        except KeyError:
            raise BadMessage("the envelope that the message points at is gone from S3") from None
