import logging

from fastapi import APIRouter

from afterward import Discard, task
from afterward.background import Accepted, BackgroundTasks, accepted

logger = logging.getLogger(__name__)
router = APIRouter()


@task
def send_notification(user_id: int, message: str) -> None:
    if user_id < 1:
        raise Discard("user_id must be 1 or more")
    logger.warning("notification for user %d: %s", user_id, message)


@task
def process_data(data_id: int) -> None:
    if data_id < 1:
        raise Discard("data_id must be 1 or more")
    logger.warning("data %d processed", data_id)


@task
def cleanup() -> None:
    logger.warning("cleaned up")


@router.post("/safe-task/{user_id}", status_code=202)
async def safe_task(user_id: int, message: str, background_tasks: BackgroundTasks) -> Accepted:
    job = background_tasks.add_task(send_notification, user_id, message)
    background_tasks.add_task(cleanup.options(even_if_failed=True))
    return accepted(job, message="Tasks scheduled with error handling")
