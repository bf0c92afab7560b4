"""Step 1 of the way of a job: accepting it, so that it is durable before the caller is told so.

Ids made here are *sent first, then put*: the message carries everything and the worker makes a missing record, so there
is no moment in which a promised job has no message, and a refused send leaves nothing behind. Ids that a repeat of the
request would choose again are *put first*, on the condition that they are free; if the send then fails, the record is
taken back. Until it is known that the message was sent such a record is a reservation, which expires within the hour: a
request may die in between, and nothing may be queued for ever without a message.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from afterward.backend import Backend
from afterward.envelope import Envelope, Link, entries, link_fields
from afterward.errors import AfterwardError, IdTaken, Unavailable, UsageError
from afterward.parcel import pack_all
from afterward.patience import patiently
from afterward.records import KEEP_ANNOUNCED, KEEP_RESERVED, TOGETHER, Held, Record, Swap, in_steps, link_id, queued

if TYPE_CHECKING:
    from afterward.envelope import Json

logger = logging.getLogger(__name__)

CONFIRMING = 3.0
"""Seconds for which a request tries to keep the records whose messages it has sent; a gateway gives it 30."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One `add_task`, checked and encoded. `chosen`: a repeat of the request would name the same id.

    `replayable`: finding the same call under that id is success, as an idempotency key promises. `digest`: what tells
    the repeat from another request, where the arguments do not. Neighbours with the same `side` run side by side.
    """

    id: str
    task: str
    created: str
    version: int
    arguments: Mapping[str, "Json"]
    max_attempts: int
    chosen: bool = False
    replayable: bool = False
    digest: str = ""
    even_if_failed: bool = False
    delay: float = 0.0
    group: str = ""
    side: int = 0
    callback: bool = False


def publish(backend: Backend, owner: str, chains: Sequence[Sequence[Call]]) -> None:
    """Make the jobs of all chains durable, or raise: Unavailable (nothing is promised) or IdTaken.

    Costs one message per chain (one per job of a group that a chain begins with), in batches of 10 per queue, and one
    conditional put or one transaction per 100 records; for records that are put first the same again, to confirm them.
    """
    now = backend.clock.now()
    promises = [_Promise(calls, _heads(owner, calls, now)) for calls in chains if calls]
    _refuse_twins(promises)
    reserved = _Reserved()
    try:
        for promise in promises:
            _reserve(backend, promise, reserved, now)
        backend.queues.send(pack_all((one for promise in promises for one in promise.due), backend.blobs))
    except AfterwardError:
        _take_back(backend, reserved.made)
        raise
    _confirm(backend, [*reserved.made, *reserved.found])
    records = [record for promise in promises if promise.due for record in promise.records(backend, now)]
    stand = {record.id for record in reserved.made}
    _put(backend, [record for record in records if record.id not in stand])
    for promise in promises:
        if promise.repeated and not promise.calls[0].replayable:
            raise IdTaken(promise.calls[0].id)


def announce(backend: Backend, owner: str, calls: Sequence[Call], message: str) -> None:
    """Put the record of a chain's first job, and start nothing: whoever adds the same chain under that id does.

    It says `message`, and expires after KEEP_ANNOUNCED. Raises IdTaken where the id, which the chain must have chosen,
    is another job's by now; one that has begun already is left as it is.
    """
    if not calls or not calls[0].chosen:
        raise UsageError("what is announced needs an id that whoever starts it can choose again; see options(id=)")
    now = backend.clock.now()
    head = replace(_heads(owner, calls, now)[0], digest=_digest(backend, calls))
    record = queued(head, head, limit=calls[0].max_attempts, shards=backend.shards, now=now)
    waits = record.changed(now, message=message)
    outcome = backend.records.add(replace(waits, expires=int(now) + KEEP_ANNOUNCED))
    if isinstance(outcome, Held) and not _is_same(outcome.record, record):
        raise IdTaken(record.id)


@dataclass(slots=True)
class _Promise:
    """One chain on its way to being accepted: `due` are the messages to send, one but where it begins with a group.

    `repeated`: the same chain was promised before, under an id that the request has chosen.
    """

    calls: Sequence[Call]
    due: list[Envelope]
    repeated: bool = False

    def records(self, backend: Backend, now: float) -> list[Record]:
        """Return the records of all jobs in their order, whether or not their message is due."""
        head = self.due[0]
        heads = {one.id: one for one in self.due}
        return [
            queued(
                heads.get(call.id, head),
                heads.get(call.id) or _link(call),
                limit=call.max_attempts,
                shards=backend.shards,
                now=now,
            )
            for call in self.calls
        ]


@dataclass(frozen=True, slots=True)
class _Reserved:
    """Records that were put before their messages: by this request, and by an earlier one that it repeats."""

    made: list[Record] = field(default_factory=list)
    found: list[Record] = field(default_factory=list)


def _refuse_twins(promises: Sequence[_Promise]) -> None:
    """Raise IdTaken where a request chooses an id that it has given to another of its jobs."""
    times = Counter(call.id for promise in promises for call in promise.calls)
    if twice := next((one for one, count in times.items() if count > 1), None):
        raise IdTaken(twice)


def _reserve(backend: Backend, promise: _Promise, reserved: _Reserved, now: float) -> None:
    """Put the records of the chosen ids first, and leave due only what must be sent.

    A repeat that finds its job with no attempt begun sends again: the first request may have died between put and send,
    or could not take back every record that it had put. Of a group, it sends what the first request has not.
    """
    if not any(call.chosen for call in promise.calls):
        return
    digest = promise.calls[0].digest or _digest(backend, promise.calls)
    promise.due = [replace(one, digest=digest) for one in promise.due]
    records = [replace(one, expires=int(now) + KEEP_RESERVED) for one in promise.records(backend, now)]
    # Their ids follow from the chosen one, and messages of a request that was refused half way may have them too.
    group = {one.id for one in promise.due} if len(promise.due) > 1 else set()
    chosen = [one for one, call in zip(records, promise.calls, strict=True) if call.chosen or one.id in group]
    for some in in_steps(chosen, TOGETHER):
        # Before the answer: what is written by a put whose reply is lost has to be taken back too.
        reserved.made.extend(some)
        if len(some) == 1 or not backend.records.swap_all([Swap(None, one) for one in some]):
            for record in some:
                _reserve_one(backend, promise, reserved, record, first=record is records[0])


def _reserve_one(backend: Backend, promise: _Promise, reserved: _Reserved, record: Record, *, first: bool) -> None:
    outcome = backend.records.add(record)
    if not isinstance(outcome, Held):
        return
    reserved.made.remove(record)
    stands = outcome.record
    if not _is_same(stands, record) or stands is None:
        raise IdTaken(record.id)
    if stands.owes_message:
        reserved.found.append(stands)
    if first:
        promise.repeated = not stands.reserved
        promise.due = _missing(backend, promise.due, stands)


def _is_same(stands: Record | None, record: Record) -> bool:
    about = attrgetter("digest", "chain", "task")
    return stands is not None and bool(about(stands) == about(record))


def _missing(backend: Backend, due: list[Envelope], first: Record) -> list[Envelope]:
    """Return what a repeat has to send: what no attempt has begun. A later run has its message from its retry."""
    others = [one.id for one in due if one.id != first.id]
    stands = {first.id: first} | (backend.records.get_all(first.owner, others) if others else {})
    return [
        one for one in due if (record := stands.get(one.id)) is None or (record.owes_message and record.run == one.run)
    ]


def _digest(backend: Backend, calls: Sequence[Call]) -> str:
    return backend.digests.of([[call.task, dict(call.arguments)] for call in calls])


def _take_back(backend: Backend, made: list[Record]) -> None:
    """Remove what was put first; a record that cannot be removed is completed by the repeat that the 503 asks for."""
    for record in made:
        try:
            backend.records.remove(record)
        except Unavailable:
            logger.exception("the record of a refused job could not be taken back", extra={"job_id": record.id})


def _confirm(backend: Backend, reserved: list[Record]) -> None:
    """Keep records whose message is sent; where a worker was faster, its claim has kept them.

    Raises Unavailable where that is not certain: the job may run, but its id may be another one's by then, so it cannot
    be promised. A repeat finds the reservation.
    """
    for some in in_steps(reserved, TOGETHER):
        now = backend.clock.now()
        kept = [(record, record.changed(now, message=None)) for record in some]
        together = partial(backend.records.swap_all, [Swap(*one) for one in kept])
        if not patiently(together, backend.clock, now + CONFIRMING) and len(some) > 1:
            for old, new in kept:
                patiently(partial(backend.records.swap, old, new), backend.clock, now + CONFIRMING)


def _put(backend: Backend, records: list[Record]) -> None:
    """Write the records of jobs whose message is sent: the promise holds, so a failure does not fail the request."""
    if not records:
        return
    try:
        backend.records.add_all(records)
    except Unavailable:
        logger.exception("records will be made by their workers", extra={"job_id": records[0].id})


def _heads(owner: str, calls: Sequence[Call], now: float) -> list[Envelope]:
    """Return the envelopes of what a chain begins with: one job, or all jobs of a group."""
    sequence = list(entries((call.side, _link(call)) for call in calls))
    jobs = [call.id for call in calls if not call.callback]
    ids = enumerate(jobs)
    chain = Envelope(
        **link_fields(calls[0]),
        owner=owner,
        created=calls[0].created,
        digest=calls[0].digest,
        chain=jobs[0],
        links=len(jobs),
        named={str(number): job_id for number, job_id in ids if job_id != link_id(owner, jobs[0], number)},
        rest=tuple(sequence[1:]),
    )
    first = sequence[0]
    return chain.at(first if isinstance(first, tuple) else [first], side_by_side=isinstance(first, tuple), now=now)


def _link(call: Call) -> Link:
    return Link(**link_fields(call))
