import sqlite3
from contextlib import closing
from datetime import UTC, datetime

from fastapi import APIRouter, BackgroundTasks

router = APIRouter()


def log_activity(user_id: int, action: str) -> None:
    now = datetime.now(UTC).isoformat()
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute("INSERT INTO activity (user_id, action, timestamp) VALUES (?, ?, ?)", (user_id, action, now))


def update_statistics(user_id: int, action: str) -> None:
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute(
            "INSERT INTO statistics (user_id, action, count) VALUES (?, ?, 1) "
            "ON CONFLICT (user_id, action) DO UPDATE SET count = count + 1",
            (user_id, action),
        )


@router.post("/user/{user_id}/action")
async def user_action(user_id: int, action: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(log_activity, user_id, action)
    background_tasks.add_task(update_statistics, user_id, action)
    return {"message": f"Action '{action}' recorded for user {user_id}"}
