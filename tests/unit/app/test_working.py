"""send_notification, long_running_task and the catalog."""

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from pydantic import TypeAdapter, ValidationError

import catalog
import long_running_task
import send_notification
from afterward import Status, Task, Unavailable, UsageError
from afterward.aws import client
from afterward.background import DurableTasks
from afterward.depends import Node
from afterward.errors import Continue
from afterward.execution import Execution
from afterward.in_process import Invocation
from afterward.testing import ManualClock, MemoryJobs, Trial
from inbox import Notification, table_inbox
from long_running_task import half_a_second, work_through
from tests.support.faults import Wire
from tests.unit.app.conftest import create_notifications_table


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with mock_aws():
        wire = Wire(client("dynamodb"))
        create_notifications_table(wire.client)
        monkeypatch.setenv("NOTIFICATIONS_TABLE", "notifications")
        yield wire


def items(dynamodb: Wire) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dynamodb.client.scan(TableName="notifications")["Items"]
    return found


def test_a_notification_is_delivered_once(dynamodb: Wire) -> None:
    """Another attempt of the same job writes the same line; another job writes its own."""
    for job_id in ("job-1", "job-1", "job-2"):
        Trial(job_id=job_id).run(send_notification.deliver, "ada", "tea is ready")
    lines = table_inbox().newest("ada", 10)
    assert [line.job for line in lines] == ["job-2", "job-1"]
    assert lines[0].text == "notification for ada: tea is ready"
    assert len(items(dynamodb)) == 2


def test_a_notification_does_not_stay_for_ever(dynamodb: Wire) -> None:
    """DynamoDB removes a line after 90 days."""
    Trial().run(send_notification.deliver, "ada", "tea is ready")
    (item,) = items(dynamodb)
    assert abs(int(item["expires"]["N"]) - time.time() - 90 * 86_400) < 60


def test_a_lost_reply_delivers_once(dynamodb: Wire) -> None:
    """A write whose reply was lost is repeated by botocore and changes nothing."""
    dynamodb.lose("PutItem")
    Trial().run(send_notification.deliver, "ada", "tea is ready")
    assert len(items(dynamodb)) == 1


@pytest.mark.parametrize("operation", ["PutItem", "Query"])
def test_an_inbox_that_refuses_is_unavailable(dynamodb: Wire, operation: str) -> None:
    """A refusal of the table is said as Unavailable, which the API answers with 503 and a worker tries again."""
    dynamodb.refuse(operation, "ThrottlingException")
    line = Notification("ada", "hello", "2026-11-22T14:00:00.000000Z", "job-1")
    inbox = table_inbox()
    with pytest.raises(Unavailable, match="DynamoDB did not take the request"):
        _ = inbox.newest("ada", 1) if operation == "Query" else inbox.deliver(line)  # type: ignore[func-returns-value]


def test_a_worker_keeps_its_inbox() -> None:
    """The inbox belongs to the environment: its client is made once for all jobs."""
    need = send_notification.lambda_handler.needs["inbox"]
    assert isinstance(need, Node)
    assert (need.provider, need.scope) == (table_inbox, "environment")


def slow_work(clock: ManualClock, done: list[int], fail_at: int = 0) -> Any:
    def work(item: int) -> None:
        clock.advance(0.5)
        if item == fail_at and done.count(item) == 0:
            done.append(item)
            raise OSError("the disk is full")
        done.append(item)

    return lambda: work


def test_a_long_task_says_where_it_is() -> None:
    """Progress starts with "Starting task...", names each item, and ends with the example's words."""
    clock, done = ManualClock(), list[int]()
    attempt = Trial(clock=clock, overrides={half_a_second: slow_work(clock, done)}).run(work_through, 6)
    assert done == [1, 2, 3, 4, 5, 6]
    assert attempt.messages[0] == "Starting task..."
    named = [message for message in attempt.messages if message.startswith("Processing item ")]
    assert named == [f"Processing item {item} of 6" for item in (2, 4, 6)]
    assert attempt.writes[-1] | {"checkpoint": None} == {
        "progress": 6,
        "total": 6,
        "message": "Task completed successfully",
        "checkpoint": None,
    }
    numbers = [write["progress"] for write in attempt.writes if "progress" in write]
    assert numbers == sorted(numbers)


def test_a_long_task_tells_developers_each_item(caplog: pytest.LogCaptureFixture) -> None:
    """A line of level DEBUG for each item as its work begins, whatever of the progress was written by then."""
    clock = ManualClock()
    with caplog.at_level(logging.DEBUG, "long_running_task"):
        Trial(clock=clock, overrides={half_a_second: slow_work(clock, [])}).run(work_through, 5)
    told = [vars(line) for line in caplog.records if line.name == "long_running_task"]
    assert [(line["levelname"], line["message"], line["item"]) for line in told] == [
        ("DEBUG", "processing", item) for item in range(1, 6)
    ]


def test_half_a_second_is_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one item costs is the example's half second."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    half_a_second()(1)
    assert slept == [0.5]


def long_jobs(
    monkeypatch: pytest.MonkeyPatch, done: list[int], fail_at: int = 0
) -> tuple[DurableTasks, MemoryJobs, ManualClock]:
    clock, worker = ManualClock(), long_running_task.lambda_handler
    overrides = {half_a_second: slow_work(clock, done, fail_at)}
    monkeypatch.setattr(worker, "_execution", Execution(worker.implementation, worker.needs, overrides))
    tasks = DurableTasks.in_memory(clock=clock)
    return tasks, MemoryJobs(tasks, seconds=10), clock


def test_a_long_task_outlives_its_invocation(monkeypatch: pytest.MonkeyPatch) -> None:
    """More items than fit ten seconds go on in the next invocations, each item once, and no attempt is used up."""
    done: list[int] = []
    tasks, jobs, clock = long_jobs(monkeypatch, done)
    job = tasks.add_task(catalog.long_running_task, 200)
    began = clock.now()
    asyncio.run(tasks.publish())
    seen = []
    while jobs.step():
        record = jobs.record(job)
        seen.append((record.progress, record.total, record.message))
        clock.advance(0)
    assert done == list(range(1, 201))
    assert 10 < len(seen) < 20
    assert [progress for progress, _, _ in seen] == sorted(progress for progress, _, _ in seen)
    assert all(total == 200 for _, total, _ in seen)
    record = jobs.record(job)
    assert (record.status, record.progress, record.message) == (Status.COMPLETED, 200, "Task completed successfully")
    assert clock.now() - began == 100
    assert record.limit - record.attempt == 4


def test_a_long_task_goes_on_behind_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that failed is tried again; those before it are not."""
    done: list[int] = []
    tasks, jobs, _ = long_jobs(monkeypatch, done, fail_at=3)
    job = tasks.add_task(catalog.long_running_task, 5)
    asyncio.run(jobs.publish_and_drain())
    assert done == [1, 2, 3, 3, 4, 5]
    assert (jobs.record(job).status, jobs.record(job).attempt) == (Status.COMPLETED, 2)


def test_a_trial_of_a_long_task_ends_with_continue() -> None:
    """In a trial of ten seconds a long task stops in time and leaves its checkpoint."""
    clock, done = ManualClock(), list[int]()
    with pytest.raises(Continue):
        Trial(clock=clock, seconds=10, overrides={half_a_second: slow_work(clock, done)}).run(work_through, 100)
    assert 10 < len(done) < 20


ADDRESSES = {
    "ada@example.com": True,
    "a@b": True,
    "first.last+tag@sub.example.co.uk": True,
    "!#$%&'*+/=?^_`{|}~-@example.com": True,
    "": False,
    "ada": False,
    "@example.com": False,
    "ada@": False,
    "ada@-example.com": False,
    "ada@example-.com": False,
    "ada@exa mple.com": False,
    "ada@example..com": False,
    "ada@example.com.": False,
    "ada@@example.com": False,
    " ada@example.com": False,
    "ada@example.com\n": False,
    f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 57}": True,
    f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 63}": False,
    f"ada@{'b' * 64}": False,
}


@pytest.mark.parametrize(("address", "valid"), ADDRESSES.items())
def test_an_address_is_what_browsers_take(address: str, valid: bool) -> None:
    """An e-mail address is valid as the HTML standard says, up to 254 characters."""
    check: TypeAdapter[str] = TypeAdapter(catalog.Email)
    if valid:
        assert check.validate_python(address) == address
    else:
        with pytest.raises(ValidationError):
            check.validate_python(address)


def declared() -> list[Task[...]]:
    return [one for one in vars(catalog).values() if isinstance(one, Task)]


def test_the_catalog_only_declares() -> None:
    """Every task of the catalog is a signature with a sentence about it, and can be tried again."""
    assert {one.name for one in declared()} >= {"send_notification", "send_email", "long_running_task"}
    for one in declared():
        assert one.body is None
        assert one.__doc__
        assert one.max_attempts > 1


def test_the_catalogs_arguments_are_checked_when_they_are_added() -> None:
    """Tasks check their arguments themselves, not only the routes that add them."""
    tasks = DurableTasks.in_memory()
    with pytest.raises(UsageError, match="`to_email`: It should be an e-mail address"):
        tasks.add_task(catalog.send_email, "nobody", "Hi", "there")
    with pytest.raises(UsageError, match="`subject`: It should be one line"):
        tasks.add_task(catalog.send_email, "ada@example.com", "Hi\r\nBcc: all@example.com", "there")
    with pytest.raises(UsageError, match="`items_count`: Input should be less than or equal to 10000"):
        tasks.add_task(catalog.long_running_task, 10_001)
    assert tasks.jobs == []


@pytest.mark.parametrize(
    "handler", [send_notification.lambda_handler, long_running_task.lambda_handler], ids=lambda one: one.task.name
)
def test_a_handler_takes_only_queue_messages(handler: Any) -> None:
    """Any other event is refused with a word about which it should be."""
    with pytest.raises(UsageError, match="this function takes SQS events"):
        handler.run({"detail-type": "Scheduled Event"}, Invocation(10), DurableTasks.in_memory().backend)
