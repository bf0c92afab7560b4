"""A task with services of its own, injected where it runs."""

from typing import Annotated

from fastapi import APIRouter, Query

import catalog
from access import FORBIDDEN, for_user
from afterward.background import Accepted, BackgroundTasks, accepted
from callback import callback

router = APIRouter(tags=["actions"])


@router.post("/action/{user_id}", status_code=202, dependencies=[callback], responses=FORBIDDEN)
async def perform_action(
    user_id: Annotated[int, for_user("Who performs it.")],
    action: Annotated[catalog.Action, Query(description="What is performed.")],
    background_tasks: BackgroundTasks,
) -> Accepted:
    """Log an action, and mail it to the user."""
    job = background_tasks.add_task(catalog.action_notification, user_id, action)
    return accepted(job, message=f"Action {action} performed for user {user_id}")
