from time import sleep

from fastapi import APIRouter

from afterward import Progress, injected, task
from afterward.background import Accepted, BackgroundTasks, accepted

router = APIRouter()


@task
def work_through(items_count: int, *, progress: Progress = injected) -> None:
    if progress.done == 0:
        progress.report(0, items_count, "Starting task...")
    for item in progress.track(range(1, items_count + 1)):
        progress.report(item - 1, items_count, f"Processing item {item} of {items_count}")
        sleep(0.5)
    progress.report(items_count, items_count, "Task completed successfully")


@router.post("/start-task/{task_id}", status_code=202)
async def start_task(task_id: str, items_count: int, background_tasks: BackgroundTasks) -> Accepted:
    job = background_tasks.add_task(work_through.options(id=task_id), items_count)
    return accepted(job, message=f"Task {task_id} started")
