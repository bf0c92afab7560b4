"""Cancelling, retrying and downloading over HTTP, with the application's own tasks."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import catalog
import send_notification
from afterward import Discard, Results, injected
from afterward.aws import client
from afterward.dead_letters import DeadLetters
from afterward.in_process import Invocation
from afterward.worker import Worker
from tests.support.cloud import BUCKET, DEAD, TABLE
from tests.support.faults import Wire
from tests.support.gateway import BOB, Answer
from tests.unit.app.conftest import Deployed


def failing(recipient: catalog.Recipient, message: catalog.Message) -> None:
    """Fail for good."""
    raise Discard("no such inbox")


def storing(items_count: int, *, results: Results = injected) -> None:
    """Leave one object."""
    results.store("data.json", b'{"items": 3}', "application/json")


def added(deployed: Deployed) -> str:
    """Return the id of a job that waits on its queue."""
    answer = deployed.api.post("/send-notification/ada@example.com", message="hello")
    job_id: str = answer.json["task_id"]
    return job_id


def broken(deployed: Deployed) -> str:
    """Return the id of a job that has failed and is archived."""
    job_id = added(deployed)
    deployed.run(Worker(catalog.send_notification, failing))
    archive(deployed)
    return job_id


def archive(deployed: Deployed) -> None:
    """Hand the dead letters to their handler."""
    url = deployed.urls[DEAD]
    for message in deployed.sqs.client.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages", []):
        record = {
            "eventSource": "aws:sqs",
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
        }
        assert DeadLetters()({"Records": [record]}, Invocation(10)) == {"batchItemFailures": []}
        deployed.sqs.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def working() -> Worker:
    return Worker(catalog.send_notification, send_notification.deliver)


def problem(answer: Answer, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json
    assert said["status"] == status
    return said


# Cancel


def test_a_queued_task_is_cancelled(deployed: Deployed) -> None:
    """The answer is its status, the same each time, and nothing is delivered."""
    job_id = added(deployed)
    first, second = (deployed.api.post(f"/tasks/{job_id}/cancel") for _ in range(2))
    assert (first.status, second.status) == (200, 200)
    assert (first.json["status"], first.json["message"]) == ("cancelled", "Cancelled by its owner")
    assert first.json["reason"] == "cancelled by its owner"
    assert first.json == second.json == deployed.status(job_id)
    deployed.run(working())
    assert deployed.api.get("/users/ada@example.com/notifications").json == {"notifications": []}
    assert deployed.waiting("send_notification") == []


def test_a_task_that_has_ended_is_a_conflict(deployed: Deployed) -> None:
    """It says how it has ended."""
    job_id = added(deployed)
    deployed.run(working())
    said = problem(deployed.api.post(f"/tasks/{job_id}/cancel"), 409)
    assert said["detail"] == "The task is completed already, so it cannot be cancelled"


# Retry


def test_a_failed_task_runs_again(deployed: Deployed) -> None:
    """The answer is that of every route that adds a task, with the same id and its next run."""
    job_id = broken(deployed)
    answer = deployed.api.post(f"/tasks/{job_id}/retry")
    assert answer.status == 202
    assert (answer.headers["location"], answer.headers["retry-after"]) == (f"/tasks/{job_id}", "1")
    assert answer.json == {
        "message": f"Task {job_id} will run again",
        "task_id": job_id,
        "check_progress_url": f"/task-progress/{job_id}",
    }
    assert [deployed.status(job_id)[name] for name in ("status", "run", "reason")] == ["queued", 2, None]
    deployed.run(working())
    assert [deployed.status(job_id)[name] for name in ("status", "run")] == ["completed", 2]
    (line,) = deployed.api.get("/users/ada@example.com/notifications").json["notifications"]
    assert line["task_id"] == job_id


def test_a_task_that_has_not_failed_is_a_conflict(deployed: Deployed) -> None:
    """It says what the task is doing; to wait would not make it a retry."""
    answer = deployed.api.post(f"/tasks/{added(deployed)}/retry")
    assert problem(answer, 409)["detail"] == "The task is queued; only a failed or a cancelled one can be retried"
    assert "retry-after" not in answer.headers


def test_a_retry_that_is_too_early_says_when(deployed: Deployed) -> None:
    """The dead letter is still on its way to the archive."""
    job_id = added(deployed)
    deployed.run(Worker(catalog.send_notification, failing))
    answer = deployed.api.post(f"/tasks/{job_id}/retry")
    assert problem(answer, 409)["detail"] == "The task cannot be retried yet: its message is still on its way"
    assert answer.headers["retry-after"] == "2"
    archive(deployed)
    assert deployed.api.post(f"/tasks/{job_id}/retry").status == 202


# Faults


@pytest.mark.parametrize(("what", "said"), [("cancel", "cancelled"), ("retry", "queued again")])
def test_a_table_that_does_not_answer_is_a_503(deployed: Deployed, what: str, said: str) -> None:
    """It says what was not done, and the task is what it was."""
    job_id = added(deployed) if what == "cancel" else broken(deployed)
    before = deployed.status(job_id)
    deployed.dynamodb.refuse("UpdateItem", "ThrottlingException")
    answer = deployed.api.post(f"/tasks/{job_id}/{what}")
    assert problem(answer, 503)["detail"] == f"The task could not be {said}. Please try again."
    assert answer.headers["retry-after"] == "2"
    deployed.dynamodb.heal()
    assert deployed.status(job_id) == before
    assert deployed.api.post(f"/tasks/{job_id}/{what}").status in {200, 202}


def test_an_archive_that_does_not_answer_is_a_503(deployed: Deployed) -> None:
    """And not a task that is no longer kept."""
    job_id = broken(deployed)
    Wire(client("s3")).refuse("GetObject", "AccessDenied", status=403)
    answer = deployed.api.post(f"/tasks/{job_id}/retry")
    problem(answer, 503)
    assert answer.headers["retry-after"] == "30"


# Results


def left(deployed: Deployed) -> str:
    """Return the id of a job that has left an object."""
    deployed.api.post("/start-task/report", items_count=3)
    deployed.run(Worker(catalog.long_running_task, storing))
    return "report"


def test_a_result_is_named_and_led_to(deployed: Deployed) -> None:
    """By a link that is signed now, for five minutes, to be saved as a file; it is not to be kept by caches."""
    job_id = left(deployed)
    assert deployed.status(job_id)["results"] == ["data.json"]
    answer = deployed.api.get(f"/tasks/{job_id}/results/data.json")
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (303, b"", "no-store")
    link = urlsplit(answer.headers["location"])
    assert (link.scheme, link.netloc.split(".")[0]) == ("https", BUCKET)
    assert re.fullmatch(r"/results/[0-9a-f]{32}/report/1-1/data\.json", link.path)
    query = parse_qs(link.query)
    assert query["X-Amz-Expires"] == ["300"]
    assert query["response-content-disposition"] == ['attachment; filename="data.json"']
    stored = client("s3").get_object(Bucket=BUCKET, Key=link.path.removeprefix("/"))
    assert json.load(stored["Body"]) == {"items": 3}


@pytest.mark.parametrize("name", ["other.json", "..", "%2e%2e", "data.json%00", "a" * 100])
def test_an_unknown_result_is_not_found(deployed: Deployed, name: str) -> None:
    """Whatever it looks like."""
    answer = deployed.api.get(f"/tasks/{left(deployed)}/results/{name}")
    assert problem(answer, 404)["detail"] == "The task has no result of this name"


# Whose tasks

CALLS = [("POST", "cancel"), ("POST", "retry"), ("GET", "results/data.json")]


@pytest.mark.parametrize(("method", "what"), CALLS)
def test_a_task_of_somebody_else_is_not_found(deployed: Deployed, method: str, what: str) -> None:
    """And stays as it is; so is one that nobody has."""
    job_id = left(deployed)
    before = deployed.dynamodb.client.scan(TableName=TABLE)["Items"]
    for path in (f"/tasks/{job_id}/{what}", f"/tasks/unknown/{what}", f"/tasks/a%23b/{what}"):
        answer = deployed.api.caller(BOB).request(method, path)
        assert problem(answer, 404)["detail"] == "Task not found"
    assert deployed.dynamodb.client.scan(TableName=TABLE)["Items"] == before


@pytest.mark.parametrize(("method", "what"), CALLS)
def test_nobody_steers_anonymously(deployed: Deployed, method: str, what: str) -> None:
    """Without verified claims it is 401."""
    job_id = left(deployed)
    problem(deployed.api.caller(None).request(method, f"/tasks/{job_id}/{what}"), 401)


def test_the_documentation_says_what_may_happen(deployed: Deployed) -> None:
    """Each route names its answers."""
    paths = deployed.api.get("/openapi.json").json["paths"]
    said = {
        what: set(paths[f"/tasks/{{task_id}}/{what}"][method]["responses"])
        for what, method in (("cancel", "post"), ("retry", "post"), ("results/{name}", "get"))
    }
    assert said["cancel"] >= {"200", "404", "409"}
    assert said["retry"] >= {"202", "404", "409"}
    assert said["results/{name}"] >= {"303", "404"}
