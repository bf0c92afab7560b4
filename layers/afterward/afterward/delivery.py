"""One message at its worker: claimed, run, and brought to the state that its record then shows.

Every decision is written to the record before the message is touched, so that whatever happens in between is made good
by the next delivery.
"""

import dataclasses
import logging
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from afterward import log
from afterward.archive import keep_job
from afterward.children import Children
from afterward.clock import timestamp
from afterward.effects import Effects
from afterward.errors import BadEffects, BadMessage, Continue, Discard, NewerMessage, Retry, Stopped, Unavailable
from afterward.event import GiveBack
from afterward.handover import hand_over
from afterward.job import Chain, Job, Status
from afterward.lease import Lease
from afterward.parcel import pack, unpack
from afterward.patience import patiently
from afterward.pii import mask
from afterward.progress import Progress
from afterward.records import SKEW, Claim, Held, Record, Written, failed, queued
from afterward.results import Results, results_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from afterward.backend import Backend
    from afterward.declaration import Task
    from afterward.envelope import Envelope
    from afterward.execution import Execution
    from afterward.queues import Incoming

logger = logging.getLogger(__name__)

T = TypeVar("T")

COMPLETED = "Task completed successfully"
"""What a finished job says unless its task reported a message itself (FastAPI's example)."""

REASON_LIMIT = 500
"""Characters of a failure's reason that the record keeps."""

LONG_TASK = 30.0
SOON = 1.0
LEASE_MARGIN = 10.0
"""Seconds: a job puts its message off to the end of its lease and so much more, so that a killed worker is replaced
soon, and not only after six times the function's timeout. At once where that is long, else when it takes longer than
SOON: most jobs are over by then, and it would be the only request to SQS that they make."""

DEPLOY = 1_800.0
DEPLOY_LOOK = 60.0
"""Seconds for which a message that newer code has made waits for that code, and between two looks."""

ORPHANED = 900.0
"""Seconds after which a message of a run that the record does not have is of a retry that died: it takes seconds."""

STALLED = "the attempt ran out of time no further than the one before it: it does not go on from progress.state"

LEG_RECEIVES = 40
LEG_AGE = 7 * 86_400 / 4
"""After so many receives, or a quarter of the queue's retention, a job waits or goes on as a new message."""


class Unclaimed(Unavailable):
    """The table of records does not answer, which will be so for any other message."""


@dataclass(frozen=True)
class Delivery:
    """`deadline` is when the invocation ends, in seconds since the epoch."""

    task: "Task[...]"
    execution: "Execution"
    backend: "Backend"
    message: "Incoming"
    deadline: float

    def settle(self) -> None:
        """Do what the message asks for; raise GiveBack where it has to come again, Unavailable if a service failed."""
        try:
            envelope = self._envelope
        except BadMessage as bad:
            self._unreadable(bad)
            return
        with log.context(job_id=envelope.id):
            if envelope.version > self.task.version:
                self._wait_for_deploy()
            if envelope.not_before > self._now:
                self._come_again(envelope.not_before - self._now)
                return
            outcome = self._claim()
            if isinstance(outcome, Written):
                self._run(outcome.record)
            else:
                self._refused(outcome.record)

    @cached_property
    def _envelope(self) -> "Envelope":
        from afterward.declaration import REGISTRY  # noqa: PLC0415 - declaration imports the worker, which imports this

        envelope = self._patiently(lambda: unpack(self.message.body, self.backend.blobs))
        if REGISTRY.get(envelope.task) is not self.task:
            raise BadMessage(
                f"the worker of {self.task.name} got a job of the task {envelope.task!r}, which it does not know"
            )
        return envelope

    @property
    def _now(self) -> float:
        return self.backend.clock.now()

    def _patiently(self, call: "Callable[[], T]") -> T:
        return patiently(call, self.backend.clock, self.deadline)

    def _unreadable(self, bad: BadMessage) -> None:
        if isinstance(bad, NewerMessage):
            self._wait_for_deploy()
        logger.error("the message can never run: %s", bad)
        self._dead_letter(str(bad), type(bad).__name__)

    def _wait_for_deploy(self) -> None:
        """Give a young message back that newer code has made: that code may be on its way to this function."""
        if self._now - self.message.sent < DEPLOY:
            logger.warning("the message waits: newer code than this has made it")
            self._give_back(DEPLOY_LOOK)

    def _claim(self) -> Written | Held:
        """Begin an attempt, or find what keeps it from that; raise Unclaimed where the table does not say."""
        now = self._now
        limit, shards = self.task.max_attempts, self.backend.shards
        fresh = queued(self._envelope, self._envelope, limit=limit, shards=shards, now=now)
        claim = Claim(fresh=fresh, now=now, lease=self.deadline + SKEW)
        # Half of the time is the task's: an attempt that begins too late to end would be spent for nothing.
        until = (self._now + self.deadline) / 2
        try:
            return patiently(lambda: self.backend.records.claim(claim), self.backend.clock, until)
        except Unavailable as unavailable:
            raise Unclaimed(str(unavailable)) from unavailable

    def _run(self, record: Record) -> None:
        lease = Lease(self.backend.records, self.backend.clock, record)
        results = results_of(record, self.backend.blobs)
        children = Children(self._envelope, record)
        progress = Progress(
            lease.write,
            clock=self.backend.clock,
            deadline=self.deadline,
            floor=record.progress,
            saved=record.checkpoint,
            batches=lease.batches,
            beside=lambda: children.beside_checkpoint() | results.changes(),
        )
        try:
            self._execute(self._given(record, progress, lease) | {Results: results, Children: children})
            self._patiently(lambda: children.store(self.backend.blobs))
        except Continue:
            self._go_on(lease, progress, results)
        except Stopped:
            self._stopped(lease)
        except (Discard, BadMessage) as error:
            self._fail(lease, progress.pending(), error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task raises (CancelledError, SystemExit) is its failure
            self._failed_attempt(lease, progress.pending(), error)
        else:
            self._complete(lease, progress, results.changes() | children.changes())

    def _shorten_visibility(self) -> None:
        try:
            self._put_off(self.deadline - self._now + LEASE_MARGIN)
        except Unavailable:
            logger.warning("the message keeps its queue's visibility", exc_info=True)

    def _execute(self, given: dict[type, Any]) -> None:
        arguments = self.task.arguments(self._envelope.version, self._envelope.arguments)
        remaining = self.deadline - self._now
        if remaining > LONG_TASK:
            self._shorten_visibility()
        shortening = self.backend.clock.call_later(SOON, self._shorten_visibility) if remaining <= LONG_TASK else None
        try:
            self.execution.run(arguments, given, timeout=remaining - min(1.0, 0.1 * remaining))
        finally:
            if shortening is not None:
                shortening.cancel()

    def _given(self, record: Record, progress: Progress, lease: Lease) -> dict[type, Any]:
        """Return what is injected by type, but for what the attempt leaves: results and children."""
        return {
            Progress: progress,
            Job: Job(record.id, self.task.name, record.created),
            Chain: self._chain,
            Effects: Effects(lease.batches),
        }

    @property
    def _chain(self) -> Chain:
        envelope = self._envelope
        return Chain(
            id=envelope.chain or envelope.id,
            status=Status(envelope.broken_as or Status.FAILED) if envelope.broken_by else Status.COMPLETED,
            broken_by=envelope.broken_by,
            ended=timestamp(envelope.ended) if envelope.ended else "",
            reason=self._reason_of(envelope.broken_by) if envelope.broken_by else "",
            owner=envelope.owner,
        )

    def _reason_of(self, job_id: str) -> str:
        """Return what the record of a job of this chain says of why it did not complete."""
        records, owner = self.backend.records, self._envelope.owner
        broken = self._patiently(lambda: records.get(owner, job_id))
        return (broken and broken.reason) or ""

    def _complete(self, lease: Lease, progress: Progress, left: dict[str, Any]) -> None:
        """Write that the job has completed, and with it what it has `left`: results and children."""
        message = progress.message or COMPLETED
        final = {"status": Status.COMPLETED, "lease": 0.0, "checkpoint": None, "reason": None, "message": message}
        pending = progress.pending()
        try:
            ended = self._made_room(lease, pending) and self._end_well(lease, pending | left | final)
        except BadEffects as error:
            self._not_taken(lease, pending, error)
            return
        if ended:
            logger.info("completed")
            self._hand_over(lease.record)

    def _fail(self, lease: Lease, pending: dict[str, Any], error: BaseException) -> None:
        logger.error("failed: the job is not tried again", exc_info=error)
        reason = reason_of(error)
        if self._end(lease, pending | failed(reason)):
            self._bury(lease.record, reason, type(error).__name__)

    def _failed_attempt(self, lease: Lease, pending: dict[str, Any], error: BaseException) -> None:
        record = lease.record
        if record.attempt >= record.limit:
            self._fail(lease, pending, error)
            return
        continued = max(0, record.limit - self.task.max_attempts)
        attempt, limit = max(1, record.attempt - continued), record.limit - continued
        usual = self.task.backoff.delay(attempt, self.backend.clock.jitter)
        delay = error.wait(usual) if isinstance(error, Retry) else usual
        reason = reason_of(error)
        logger.warning("attempt %d of %d failed, the next one in %.1f s", attempt, limit, delay, exc_info=error)
        waiting = {
            "status": Status.QUEUED,
            "lease": 0.0,
            "not_before": self._now + delay,
            "reason": reason,
            "message": f"Attempt {attempt} of {limit} failed, trying again: {reason}",
        }
        if self._end(lease, pending | waiting):
            self._come_again(delay)

    def _go_on(self, lease: Lease, progress: Progress, results: Results) -> None:
        """Leave the rest to another invocation: an attempt that made progress and ended in time does not count."""
        pending = progress.pending()
        if progress.stalled:
            self._failed_attempt(lease, pending, TimeoutError(STALLED))
            return
        waiting = {"status": Status.QUEUED, "lease": 0.0, "not_before": 0.0, "limit": lease.record.limit + 1}
        try:
            ended = self._end_well(lease, pending | results.changes() | waiting)
        except BadEffects as error:
            self._not_taken(lease, pending, error)
            return
        if ended:
            logger.info("goes on in another invocation")
            self._come_again(0)

    def _made_room(self, lease: Lease, pending: dict[str, Any]) -> bool:
        """Have the job's end commit all its effects; what is too much for one commit goes under its checkpoint."""
        if not lease.batches.fit() and not self._end_well(lease, pending):
            return False
        lease.batches.close()
        return True

    def _not_taken(self, lease: Lease, pending: dict[str, Any], error: BadEffects) -> None:
        """Fail the attempt whose effects a table does not take, back to the last checkpoint whose effects it took."""
        self._failed_attempt(lease, _without_checkpoint(pending), error)

    def _end(self, lease: Lease, changes: dict[str, Any]) -> bool:
        """Write how the attempt failed, with what it had staged unless a table does not take that."""
        try:
            return self._end_well(lease, changes)
        except BadEffects:
            logger.warning("the effects under the last checkpoint are not taken", exc_info=True)
            return self._end_well(lease, _without_checkpoint(changes))

    def _end_well(self, lease: Lease, changes: dict[str, Any]) -> bool:
        """Write the attempt's end; where the record has moved on without it, do what that asks for instead."""
        try:
            lease.end(changes, self.deadline)
        except Stopped:
            self._stopped(lease)
            return False
        return True

    def _stopped(self, lease: Lease) -> None:
        logger.warning("stopped: the record belongs to somebody else by now")
        self._refused(lease.lost)

    def _refused(self, stands: Record | None) -> None:
        """Do what a message asks for whose job is not this attempt's to run."""
        if stands is not None and not stands.answers(self._envelope.digest):
            logger.info("dropped: the message is of a refused request, and the id is another one's by now")
            return
        if stands is None:
            self._give_back(1)
        if stands.run < self._envelope.run:
            self._wait_for_run()
        elif stands.run > self._envelope.run:
            logger.info("dropped: the message is of an older run")
        elif stands.status.final:
            self._pay(stands)
        elif stands.held(self._now):
            self._give_back(stands.lease - self._now + 1)
        elif stands.attempt >= stands.limit:
            self._give_up(stands)
        else:
            self._come_again(max(1.0, stands.not_before - self._now))

    def _wait_for_run(self) -> None:
        """Give back the message of a retry that has not written its records yet, unless it must have died over that."""
        if self._now - self.message.sent > ORPHANED:
            logger.warning("dropped: the retry that has sent the message never came to its end")
            return
        self._give_back(2 ** min(self.message.receives - 1, 6))

    def _pay(self, stands: Record) -> None:
        """Repeat what a final job still owes: its dead letter, and its successor's message."""
        if stands.status is Status.CANCELLED and stands.owes:
            self._keep(stands)
            return
        if stands.status is Status.FAILED and stands.owes:
            self._dead_letter(stands.reason or "", "")
        self._hand_over(stands, again=True)
        logger.info("dropped: the job is %s already", stands.status)

    def _keep(self, stands: Record) -> None:
        """Archive a job that its owner has cancelled, so that it can be retried; then see to what else it owes."""
        told: dict[str, str | int] = {"attempts": stands.attempt, "reason": stands.reason or "", "error": ""}
        self._patiently(lambda: keep_job(self.backend, self._envelope, self.message.id, **told))
        kept = stands.changed(self._now, owes="")
        outcome = self._patiently(lambda: self.backend.records.swap(stands, kept))
        self._refused(outcome.record)

    def _give_up(self, stands: Record) -> None:
        """Fail a job whose last attempt never came to its end."""
        reason = "the last attempt did not come to its end: the function timed out, ran out of memory or was killed"
        lease = Lease(self.backend.records, self.backend.clock, stands)
        logger.error("failed: %s", reason)
        if self._end(lease, failed(reason)):
            self._bury(lease.record, reason, "AttemptLost")

    def _dead_letter(self, reason: str, error: str) -> None:
        self._patiently(lambda: self.backend.queues.bury(self.message, mask(reason), error))

    def _bury(self, record: Record, reason: str, error: str) -> None:
        self._dead_letter(reason, error)
        self._hand_over(record)

    def _hand_over(self, record: Record, *, again: bool = False) -> None:
        tries = chain([again], repeat(object=True))
        self._patiently(lambda: hand_over(self.backend, self._envelope, record, again=next(tries)))

    def _come_again(self, seconds: float) -> None:
        """Have the job come again by this message, or, before the queue forgets that, by a new one (the next leg)."""
        if self.message.receives < LEG_RECEIVES and self._now - self.message.sent < LEG_AGE:
            self._give_back(seconds)
        not_before = self._now + seconds if seconds else 0.0
        following = dataclasses.replace(self._envelope, leg=self._envelope.leg + 1, not_before=not_before)
        self._patiently(lambda: self.backend.queues.send([pack(following, self.backend.blobs, seconds)]))

    def _give_back(self, seconds: float) -> NoReturn:
        self._patiently(lambda: self._put_off(seconds))
        raise GiveBack

    def _put_off(self, seconds: float) -> None:
        self.backend.queues.put_off(self.task.name, self.message, seconds)


def _without_checkpoint(changes: dict[str, Any]) -> dict[str, Any]:
    """Leave out the checkpoint, and what is written with it only."""
    return {name: value for name, value in changes.items() if name not in {"checkpoint", "results"}}


def reason_of(error: BaseException) -> str:
    """Say in one line why a job failed: the exception's own words without personal data, or its type."""
    text = mask(" ".join(str(error).split())[: 10 * REASON_LIMIT])
    spoken = isinstance(error, Discard | BadMessage | BadEffects | Retry)
    named = text if spoken else f"{type(error).__name__}: {text}".rstrip(": ")
    return (named or type(error).__name__)[:REASON_LIMIT]
