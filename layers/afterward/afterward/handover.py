"""What a finished job owes its chain: the messages of the jobs after it, or word that there will be none.

Every step may be repeated: whoever finds a finished job again does all of this again, and what was done already changes
nothing. A chain stops at its first failure as Starlette's does; only `even_if_failed` jobs and callbacks run from there
on. A group is over when all of its jobs are: each counts itself in a set of up to 64, and whoever completes a set
counts that in the set above.
"""

import dataclasses
from collections.abc import Container, Iterator
from typing import Any

from afterward.backend import Backend
from afterward.envelope import Entry, Envelope, Link, members_of
from afterward.job import Status
from afterward.parcel import pack_all
from afterward.records import Break, Held, Joined, Seat, queued

WIDTH = 64
"""Members of one set: no item of the table is written by more jobs than these."""


def hand_over(backend: Backend, envelope: Envelope, status: Status, *, again: bool = False) -> None:
    """Send the messages of what comes after this job, which has ended as `status`.

    `again`: this job was found finished, so a message is owed only while no attempt of its job has begun.
    """
    if not envelope.rest:
        return
    ended: Break | None = _own_break(envelope, status)
    if envelope.members:
        over = _join(backend, envelope, ended)
        if over is None:
            return
        ended, envelope = over.broken, _in_their_run(backend, envelope, over.run)
    by, how = (envelope.broken_by, envelope.broken_as) if envelope.broken_by or ended is None else (ended.id, ended.how)
    _go_on(backend, envelope, by, how, again=again)


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


def _go_on(backend: Backend, envelope: Envelope, broken_by: str, broken_as: str, *, again: bool) -> None:
    now = backend.clock.now()
    for index, entry in enumerate(envelope.rest):
        links = members_of(entry)
        for link in links:
            if not link.runs_after(broken_by):
                _cancel(backend, envelope, link, broken_by)
        following = envelope.successors(index, broken_by=broken_by, broken_as=broken_as, now=now)
        if following:
            owed = _owed(backend, following) if again else following
            backend.queues.send(pack_all(owed, backend.blobs))
            return


def _in_their_run(backend: Backend, envelope: Envelope, retried: int) -> Envelope:
    """Go on in the run of what follows: a group's last job need not be the one that was retried and took it along.

    What is in another run has run already, or waits for another job that was retried.
    """
    run = int(envelope.join.rpartition("#")[2])
    if not retried:
        return dataclasses.replace(envelope, run=run)
    behind = [link.id for link in envelope.behind]
    stands = backend.records.get_all(envelope.owner, behind)
    taken = {job_id for job_id in behind if job_id not in stands or stands[job_id].run == retried}
    return dataclasses.replace(envelope, run=retried, rest=tuple(left(envelope.rest, taken)))


def _owed(backend: Backend, successors: list[Envelope]) -> list[Envelope]:
    """Return those whose message may be missing; one that its owner has cancelled needs it too, to be archived."""
    stands = backend.records.get_all(successors[0].owner, [one.id for one in successors])
    return [
        one
        for one in successors
        if (record := stands.get(one.id)) is None
        or (record.run == one.run and (record.untouched or (record.status is Status.CANCELLED and record.owes)))
    ]


def left(rest: tuple[Entry, ...], taken: Container[str]) -> Iterator[Entry]:
    """Leave out of a chain the jobs that are not taken along; a group stays one with what is left of it."""
    for entry in rest:
        links = tuple(link for link in members_of(entry) if link.id in taken)
        if isinstance(entry, tuple):
            yield from (links,) if links else ()
        else:
            yield from links


def _cancel(backend: Backend, envelope: Envelope, link: Link, broken_by: str) -> None:
    """Mark a job that will not run; one that has begun or ended is left alone."""
    now = backend.clock.now()
    fresh = queued(envelope, link, limit=1, shards=backend.shards, now=now)
    cancelled = cancelled_by(broken_by)
    outcome = backend.records.add(dataclasses.replace(fresh.changed(now, **cancelled), nonce=fresh.nonce))
    while isinstance(outcome, Held) and outcome.record is not None:
        stands = outcome.record
        if stands.run != envelope.run or stands.attempt > 0:
            return
        if stands.untouched:
            outcome = backend.records.swap(stands, stands.changed(now, **cancelled))
        elif stands.status is Status.CANCELLED and stands.owes:
            # By its owner, and no message will come by which it could be archived.
            outcome = backend.records.swap(stands, stands.changed(now, owes=""))
        else:
            return


def cancelled_by(broken_by: str) -> dict[str, Any]:
    """Return the fields of a job that will not run because of another one."""
    reason = f"job {broken_by}, which comes before it in its chain, did not complete"
    return {"status": Status.CANCELLED, "reason": reason, "message": f"Cancelled: {reason}"}
