"""`callback_url`: a signed webhook that says how a request's tasks went, when the last of them is final."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Query

import catalog
from afterward.background import BackgroundTasks

CallbackUrl = Annotated[
    catalog.Url | None,
    Query(
        description="Where a signed webhook (Standard Webhooks 1.0) is posted when the last task of this request is "
        "final. It carries the task's id and status, and nothing of what the task was given."
    ),
]


async def told(background_tasks: BackgroundTasks, callback_url: CallbackUrl = None) -> AsyncIterator[None]:
    """Add the webhook behind everything that the endpoint has added."""
    yield
    if callback_url is not None and background_tasks.jobs:
        about = {"task": background_tasks.jobs[0].task}
        background_tasks.add_callback(catalog.send_webhook, callback_url, "task", about)


callback = Depends(told, scope="function")
"""For every route that accepts tasks: `@router.post(…, status_code=202, dependencies=[callback])`."""
