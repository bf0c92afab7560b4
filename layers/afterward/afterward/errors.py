"""Everything Afterward raises, named for what happens next.

```
AfterwardError
├── UsageError            the code is wrong: said at import or at add_task, never in production traffic
├── SettingError          an environment variable is missing or malformed: the function's init fails
├── Refused               the job was not accepted, and nothing is promised
│   ├── Unavailable       SQS or DynamoDB refused: 503, try again after `retry_after` seconds
│   ├── IdTaken           the chosen id belongs to another job of this owner: 409
│   ├── KeyReused         the Idempotency-Key belongs to another request of this owner: 422
│   └── KeyInUse          a request with this Idempotency-Key is being accepted at this moment: 409, try again
├── CannotSteer           a job that cannot be cancelled or retried as it is: 409
├── BadMessage            a message that can never run: archived as a dead letter, with this reason
│   └── NewerMessage      made by newer code than this: it waits for the deploy that is under way first
├── BadEffects            writes that a table does not take: none of them is done, and the attempt has failed
├── Retry                 raised by a task: this attempt is over, try again (after `delay` seconds)
└── Discard               raised by a task: the job has failed, do not try again

Interrupt                 ends an attempt from inside, past every `except Exception` of the task
├── Continue              the deadline is near: the job goes on from its checkpoint in another invocation
└── Stopped               the job was cancelled, or a newer attempt has taken over
```
"""

import math


class AfterwardError(Exception):
    """The root of what this library raises."""


class UsageError(AfterwardError, TypeError):
    """A declaration, an implementation or a call that cannot work."""


class SettingError(AfterwardError):
    """An environment variable that is missing or malformed; the message names it."""


class Refused(AfterwardError):
    """The job was not accepted: nothing is promised, and nothing of it will run but what a service took unheard."""


class Unavailable(Refused):
    """A service did not take the job; the caller should try again after `retry_after` seconds.

    `key`, where some jobs of the request may run all the same: repeated with this Idempotency-Key, the request adds
    only those that are missing. `said`: what the caller is told that could not be done. `lasting`: no repeat within
    seconds will help, since access is denied, say.
    """

    said = ""

    def __init__(self, detail: str, *, retry_after: int = 2, key: str = "", lasting: bool = False) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.key = key
        self.lasting = lasting


class IdTaken(Refused):
    """The id that the caller chose already names a job of this owner."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job id {job_id!r} is in use")
        self.job_id = job_id


class KeyReused(Refused):
    """The Idempotency-Key was used for another request within the last 24 hours."""


class KeyInUse(Refused):
    """Another request with this Idempotency-Key is being accepted; its answer is that of a repeat in a moment."""


class CannotSteer(AfterwardError):
    """The state of a job does not admit what its owner asks for, or not before `retry_after` seconds."""

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class BadMessage(AfterwardError):
    """A message that no attempt can make work; its text is the reason kept with the dead letter."""


class NewerMessage(BadMessage):
    """A message that newer code has made: of a newer envelope's format, or of a newer version of its task."""


class BadEffects(AfterwardError):
    """What a task wants written, and DynamoDB will not take; nothing of that commit is written."""


class Retry(AfterwardError):
    """End this attempt and try again, after `delay` seconds where given, else after the task's backoff.

    `at_least` keeps the backoff, and makes it longer where it is shorter than so many seconds: a server's Retry-After.
    Counts as an attempt: the last one still fails the job.
    """

    def __init__(
        self, reason: str = "the task asked to be retried", *, delay: float | None = None, at_least: float = 0.0
    ) -> None:
        super().__init__(reason)
        for name, seconds in {"delay": delay, "at_least": at_least}.items():
            if seconds is not None and not 0 <= seconds < math.inf:
                raise ValueError(f"{name} must be seconds from 0 up, got {seconds}")
        self.delay = delay
        self.at_least = at_least

    def wait(self, backoff: float) -> float:
        """Return the seconds to wait where the task's backoff would be `backoff`."""
        return max(backoff, self.at_least) if self.delay is None else self.delay


class Discard(AfterwardError):
    """Fail the job now, with this reason: another attempt would not help."""


class Interrupt(BaseException):
    """What ends an attempt without being an error of the task; see the tree above."""


class Continue(Interrupt):
    """The deadline is near and a checkpoint is saved."""


class Stopped(Interrupt):
    """The record no longer belongs to this attempt."""
