import logging
from time import sleep

from fastapi import APIRouter

from afterward import task
from afterward.background import Accepted, BackgroundTasks, accepted

logger = logging.getLogger(__name__)
router = APIRouter()


@task
def slow_task(name: str, seconds: int) -> None:
    sleep(seconds)
    logger.warning("%s: %d s of work done", name, seconds)


@task
def cleanup(name: str) -> None:
    logger.warning("%s: cleaned up", name)


@router.post("/process/{name}", status_code=202)
async def process(name: str, background_tasks: BackgroundTasks) -> Accepted:
    first = background_tasks.add_task(slow_task, name, 2)
    background_tasks.add_task(slow_task, name, seconds=3)
    background_tasks.add_task(cleanup.options(even_if_failed=True), name)
    return accepted(first, message=f"Processing started for {name}")
