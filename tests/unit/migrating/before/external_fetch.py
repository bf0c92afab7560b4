import sqlite3
from contextlib import closing

import httpx
from fastapi import APIRouter, BackgroundTasks

router = APIRouter()


async def fetch_external_data(user_id: int, data_url: str) -> None:
    async with httpx.AsyncClient() as client:
        items = (await client.get(data_url)).json()
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute("INSERT INTO fetched (user_id, items) VALUES (?, ?)", (user_id, len(items)))


async def send_webhook(webhook_url: str, payload: dict[str, int | str]) -> None:
    async with httpx.AsyncClient() as client:
        await client.post(webhook_url, json=payload)


@router.post("/trigger-external-fetch/{user_id}")
async def trigger_external_fetch(
    user_id: int, data_url: str, webhook_url: str, background_tasks: BackgroundTasks
) -> dict[str, str]:
    background_tasks.add_task(fetch_external_data, user_id, data_url)
    payload: dict[str, int | str] = {"user_id": user_id, "action": "external_fetch_triggered"}
    background_tasks.add_task(send_webhook, webhook_url, payload)
    return {"message": f"External data fetch triggered for user {user_id}"}
