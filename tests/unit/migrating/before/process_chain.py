import logging
from time import sleep

from fastapi import APIRouter, BackgroundTasks

logger = logging.getLogger(__name__)
router = APIRouter()


def slow_task(name: str, seconds: int) -> None:
    sleep(seconds)
    logger.warning("%s: %d s of work done", name, seconds)


def cleanup(name: str) -> None:
    logger.warning("%s: cleaned up", name)


@router.post("/process/{name}")
async def process(name: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(slow_task, name, 2)
    background_tasks.add_task(slow_task, name, seconds=3)
    background_tasks.add_task(cleanup, name)
    return {"message": f"Processing started for {name}"}
