import sqlite3
from contextlib import closing

from afterward import Effects, Job, injected, task


@task
def add_points(user_id: str, points: int) -> None:
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute(
            "INSERT INTO points (user_id, points) VALUES (?, ?) "
            "ON CONFLICT (user_id) DO UPDATE SET points = points + excluded.points",
            (user_id, points),
        )


@task
def add_points_once(user_id: str, points: int, *, job: Job = injected) -> None:
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute("INSERT OR IGNORE INTO bookings VALUES (?, ?, ?)", (job.id, user_id, points))


@task
def add_points_with_effects(user_id: str, points: int, *, effects: Effects = injected) -> None:
    effects.update("points", {"user_id": user_id}, add={"points": points})
