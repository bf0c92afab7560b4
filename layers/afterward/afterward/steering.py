"""What an owner may do to a job: cancel it, and run it again.

Both change records only, and a message where there is to be one more; what becomes of messages that are on their way
their workers decide, by the record that they meet.

A retry is *sent first, then written*. Its message says a run that the record does not have yet, so workers give it back
until the record says so too; where that never happens, the job has stayed what it was. No two retries of a chain's jobs
have the same run, also where one of them died: so a run tells which retry a job belongs to, and whose message it is.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from afterward import archive
from afterward.backend import Backend
from afterward.declaration import REGISTRY
from afterward.envelope import Envelope, Link
from afterward.errors import BadMessage, CannotSteer, Unavailable
from afterward.handover import left, never_due, seats
from afterward.job import Status
from afterward.parcel import pack
from afterward.records import KEEP_RESERVED, Record, Swap, queued

logger = logging.getLogger(__name__)

BY_OWNER = "cancelled by its owner"
"""The reason of a job that was cancelled here, and not with its chain."""

ROUNDS = 8
"""Times that a retry begins anew where somebody else writes one of its records at the same moment."""

NOT_YET = 2
"""Seconds after which to ask again for a retry that was too early, where no better time is known."""


def cancel(backend: Backend, record: Record) -> Record:
    """End a job that has not ended, and return its record; one that is cancelled already is left as it is.

    A running attempt learns so at its next progress, at the latest when it ends. Raises CannotSteer where the job has
    ended otherwise.
    """
    while not record.status.final:
        outcome = backend.records.swap(record, _cancelled(record, backend.clock.now()))
        if outcome.record is None:
            raise CannotSteer("The task is gone")
        record = outcome.record
    if record.status is not Status.CANCELLED:
        raise CannotSteer(f"The task is {record.status} already, so it cannot be cancelled")
    return record


def _cancelled(record: Record, now: float) -> Record:
    message = BY_OWNER.capitalize()
    return record.changed(now, status=Status.CANCELLED, lease=0.0, reason=BY_OWNER, message=message, owes="archive")


def retry(backend: Backend, record: Record) -> Record:
    """Queue a failed or cancelled job as a new run, with the jobs behind it that have not run; return its record.

    Several retries of one run come to one new run. Raises CannotSteer where the job is in another state or cannot be
    run again (yet), and errors.Unavailable: then it may be tried again.
    """
    asked, pause = record.run, 0.05
    for _ in range(ROUNDS):
        if not record.broke:
            raise CannotSteer(f"The task is {record.status}; only a failed or a cancelled one can be retried")
        done = _Retry.of(backend, record).attempt()
        if done is not None:
            return done
        backend.clock.sleep(backend.clock.jitter(pause))
        pause *= 2
        stands = backend.records.get(record.owner, record.id)
        if stands is None:
            raise CannotSteer("The task is gone")
        if stands.run > asked:  # somebody else has retried it at the same time
            return stands
        record = stands
    raise Unavailable("others kept writing the job's records")


@dataclass(frozen=True, slots=True)
class _Retry:
    """`kept` is what the archive holds of the job.

    `stands` are the records of the jobs behind it, and of the one that broke the chain before it, if any did.
    """

    backend: Backend
    record: Record
    kept: Envelope
    stands: Mapping[str, Record]

    @classmethod
    def of(cls, backend: Backend, record: Record) -> "_Retry":
        kept = _kept(backend, record)
        behind = [link.id for link in kept.behind]
        asked = behind + [kept.broken_by] * bool(kept.broken_by)
        return cls(backend, record, kept, backend.records.get_all(record.owner, asked) if behind else {})

    def attempt(self) -> Record | None:
        """Return the record of the new run, or None where a record has changed meanwhile."""
        again = [link for link in self.kept.behind if self._runs_again(link)]
        # Of a group any job may be the last one, and that one decides what follows.
        rest = self.kept.rest if self.kept.members else tuple(left(self.kept.rest, {link.id for link in again}))
        envelope = dataclasses.replace(self.kept, run=self._run(again), leg=0, not_before=0.0, rest=rest)
        self.backend.queues.send([pack(envelope, self.backend.blobs)])
        new = self._fresh(self.record, envelope)
        swaps = [*(self._again(link, envelope) for link in again), *self._never(), Swap(self.record, new)]
        leaving = [seat for seat, _ in seats(envelope)] if rest else []
        if not self.backend.records.swap_all(swaps, leaving):
            return None
        logger.info("run %d, with %d jobs behind it", new.run, len(again))
        return new

    def _runs_again(self, link: Link) -> bool:
        """Whether a job behind this one belongs to the new run: it has not run, and waits for no other job's retry.

        Where the chain was broken before this job, what does not run in any case comes back with the job that broke it;
        so does what that one's own retry has taken along since. The jobs of a group share what follows them.
        """
        own, broken_by = self.stands.get(link.id), self.kept.broken_by
        if not link.runs_after(broken_by) or (own is not None and not own.waits):
            return False
        if own is None or not broken_by or own.run == self.record.run:
            return True
        breaker = self.stands.get(broken_by)
        return bool(self.kept.members) and breaker is not None and breaker.broke and own.run != breaker.run

    def _run(self, again: Sequence[Link]) -> int:
        """Return the number of the new run: after those of all jobs in it, and one that no message has had."""
        runs = [self.record.run, *(self.stands[link.id].run for link in again if link.id in self.stands)]
        chain = self.record.chain or self.record.id
        return self.backend.records.next_run(self.record.owner, chain, 1 + max(runs), self.backend.clock.now())

    def _again(self, link: Link, envelope: Envelope) -> Swap:
        """Bring a job behind the retried one into the new run; what its owner has cancelled stays so until its turn."""
        stands, now = self.stands.get(link.id), self.backend.clock.now()
        if stands is None:
            limit = _max_attempts(link.task, 1)
            fresh = queued(envelope, link, limit=limit, shards=self.backend.shards, now=now)
            # Of a group that was refused half way, the others may never come, and then neither does this one's turn.
            return Swap(None, dataclasses.replace(fresh, expires=int(now) + KEEP_RESERVED).taken_into(envelope.run))
        taken = stands.taken_into(envelope.run)
        if stands.reason == BY_OWNER:
            return Swap(stands, taken.changed(now, run=envelope.run, owes="archive"))
        return Swap(stands, self._fresh(taken, envelope))

    def _never(self) -> Iterator[Swap]:
        """Cancel what a break before this job keeps from running and was not told so yet: the new run leaves it out."""
        now = self.backend.clock.now()
        for link in self.kept.behind:
            stands, broken_by = self.stands.get(link.id), self.kept.broken_by
            old = stands or queued(self.kept, link, limit=1, shards=self.backend.shards, now=now)
            never = not link.runs_after(broken_by) and old.run == self.record.run
            if never and (changes := never_due(old, broken_by)):
                yield Swap(stands, old.changed(now, **changes))

    def _fresh(self, stands: Record, envelope: Envelope) -> Record:
        now, limit = self.backend.clock.now(), _max_attempts(stands.task, stands.limit)
        # Behind a checkpoint lie committed effects: the new run goes on from there, or they would happen again.
        anew = {} if stands.checkpoint else {"progress": 0, "total": None, "results": None}
        return stands.changed(now, **_UNTOUCHED, **anew, run=envelope.run, limit=limit)


def _kept(backend: Backend, record: Record) -> Envelope:
    """Return what is archived of a job, or raise CannotSteer with the reason why it cannot be run again (now)."""
    try:
        envelope = archive.kept(backend, record)
    except BadMessage as bad:
        raise CannotSteer(f"What is kept of the task cannot be read: {bad}") from None
    if envelope is None:
        raise _not_kept(record, backend.clock.now())
    if envelope.task not in REGISTRY:
        raise CannotSteer(f"There is no task {envelope.task} any more")
    return envelope


def _not_kept(record: Record, now: float) -> CannotSteer:
    if record.owes:
        wait = max(NOT_YET, record.not_before - now + 1)
        return CannotSteer("The task cannot be retried yet: its message is still on its way", retry_after=wait)
    if record.reason == BY_OWNER:
        return CannotSteer("The task's turn never came, since a task before it did not complete; retry that one")
    if record.status is Status.CANCELLED:
        return CannotSteer(f"The task was cancelled because {record.reason}; retry that one")
    return CannotSteer("What the task was asked to do is no longer kept")


_UNTOUCHED: Mapping[str, Any] = {
    "status": Status.QUEUED,
    "attempt": 0,
    "not_before": 0.0,
    "lease": 0.0,
    "message": None,
    "reason": None,
    "owes": "",
}


def _max_attempts(name: str, known: int) -> int:
    """Return what the task's declaration says; what the record says has grown with every continuation."""
    task = REGISTRY.get(name)
    return task.max_attempts if task else known
