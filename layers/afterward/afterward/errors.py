"""Everything Afterward raises, named for what happens next.

```
AfterwardError
├── UsageError            the code is wrong: said at import or at add_task, never in production traffic
├── SettingError          an environment variable is missing or malformed: the function's init fails
├── Refused               the job was not accepted, and nothing is promised
│   ├── Unavailable       SQS or DynamoDB refused: 503, try again after `retry_after` seconds
│   └── IdTaken           the chosen id belongs to another job of this owner: 409
├── BadMessage            a message that can never run: archived as a dead letter, with this reason
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
    """The job was not accepted: nothing is promised and nothing of it will run."""


class Unavailable(Refused):
    """A service did not take the job; the caller should try again after `retry_after` seconds."""

    def __init__(self, detail: str, *, retry_after: int = 2) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class IdTaken(Refused):
    """The id that the caller chose already names a job of this owner."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job id {job_id!r} is in use")
        self.job_id = job_id


class BadMessage(AfterwardError):
    """A message that no attempt can make work; its text is the reason kept with the dead letter."""


class Retry(AfterwardError):
    """End this attempt and try again, after `delay` seconds where given, else after the task's backoff.

    Counts as an attempt: the last one still fails the job.
    """

    def __init__(self, reason: str = "the task asked to be retried", *, delay: float | None = None) -> None:
        super().__init__(reason)
        if delay is not None and not 0 <= delay < math.inf:
            raise ValueError(f"delay must be seconds from 0 up, got {delay}")
        self.delay = delay


class Discard(AfterwardError):
    """Fail the job now, with this reason: another attempt would not help."""


class Interrupt(BaseException):
    """What ends an attempt without being an error of the task; see the tree above."""


class Continue(Interrupt):
    """The deadline is near and a checkpoint is saved."""


class Stopped(Interrupt):
    """The record no longer belongs to this attempt."""
