"""POST /process/{name} and /safe-task/{user_id}: jobs one after the other, and a cleanup in any case."""

import asyncio
import hashlib
import json
from typing import Any

import pytest

import catalog
import cleanup
import process_data
import send_notification
import slow_task
from afterward import Chain, Discard, Status, Task
from afterward.background import DurableTasks
from afterward.dead_letters import DeadLetters
from afterward.depends import Overrides
from afterward.execution import Execution
from afterward.in_process import Invocation, as_record
from afterward.queues import Incoming
from afterward.testing import ManualClock, MemoryJobs
from afterward.worker import Worker
from process_data import made_up_data
from scratch import bucket_scratch
from slow_task import one_second
from tests.support.cloud import DEAD
from tests.support.gateway import Answer
from tests.unit.app.conftest import Deployed


def accepted(answer: Answer, message: str) -> str:
    assert (answer.status, answer.json["message"]) == (202, message), answer.body
    return str(answer.json["task_id"])


def refused(answer: Answer) -> list[Any]:
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json"), answer.body
    errors: list[Any] = answer.json["errors"]
    return errors


def worker(task: Task[...], implementation: Any, overrides: Overrides) -> Worker:
    made = Worker(task, implementation)
    made._execution = Execution(implementation, made.needs, overrides)
    return made


def slow(work: Any) -> Worker:
    return worker(catalog.slow_task, slow_task.work_slowly, {one_second: lambda: work})


def no_work(_second: int) -> None:
    """Take no time."""


CLEANUP = Worker(catalog.cleanup, cleanup.clean_up)


def test_a_chain_runs_in_order(deployed: Deployed) -> None:
    """Two slow tasks and a cleanup, each with its own record; each begins when the one before it is done."""
    first = accepted(deployed.api.post("/process/report"), "Processing started for report")
    (envelope,) = deployed.waiting("slow_task")
    second, last = (link["id"] for link in envelope["rest"])
    assert [one["task"] for one in envelope["rest"]] == ["slow_task", "cleanup"]
    assert [deployed.status(job)["status"] for job in (first, second, last)] == ["queued"] * 3
    worked: list[int] = []

    deployed.run(slow(worked.append))
    assert worked == [1, 2]
    assert [deployed.status(job)["status"] for job in (first, second, last)] == ["completed", "queued", "queued"]
    assert deployed.waiting("cleanup") == []

    deployed.run(slow(worked.append))
    assert worked == [1, 2, 1, 2, 3]
    assert deployed.objects("scratch/") == sorted(
        f"scratch/{envelope['owner']}/{first}/{job}" for job in (first, second)
    )

    deployed.run(CLEANUP)
    assert deployed.objects("scratch/") == []
    assert [deployed.status(job)["status"] for job in (first, second, last)] == ["completed"] * 3
    assert deployed.status(second)["message"] == "Task completed successfully"
    assert deployed.status(last)["message"] == "Scratch files deleted: 2"


def test_a_slow_task_tells_each_second(deployed: Deployed) -> None:
    """While it works a slow task's record says which second it is in."""
    first = accepted(deployed.api.post("/process/report"), "Processing started for report")
    seen: list[tuple[int, int, str]] = []

    def look(_second: int) -> None:
        status = deployed.status(first)
        seen.append((status["progress"], status["total"], status["message"]))

    deployed.run(slow(look))
    # The second report follows the first within a second, so it is written later.
    assert seen[0] == (0, 2, "Working, second 1 of 2")
    done = deployed.status(first)
    assert (done["progress"], done["total"]) == (2, 2)


def test_a_second_is_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a slow task spends each second with is a second."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    one_second()(1)
    assert slept == [1]


def test_a_broken_chain_is_cleaned_up(deployed: Deployed) -> None:
    """A slow task that fails stops the one behind it, which says why, and the cleanup still finds its file."""

    def fails(_second: int) -> None:
        raise Discard("the press is broken")

    first = accepted(deployed.api.post("/process/report"), "Processing started for report")
    (envelope,) = deployed.waiting("slow_task")
    second, last = (link["id"] for link in envelope["rest"])
    deployed.run(slow(fails))
    assert deployed.objects("scratch/") == [f"scratch/{envelope['owner']}/{first}/{first}"]
    deployed.run(CLEANUP)
    statuses = {job: deployed.status(job) for job in (first, second, last)}
    assert [one["status"] for one in statuses.values()] == ["failed", "cancelled", "completed"]
    assert statuses[first]["message"] == "Task failed: the press is broken"
    assert first in statuses[second]["reason"]
    assert deployed.objects("scratch/") == []
    assert deployed.waiting("slow_task") == []


@pytest.mark.parametrize("name", ["a%0Ab", "a%00b", "a" * 101, "a%E2%80%A8b"])
def test_a_name_is_one_line(deployed: Deployed, name: str) -> None:
    """What could not stand in one line of a log is 422, and nothing is promised."""
    assert refused(deployed.api.post(f"/process/{name}"))[0]["loc"] == ["path", "name"]
    assert deployed.records() == []


@pytest.mark.parametrize("seconds", [0, 6])
def test_a_slow_task_fits_its_invocation(seconds: int) -> None:
    """No declared call may take longer than its function's ten seconds allow with room to spare."""
    with pytest.raises(TypeError, match="`seconds`"):
        DurableTasks.in_memory().add_task(catalog.slow_task, "report", seconds)


DONE = "Tasks scheduled with error handling"


def test_a_safe_task_notifies_and_cleans_up(deployed: Deployed) -> None:
    """POST /safe-task/{user_id} delivers into the user's inbox, and then the cleanup runs."""
    job = accepted(deployed.api.post("/safe-task/7", message="tea is ready"), DONE)
    deployed.run(Worker(catalog.send_notification, send_notification.deliver))
    (line,) = deployed.api.get("/users/7/notifications").json["notifications"]
    assert (line["text"], line["task_id"]) == ("notification for 7: tea is ready", job)
    (envelope,) = deployed.waiting("cleanup")
    deployed.run(CLEANUP)
    assert deployed.status(envelope["id"])["message"] == "Scratch files deleted: 0"


def test_a_safe_task_can_be_another_one(deployed: Deployed) -> None:
    """`task=process_data` reports the checksum of the data, which is the same for everybody who computes it."""
    job = accepted(deployed.api.post("/safe-task/7", message="", task="process_data", data_id=7), DONE)
    deployed.run(Worker(catalog.process_data, process_data.process))
    expected = hashlib.sha256(hashlib.shake_128(b"7").digest(1_000_000)).hexdigest()
    assert deployed.status(job)["message"] == f"Data processed: 1000000 bytes, SHA-256 {expected}"
    assert deployed.waiting("send_notification") == []
    assert len(deployed.waiting("cleanup")) == 1


@pytest.mark.parametrize("data_id", [0, -5])
def test_a_bad_id_fails_the_job(deployed: Deployed, data_id: int) -> None:
    """A bad data_id is a failed status that names it, at the first attempt; the cleanup runs all the same."""
    job = accepted(deployed.api.post("/safe-task/7", message="", task="process_data", data_id=data_id), DONE)
    deployed.run(Worker(catalog.process_data, process_data.process))
    status = deployed.status(job)
    assert (status["status"], status["attempt"]) == ("failed", 1)
    assert status["message"] == f"Task failed: data_id must be 1 or more, got {data_id}"
    (envelope,) = deployed.waiting("cleanup")
    deployed.run(CLEANUP)
    assert deployed.status(envelope["id"])["status"] == "completed"


def test_an_unknown_task_is_refused(deployed: Deployed) -> None:
    """A name that is no task of this route is 422 in words that tell those that are, and nothing is promised."""
    (error,) = refused(deployed.api.post("/safe-task/7", message="x", task="process_everything"))
    assert error["loc"] == ["query", "task"]
    assert error["msg"] == "Input should be 'send_notification' or 'process_data'"
    assert deployed.records() == []


def test_data_needs_an_id(deployed: Deployed) -> None:
    """`task=process_data` without data_id is 422 and says what is missing."""
    (error,) = refused(deployed.api.post("/safe-task/7", message="x", task="process_data"))
    assert (error["loc"], error["type"]) == (["query", "data_id"], "missing")
    assert "process_data" in error["msg"]
    assert deployed.records() == []


@pytest.mark.parametrize("user_id", ["0", "-1", str(2**53), "ada", "1.5"])
def test_a_user_has_a_number(deployed: Deployed, user_id: str) -> None:
    """A user's id is a whole number from 1 that every JSON reader reads exactly."""
    assert refused(deployed.api.post(f"/safe-task/{user_id}", message="x"))[0]["loc"] == ["path", "user_id"]


def test_a_safe_task_needs_its_message(deployed: Deployed) -> None:
    """`message` has no default, as in the example."""
    (error,) = refused(deployed.api.post("/safe-task/7"))
    assert (error["loc"], error["type"]) == (["query", "message"], "missing")


def test_a_message_for_a_task_that_nobody_knows_fails_its_job(deployed: Deployed) -> None:
    """A job whose task this deployment does not have is archived, and its status names the task."""
    job = accepted(deployed.api.post("/safe-task/7", message="", task="process_data", data_id=7), DONE)
    (envelope,) = deployed.waiting("process_data")
    deliver(Worker(catalog.process_data, process_data.process), envelope | {"task": "process_everything"})
    deliver(DeadLetters(), *dead_letters(deployed))
    status = deployed.status(job)
    assert status["status"] == "failed"
    assert status["message"] == (
        "Task failed: the worker of process_data got a job of the task 'process_everything', which it does not know"
    )
    assert [one["task"] for one in deployed.waiting("cleanup")] == ["cleanup"]


def deliver(handler: Worker | DeadLetters, envelope: dict[str, Any], attributes: dict[str, str] | None = None) -> None:
    incoming = Incoming("message-1", "receipt", json.dumps(envelope), 1, 0, attributes or {})
    assert handler({"Records": [as_record(incoming)]}, Invocation(10)) == {"batchItemFailures": []}


def dead_letters(deployed: Deployed) -> tuple[dict[str, Any], dict[str, str]]:
    answer = deployed.sqs.client.receive_message(QueueUrl=deployed.urls[DEAD], MessageAttributeNames=["All"])
    (message,) = answer["Messages"]
    attributes = {name: one["StringValue"] for name, one in message["MessageAttributes"].items()}
    return json.loads(message["Body"]), attributes


class Files:
    """Scratch files in memory."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], str] = {}

    def leave(self, chain: Chain, job: str, text: str) -> None:
        self.files[chain.id, job] = text

    def clear(self, chain: Chain) -> int:
        gone = [key for key in self.files if key[0] == chain.id]
        for key in gone:
            del self.files[key]
        return len(gone)


def in_memory(monkeypatch: pytest.MonkeyPatch, files: Files, **overrides: Any) -> tuple[DurableTasks, MemoryJobs]:
    """The workers of this process with stand-ins: `work` for a slow task's seconds, `read` for data."""
    given: Overrides = {
        bucket_scratch: lambda: files,
        one_second: lambda: overrides.get("work", no_work),
        made_up_data: lambda: overrides.get("read"),
    }
    for handler in (slow_task.lambda_handler, cleanup.lambda_handler, process_data.lambda_handler):
        execution = Execution(handler.implementation, handler.needs, given)
        monkeypatch.setattr(handler, "_execution", execution)
    tasks = DurableTasks.in_memory(clock=ManualClock())
    return tasks, MemoryJobs(tasks)


def test_a_task_that_raises_fails_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that raises is tried three times; then its record says what was raised, and the cleanup has run."""

    def read(_data_id: int) -> bytes:
        raise OSError("the archive is closed")

    tasks, jobs = in_memory(monkeypatch, Files(), read=read)
    job = tasks.add_task(catalog.process_data, 7)
    last = tasks.add_task(catalog.cleanup.options(even_if_failed=True), "user 7")
    asyncio.run(jobs.publish_and_drain())
    record = jobs.record(job)
    assert (record.status, record.attempt) == (Status.FAILED, 3)
    assert record.message == "Task failed: OSError: the archive is closed"
    assert jobs.record(last).status is Status.COMPLETED


def test_another_attempt_leaves_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow task that is tried again leaves no second file, and its chain goes on."""
    files, failures = Files(), [OSError("not now")]

    def work(_second: int) -> None:
        if failures:
            raise failures.pop()

    tasks, jobs = in_memory(monkeypatch, files, work=work)
    job = tasks.add_task(catalog.slow_task, "report", 2)
    asyncio.run(jobs.publish_and_drain())
    assert (jobs.record(job).status, jobs.record(job).attempt) == (Status.COMPLETED, 2)
    assert files.files == {(job.id, job.id): "report: 2 s\n"}


def test_a_cleanup_leaves_other_chains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the jobs of its own chain have left is deleted."""
    files = Files()
    files.leave(Chain("another"), "job", "kept")
    tasks, jobs = in_memory(monkeypatch, files)
    tasks.add_task(catalog.slow_task, "report", 1)
    last = tasks.add_task(catalog.cleanup, "report")
    asyncio.run(jobs.publish_and_drain())
    assert files.files == {("another", "job"): "kept"}
    assert jobs.record(last).message == "Scratch files deleted: 1"


def test_a_chain_is_injected_by_its_type() -> None:
    """Slow task and cleanup are given the chain that they belong to, and no other parameter of theirs travels."""
    assert slow_task.lambda_handler.needs["chain"] is Chain
    assert list(catalog.cleanup.signature.parameters) == ["name"]
