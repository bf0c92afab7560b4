"""What an API shows of a job."""

from typing import Annotated

from fastapi import Depends, HTTPException, Path
from pydantic import BaseModel, Field

from afterward.backend import Backend
from afterward.background.caller import owner
from afterward.background.store import store
from afterward.background.threads import off_the_loop
from afterward.job import JOB_ID, Status
from afterward.records import Record

_ID = Field(examples=["5f2f4a38-4b0c-4c8e-9c0e-4f6f9d3f7b61"])


class TaskProgress(BaseModel):
    """The keys of FastAPI's own example of a task with progress."""

    status: Status
    progress: int = Field(ge=0, examples=[7])
    total: int | None = Field(examples=[10])
    message: str = Field(examples=["Processing item 7 of 10"])

    @classmethod
    def of(cls, record: Record) -> "TaskProgress":
        return cls(
            status=record.status,
            progress=record.progress,
            total=record.total,
            message=record.message or _waiting(record),
        )


class JobStatus(TaskProgress):
    """Everything that a job's owner may know of it. It holds no arguments."""

    task_id: str = _ID
    task: str = Field(examples=["send_email"])
    run: int = Field(ge=1, description="Counts up with every retry by hand.")
    attempt: int = Field(ge=0, description="Deliveries of this run that began.")
    created_at: str = Field(examples=["2026-11-22T14:00:00.000000Z"])
    updated_at: str = Field(examples=["2026-11-22T14:00:01.500000Z"])
    reason: str | None = Field(description="Why the last attempt failed.")

    @classmethod
    def of(cls, record: Record) -> "JobStatus":
        return cls(
            **TaskProgress.of(record).model_dump(),
            task_id=record.id,
            task=record.task,
            run=record.run,
            attempt=record.attempt,
            created_at=record.created,
            updated_at=record.updated,
            reason=record.reason,
        )


async def found(
    task_id: Annotated[str, Path(max_length=128, description="The id that the 202 gave, or that the caller chose.")],
    owner: Annotated[str, Depends(owner)],
    using: Annotated[Backend, Depends(store)],
) -> Record:
    """Return the caller's job of this id, or raise 404: also for the job of somebody else."""
    record = await off_the_loop(using.records.get, owner, task_id) if JOB_ID.fullmatch(task_id) else None
    if record is None:
        raise HTTPException(404, "Task not found")
    return record


Found = Annotated[Record, Depends(found)]
"""A job by the `task_id` of the path: `async def task_status(job: Found) -> JobStatus: return JobStatus.of(job)`."""


def _waiting(record: Record) -> str:
    return "Waiting to start" if record.status is Status.QUEUED else "Running"
