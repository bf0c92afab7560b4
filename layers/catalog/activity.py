"""What users do: a log and statistics of it, a table each. Tasks write them by effects, and the API reads."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from afterward import Depends, Effects
from afterward.aws import answering, client
from afterward.pii import mask
from afterward.settings import required


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing that a user did. `created` (ISO 8601) and `job` name it, so it is logged once however often it runs.

    Personal data in the action's name is masked: it is shown to whoever reads the statistics.
    """

    user_id: int
    action: str
    created: str
    job: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "action", mask(self.action))

    @property
    def text(self) -> str:
        return f"User {self.user_id} performed {self.action}"


@dataclass(frozen=True, slots=True)
class Summary:
    """How often a user did what, in all and per day (newest first), and when first and last."""

    actions: dict[str, int]
    days: dict[str, dict[str, int]]
    first: str | None = None
    last: str | None = None

    @property
    def total(self) -> int:
        return sum(self.actions.values())


@dataclass(frozen=True, slots=True)
class ActivityLog:
    """The table has the key `user` and `id` ("created#job")."""

    effects: Effects
    table: str

    def add(self, activity: Activity) -> None:
        """Log it together with the end of the job."""
        key = {"user": str(activity.user_id), "id": f"{activity.created}#{activity.job}"}
        self.effects.put(self.table, key, {"action": activity.action})


@dataclass(frozen=True, slots=True)
class Statistics:
    """The table has the key `user` and `id`: an item for each action ("total#action"), and for each day of it."""

    effects: Effects
    table: str

    def count(self, activity: Activity) -> None:
        """Count it together with the end of the job."""
        for name in (f"total#{activity.action}", f"day#{activity.created[:10]}#{activity.action}"):
            self.effects.update(self.table, {"user": str(activity.user_id), "id": name}, add={"count": 1})


class ActivityTables:
    """Both tables, as they are read: what a completed job has written is there."""

    def __init__(self, dynamodb: Any, log: str, statistics: str) -> None:
        self._dynamodb = dynamodb
        self._log = log
        self._statistics = statistics

    def newest(self, user_id: int, limit: int, *, oldest: bool = False) -> list[Activity]:
        """Return the last things that a user did, newest first; or the first ones."""
        about: dict[str, Any] = {"KeyConditionExpression": "#user = :user", "ScanIndexForward": oldest, "Limit": limit}
        return [_activity(item) for item in self._query(self._log, user_id, **about)["Items"]]

    def summary(self, user_id: int, since: str) -> Summary:
        """Return a user's statistics, with the days from `since` (ISO 8601) on.

        First and last come from the log, since jobs may count in another order than they were accepted.
        """
        actions, days = dict[str, int](), dict[str, dict[str, int]]()
        for name, count in self._counts(user_id, since):
            kind, _, rest = name.partition("#")
            if kind == "total":
                actions[rest] = count
            else:
                day, _, action = rest.partition("#")
                days.setdefault(day, {})[action] = count
        first, last = self.newest(user_id, 1, oldest=True), self.newest(user_id, 1)
        newest_first = dict(sorted(days.items(), reverse=True))
        return Summary(actions, newest_first, *(one[0].created if one else None for one in (first, last)))

    def _counts(self, user_id: int, since: str) -> Iterator[tuple[str, int]]:
        """Yield the counters of the days and then the totals: they follow each other in the table."""
        about: dict[str, Any] = {"KeyConditionExpression": "#user = :user AND id BETWEEN :since AND :last"}
        values = {":since": {"S": f"day#{since}"}, ":last": {"S": "total#\U0010ffff"}}
        while True:
            answer = self._query(self._statistics, user_id, values, **about)
            yield from ((item["id"]["S"], int(item["count"]["N"])) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            about["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _query(self, table: str, user_id: int, values: dict[str, Any] | None = None, **about: Any) -> dict[str, Any]:
        with answering("DynamoDB"):
            answer: dict[str, Any] = self._dynamodb.query(
                TableName=table,
                ConsistentRead=True,
                ExpressionAttributeNames={"#user": "user"},  # a reserved word
                ExpressionAttributeValues={":user": {"S": str(user_id)}} | (values or {}),
                **about,
            )
        return answer


def _activity(item: dict[str, Any]) -> Activity:
    created, _, job = item["id"]["S"].partition("#")
    return Activity(int(item["user"]["S"]), item["action"]["S"], created, job)


def activity_table() -> str:
    """Provide the name of the log's table, from the environment variable ACTIVITY_TABLE."""
    return required(os.environ, "ACTIVITY_TABLE")


def statistics_table() -> str:
    """Provide the name of the statistics' table, from the environment variable STATISTICS_TABLE."""
    return required(os.environ, "STATISTICS_TABLE")


def activity_log(effects: Effects, table: Annotated[str, Depends(activity_table, scope="environment")]) -> ActivityLog:
    return ActivityLog(effects, table)


def statistics(effects: Effects, table: Annotated[str, Depends(statistics_table, scope="environment")]) -> Statistics:
    return Statistics(effects, table)


def activity_tables() -> ActivityTables:
    return ActivityTables(client("dynamodb"), activity_table(), statistics_table())
