"""What a caller may do to a job of theirs."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from afterward.background import (
    CANCELLING,
    DOWNLOADING,
    RETRYING,
    Accepted,
    Found,
    JobStatus,
    ResultName,
    Steering,
    accepted,
)

router = APIRouter(tags=["jobs"])


@router.post("/tasks/{task_id}/cancel", response_description="It is cancelled.", responses=CANCELLING)  # noqa: FAST003 - Found takes it
async def cancel_task(job: Found, steering: Steering) -> JobStatus:
    """Cancel a job that is queued or running: it will not begin, or it ends at its next progress.

    What comes after it in its chain is cancelled too, but for what runs in any case. Cancelling again changes nothing.
    """
    return JobStatus.of(await steering.cancel(job))


@router.post("/tasks/{task_id}/retry", status_code=202, responses=RETRYING)  # noqa: FAST003 - Found takes it
async def retry_task(job: Found, steering: Steering) -> Accepted:
    """Run a failed or cancelled job again, as a new run, with those jobs of its chain behind it that have not run."""
    again = await steering.retry(job)
    return accepted(again, message=f"Task {again.id} will run again")


@router.get(
    "/tasks/{task_id}/results/{name}",  # noqa: FAST003 - Found takes it
    status_code=303,
    response_class=RedirectResponse,
    responses=DOWNLOADING,
)
async def task_result(job: Found, name: ResultName, steering: Steering) -> RedirectResponse:
    """Lead to an object that the job has left, by a link that anybody who has it can follow for five minutes."""
    return await steering.download(job, name)
