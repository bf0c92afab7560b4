"""How the caller's jobs are doing."""

from fastapi import APIRouter, Response

from afterward.background import LISTING, WATCHING, JobStatus, Listed, TaskList, TaskProgress, Watched

router = APIRouter(tags=["jobs"])


@router.get("/task-progress/{task_id}", response_model=TaskProgress, responses=WATCHING)  # noqa: FAST003 - Watched takes it
async def task_progress(job: Watched) -> Response:
    """Show a job's progress with the keys of FastAPI's own example."""
    return await job.progress()


@router.get("/tasks", responses=LISTING)
async def tasks(page: Listed) -> TaskList:
    """List the caller's jobs, newest first."""
    return page


@router.get("/tasks/{task_id}", response_model=JobStatus, responses=WATCHING)  # noqa: FAST003 - Watched takes it
async def task_status(job: Watched) -> Response:
    """Show everything that is known of a job."""
    return await job.status()
