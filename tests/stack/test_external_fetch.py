"""External data and webhooks in the local cloud, with servers on this machine that it was allowed to call."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from standardwebhooks import Webhook

from local.cloud import LocalCloud
from tests.stack.waiting import eventually
from tests.support.webserver import Connection, Request, WebServer, answer, web_server

ROOT = Path(__file__).parents[2]
DATA = b'{"rows": [1, 2, 3]}'


def serve(request: Request, connection: Connection) -> None:
    """Data on one path, a receiver of webhooks on others."""
    data = request.method == "GET" and request.target == "/data.json"
    body = answer(200, DATA, Content_Type="application/json") if data else answer(204 if request.body else 404)
    body(request, connection)


@pytest.fixture(scope="module")
def outside() -> Iterator[WebServer]:
    """The server that the local cloud may call."""
    with web_server(serve) as server:
        yield server


@pytest.fixture(scope="module")
def inside() -> Iterator[WebServer]:
    """A server on this machine that it may not call."""
    with web_server(serve) as server:
        yield server


@pytest.fixture(scope="module")
def application(outside: WebServer) -> Iterator[LocalCloud]:
    with LocalCloud(ROOT / "template.yaml", state=ROOT / ".local", allow_loopback=(outside.port, 9)) as running:
        yield running


def trigger(application: LocalCloud, data_url: str, webhook_url: str) -> dict[str, Any]:
    parameters = {"data_url": data_url, "webhook_url": webhook_url}
    response = httpx.post(f"{application.url}/trigger-external-fetch/7", params=parameters, timeout=20)
    assert response.status_code == 202, response.text
    body: dict[str, Any] = response.json()
    assert body["message"] == "External data fetch triggered for user 7"
    return body


def final(application: LocalCloud, job: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        body: dict[str, Any] = httpx.get(f"{application.url}/tasks/{job}").json()
        return body if body["status"] in {"completed", "failed", "cancelled"} else None

    found = eventually(look, 20)
    assert found
    return found


def hooked(application: LocalCloud, server: WebServer, path: str) -> dict[str, Any]:
    """Wait for the webhook on a path, and return it, verified with the deployed secret."""
    request = eventually(lambda: next((one for one in server.requests if one.target == path), None), 20)
    assert request
    arn = application.resources["WebhookSecret"]
    secret = application.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    Webhook(f"whsec_{secret}").verify(request.body, request.headers)
    body: dict[str, Any] = json.loads(request.body)
    return body


def test_data_is_fetched_and_its_webhook_sent(application: LocalCloud, outside: WebServer) -> None:
    """The data becomes the job's result, and the receiver learns of it in a message that it can verify."""
    path = f"/{uuid4().hex}"
    job = trigger(application, outside.url("/data.json", "localhost"), outside.url(path))["task_id"]
    done = final(application, job)
    assert (done["status"], done["message"]) == ("completed", f"Stored {len(DATA)} bytes of application/json")
    assert hooked(application, outside, path)["type"] == "external_fetch.completed"
    assert hooked(application, outside, path)["data"] == {
        "user_id": 7,
        "action": "external_fetch_triggered",
        "task_id": job,
        "status": "completed",
    }
    response = httpx.get(f"{application.url}/tasks/{job}/results/data.json", follow_redirects=True)
    assert response.content == DATA


def test_nothing_else_on_this_machine_is_called(application: LocalCloud, outside: WebServer, inside: WebServer) -> None:
    """Another port is refused, and the webhook tells which job failed."""
    path = f"/{uuid4().hex}"
    job = trigger(application, inside.url("/data.json?token=secret"), outside.url(path))["task_id"]
    done = final(application, job)
    assert (done["status"], done["attempt"]) == ("failed", 1)
    assert done["reason"].startswith("[IP_ADDRESS] may not be called: ")
    body = hooked(application, outside, path)
    assert body["type"] == "external_fetch.failed"
    assert (body["data"]["status"], body["data"]["failed_task_id"]) == ("failed", job)
    assert inside.requests == []
    assert not [line for line in application.logs if "token=secret" in line.text]


def test_the_allowed_ports_are_the_functions_only(application: LocalCloud, outside: WebServer) -> None:
    """What was allowed is a variable of functions, which template.yaml does not have."""
    variables = application.function_environment("SendWebhook")
    assert variables["OUTBOUND_ALLOW_LOOPBACK"] == f"{outside.port},9"
