"""What the application asks of other servers: data to fetch, and somebody to tell."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from local.cloud import LocalCloud
from tests.stack.waiting import eventually
from tests.support.webserver import Request, WebServer, answer, web_server

ROOT = Path(__file__).parents[2]
REPORT = b'{"reports": [1, 2, 3]}'


@dataclass(frozen=True, slots=True)
class Outside:
    """The application in a cloud that may call two servers of this machine."""

    cloud: LocalCloud
    http: httpx.Client
    data: WebServer
    hooks: WebServer

    def post(self, path: str, **query: str | int) -> str:
        response = self.http.post(path, params=query)
        assert response.status_code == 202, response.text
        return str(response.json()["task_id"])

    def final(self, job: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            body: dict[str, Any] = self.http.get(f"/tasks/{job}", headers={"Prefer": "wait=5"}).json()
            return body if body["status"] in {"completed", "failed", "cancelled"} else None

        return eventually(look, within=30) or {}

    def hook(self, job: str) -> Request:
        """Wait for the webhook that tells of a job."""
        return (
            eventually(lambda: next((one for one in self.hooks.requests if job.encode() in one.body), None), 20)
            or (self.hooks.requests[0])
        )

    def verified(self, hook: Request) -> dict[str, Any]:
        """Read a webhook as its receiver does."""
        secret = self.cloud.client("secretsmanager").get_secret_value(SecretId=self.cloud.resources["WebhookSecret"])
        read: dict[str, Any] = Webhook(f"whsec_{secret['SecretString']}").verify(hook.body, hook.headers)
        return read


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with (
        web_server(answer(200, REPORT, content_type="application/json")) as data,
        web_server(answer(204)) as hooks,
        LocalCloud(ROOT / "template.yaml", state=ROOT / ".local", allow_loopback=(data.port, hooks.port)) as cloud,
        httpx.Client(base_url=cloud.url, timeout=20) as http,
    ):
        yield Outside(cloud, http, data, hooks)


def test_data_is_fetched_kept_and_told_of(outside: Outside) -> None:
    """The body lies in S3 behind a fresh link, and the webhook is signed for its receiver."""
    job = outside.post(
        "/trigger-external-fetch/7", data_url=outside.data.url("/r.json"), webhook_url=outside.hooks.url()
    )
    done = outside.final(job)
    assert (done["status"], done["results"]) == ("completed", ["data.json"])
    link = outside.http.get(f"/tasks/{job}/results/data.json")
    assert link.status_code == 303
    assert httpx.get(link.headers["location"]).content == REPORT
    told = outside.verified(outside.hook(job))
    assert told["type"] == "external_fetch.completed"
    assert told["data"] == {
        "user_id": 7,
        "action": "external_fetch_triggered",
        "task_id": job,
        "status": "completed",
    }


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]:1/", "http://2130706433:1/"],
)
def test_what_must_not_be_called_is_not(outside: Outside, url: str) -> None:
    """The job has failed and says why, and the webhook behind it says that it has."""
    job = outside.post("/trigger-external-fetch/7", data_url=url, webhook_url=outside.hooks.url())
    done = outside.final(job)
    assert (done["status"], done["attempt"]) == ("failed", 1)
    assert done["message"].startswith("Task failed: ")
    told = outside.verified(outside.hook(job))
    assert (told["type"], told["data"]["failed_task_id"]) == ("external_fetch.failed", job)


def test_a_callback_tells_of_any_job(outside: Outside) -> None:
    """It carries the id, the task and the status, and nothing of what the task was given."""
    job = outside.post(
        "/send-notification/ada@example.com", message="secret words", callback_url=outside.hooks.url("/cb")
    )
    hook = outside.hook(job)
    told = outside.verified(hook)
    assert (told["type"], told["data"]) == (
        "task.completed",
        {"task": "send_notification", "task_id": job, "status": "completed"},
    )
    assert b"ada" not in hook.body
    assert b"secret" not in hook.body


def test_a_callback_waits_for_the_last_job(outside: Outside) -> None:
    """Of a chain that fails it tells when the cleanup behind the failure is done."""
    job = outside.post(
        "/safe-task/7", message="", task="process_data", data_id=0, callback_url=outside.hooks.url("/chain")
    )
    told = outside.verified(outside.hook(job))
    assert (told["type"], told["data"]["failed_task_id"]) == ("task.failed", job)
    progress = outside.http.get(f"/task-progress/{job}").json()
    assert (progress["status"], progress["progress"], progress["total"]) == ("failed", 2, 2)


def test_a_lost_reply_is_repeated_by_its_key(outside: Outside) -> None:
    """The same 202 again, and one job; without the key the id is in use."""
    key = {"Idempotency-Key": "lost-reply"}
    first, again = (outside.http.post("/start-task/repeated?items_count=1", headers=key) for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.headers["location"] == again.headers["location"]
    assert outside.http.post("/start-task/repeated?items_count=1").status_code == 409
    assert outside.final("repeated")["attempt"] == 1
    assert json.loads(first.content)["message"] == "Task repeated started"
