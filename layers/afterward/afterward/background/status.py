"""What an API shows of a job."""

from typing import Annotated

from fastapi import Depends, HTTPException, Path
from pydantic import BaseModel, Field

from afterward.backend import Backend
from afterward.background.caller import owner
from afterward.background.store import store
from afterward.background.threads import off_the_loop
from afterward.chains import words
from afterward.job import JOB_ID, Status
from afterward.records import Record
from afterward.results import keys_of

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
            message=words(record),
        )


class JobStatus(TaskProgress):
    """Everything that a job's owner may know of it. It holds no arguments."""

    task_id: str = _ID
    task: str = Field(examples=["send_email"])
    chain_id: str = Field(
        description="The first job that the same request added; its progress tells of all of them.",
        examples=["5f2f4a38-4b0c-4c8e-9c0e-4f6f9d3f7b61"],
    )
    run: int = Field(ge=1, description="Counts up with every retry by hand.")
    attempt: int = Field(ge=0, description="Deliveries of this run that began.")
    created_at: str = Field(examples=["2026-11-22T14:00:00.000000Z"])
    updated_at: str = Field(examples=["2026-11-22T14:00:01.500000Z"])
    reason: str | None = Field(description="Why the last attempt failed, or why the job was cancelled.")
    results: list[str] = Field(
        description="Names of what the job has left to be downloaded. The first job of a chain, asked for by its id, "
        "names what the others have left, too.",
        examples=[["data.json"]],
    )

    @classmethod
    def of(cls, record: Record) -> "JobStatus":
        return cls(
            **TaskProgress.of(record).model_dump(),
            task_id=record.id,
            task=record.task,
            chain_id=record.chain or record.id,
            run=record.run,
            attempt=record.attempt,
            created_at=record.created,
            updated_at=record.updated,
            reason=record.reason,
            results=list(keys_of(record)),
        )


TaskId = Annotated[
    str,
    Path(
        max_length=128,
        description="The id that the 202 gave, or that the caller chose.",
        examples=["5f2f4a38-4b0c-4c8e-9c0e-4f6f9d3f7b61"],
    ),
]


async def read(using: Backend, owner: str, task_id: str) -> Record:
    """Return the owner's job of this id, or raise 404: also for the job of somebody else."""
    record = await off_the_loop(using.records.get, owner, task_id) if JOB_ID.fullmatch(task_id) else None
    if record is None:
        raise HTTPException(404, "Task not found")
    return record


async def found(
    task_id: TaskId,
    owner: Annotated[str, Depends(owner)],
    using: Annotated[Backend, Depends(store)],
) -> Record:
    """Return the caller's job of the path."""
    return await read(using, owner, task_id)


Found = Annotated[Record, Depends(found)]
"""A job by the `task_id` of the path: `async def task_status(job: Found) -> JobStatus: return JobStatus.of(job)`."""
