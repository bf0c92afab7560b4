"""The plain values that everything else speaks in."""

import re
import uuid
from dataclasses import dataclass
from enum import StrEnum

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
"""What an id chosen by a client may be: unreserved characters of RFC 3986, so that it stands in a path as it is."""


class Status(StrEnum):
    """`queued → running → completed | failed | cancelled`; within a run the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted call of a task: what `add_task` returns, and what a running task may have injected.

    `created` is when it was added (ISO 8601, UTC); `status_url` and `progress_url` are paths on the API that accepted
    it, empty outside HTTP.
    """

    id: str
    task: str
    created: str
    status_url: str = ""
    progress_url: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain that a running job belongs to, as far as it has come: injected by type.

    `id` names its first job. `status` is completed while all jobs before this one are, else how the first of them that
    did not complete has ended; `broken_by` is the id of that one, and `reason` says why. `ended` is when the job before
    this one ended (ISO 8601, UTC), empty for the first. `owner` is the digest under which the jobs are kept: ids are
    unique to their owner only, so a name outside the library that should be the chain's own has it beside the id.
    """

    id: str
    status: Status = Status.COMPLETED
    broken_by: str = ""
    ended: str = ""
    reason: str = ""
    owner: str = ""


def new_id() -> str:
    return str(uuid.uuid4())


def checked_id(job_id: str) -> str:
    """Return `job_id`, or raise ValueError where it could not stand in a path or in a key."""
    if not JOB_ID.fullmatch(job_id):
        raise ValueError(
            f"job id {job_id[:140]!r} must be "
            "1 to 128 letters, digits, '.', '_', '~' or '-', and start with a letter or digit"
        )
    return job_id
