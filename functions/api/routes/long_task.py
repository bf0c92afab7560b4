"""A long task under an id that the client chooses."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

import catalog
from afterward.background import Accepted, BackgroundTasks, accepted, problem
from afterward.pii import find
from callback import callback

router = APIRouter(tags=["long tasks"])

USED = problem(409, "The caller has a task of this id, or a request with this `Idempotency-Key` is being accepted.")


def _impersonal(task_id: str) -> str:
    """Refuse an id that is a number of somebody's: it will stand in links, tables and logs."""
    if find(task_id):
        raise PydanticCustomError("personal_data", "It should name a task, and not be personal data or a secret")
    return task_id


ChosenId = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$",
        description="The id under which its progress can be asked for. It may not be personal data.",
        examples=["report-1"],
    ),
    AfterValidator(_impersonal),
]


@router.post("/start-task/{task_id}", status_code=202, dependencies=[callback], responses=USED)
async def start_task(
    task_id: ChosenId,
    items_count: Annotated[catalog.ItemsCount, Query(description="How many items it works on.")],
    background_tasks: BackgroundTasks,
) -> Accepted:
    """Start a task of half a second per item; an id that is in use already is answered with 409."""
    job = background_tasks.add_task(catalog.long_running_task.options(id=task_id), items_count)
    return accepted(job, message=f"Task {task_id} started")
