"""What a finished job owes its chain: the successor's message, or word that there will be none.

Every step may be repeated: whoever finds a finished job again does all of this again, and what was done already changes
nothing. A chain stops at its first failure as Starlette's does; only `even_if_failed` jobs run from there on.
"""

import dataclasses

from afterward.backend import Backend
from afterward.envelope import Envelope, Link
from afterward.job import Status
from afterward.parcel import pack
from afterward.records import Held, queued


def hand_over(backend: Backend, envelope: Envelope, status: Status, *, again: bool = False) -> None:
    """Send the message of the job after this one, which has ended as `status`.

    `again`: this job was found finished, so the successor's message is owed only while no attempt of it has begun.
    """
    if not envelope.rest:
        return
    broken_by = envelope.broken_by or ("" if status is Status.COMPLETED else envelope.id)
    index = next(
        (i for i, link in enumerate(envelope.rest) if link.even_if_failed or not broken_by), len(envelope.rest)
    )
    for link in envelope.rest[:index]:
        _cancel(backend, envelope, link, broken_by)
    if index == len(envelope.rest):
        return
    now = backend.clock.now()
    delay = envelope.rest[index].delay
    successor = envelope.successor(index, broken_by=broken_by, not_before=now + delay if delay else 0.0)
    if again and not _owed(backend, successor):
        return
    backend.queues.send([pack(successor, backend.blobs, delay)])


def _owed(backend: Backend, successor: Envelope) -> bool:
    record = backend.records.get(successor.owner, successor.id)
    return record is None or (record.untouched and record.run == successor.run)


def _cancel(backend: Backend, envelope: Envelope, link: Link, broken_by: str) -> None:
    """Mark a job that will not run; one that has begun or ended is left alone."""
    now = backend.clock.now()
    fresh = queued(envelope, link, limit=1, shards=backend.shards, now=now)
    reason = f"job {broken_by}, which comes before it in its chain, did not complete"
    cancelled = {"status": Status.CANCELLED, "reason": reason, "message": f"Cancelled: {reason}"}
    outcome = backend.records.add(dataclasses.replace(fresh.changed(now, **cancelled), nonce=fresh.nonce))
    while isinstance(outcome, Held) and outcome.record is not None:
        stands = outcome.record
        if not stands.untouched or stands.run != envelope.run:
            return
        outcome = backend.records.swap(stands, stands.changed(now, **cancelled))
