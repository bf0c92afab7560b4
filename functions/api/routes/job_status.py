"""How the caller's jobs are doing."""

from fastapi import APIRouter

from afterward.background import Found, JobStatus, TaskProgress

router = APIRouter(tags=["jobs"])


@router.get("/task-progress/{task_id}")  # noqa: FAST003 - Found takes it
async def task_progress(job: Found) -> TaskProgress:
    """Show a job's progress with the keys of FastAPI's own example."""
    return TaskProgress.of(job)


@router.get("/tasks/{task_id}")  # noqa: FAST003 - Found takes it
async def task_status(job: Found) -> JobStatus:
    """Show everything that is known of a job."""
    return JobStatus.of(job)
