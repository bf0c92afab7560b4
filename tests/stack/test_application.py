"""The application in the local cloud, used as its users do: over HTTP, with a mail server, and with `kill -9`."""

import email
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.cloud import LocalCloud
from tests.stack.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def application() -> Iterator[LocalCloud]:
    with LocalCloud(ROOT / "template.yaml", state=ROOT / ".local") as running:
        yield running


@pytest.fixture
def http(application: LocalCloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=application.url, timeout=20) as client:
        yield client


def accepted(response: httpx.Response) -> str:
    """Return the job's id; every 202 has the same shape."""
    assert response.status_code == 202, response.text
    body = response.json()
    assert body["check_progress_url"] == f"/task-progress/{body['task_id']}"
    assert response.headers["location"] == f"/tasks/{body['task_id']}"
    return str(body["task_id"])


def final(http: httpx.Client, job: str, within: float = 15) -> dict[str, Any]:
    """Wait until a job is final, and return all that is known of it."""

    def look() -> dict[str, Any] | None:
        body: dict[str, Any] = http.get(f"/tasks/{job}").json()
        return body if body["status"] in {"completed", "failed", "cancelled"} else None

    found = eventually(look, within)
    assert found
    return found


def archived(application: LocalCloud, prefix: str) -> list[dict[str, Any]]:
    """Return the dead letters under a prefix of the archive."""
    s3, bucket = application.client("s3"), application.resources["Bucket"]
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix=f"archive/{prefix}").get("Contents", [])]
    return [json.load(s3.get_object(Bucket=bucket, Key=key)["Body"]) for key in keys]


def test_a_notification_is_delivered(http: httpx.Client) -> None:
    """It lies in the recipient's inbox, in the words of FastAPI's example, under the job that delivered it."""
    recipient = f"{uuid4().hex}@example.com"
    job = accepted(http.post(f"/send-notification/{recipient}"))
    assert final(http, job)["message"] == "Task completed successfully"
    (line,) = http.get(f"/users/{recipient}/notifications").json()["notifications"]
    assert (line["text"], line["task_id"]) == (f"notification for {recipient}: some notification", job)


def test_a_mail_is_sent(application: LocalCloud, http: httpx.Client) -> None:
    """The server gets what was asked for, under a Message-ID that is the job's."""
    subject = f"Grüße {uuid4().hex}"
    parameters = {"to_email": "ada@example.com", "subject": subject, "body": "Hello Ada"}
    job = accepted(http.post("/send-email/", params=parameters))
    assert final(http, job)["status"] == "completed"
    messages = [email.message_from_bytes(mail.content, policy=email.policy.default) for mail in application.mails]
    (message,) = [one for one in messages if one["Subject"] == subject]
    assert message["To"] == "ada@example.com"
    assert message["Message-ID"].startswith(f"<{job}@")
    assert message.get_content().strip() == "Hello Ada"


def test_a_killed_worker_is_replaced(application: LocalCloud, http: httpx.Client) -> None:
    """A long task whose process is killed goes on where it was, in another process, and its progress never falls."""
    # As deployed the message comes back after 60 seconds; here, sooner than the lease ends, which has to be waited for.
    queue = application.resources["LongRunningTaskQueue"]
    application.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "4"})
    job = f"killed-{uuid4().hex}"
    assert accepted(http.post(f"/start-task/{job}", params={"items_count": 8})) == job
    seen: list[int] = []

    def progress(least: int) -> bool:
        body = http.get(f"/task-progress/{job}").json()
        assert body["total"] in {None, 8}
        seen.append(body["progress"])
        return bool(body["progress"] >= least)

    eventually(lambda: progress(3))
    (pid,) = application.processes("LongRunningTask")
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: progress(8), within=40)
    done = final(http, job)
    assert seen == sorted(seen)
    assert (done["status"], done["progress"], done["attempt"]) == ("completed", 8, 2)
    assert application.processes("LongRunningTask") != [pid]


def test_more_than_an_invocation_takes(application: LocalCloud, http: httpx.Client) -> None:
    """A task longer than its function's timeout goes on in the next invocation, which is no failed attempt."""
    assert (
        application.client("lambda").get_function_configuration(FunctionName=application.resources["LongRunningTask"])[
            "Timeout"
        ]
        == 10
    )
    job = f"long-{uuid4().hex}"
    accepted(http.post(f"/start-task/{job}", params={"items_count": 22}))
    done = final(http, job, within=40)
    assert (done["status"], done["progress"], done["message"]) == ("completed", 22, "Task completed successfully")
    assert done["attempt"] > 1
    assert done["reason"] is None


def test_poison_costs_only_itself(application: LocalCloud, http: httpx.Client) -> None:
    """A message that is no job is archived with the reason, and the jobs around it are done."""
    body = f"no envelope {uuid4().hex}"
    sqs, queue = application.client("sqs"), application.resources["SendNotificationQueue"]
    before = accepted(http.post("/send-notification/ada@example.com"))
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    after = accepted(http.post("/send-notification/ada@example.com"))
    assert [final(http, job)["status"] for job in (before, after)] == ["completed", "completed"]
    letter = eventually(
        lambda: next((one for one in archived(application, "unreadable/") if one["body"] == body), None)
    )
    assert letter
    assert "not JSON" in letter["reason"]


def test_a_used_id_is_refused(http: httpx.Client) -> None:
    """The second start under one id is 409 as problem+json, and the first one's job is not disturbed."""
    job = f"used-{uuid4().hex}"
    accepted(http.post(f"/start-task/{job}", params={"items_count": 1}))
    again = http.post(f"/start-task/{job}", params={"items_count": 1})
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    assert again.json()["detail"] == "Task with this ID already exists"
    assert final(http, job)["progress"] == 1


def test_errors_are_problems(http: httpx.Client) -> None:
    """An unknown id is 404 and a count out of range 422, both problem+json."""
    unknown = http.get("/task-progress/unknown")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "Task not found")
    for count in (0, 10_001):
        response = http.post("/start-task/never", params={"items_count": count})
        assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert http.get("/tasks/never").status_code == 404


def test_lines_name_their_job(application: LocalCloud, http: httpx.Client) -> None:
    """A worker's line names its job and its task."""
    job = accepted(http.post("/send-notification/ada@example.com"))
    final(http, job)

    def line() -> Mapping[str, Any] | None:
        fields = [one.fields for one in application.logs if one.source == "SendNotification" and one.fields]
        return next((one for one in fields if one.get("job_id") == job), None)

    found = eventually(line)
    assert found
    assert (found["message"], found["task"], found["level"]) == ("completed", "send_notification", "INFO")
