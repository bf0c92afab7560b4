"""What users do: accepted by the API, recorded by two workers, read back, and counted once whatever happens."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from moto import mock_aws

import catalog
import log_activity
import update_statistics
from activity import Activity, ActivityLog, ActivityTables, Statistics, activity_tables
from afterward.aws import client
from afterward.depends import Node, lasting_nodes
from afterward.effects import Batches, Effects
from afterward.errors import SettingError, Unavailable
from afterward.in_process import Invocation, as_record
from afterward.queues import Incoming
from afterward.testing import Trial
from afterward.transaction import requested
from afterward.worker import Worker
from afterward.writes import Put, Update
from tests.support.faults import Wire
from tests.support.gateway import Answer
from tests.unit.app.conftest import Deployed, create_users_table

LOG = Worker(catalog.log_activity, log_activity.log)
COUNT = Worker(catalog.update_statistics, update_statistics.count)


def act(deployed: Deployed, user_id: int = 7, action: str = "login") -> Answer:
    return deployed.api.post(f"/user/{user_id}/action", action=action)


def work(deployed: Deployed) -> None:
    """Let both workers do what is waiting for them."""
    deployed.run(LOG)
    deployed.run(COUNT)


def statistics(deployed: Deployed, user_id: int = 7, **query: Any) -> Any:
    return deployed.api.get(f"/users/{user_id}/statistics", **query).json


def message(deployed: Deployed, task: str) -> dict[str, Any]:
    """Return the event of the message that waits for a task, as Lambda's poller hands it over."""
    (envelope,) = deployed.waiting(task)
    return {"Records": [as_record(Incoming("m-1", "r-1", json.dumps(envelope), 1, 0, {}))]}


def test_an_action_is_recorded(deployed: Deployed) -> None:
    """POST /user/{user_id}/action answers as the example does; the log has the line and the statistics the count."""
    answer = act(deployed)
    assert answer.status == 202
    job_id = answer.json["task_id"]
    assert answer.json == {
        "message": "Action 'login' recorded for user 7",
        "task_id": job_id,
        "check_progress_url": f"/task-progress/{job_id}",
    }
    (envelope,) = deployed.waiting("log_activity")
    assert envelope["arguments"] == {"user_id": 7, "action": "login"}
    work(deployed)
    created = envelope["created"]
    assert deployed.api.get("/users/7/activity").json == {
        "activity": [
            {"action": "login", "text": "User 7 performed login", "created_at": created, "task_id": job_id},
        ]
    }
    assert statistics(deployed) == {
        "user_id": 7,
        "total": 1,
        "actions": {"login": 1},
        "first_at": created,
        "last_at": created,
        "days": [{"date": created[:10], "actions": {"login": 1}}],
    }
    assert deployed.status(job_id)["status"] == "completed"


def test_who_did_nothing_has_empty_statistics(deployed: Deployed) -> None:
    """Nothing is no error."""
    assert statistics(deployed) == {
        "user_id": 7,
        "total": 0,
        "actions": {},
        "first_at": None,
        "last_at": None,
        "days": [],
    }
    assert deployed.api.get("/users/7/activity").json == {"activity": []}


def test_actions_add_up_for_each_user(deployed: Deployed) -> None:
    """Totals are per action, also for names that hold the separators of the table's keys."""
    began = datetime.now(UTC).date().isoformat()
    for user_id, action in [(7, "login"), (7, "a#b"), (7, "login"), (8, "login"), (7, "day#2026-01-01#x")]:
        act(deployed, user_id, action)
    work(deployed)
    told = statistics(deployed)
    assert (told["total"], told["actions"]) == (4, {"login": 2, "a#b": 1, "day#2026-01-01#x": 1})
    each: Counter[str] = sum((Counter(day["actions"]) for day in told["days"]), Counter())
    assert each == {"login": 2, "a#b": 1, "day#2026-01-01#x": 1}
    # Midnight may pass meanwhile.
    assert {day["date"] for day in told["days"]} <= {began, datetime.now(UTC).date().isoformat()}
    assert statistics(deployed, 8)["actions"] == {"login": 1}


def test_a_log_is_newest_first_and_bounded(deployed: Deployed) -> None:
    """It lists as many lines as are asked for."""
    for action in ("first", "second", "third"):
        act(deployed, action=action)
    work(deployed)
    lines = deployed.api.get("/users/7/activity", limit=2).json["activity"]
    assert [line["action"] for line in lines] == ["third", "second"]


@pytest.mark.parametrize(
    ("path", "query", "loc"),
    [
        ("/user/0/action", {"action": "login"}, ["path", "user_id"]),
        ("/user/ada/action", {"action": "login"}, ["path", "user_id"]),
        ("/user/9007199254740992/action", {"action": "login"}, ["path", "user_id"]),
        ("/user/7/action", {}, ["query", "action"]),
        ("/user/7/action", {"action": ""}, ["query", "action"]),
        ("/user/7/action", {"action": "x" * 65}, ["query", "action"]),
        ("/user/7/action", {"action": "two\nlines"}, ["query", "action"]),
    ],
)
def test_an_action_needs_a_user_and_a_name(
    deployed: Deployed, path: str, query: dict[str, str], loc: list[str]
) -> None:
    """What cannot be recorded is 422 and promises nothing."""
    answer = deployed.api.post(path, **query)
    assert (answer.status, answer.json["errors"][0]["loc"]) == (422, loc)
    assert deployed.records() == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/users/7/activity", {"limit": 0}),
        ("/users/7/activity", {"limit": 101}),
        ("/users/7/statistics", {"days": 0}),
        ("/users/7/statistics", {"days": 367}),
        ("/users/0/statistics", {}),
        ("/users/ada/activity", {}),
    ],
)
def test_what_is_read_has_limits(deployed: Deployed, path: str, query: dict[str, int]) -> None:
    """Out of bounds is 422."""
    assert deployed.api.get(path, **query).status == 422


@pytest.mark.parametrize("operation", ["activity", "statistics"])
def test_tables_that_do_not_answer_are_503(deployed: Deployed, operation: str) -> None:
    """The caller is told to try again."""
    deployed.dynamodb.refuse("Query", "ThrottlingException")
    answer = deployed.api.get(f"/users/7/{operation}")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


# Exactly once


@pytest.mark.parametrize(("worker", "task"), [(LOG, "log_activity"), (COUNT, "update_statistics")])
def test_ten_deliveries_count_once(deployed: Deployed, worker: Worker, task: str) -> None:
    """The same message ten times: the nine behind the first find the job completed."""
    act(deployed)
    if task == "update_statistics":
        deployed.run(LOG)
    event = message(deployed, task)
    for _ in range(10):
        assert worker(event, Invocation(10))["batchItemFailures"] == []
    work(deployed)
    assert statistics(deployed)["actions"] == {"login": 1}
    assert len(deployed.api.get("/users/7/activity").json["activity"]) == 1


def test_ten_concurrent_deliveries_count_once(deployed: Deployed) -> None:
    """Ten workers get the same message at the same time; who does not win waits, or finds it done."""
    act(deployed)
    deployed.run(LOG)
    event = message(deployed, "update_statistics")
    barrier = Barrier(10)

    def deliver(_: int) -> int:
        barrier.wait()
        return len(COUNT(event, Invocation(10))["batchItemFailures"])

    with ThreadPoolExecutor(10) as pool:
        given_back = list(pool.map(deliver, range(10)))
    assert sum(given_back) < 10
    deployed.run(COUNT)
    assert statistics(deployed)["actions"] == {"login": 1}


def test_concurrent_actions_of_a_user_all_count(deployed: Deployed) -> None:
    """Jobs that meet at the same counter are tried again until each has counted."""
    for _ in range(10):
        act(deployed)
    deployed.run(LOG)
    deployed.dynamodb.cancel_transaction("None", "TransactionConflict", "None", times=3)
    bodies = [json.dumps(envelope) for envelope in deployed.waiting("update_statistics")]
    events = [
        {"Records": [as_record(Incoming(f"m-{number}", f"r-{number}", body, 1, 0, {}))]}
        for number, body in enumerate(bodies)
    ]
    with ThreadPoolExecutor(10) as pool:
        kept = list(pool.map(lambda event: COUNT(event, Invocation(10))["batchItemFailures"], events))
    assert kept == [[]] * 10
    assert statistics(deployed)["total"] == 10


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_lost_reply_counts_once(deployed: Deployed, times: int) -> None:
    """The transaction took place and nobody heard: neither botocore's repeats nor the worker's add another count."""
    act(deployed)
    deployed.run(LOG)
    deployed.dynamodb.lose("TransactWriteItems", times=times)
    deployed.run(COUNT)
    assert statistics(deployed)["actions"] == {"login": 1}
    assert deployed.waiting("update_statistics") == []


def test_a_missing_table_fails_the_job_in_the_end(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status says which table, after as many attempts as the task has."""
    monkeypatch.setenv("STATISTICS_TABLE", "elsewhere")
    job_id = act(deployed).json["task_id"]
    worker = Worker(catalog.update_statistics, update_statistics.count)
    deployed.run(LOG)
    (envelope,) = deployed.waiting("update_statistics")
    deployed.run(worker)
    told = deployed.status(envelope["id"])
    assert told["status"] == "queued"
    assert "the effects on elsewhere (ResourceNotFoundException" in told["message"]
    assert deployed.status(job_id)["status"] == "completed"


# The tasks by themselves, and the tables


def test_what_the_tasks_write() -> None:
    """One line in the log; two counters."""
    trial = Trial()
    line = {"user": "7", "id": "2026-11-18T11:06:40.000000Z#job-1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIVITY_TABLE", "activity")
        patch.setenv("STATISTICS_TABLE", "statistics")
        logged = trial.run(log_activity.log, 7, "login")
        counted = trial.run(update_statistics.count, 7, "login")
    assert logged.effects == [Put("activity", line, {"action": "login"})]
    assert counted.effects == [
        Update("statistics", {"user": "7", "id": "total#login"}, add={"count": 1}),
        Update("statistics", {"user": "7", "id": "day#2026-11-18#login"}, add={"count": 1}),
    ]


@pytest.mark.parametrize(
    ("worker", "variable"), [(LOG, "ACTIVITY_TABLE"), (COUNT, "STATISTICS_TABLE")], ids=lambda one: str(one)[:10]
)
def test_a_missing_variable_shows_at_init(worker: Worker, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's name belongs to the environment: on Lambda it is asked for before any message is taken."""
    monkeypatch.delenv(variable, raising=False)
    (lasting,) = lasting_nodes(worker.needs)
    assert isinstance(lasting, Node)
    with pytest.raises(SettingError, match=variable):
        lasting.provider()


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with mock_aws():
        wire = Wire(client("dynamodb"))
        for name in ("activity", "statistics"):
            create_users_table(wire.client, name)
            monkeypatch.setenv(f"{name.upper()}_TABLE", name)
        yield wire


@contextmanager
def committed(dynamodb: Wire) -> Iterator[Effects]:
    """Commit effects without a job."""
    batches = Batches()
    yield Effects(batches)
    batches.close()
    _, effects = batches.staged()
    dynamodb.client.transact_write_items(TransactItems=[requested(one) for one in effects])


def day(back: int) -> str:
    return (datetime(2026, 11, 22, tzinfo=UTC) - timedelta(days=back)).date().isoformat()


def test_days_are_newest_first_and_end_where_asked(dynamodb: Wire) -> None:
    """Totals know all of it, days only those from a date on."""
    for back in (0, 1, 29, 30, 400):
        one = Activity(7, "login", f"{day(back)}T12:00:00.000000Z", f"job-{back}")
        with committed(dynamodb) as effects:
            Statistics(effects, "statistics").count(one)
    found = activity_tables().summary(7, day(29))
    assert list(found.days) == [day(0), day(1), day(29)]
    assert (found.total, found.actions) == (5, {"login": 5})


def test_first_and_last_are_those_of_the_log(dynamodb: Wire) -> None:
    """Jobs that are done in another order than they were accepted do not falsify them."""
    for hour in (12, 9, 15, 10):
        one = Activity(7, "login", f"2026-11-22T{hour:02}:00:00.000000Z", f"job-{hour}")
        with committed(dynamodb) as effects:
            ActivityLog(effects, "activity").add(one)
    found = activity_tables().summary(7, "2026-11-22")
    assert (found.first, found.last) == ("2026-11-22T09:00:00.000000Z", "2026-11-22T15:00:00.000000Z")


def test_statistics_of_many_actions_are_read_to_the_end(dynamodb: Wire) -> None:
    """A page of DynamoDB holds 1 MB; the totals of all pages are told."""
    tables = ActivityTables(Paged(dynamodb.client), "activity", "statistics")
    for number in range(7):
        one = Activity(7, f"action {number}", "2026-11-22T12:00:00.000000Z", "job")
        with committed(dynamodb) as effects:
            Statistics(effects, "statistics").count(one)
    found = tables.summary(7, "2026-11-22")
    assert found.total == 7
    assert len(found.days["2026-11-22"]) == 7


class Paged:
    """A client whose pages hold two items."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb

    def query(self, **request: Any) -> Any:
        return self._dynamodb.query(**{"Limit": 2} | request)


def test_tables_that_refuse_are_unavailable(dynamodb: Wire) -> None:
    """The refusal is said as Unavailable."""
    dynamodb.refuse("Query", "ProvisionedThroughputExceededException")
    with pytest.raises(Unavailable, match="DynamoDB did not take the request"):
        activity_tables().newest(7, 1)
