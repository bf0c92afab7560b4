"""The job's record: the only place where status and progress live. It holds no arguments.

A store knows six operations, and five of them compare one thing only: the nonce that every write leaves behind. Who
holds a record's last nonce may write it (`swap`); everybody else's write has changed it. That one rule fences older
attempts and runs, makes a cancel win over a finish or lose to it as a whole, and recognises our own write when botocore
repeats it after a lost reply: a refusal that shows *our new* nonce is our success.
"""

import dataclasses
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from afterward.clock import timestamp
from afterward.envelope import Envelope, Link
from afterward.job import Status

KEEP_FINAL = 30 * 86_400
"""Seconds that a record stays readable after its job is final (DynamoDB's TTL)."""

KEEP_OPEN = (7 + 14) * 86_400 + KEEP_FINAL
"""Seconds after which a record that never became final goes: no queue holds a message of it any longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One job as its table row says. Times are seconds since the epoch, `created` and `updated` ISO 8601.

    `limit` is the attempt number at which the job has failed: `max_attempts`, and one more for each attempt that was
    continued rather than finished. `owes` names what a final job still has to do ("archive").
    """

    owner: str
    id: str
    task: str
    status: Status
    nonce: str
    created: str
    updated: str
    listing: str
    expires: int
    run: int = 1
    attempt: int = 0
    limit: int = 1
    not_before: float = 0.0
    lease: float = 0.0
    progress: int = 0
    total: int | None = None
    message: str | None = None
    reason: str | None = None
    checkpoint: str | None = None
    chain: str = ""
    digest: str = ""
    owes: str = ""

    @property
    def key(self) -> str:
        return key_of(self.owner, self.id)

    @property
    def untouched(self) -> bool:
        """Whether no attempt of this run has begun: until one has, whoever finds the job may send its message again."""
        return self.status is Status.QUEUED and self.attempt == 0

    def held(self, now: float) -> bool:
        """Whether an attempt runs under a live lease."""
        return self.status is Status.RUNNING and self.lease > now

    def changed(self, now: float, **changes: Any) -> "Record":
        """Return the next version of this record: the changes, a new nonce, the time, and the time to live."""
        status = changes.get("status", self.status)
        expires = int(now) + (KEEP_FINAL if status.final else KEEP_OPEN)
        return dataclasses.replace(self, nonce=new_nonce(), updated=timestamp(now), expires=expires, **changes)


def key_of(owner: str, job_id: str) -> str:
    return f"{owner}#{job_id}"


def new_nonce() -> str:
    return uuid.uuid4().hex


def listing_of(owner: str, job_id: str, shards: int) -> str:
    """Spread an owner's jobs over a few partitions of the listing: none meets all of an owner's writes."""
    return f"{owner}#{sum(job_id.encode()) % shards}"


def queued(envelope: Envelope, link: Link, *, limit: int, shards: int, now: float) -> Record:
    """Return the record of a job that was just accepted: the envelope's own, or one of the links behind it."""
    return Record(
        owner=envelope.owner,
        id=link.id,
        task=link.task,
        status=Status.QUEUED,
        nonce=new_nonce(),
        created=envelope.created,
        updated=timestamp(now),
        listing=listing_of(envelope.owner, link.id, shards),
        expires=int(now) + KEEP_OPEN,
        run=envelope.run,
        limit=limit,
        not_before=envelope.not_before if link is envelope else 0.0,
        chain=envelope.chain or envelope.id,
        digest=envelope.digest,
    )


def failed(reason: str) -> dict[str, Any]:
    """Return the fields of a failed job; its dead letter is owed until it is archived."""
    return {
        "status": Status.FAILED,
        "lease": 0.0,
        "reason": reason,
        "message": f"Task failed: {reason}",
        "owes": "archive",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a worker asks for: the job of `fresh` (the record as it is made where there is none), until `lease`."""

    fresh: Record
    now: float
    lease: float
    nonce: str = dataclasses.field(default_factory=new_nonce)

    def admits(self, record: Record) -> bool:
        """Say whether a record may be claimed; the DynamoDB store says the same as a condition expression."""
        if record.run != self.fresh.run or record.attempt >= record.limit:
            return False
        if record.status is Status.QUEUED:
            return record.not_before <= self.now
        return record.status is Status.RUNNING and record.lease <= self.now

    def claimed(self, record: Record) -> Record:
        return dataclasses.replace(
            record,
            status=Status.RUNNING,
            attempt=record.attempt + 1,
            lease=self.lease,
            nonce=self.nonce,
            updated=timestamp(self.now),
        )


@dataclass(frozen=True, slots=True)
class Written:
    """The write took place, or had taken place already; `record` is what stands now."""

    record: Record


@dataclass(frozen=True, slots=True)
class Held:
    """The write was refused; `record` is what stands there instead (None: nothing)."""

    record: Record | None


class Records(Protocol):
    """Where records are kept. Services that do not answer raise `errors.Unavailable`; a refusal is a value."""

    def get(self, owner: str, job_id: str) -> Record | None:
        """Read one record, consistently."""

    def add(self, record: Record) -> Written | Held:
        """Write a record where none stands."""

    def add_all(self, records: list[Record]) -> None:
        """Write records where none stand; those that exist are left as they are (a worker was faster)."""

    def claim(self, claim: Claim) -> Written | Held:
        """Begin an attempt: one conditional write that also makes a missing record."""

    def swap(self, old: Record, new: Record) -> Written | Held:
        """Write `new` where the record still has the nonce of `old`."""

    def remove(self, record: Record) -> bool:
        """Take back a record that still has this nonce; say whether it did."""
