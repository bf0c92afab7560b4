"""What could not be done is kept, and its record says so: the handler of the dead-letter queue.

Messages come here by a worker's own decision (with the reason beside them), or by SQS itself when a message was
received too often without ever being settled (a broken deploy).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afterward import log, startup
from afterward.archive import keep, keep_job
from afterward.backend import Backend, backend
from afterward.envelope import Envelope, job_of
from afterward.errors import BadMessage
from afterward.event import Context, GiveBack, Response, settle_all
from afterward.handover import give_up, hand_over
from afterward.parcel import unpack
from afterward.patience import patiently
from afterward.pii import mask
from afterward.queues import Incoming
from afterward.records import Held, Record, Written, failed, queued

logger = logging.getLogger(__name__)


class DeadLetters:
    """Archives dead letters under `archive/<owner>/<job>/<run>.json`, and no envelopes under `archive/unreadable/`."""

    def __init__(self) -> None:
        self._using = startup.finish()

    def __call__(self, event: Mapping[str, Any], context: Context) -> Response:
        """Settle a batch of the dead-letter queue; messages that cannot be archived now stay on it."""
        return self.run(event, context, self._using or backend())

    @staticmethod
    def run(event: Mapping[str, Any], context: Context, using: Backend) -> Response:
        """Do the same with a backend of the caller's choice."""
        deadline = using.clock.now() + context.get_remaining_time_in_millis() / 1000
        with log.context(request_id=context.aws_request_id):
            return settle_all(
                event, lambda message: patiently(DeadLetter(using, message).settle, using.clock, deadline)
            )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of the dead-letter queue."""

    backend: Backend
    message: Incoming

    def settle(self) -> None:
        """Archive the message and finish its record; raise GiveBack where an attempt of the job still runs."""
        try:
            envelope = unpack(self.message.body, self.backend.blobs)
        except BadMessage as bad:
            self._unreadable(self._reason or mask(str(bad)))
            return
        with log.context(job_id=envelope.id, task=envelope.task):
            self._settle(envelope, self.backend.records.get(envelope.owner, envelope.id))

    def _unreadable(self, reason: str) -> None:
        """Archive what is no job that can be run; where it names one all the same, that has failed."""
        about = {"reason": reason, "error": self._error}
        keep(self.backend, f"unreadable/{self._first_id}", self._first_id, self.message.body, about)
        logger.error("archived a message that is no job: %s", reason)
        named = job_of(self.message.body)
        if named is None:
            return
        record = self.backend.records.get(named.owner, named.id)
        if record is None or record.run != named.run or not record.answers(named.digest):
            return
        if not record.status.final:
            self._wait_out(record)
            record = self._written(record, failed(reason))
        if record.owes:
            give_up(self.backend, named, record)
            self._written(record, {"owes": ""})

    def _wait_out(self, record: Record) -> None:
        """Raise GiveBack while an attempt of the job runs."""
        now = self.backend.clock.now()
        if record.held(now):
            self.backend.queues.put_off_dead_letter(self.message, record.lease - now + 1)
            raise GiveBack

    def _settle(self, envelope: Envelope, record: Record | None) -> None:
        if record is not None and not record.answers(envelope.digest):
            logger.info("dropped: the message is of a refused request, and the id is another one's by now")
            return
        if record is not None and record.run != envelope.run:
            logger.info("dropped: the message is of run %d, the job of run %d", envelope.run, record.run)
            return
        if record is not None:
            self._wait_out(record)
        if record is not None and record.status.final and not record.owes:
            hand_over(self.backend, envelope, record, again=True)
            return
        reason = (record.reason if record and record.owes else None) or self._reason or self._worn_out
        attempts = record.attempt if record else 0
        keep_job(self.backend, envelope, self._first_id, attempts=attempts, reason=reason, error=self._error)
        hand_over(self.backend, envelope, self._finish(envelope, record, reason), again=True)
        logger.error("archived: %s", reason)

    def _finish(self, envelope: Envelope, record: Record | None, reason: str) -> Record:
        """Write that nothing is owed any more, and that a job which never ended has failed."""
        ended = record is not None and record.status.final
        changes = ({} if ended else failed(reason)) | {"owes": ""}
        if record is not None:
            return self._written(record, changes)
        now = self.backend.clock.now()
        fresh = queued(envelope, envelope, limit=1, shards=self.backend.shards, now=now)
        return _stands(self.backend.records.add(fresh.changed(now, **changes)))

    def _written(self, record: Record, changes: dict[str, Any]) -> Record:
        return _stands(self.backend.records.swap(record, record.changed(self.backend.clock.now(), **changes)))

    @property
    def _first_id(self) -> str:
        """The id under which the message failed first: a repeat of the same dead letter has another one of its own."""
        return self.message.attributes.get("message", self.message.id)

    @property
    def _reason(self) -> str:
        return mask(self.message.attributes.get("reason", ""))

    @property
    def _error(self) -> str:
        return self.message.attributes.get("error") or ("" if self._reason else "NeverSettled")

    @property
    def _worn_out(self) -> str:
        return (
            "the message was received too often without an attempt being settled; see the logs of the task's function"
        )


def _stands(outcome: Written | Held) -> Record:
    """Return what was written; where somebody wrote in between, look again at the next delivery."""
    if isinstance(outcome, Held):
        raise GiveBack
    return outcome.record
