"""What users do: recorded exactly once, and read back."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

import catalog
from access import FORBIDDEN, for_user
from activity import ActivityTables, activity_tables
from afterward.background import Accepted, BackgroundTasks, accepted
from afterward.background.threads import off_the_loop
from callback import callback

router = APIRouter(tags=["activity"])

UserId = Annotated[int, for_user("The user's number.")]


async def tables() -> ActivityTables:
    """Provide what was recorded; async, since FastAPI would call a plain function in a thread."""
    return activity_tables()


async def today() -> date:
    """Provide the day, as the statistics count them; async as above."""
    return datetime.now(UTC).date()


class ActivityOut(BaseModel):
    """One thing that a user did."""

    action: str = Field(examples=["login"])
    text: str = Field(examples=["User 7 performed login"])
    created_at: str = Field(examples=["2026-11-22T14:00:00.000000Z"], description="When it was accepted.")
    task_id: str = Field(description="The job that recorded it.")


class ActivitiesOut(BaseModel):
    """A user's activity log, newest first."""

    activity: list[ActivityOut]


class DayOut(BaseModel):
    """What a user did on one day (UTC)."""

    date: str = Field(examples=["2026-11-22"])
    actions: dict[str, int] = Field(examples=[{"login": 2}])


class StatisticsOut(BaseModel):
    """How often a user did what. A job that ran several times counts once."""

    user_id: int = Field(examples=[7])
    total: int = Field(examples=[3])
    actions: dict[str, int] = Field(examples=[{"login": 2, "logout": 1}])
    first_at: str | None = Field(examples=["2026-11-21T09:30:00.000000Z"])
    last_at: str | None = Field(examples=["2026-11-22T14:00:00.000000Z"])
    days: list[DayOut] = Field(description="The days on which there was any, newest first.")


@router.post("/user/{user_id}/action", status_code=202, dependencies=[callback], responses=FORBIDDEN)
async def record_action(
    user_id: UserId,
    action: Annotated[catalog.Action, Query(description="What the user did.")],
    background_tasks: BackgroundTasks,
) -> Accepted:
    """Log an action of a user, and count it in the user's statistics: exactly once each.

    Two jobs, one after the other; the first one's progress is the chain's.
    """
    job = background_tasks.add_task(catalog.log_activity, user_id, action)
    background_tasks.add_task(catalog.update_statistics, user_id, action)
    return accepted(job, message=f"Action '{action}' recorded for user {user_id}")


@router.get("/users/{user_id}/activity", response_description="What the user did, newest first.", responses=FORBIDDEN)
async def read_activity(
    user_id: UserId,
    tables: Annotated[ActivityTables, Depends(tables)],
    limit: Annotated[int, Query(ge=1, le=100, description="The most that is listed.")] = 50,
) -> ActivitiesOut:
    """List what a user did, newest first."""
    found = await off_the_loop(tables.newest, user_id, limit)
    lines = [ActivityOut(action=one.action, text=one.text, created_at=one.created, task_id=one.job) for one in found]
    return ActivitiesOut(activity=lines)


@router.get("/users/{user_id}/statistics", response_description="How often the user did what.", responses=FORBIDDEN)
async def read_statistics(
    user_id: UserId,
    tables: Annotated[ActivityTables, Depends(tables)],
    today: Annotated[date, Depends(today)],
    days: Annotated[int, Query(ge=1, le=366, description="How many days are told one by one, today included.")] = 30,
) -> StatisticsOut:
    """Show how often a user did what, in all and per day, and when first and last."""
    since = today - timedelta(days=days - 1)
    found = await off_the_loop(tables.summary, user_id, since.isoformat())
    return StatisticsOut(
        user_id=user_id,
        total=found.total,
        actions=found.actions,
        first_at=found.first,
        last_at=found.last,
        days=[DayOut(date=day, actions=actions) for day, actions in found.days.items()],
    )
