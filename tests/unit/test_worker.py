"""Batches: what a worker makes of an SQS event, and the partial batch response."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from afterward.backend import Backend
from afterward.errors import SettingError, UsageError
from afterward.event import GiveBack, messages, settle_all
from afterward.in_process import Invocation, as_record
from afterward.job import Status
from afterward.memory import MemoryQueues
from afterward.queues import MESSAGE_LIMIT, Incoming
from afterward.testing import START, ManualClock
from tests.support.cloud import Cloud
from tests.support.jobs import FIRST, deliver, envelope, run, send, standing, worker
from tests.support.line import Works

DOCUMENTED = {
    "Records": [
        {
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": "Test message.",
            "attributes": {
                "ApproximateReceiveCount": "3",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {
                "reason": {"stringValue": "no", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
                "blob": {"binaryValue": "AAE=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
            },
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
            "awsRegion": "us-east-2",
        }
    ]
}
"""Lambda's own example, with message attributes."""


def event_of(*bodies: str) -> dict[str, Any]:
    return {"Records": [as_record(Incoming(body, f"r-{body}", body, 1, START, {})) for body in bodies]}


def given_back(message: Incoming) -> None:
    raise GiveBack(message)


def test_an_event_is_read_as_lambda_documents_it() -> None:
    """Counts and times are numbers, attributes are text."""
    assert list(messages(DOCUMENTED)) == [
        Incoming(
            id="059f36b4-87a3-44ab-83d2-661975830a7d",
            receipt="AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            body="Test message.",
            receives=3,
            sent=1545082649.183,
            attributes={"reason": "no", "blob": ""},
        )
    ]


def test_a_message_survives_the_shape_of_an_event() -> None:
    """What runs in process sees what runs on Lambda."""
    message = Incoming("id", "receipt", "body", 4, 1545082649.5, {"reason": "no"})
    assert list(messages({"Records": [as_record(message)]})) == [message]


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        None,
        {"Records": None},
        {"Records": ["text"]},
        {"Records": [{"eventSource": "aws:s3"}]},
        {"Records": [{"EventSource": "aws:sns"}]},
        {"version": "2.0", "routeKey": "POST /"},
    ],
)
def test_an_event_of_another_source_is_refused(event: Any) -> None:
    """A trigger that was wired wrongly says so, and loses nothing."""
    with pytest.raises(UsageError, match="this function takes SQS events"):
        settle_all(event, given_back)


def test_an_empty_batch_is_settled() -> None:
    """With an empty answer."""
    assert settle_all({"Records": []}, given_back) == {"batchItemFailures": []}


def test_what_one_message_raises_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    """It stays on its queue, and so does what was given back; the others are done with."""

    def settle(message: Incoming) -> None:
        if message.body == "raises":
            raise OSError("unexpected")
        if message.body == "given back":
            raise GiveBack

    answer = settle_all(event_of("fine", "raises", "given back", "last"), settle)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "raises"}, {"itemIdentifier": "given back"}]}
    assert [one.levelname for one in caplog.records] == ["ERROR"]


# Batches of a worker


def jobs(using: Backend, *names: str) -> None:
    send(using, *(envelope(job_id=name, arguments={"text": name}) for name in names))


def test_the_jobs_of_a_batch_run_one_after_the_other(memory: Backend, clock: ManualClock) -> None:
    """Each is claimed just before it runs, so that none holds a lease while it waits."""
    seen: list[tuple[str, float]] = []

    def work(text: str) -> None:
        seen.append((text, clock.now() - START))
        clock.advance(1)

    jobs(memory, "a", "b", "c")
    run(worker(FIRST, work), memory, batch=10, seconds=60)
    assert seen == [("a", 0), ("b", 1), ("c", 2)]
    assert standing(memory, "c").updated == "2026-11-18T11:06:43.000000Z"


def test_a_failure_in_a_batch_is_given_back_alone(memory: Backend) -> None:
    """The others of its batch are completed."""

    def work(text: str) -> None:
        if text == "b":
            raise OSError("no")

    jobs(memory, "a", "b", "c")
    run(worker(FIRST, work), memory, batch=10)
    assert [standing(memory, name).status for name in "abc"] == [Status.COMPLETED, Status.QUEUED, Status.COMPLETED]
    assert isinstance(memory.queues, MemoryQueues)
    assert [json.loads(one.body)["id"] for one in memory.queues.waiting(FIRST)] == ["b"]


@pytest.mark.parametrize("error", [None, OSError("no")])
def test_what_does_not_fit_any_more_is_given_back_unclaimed(
    memory: Backend, clock: ManualClock, error: OSError | None
) -> None:
    """Without an attempt, and at once; a job that fails after its time counts like one that succeeds."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)
        clock.advance(4)
        if error:
            raise error

    jobs(memory, "a", "b", "c")
    run(worker(FIRST, work), memory, batch=10, seconds=10)
    assert seen == ["a", "b"]
    assert memory.records.get("", "c") is None
    clock.advance(100)
    while run(worker(FIRST, work), memory, batch=10, seconds=10):
        clock.advance(100)
    assert seen.count("c") == (3 if error else 1)


def test_a_batch_of_small_jobs_ends_with_a_second_to_spare(memory: Backend, clock: ManualClock) -> None:
    """However fast the jobs are."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)
        clock.advance(0.3)

    names = [f"job-{index}" for index in range(10)]
    jobs(memory, *names)
    run(worker(FIRST, work), memory, batch=10, seconds=2)
    assert len(seen) == 4


def test_a_poisoned_message_does_not_block_its_batch(memory: Backend) -> None:
    """It becomes a dead letter, the jobs around it run."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)

    jobs(memory, "a", "b")
    assert isinstance(memory.queues, MemoryQueues)
    first, second = memory.queues.receive(FIRST, 10)
    poison = Incoming("poison", "r", "\x00", 1, START, {})
    assert deliver(worker(FIRST, work), memory, first, poison, second) == []
    assert seen == ["a", "b"]


def test_one_job_twice_in_a_batch_runs_once(memory: Backend) -> None:
    """The second message finds it finished."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)

    jobs(memory, "a", "a")
    run(worker(FIRST, work), memory, batch=10)
    assert seen == ["a"]


def test_giving_back_survives_a_queue_that_does_not_answer(cloud: Cloud, clock: ManualClock) -> None:
    """SQS brings the message back by itself."""

    def work(text: str) -> None:
        clock.advance(8)

    jobs(cloud.backend, "a", "b")
    received = cloud.waiting(FIRST)
    cloud.sqs.cut("ChangeMessageVisibility")
    assert deliver(worker(FIRST, work), cloud.backend, *received) == [received[1].id]
    assert cloud.item("", "b") is None


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_a_table_that_does_not_answer_is_asked_for_one_message_of_a_batch(
    cloud: Cloud, clock: ManualClock, code: str
) -> None:
    """The others stay hidden as long as their queue says: to come at once would only bring them to the dead letters."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)

    names = [f"job-{index}" for index in range(10)]
    jobs(cloud.backend, *names)
    received = cloud.waiting(FIRST)
    cloud.dynamodb.refuse("UpdateItem", code)
    assert deliver(worker(FIRST, work), cloud.backend, *received, seconds=60) == [one.id for one in received]
    assert cloud.sqs.counts["ChangeMessageVisibility"] == 0
    assert len({body["Key"]["pk"]["S"] for body in cloud.dynamodb.bodies("UpdateItem")}) == 1
    cloud.dynamodb.heal()
    clock.advance(60)
    assert deliver(worker(FIRST, work), cloud.backend, *received, seconds=60) == []
    assert sorted(seen) == names


def test_what_one_message_cannot_have_keeps_no_other_from_running(cloud: Cloud) -> None:
    """S3 refuses the envelope of one; the others of its batch need nothing from there."""
    works = Works()
    send(cloud.backend, envelope(job_id="large", arguments={"text": "x" * MESSAGE_LIMIT}))
    jobs(cloud.backend, "job-2", "job-3")
    received = sorted(cloud.waiting(FIRST), key=lambda one: "stored" not in one.body)
    cloud.s3.refuse("GetObject", "AccessDenied", status=403)
    assert deliver(works.workers[0], cloud.backend, *received) == [received[0].id]
    assert len(works.ran) == 2


# The process


def nothing(text: str) -> None:
    """Do nothing."""


@contextmanager
def restored_logging() -> Iterator[None]:
    """Let a test configure the root logger as Lambda has it, and put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level


def test_a_worker_takes_the_processes_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Lambda on first use: a test or a local import needs no variables."""
    handler = worker(FIRST, nothing)
    monkeypatch.setenv("AFTERWARD_STORE", "memory")
    assert handler({"Records": []}, Invocation()) == {"batchItemFailures": []}


def test_a_worker_on_lambda_reads_its_settings_at_init(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing one fails the deployment's first init, not its first job."""
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    with restored_logging(), pytest.raises(SettingError, match="AFTERWARD_JOBS_TABLE"):
        worker(FIRST, nothing)


def test_lines_are_json_with_their_job_on_lambda(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], memory: Backend
) -> None:
    """Of every logger, the task's own included."""

    def work(text: str) -> None:
        logging.getLogger("anybody").warning("from the task")

    for name in ("AFTERWARD_JOBS_TABLE", "AFTERWARD_BUCKET"):
        monkeypatch.setenv(name, "name")
    monkeypatch.setenv("AFTERWARD_DEAD_LETTER_QUEUE", "https://queue")
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    with restored_logging():
        handler = worker(FIRST, work)
        jobs(memory, "a")
        run(handler, memory)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = [line for line in lines if line["message"] == "from the task"]
    assert (line["level"], line["job_id"], line["task"], line["request_id"]) == ("WARNING", "a", FIRST, "in-process")
    assert "message_id" in line
    assert lines[-1]["message"] == "completed"


def test_the_responses_shape_is_what_lambda_takes(memory: Backend) -> None:
    """ReportBatchItemFailures reads exactly this."""

    def work(text: str) -> None:
        raise OSError("no")

    jobs(memory, "a")
    assert isinstance(memory.queues, MemoryQueues)
    (message,) = memory.queues.receive(FIRST)
    answer: Mapping[str, Any] = worker(FIRST, work).run({"Records": [as_record(message)]}, Invocation(), memory)
    assert json.loads(json.dumps(answer)) == {"batchItemFailures": [{"itemIdentifier": message.id}]}
