"""Notifications: into the recipient's inbox, and out of it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

import catalog
from access import FORBIDDEN, for_recipient
from afterward.background import Accepted, BackgroundTasks, accepted
from afterward.background.threads import off_the_loop
from callback import callback
from inbox import Inbox, table_inbox

router = APIRouter(tags=["notifications"])


async def inbox() -> Inbox:
    """Provide the inbox; async, since FastAPI would call a plain function in a thread."""
    return table_inbox()


class NotificationOut(BaseModel):
    """One line of an inbox."""

    text: str = Field(examples=["notification for ada@example.com: some notification"])
    created_at: str = Field(examples=["2026-11-22T14:00:00.000000Z"])
    task_id: str = Field(description="The job that delivered it.")


class NotificationsOut(BaseModel):
    """An inbox, newest first."""

    notifications: list[NotificationOut]


@router.post("/send-notification/{email}", status_code=202, dependencies=[callback])
async def send_notification(
    email: Annotated[catalog.Email, Path(description="Whose inbox it goes to.")],
    background_tasks: BackgroundTasks,
    message: Annotated[catalog.Message, Query(description="What is delivered.")] = "some notification",
) -> Accepted:
    """Deliver a notification into the inbox of an e-mail address."""
    job = background_tasks.add_task(catalog.send_notification, email, message)
    return accepted(job, message="Notification sent in the background")


@router.get(
    "/users/{user_id}/notifications", response_description="What was delivered, newest first.", responses=FORBIDDEN
)
async def read_notifications(
    user_id: Annotated[str, for_recipient("An e-mail address, or the id of a user.")],
    inbox: Annotated[Inbox, Depends(inbox)],
    limit: Annotated[int, Query(ge=1, le=100, description="The most that is listed.")] = 50,
) -> NotificationsOut:
    """List what was delivered into an inbox."""
    lines = await off_the_loop(inbox.newest, user_id, limit)
    return NotificationsOut(
        notifications=[NotificationOut(text=line.text, created_at=line.created, task_id=line.job) for line in lines]
    )
