import sqlite3
from contextlib import closing

import httpx
from fastapi import APIRouter

from afterward import Discard, Job, injected, task
from afterward.background import Accepted, BackgroundTasks, accepted

router = APIRouter()


@task(max_attempts=5)
async def fetch_external_data(user_id: int, data_url: str, *, job: Job = injected) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.get(data_url)
    if response.status_code in {404, 410}:
        raise Discard(f"The source has no such data ({response.status_code})")
    items = response.raise_for_status().json()
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute(
            "INSERT OR REPLACE INTO fetched (id, user_id, items) VALUES (?, ?, ?)",
            (job.id, user_id, len(items)),
        )


@task(max_attempts=5)
async def send_webhook(webhook_url: str, payload: dict[str, int | str], *, job: Job = injected) -> None:
    async with httpx.AsyncClient(headers={"webhook-id": job.id}) as client:
        (await client.post(webhook_url, json=payload)).raise_for_status()


@router.post("/trigger-external-fetch/{user_id}", status_code=202)
async def trigger_external_fetch(
    user_id: int, data_url: str, webhook_url: str, background_tasks: BackgroundTasks
) -> Accepted:
    job = background_tasks.add_task(fetch_external_data, user_id, data_url)
    payload: dict[str, int | str] = {"user_id": user_id, "action": "external_fetch_triggered"}
    background_tasks.add_task(send_webhook, webhook_url, payload)
    return accepted(job, message=f"External data fetch triggered for user {user_id}")
