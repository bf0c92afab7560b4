"""Tasks whose failure is told, and does not keep the cleanup from running."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError

import catalog
from access import FORBIDDEN, for_user
from afterward import Job
from afterward.background import Accepted, BackgroundTasks, accepted
from callback import callback

router = APIRouter(tags=["chains"])


@router.post("/safe-task/{user_id}", status_code=202, dependencies=[callback], responses=FORBIDDEN)
async def safe_task(
    user_id: Annotated[int, for_user("Whose inbox the message goes to.")],
    message: Annotated[catalog.Message, Query(description="What send_notification delivers.")],
    background_tasks: BackgroundTasks,
    task: Annotated[
        Literal["send_notification", "process_data"], Query(description="Which task runs before the cleanup.")
    ] = "send_notification",
    data_id: Annotated[int | None, Query(description="What process_data needs.", examples=[7])] = None,
) -> Accepted:
    """Run one task, and then a cleanup in any case.

    Whatever goes wrong in a task, a `data_id` below 1 for one, is the failed status of its job, in words.
    """
    job = _add(background_tasks, task, user_id, message, data_id)
    background_tasks.add_task(catalog.cleanup.options(even_if_failed=True), f"user {user_id}")
    return accepted(job, message="Tasks scheduled with error handling")


def _add(tasks: BackgroundTasks, task: str, user_id: int, message: str, data_id: int | None) -> Job:
    if task == "send_notification":
        return tasks.add_task(catalog.send_notification, str(user_id), message)
    if data_id is None:
        raise RequestValidationError(
            [{"type": "missing", "loc": ("query", "data_id"), "msg": "Field required where task is process_data"}]
        )
    return tasks.add_task(catalog.process_data, data_id)
