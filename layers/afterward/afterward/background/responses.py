"""202 Accepted, as every route that adds a task answers it."""

import math
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from afterward.job import Job


class Accepted(BaseModel):
    """The job is durable: it will run, or its record will say why not."""

    message: str = Field(examples=["Email will be sent in the background"])
    task_id: str = Field(
        description="Names the job in the status routes.", examples=["5f2f4a38-4b0c-4c8e-9c0e-4f6f9d3f7b61"]
    )
    check_progress_url: str = Field(examples=["/task-progress/5f2f4a38-4b0c-4c8e-9c0e-4f6f9d3f7b61"])


def accepted(job: Job, *, message: str) -> Accepted:
    """Return the body of the 202; its headers are set by `BackgroundTasks` itself."""
    return Accepted(message=message, task_id=job.id, check_progress_url=job.progress_url)


def accepted_response(job: Job, *, message: str, headers: dict[str, str] | None = None, **extra: Any) -> JSONResponse:
    """Return the whole 202 for an endpoint that answers with a Response of its own, with its headers."""
    body = accepted(job, message=message).model_dump() | extra
    return JSONResponse(body, 202, headers_of(job) | (headers or {}))


def headers_of(job: Job, delay: float = 0.0) -> dict[str, str]:
    """Return what a 202 says in its headers: where the job is, and when there is something to be seen of it."""
    return {"Location": job.status_url, "Retry-After": str(max(1, math.ceil(delay)))}
