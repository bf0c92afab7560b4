import logging
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, BackgroundTasks

logger = logging.getLogger(__name__)
router = APIRouter()


def send_notification(user_id: int, message: str) -> None:
    if user_id < 1:
        raise ValueError("user_id must be 1 or more")
    logger.warning("notification for user %d: %s", user_id, message)


def process_data(data_id: int) -> None:
    if data_id < 1:
        raise ValueError("data_id must be 1 or more")
    logger.warning("data %d processed", data_id)


def cleanup() -> None:
    logger.warning("cleaned up")


TASKS: dict[str, Callable[..., None]] = {
    "send_notification": send_notification,
    "process_data": process_data,
    "cleanup": cleanup,
}


def run_safely(name: str, *args: Any) -> None:
    if name not in TASKS:
        logger.error("%s: unknown task", name)
        return
    logger.warning("%s: started", name)
    try:
        TASKS[name](*args)
    except Exception:
        logger.exception("%s: failed", name)
    else:
        logger.warning("%s: ended", name)


@router.post("/safe-task/{user_id}")
async def safe_task(user_id: int, message: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(run_safely, "send_notification", user_id, message)
    background_tasks.add_task(run_safely, "cleanup")
    return {"message": "Tasks scheduled with error handling"}
