"""What a finished job owes its chain: the messages of the jobs after it, or word that there will be none.

Every step may be repeated: whoever finds a finished job again does all of this again, and what was done already changes
nothing. A chain stops at its first failure as Starlette's does; only `even_if_failed` jobs and callbacks run from there
on. A group is over when all of its jobs are: each counts itself in a set of up to 64, and whoever completes a set
counts that in the set above. The children of a job are the first links behind it.

What is too much for one invocation is done in steps, and a later delivery goes on where this one was cut off: records
that stand are left out, and how many messages are sent the job's own record says.
"""

import dataclasses
import itertools
import logging
from collections.abc import Container, Iterator, Sequence
from typing import Any

from afterward.backend import Backend
from afterward.chains import jobs_of
from afterward.children import child_id, children_of
from afterward.envelope import Entry, Envelope, Link, members_of
from afterward.errors import BadMessage, NewerMessage
from afterward.job import Status
from afterward.parcel import pack_all
from afterward.records import TOGETHER, Break, Held, Joined, Record, Seat, failed, in_steps, new_nonce, queued

logger = logging.getLogger(__name__)

WIDTH = 64
"""Members of one set: no item of the table is written by more jobs than these."""

STEP = 200
"""Messages between two notes of how many are sent: those that a hand-over which was cut off may send twice."""


def hand_over(backend: Backend, envelope: Envelope, record: Record, *, again: bool = False) -> None:
    """Send the messages of what comes after this job, which has ended as its record says.

    `again`: this job was found finished, so a message is owed only while no attempt of its job has begun.
    """
    ended = _own_break(envelope, record.status)
    if record.children:
        try:
            envelope = _with_children(backend, envelope, record, again=again)
        except NewerMessage:
            raise
        except BadMessage:
            ended = _lost(backend, envelope, record)
    if not envelope.rest:
        return
    if envelope.members:
        over = _join(backend, envelope, ended)
        if over is None:
            return
        ended, envelope = over.broken, _in_their_run(backend, envelope, over.run)
    by, how = (envelope.broken_by, envelope.broken_as) if envelope.broken_by or ended is None else (ended.id, ended.how)
    _go_on(backend, envelope, record, Break(by, how), again=again)


def _with_children(backend: Backend, envelope: Envelope, record: Record, *, again: bool) -> Envelope:
    """Put what a completed job has added before what follows it, with records of its own for its owner to see."""
    children = children_of(record, backend.blobs)
    if not record.handed and not envelope.broken_by:
        _put(backend, envelope, [link for entry in children for link in members_of(entry)], again=again)
    return dataclasses.replace(envelope, rest=(*children, *envelope.rest))


def _put(backend: Backend, envelope: Envelope, links: Sequence[Link], *, again: bool) -> None:
    """Write the records of jobs before their messages are sent, when no worker claims them yet."""
    from afterward.declaration import REGISTRY  # noqa: PLC0415 - declaration imports the worker, which imports this

    now = backend.clock.now()
    for some in in_steps([link for link in links if link.task in REGISTRY], TOGETHER):
        stands = backend.records.get_all(envelope.owner, [link.id for link in some]) if again else {}
        missing = [link for link in some if link.id not in stands]
        made = [
            queued(envelope, link, limit=REGISTRY[link.task].max_attempts, shards=backend.shards, now=now)
            for link in missing
        ]
        if made:
            backend.records.add_all(made)


def _lost(backend: Backend, envelope: Envelope, record: Record) -> Break:
    """Fail children that can never run, since the object that holds them is gone; their chain stops at the first."""
    now, size = backend.clock.now(), record.children or 0
    logger.error("what the job has added is gone from S3, so its %d children have failed", size)
    reason = f"what job {record.id} has added to its chain is gone from S3"
    links = [Link(id=child_id(record, number), task=record.task, arguments={}) for number in range(size)]
    for some in in_steps(links, TOGETHER):
        fresh = [queued(envelope, link, limit=1, shards=backend.shards, now=now) for link in some]
        backend.records.add_all([one.changed(now, **failed(reason) | {"owes": ""}) for one in fresh])
    return Break(links[0].id, Status.FAILED)


def _own_break(envelope: Envelope, status: Status) -> Break | None:
    return None if status is Status.COMPLETED or envelope.callback else Break(envelope.id, status)


def _join(backend: Backend, envelope: Envelope, broken: Break | None) -> Joined | None:
    """Count this job among its group's; return which of them broke the chain once all are over."""
    joined, run = None, envelope.run
    for seat, places in seats(envelope):
        joined = backend.records.join(seat.key, seat.slot, broken, backend.clock.now(), run=run)
        if joined.count < places:
            return None
        # Above, a set counts in the run of its members' last retry: what was counted before that comes too late.
        broken, run = joined.broken, joined.run
    return joined


def seats(envelope: Envelope) -> Iterator[tuple[Seat, int]]:
    """Yield where a group's job is counted, from its own set upwards, and how many places each set has."""
    number, size, level = envelope.member, envelope.members, 0
    while size:
        node, slot = divmod(number, WIDTH)
        key = f"{envelope.owner}#{envelope.join}#{level}#{node}"
        yield Seat(key, slot, envelope.run), min(WIDTH, size - node * WIDTH)
        number, size, level = node, -(-size // WIDTH) if size > WIDTH else 0, level + 1


def _go_on(backend: Backend, envelope: Envelope, record: Record, broken: Break, *, again: bool) -> None:
    now = backend.clock.now()
    never: list[Link] = []
    following: list[Envelope] = []
    for index, entry in enumerate(envelope.rest):
        never += [link for link in members_of(entry) if not link.runs_after(broken.id)]
        following = envelope.successors(index, broken_by=broken.id, broken_as=broken.how, now=now)
        if following:
            break
    for some in in_steps(never, TOGETHER):
        _cancel_all(backend, envelope, some, broken.id)
    if following:
        _send(backend, record, following, again=again)


def _send(backend: Backend, record: Record, following: list[Envelope], *, again: bool) -> None:
    """Send what is owed, step by step; `record` is that of the job which hands over, and notes what is sent."""
    run, size = following[0].run, len(following)
    sent = _sent(record, run)
    while sent < size:
        some = following[sent : sent + STEP]
        backend.queues.send(pack_all(_owed(backend, some) if again else some, backend.blobs))
        sent += len(some)
        if size > STEP:
            record = _noted(backend, record, run, sent)
            sent = max(sent, _sent(record, run))


def _sent(record: Record, run: int) -> int:
    noted, _, sent = record.handed.partition(":")
    return int(sent) if noted == str(run) else 0


def _noted(backend: Backend, record: Record, run: int, sent: int) -> Record:
    """Say in a job's record how many messages are sent; where another delivery says it too, take what that says."""
    # Nothing but this: the job itself is what it was, and was changed when it was.
    outcome = backend.records.swap(record, dataclasses.replace(record, nonce=new_nonce(), handed=f"{run}:{sent}"))
    stands = outcome.record
    return stands if stands is not None and stands.run == record.run else record


def _in_their_run(backend: Backend, envelope: Envelope, retried: int) -> Envelope:
    """Go on in the run of what follows: a group's last job need not be the one that was retried and took it along.

    What that retry did not take along has run already, or waits for another job that was retried. What it took and was
    retried since keeps its place, so that a group is counted as before; its messages are those of its own retry.
    """
    run = int(envelope.join.rpartition("#")[2])
    if not retried:
        return dataclasses.replace(envelope, run=run)
    behind = [link.id for link in envelope.behind]
    stands = backend.records.get_all(envelope.owner, behind)
    taken = {one for one in behind if one not in stands or stands[one].belongs_to(retried)}
    return dataclasses.replace(envelope, run=retried, rest=tuple(left(envelope.rest, taken)))


def _owed(backend: Backend, successors: list[Envelope]) -> list[Envelope]:
    """Return those whose message may be missing."""
    stands = backend.records.get_all(successors[0].owner, [one.id for one in successors])
    return [
        one
        for one in successors
        if (record := stands.get(one.id)) is None or (record.run == one.run and record.owes_message)
    ]


def left(rest: tuple[Entry, ...], taken: Container[str]) -> Iterator[Entry]:
    """Leave out of a chain the jobs that are not taken along; a group stays one with what is left of it."""
    for entry in rest:
        links = tuple(link for link in members_of(entry) if link.id in taken)
        if isinstance(entry, tuple):
            yield from (links,) if links else ()
        else:
            yield from links


def _cancel_all(backend: Backend, envelope: Envelope, links: Sequence[Link], broken_by: str) -> None:
    """Mark jobs that will not run; what has begun or ended is left alone."""
    now = backend.clock.now()
    stands = backend.records.get_all(envelope.owner, [link.id for link in links])
    missing = [link for link in links if link.id not in stands]
    if missing:
        fresh = [queued(envelope, link, limit=1, shards=backend.shards, now=now) for link in missing]
        backend.records.add_all([one.changed(now, **cancelled_by(broken_by)) for one in fresh])
        # What was accepted a moment ago may have got its record in between.
        stands |= backend.records.get_all(envelope.owner, [link.id for link in missing])
    for record in stands.values():
        if record.run == envelope.run:
            _cancel(backend, record, broken_by)


def give_up(backend: Backend, named: Envelope, record: Record) -> None:
    """End the chain of a job whose envelope is lost, by what its message names, and its chain's records.

    Others of its group have envelopes, and the last of them goes on with what follows; else nobody can.
    """
    runs = {record.run}
    if named.members:
        over = _join(backend, named, Break(record.id, record.status))
        if over is None:
            return
        runs.add(over.run)
    first = backend.records.get(record.owner, record.chain)
    jobs = jobs_of(backend.records, first) if first is not None else []
    for one in itertools.islice(itertools.dropwhile(lambda job: job.id != record.id, jobs), 1, None):
        if one.run in runs:
            _cancel(backend, one, record.id)


def _cancel(backend: Backend, record: Record, broken_by: str) -> None:
    stands: Record | None = record
    while stands is not None and stands.run == record.run and (changes := never_due(stands, broken_by)):
        outcome = backend.records.swap(stands, stands.changed(backend.clock.now(), **changes))
        stands = outcome.record if isinstance(outcome, Held) else None


def never_due(stands: Record, broken_by: str) -> dict[str, Any]:
    """Return what changes in the record of a job whose turn will not come; nothing where it has begun or ended."""
    if stands.untouched:
        return cancelled_by(broken_by)
    # Cancelled by its owner, and no message will come by which it could be archived.
    return {"owes": ""} if stands.owes_message and stands.attempt == 0 else {}


def cancelled_by(broken_by: str) -> dict[str, Any]:
    """Return the fields of a job that will not run because of another one."""
    reason = f"job {broken_by}, which comes before it in its chain, did not complete"
    return {"status": Status.CANCELLED, "reason": reason, "message": f"Cancelled: {reason}"}
