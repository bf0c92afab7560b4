"""The application in the local cloud, used as its users do: over HTTP, with a mail server, and with `kill -9`."""

import email
import json
import os
import signal
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.message import EmailMessage
from itertools import pairwise
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


def final(http: httpx.Client, job: str, within: float = 45) -> dict[str, Any]:
    """Wait until a job is final, and return all that is known of it."""

    def look() -> dict[str, Any] | None:
        body: dict[str, Any] = http.get(f"/tasks/{job}").json()
        return body if body["status"] in {"completed", "failed", "cancelled"} else None

    found = eventually(look, within)
    assert found
    return found


def newest(http: httpx.Client, count: int) -> list[dict[str, Any]]:
    """Return the jobs that were accepted last, those of one request in any order."""
    jobs: list[dict[str, Any]] = http.get("/tasks", params={"limit": count}).json()["tasks"]
    assert len(jobs) == count
    return jobs


def mails(application: LocalCloud) -> list[EmailMessage]:
    return [email.message_from_bytes(mail.content, policy=email.policy.default) for mail in application.mails]


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
    (message,) = [one for one in mails(application) if one["Subject"] == subject]
    assert message["To"] == "ada@example.com"
    assert message["Message-ID"].startswith(f"<{job}@")
    assert message.get_content().strip() == "Hello Ada"


def test_a_killed_worker_is_replaced(application: LocalCloud, http: httpx.Client) -> None:
    """A long task whose process is killed goes on where it was, in another process, and its progress never falls."""
    job = f"killed-{uuid4().hex}"
    assert accepted(http.post(f"/start-task/{job}", params={"items_count": 12})) == job
    seen: list[int] = []

    def progress(least: int) -> bool:
        body = http.get(f"/task-progress/{job}").json()
        assert body["total"] in {None, 12}
        seen.append(body["progress"])
        return bool(body["progress"] >= least)

    eventually(lambda: progress(6))
    killed = application.processes("LongRunningTask")
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: progress(12), within=40)
    done = final(http, job)
    assert seen == sorted(seen)
    assert (done["status"], done["progress"], done["attempt"]) == ("completed", 12, 2)
    assert not {*killed} & {*application.processes("LongRunningTask")}


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


def test_a_chain_runs_in_order(application: LocalCloud, http: httpx.Client) -> None:
    """At no moment does a job of /process run before the one before it is done; its scratch files are gone at last."""
    first = accepted(http.post("/process/report"))
    tasks = {one["task_id"]: one["task"] for one in newest(http, 3)}
    (second,) = [job for job, task in tasks.items() if task == "slow_task" and job != first]
    (last,) = [job for job, task in tasks.items() if task == "cleanup"]
    seen: list[tuple[str, ...]] = []
    progress: list[int] = []

    def over() -> bool:
        # The last one first: what a job is seen to be then holds while those before it are looked at.
        statuses = {job: http.get(f"/tasks/{job}").json()["status"] for job in (last, second, first)}
        seen.append(tuple(statuses[job] for job in (first, second, last)))
        progress.append(http.get(f"/task-progress/{first}").json()["progress"])
        return bool(statuses[last] == "completed")

    assert eventually(over, within=40)
    for statuses in seen:
        assert all(before == "completed" for before, after in pairwise(statuses) if after != "queued"), statuses
    assert {("running", "queued", "queued"), ("completed", "running", "queued")} <= {*seen}
    assert progress == sorted(progress)
    assert http.get(f"/task-progress/{first}").json() == {
        "status": "completed",
        "progress": 3,
        "total": 3,
        "message": "cleanup (3 of 3): Scratch files deleted: 2",
    }
    ended = [datetime.fromisoformat(final(http, job)["updated_at"]) for job in (first, second)]
    assert (ended[1] - ended[0]).total_seconds() >= 3
    s3, bucket = application.client("s3"), application.resources["Bucket"]
    assert s3.list_objects_v2(Bucket=bucket, Prefix="scratch/")["KeyCount"] == 0


def test_a_safe_task_tells_what_was_wrong(http: httpx.Client) -> None:
    """A bad id is a failed status in words, a good one a result; the cleanup behind either of them runs."""
    for data_id, status, message in [
        (0, "failed", "Task failed: data_id must be 1 or more, got 0"),
        (7, "completed", "Data processed: 1000000 bytes, SHA-256 "),
    ]:
        job = accepted(http.post("/safe-task/7", params={"message": "", "task": "process_data", "data_id": data_id}))
        (cleanup,) = [one["task_id"] for one in newest(http, 2) if one["task"] == "cleanup"]
        done = final(http, job)
        assert (done["status"], done["message"][: len(message)]) == (status, message)
        assert final(http, cleanup)["status"] == "completed"


def test_a_safe_task_notifies(http: httpx.Client) -> None:
    """Without a name of a task the message is delivered into the user's inbox."""
    text = uuid4().hex
    job = accepted(http.post("/safe-task/7", params={"message": text}))
    assert final(http, job)["status"] == "completed"
    lines = http.get("/users/7/notifications").json()["notifications"]
    assert (f"notification for 7: {text}", job) in [(line["text"], line["task_id"]) for line in lines]


def test_actions_of_a_user_are_counted(http: httpx.Client) -> None:
    """The statistics know each of them once, and the log shows them newest first."""
    user = uuid4().int % 2**50 + 1
    jobs = [
        accepted(http.post(f"/user/{user}/action", params={"action": action})) for action in ("login", "a", "login")
    ]
    eventually(lambda: http.get(f"/users/{user}/statistics").json()["total"] == 3)
    told = http.get(f"/users/{user}/statistics").json()
    lines = http.get(f"/users/{user}/activity").json()["activity"]
    assert told["actions"] == {"login": 2, "a": 1}
    assert [line["task_id"] for line in lines] == jobs[::-1]
    assert (told["first_at"], told["last_at"]) == (lines[-1]["created_at"], lines[0]["created_at"])


def test_copies_of_a_message_count_once(application: LocalCloud, http: httpx.Client) -> None:
    """Ten deliveries of one job to functions of their own processes."""
    user, job = uuid4().int % 2**50 + 1, str(uuid4())
    event = json.loads((ROOT / "events" / "update_statistics.one.json").read_text())
    envelope = json.loads(event["Records"][0]["body"])
    envelope |= {"id": job, "chain": job, "arguments": {"user_id": user, "action": "login"}}
    sqs, queue = application.client("sqs"), application.resources["UpdateStatisticsQueue"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(envelope))
    eventually(lambda: http.get(f"/users/{user}/statistics").json()["total"] == 1)
    for _ in range(9):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(envelope))
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def empty() -> bool:
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
        return all(attributes[name] == "0" for name in counts)

    eventually(empty)
    assert http.get(f"/users/{user}/statistics").json()["actions"] == {"login": 1}


def test_an_action_is_logged_and_mailed(application: LocalCloud, http: httpx.Client) -> None:
    """The user's activity shows the action under its job, and the user has one mail about it."""
    action = f"login {uuid4().hex}"
    job = accepted(http.post("/action/7", params={"action": action}))
    assert final(http, job)["status"] == "completed"
    lines = http.get("/users/7/activity").json()["activity"]
    assert (f"User 7 performed {action}", job) in [(line["text"], line["task_id"]) for line in lines]
    (message,) = [one for one in mails(application) if one.get_content().strip() == f"You performed: {action}"]
    assert (message["To"], message["Subject"]) == ("user7@example.com", "Action Performed")
    assert message["Message-ID"].startswith(f"<{job}@")
