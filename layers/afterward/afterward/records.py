"""The job's record: the only place where status and progress live. It holds no arguments.

Most writes compare one thing only: the nonce that every write leaves behind. Who holds a record's last nonce may write
it (`swap`); everybody else's write has changed it. That one rule fences older attempts and runs, makes a cancel win
over a finish or lose to it as a whole, and recognises our own write when botocore repeats it after a lost reply: a
refusal that shows *our new* nonce is our success. The attempt is compared beside it, since a claim whose reply was lost
is repeated under its nonce, and the first request may arrive when that attempt is over.
"""

import dataclasses
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from afterward.clock import timestamp
from afterward.envelope import Envelope, Link
from afterward.job import Status
from afterward.pii import mask

if TYPE_CHECKING:
    from afterward.listing import Cursor, Page
    from afterward.writes import Write

T = TypeVar("T")

DERIVED = uuid.UUID("6f0c9f0e-52d5-5d6e-9d0b-3f1c9a4be7a1")
"""Namespace (RFC 9562, version 5) of ids that follow from others: a repeat of a request must name the same jobs."""

KEEP_FINAL = 30 * 86_400
"""Seconds that a record stays readable after its job is final (DynamoDB's TTL)."""

KEEP_OPEN = (7 + 14) * 86_400 + KEEP_FINAL
"""Seconds after which a record that never became final goes: no queue holds a message of it any longer."""

KEEP_RESERVED = 3_600
"""Seconds for which a record that was put before its message is kept, where nobody says that the message was sent."""

KEEP_ANNOUNCED = 6 * 3_600
"""Seconds for which a job that waits for an event from elsewhere, an upload, can be watched before it has come."""

_WORDS = ("message", "reason")

SKEW = 5.0
"""Seconds that a lease outlives its invocation: clocks differ, and a second attempt must not run beside the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One job as its table row says. Times are seconds since the epoch, `created` and `updated` ISO 8601.

    `limit` is the attempt number at which the job has failed: `max_attempts`, and one more for each attempt that was
    continued rather than finished. `owes` names what a final job still has to do ("archive"). `links` stands in the
    record of a chain's first job, where the chain has more than one: how many there are; `named` holds as JSON the ids
    of those that do not follow from it. `results` names the objects that the job has left (see `afterward.results`).
    `children` is how many jobs a completed one has added (see `afterward.children`), `handed` how many messages of the
    group behind it are sent, as "run:count", where those are too many for one go. `taken` lists the runs into which
    retries of jobs before it have taken it along.
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
    results: str | None = None
    chain: str = ""
    digest: str = ""
    links: int | None = None
    named: str = ""
    owes: str = ""
    children: int | None = None
    handed: str = ""
    taken: str = ""

    @property
    def key(self) -> str:
        return key_of(self.owner, self.id)

    @property
    def untouched(self) -> bool:
        """Whether no attempt of this run has begun: until one has, whoever finds the job may send its message again."""
        return self.status is Status.QUEUED and self.attempt == 0

    @property
    def reserved(self) -> bool:
        """Whether it was put before its message, and nobody has confirmed that this was sent: nobody relies on it.

        It is a request's own, or announced and waits for what will start it.
        """
        put = int(datetime.fromisoformat(self.updated).timestamp())
        return self.untouched and self.expires <= put + KEEP_ANNOUNCED

    @property
    def owes_message(self) -> bool:
        """Whether the job's message may be missing; one that its owner has cancelled needs it too, to be archived."""
        return self.untouched or (self.status is Status.CANCELLED and bool(self.owes))

    @property
    def broke(self) -> bool:
        """Whether the job has ended in a way that stops its chain."""
        return self.status in {Status.FAILED, Status.CANCELLED}

    @property
    def waits(self) -> bool:
        """Whether the job has not run and may yet, if only by a retry."""
        return self.untouched or self.status is Status.CANCELLED

    def belongs_to(self, run: int) -> bool:
        """Whether the job is of this run, or was until another retry: there it keeps its place in its group."""
        return run == self.run or str(run) in self.taken.split()

    def taken_into(self, run: int) -> "Record":
        return dataclasses.replace(self, taken=f"{self.taken} {run}".strip())

    def answers(self, digest: str) -> bool:
        """Whether this is the job of the request with that digest, and not of another one that chose the same id."""
        return not digest or self.digest in {"", digest}

    def held(self, now: float) -> bool:
        """Whether an attempt runs under a live lease."""
        return self.status is Status.RUNNING and self.lease > now

    def changed(self, now: float, **changes: Any) -> "Record":
        """Return the next version of this record: the changes, a new nonce, the time, and the time to live.

        What it says in words holds no personal data, whoever has said it.
        """
        changes |= {name: mask(text) for name in _WORDS if (text := changes.get(name))}
        status = changes.get("status", self.status)
        expires = int(now) + (KEEP_FINAL if status.final else KEEP_OPEN)
        return dataclasses.replace(self, nonce=new_nonce(), updated=timestamp(now), expires=expires, **changes)


TOGETHER = 100
"""Records that are read or written at once: what one request to DynamoDB takes."""


def in_steps(every: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Yield so many at a time: what one request takes."""
    return (every[start : start + most] for start in range(0, len(every), most))


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
        **_chain_of(envelope, link),
    )


def _chain_of(envelope: Envelope, link: Link) -> dict[str, Any]:
    if link.id != envelope.chain or envelope.links < 2:  # noqa: PLR2004 - a chain of one is no chain
        return {}
    return {"links": envelope.links, "named": json.dumps(dict(envelope.named)) if envelope.named else ""}


def link_id(owner: str, chain: str, number: int) -> str:
    """Return the id of a chain's n-th job, counted from 0: it follows from the first, so no record need list them."""
    return chain if number == 0 else derived_id(owner, chain, str(number))


def derived_id(*parts: str) -> str:
    return str(uuid.uuid5(DERIVED, "\n".join(parts)))


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
        if record.run != self.fresh.run or record.attempt >= record.limit or not record.answers(self.fresh.digest):
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
            expires=self.fresh.expires,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """The write took place, or had taken place already; `record` is what stands now."""

    record: Record


@dataclass(frozen=True, slots=True)
class Held:
    """The write was refused; `record` is what stands there instead (None: nothing)."""

    record: Record | None


@dataclass(frozen=True, slots=True)
class Swap:
    """One of several writes that take place together: `new` where `old` still stands (None: where nothing does)."""

    old: Record | None
    new: Record


@dataclass(frozen=True, slots=True)
class Seat:
    """A member's place in a set of those that are over: the set's key, and the slot in it. `run` is the member's."""

    key: str
    slot: int
    run: int = 0


@dataclass(frozen=True, slots=True)
class Break:
    """A job that did not complete, and how it ended: what stops a chain."""

    id: str
    how: str


@dataclass(frozen=True, slots=True)
class Joined:
    """How many members of a set are over, and one that broke the chain, if any did.

    `run`: into which a retry of a member has taken what follows, if any has.
    """

    count: int
    broken: Break | None
    run: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """What is kept of an Idempotency-Key: the ids of its jobs follow from `seed`, `digest` is the request's."""

    name: str
    seed: str
    digest: str
    expires: int


class Records(Protocol):
    """Where records are kept. Services that do not answer raise `errors.Unavailable`; a refusal is a value.

    A record that has expired is not there, though DynamoDB may take days to delete it: it is not read, and another one
    may be written in its place.
    """

    def get(self, owner: str, job_id: str) -> Record | None:
        """Read one record, consistently."""

    def add(self, record: Record) -> Written | Held:
        """Write a record where none stands."""

    def add_all(self, records: list[Record]) -> None:
        """Write records where none stand; those that exist are left as they are (a worker was faster)."""

    def claim(self, claim: Claim) -> Written | Held:
        """Begin an attempt: one conditional write that also makes a missing record."""

    def swap(self, old: Record, new: Record, effects: "Sequence[Write]" = ()) -> Written | Held:
        """Write `new` where the record still has nonce and attempt of `old`, and `effects` with it, or nothing of it.

        Raises `errors.BadEffects` where the table does not take an effect.
        """

    def remove(self, record: Record) -> bool:
        """Take back a record that still has this nonce; say whether it did."""

    def get_all(self, owner: str, job_ids: Sequence[str]) -> dict[str, Record]:
        """Read records by id, consistently; those that do not exist are left out."""

    def page(self, owner: str, limit: int, cursor: "Cursor | None", shards: int) -> "Page":
        """List up to 100 of an owner's jobs, newest first, from the cursor on; those that are gone are left out."""

    def join(self, key: str, slot: int, broken: Break | None, now: float, *, run: int = 0) -> Joined:
        """Count one member of a set as over; to do so again changes nothing but whether it broke the chain.

        A run before the one that the member's seat was emptied for counts nothing (`Joined(0, None)`).
        """

    def next_run(self, owner: str, chain: str, least: int, now: float) -> int:
        """Return a run, `least` or later, that no retry of any job of the chain has had."""

    def swap_all(self, swaps: Sequence[Swap], leaving: Sequence[Seat] = ()) -> bool:
        """Write all records and empty these seats for their runs, or return False where a record has changed.

        More than a hundred are written in several steps, in their order.
        """

    def recall(self, name: str, now: float) -> RequestKey | None:
        """Read an idempotency key that has not expired."""

    def remember(self, key: RequestKey, now: float) -> RequestKey:
        """Keep an idempotency key where none stands that has not expired; return what stands then."""
