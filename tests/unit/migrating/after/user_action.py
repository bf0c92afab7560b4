import sqlite3
from contextlib import closing

from fastapi import APIRouter

from afterward import Job, injected, task
from afterward.background import Accepted, BackgroundTasks, accepted

router = APIRouter()


@task(max_attempts=5)
def log_activity(user_id: int, action: str, *, job: Job = injected) -> None:
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute(
            "INSERT OR IGNORE INTO activity (id, user_id, action, timestamp) VALUES (?, ?, ?, ?)",
            (job.id, user_id, action, job.created),
        )


@task(max_attempts=5)
def update_statistics(user_id: int, action: str) -> None:
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute(
            "INSERT OR REPLACE INTO statistics (user_id, action, count) "
            "SELECT user_id, action, count(*) FROM activity WHERE user_id = ? AND action = ? "
            "GROUP BY user_id, action",
            (user_id, action),
        )


@router.post("/user/{user_id}/action", status_code=202)
async def user_action(user_id: int, action: str, background_tasks: BackgroundTasks) -> Accepted:
    job = background_tasks.add_task(log_activity, user_id, action)
    background_tasks.add_task(update_statistics, user_id, action)
    return accepted(job, message=f"Action '{action}' recorded for user {user_id}")
