"""Fetch what lies at an address, and tell another address when that is done."""

from typing import Annotated

from fastapi import APIRouter, Query

import catalog
from access import FORBIDDEN, for_user
from afterward.background import Accepted, BackgroundTasks, accepted
from callback import callback

router = APIRouter(tags=["external data"])


@router.post("/trigger-external-fetch/{user_id}", status_code=202, dependencies=[callback], responses=FORBIDDEN)
async def trigger_external_fetch(
    user_id: Annotated[int, for_user("For whom the data is fetched.")],
    data_url: Annotated[catalog.Url, Query(description="What is fetched: JSON, text or XML of at most 10 MB.")],
    webhook_url: Annotated[
        catalog.Url,
        Query(
            description="Gets a webhook with the outcome, signed by Standard Webhooks 1.0.",
            examples=["https://hooks.example.com/afterward"],
        ),
    ],
    background_tasks: BackgroundTasks,
) -> Accepted:
    """Fetch external data and keep it as the job's result; then post how that went to a webhook, also if it failed.

    Only public addresses are called, on port 80, 443, 8080 or 8443.
    """
    job = background_tasks.add_task(catalog.fetch_external_data, user_id, data_url)
    background_tasks.add_task(
        catalog.send_webhook.options(even_if_failed=True),
        webhook_url,
        "external_fetch",
        {"user_id": user_id, "action": "external_fetch_triggered"},
    )
    return accepted(job, message=f"External data fetch triggered for user {user_id}")
