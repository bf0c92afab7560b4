"""`callback_url`: a webhook behind whatever a request has added."""

from typing import Any

import pytest

import send_notification
from tests.unit.app.conftest import Deployed

URL = "https://hooks.example.com/done"

ACCEPTING = [
    ("/send-notification/ada@example.com", {}),
    ("/send-email/", {"to_email": "ada@example.com", "subject": "Hello", "body": "Ada"}),
    ("/start-task/mine", {"items_count": 1}),
    ("/process/report", {}),
    ("/user/7/action", {"action": "login"}),
    ("/trigger-external-fetch/7", {"data_url": "https://a.example/", "webhook_url": "https://b.example/"}),
    ("/safe-task/7", {"message": "hello"}),
    ("/action/7", {"action": "login"}),
]


def envelope(deployed: Deployed) -> dict[str, Any]:
    """The one message that a request has sent, whichever task it is for."""
    (found,) = [one for task in deployed.urls if task != "dead-letters" for one in deployed.waiting(task)]
    return found


@pytest.mark.parametrize(("path", "query"), ACCEPTING)
def test_every_accepting_route_calls_back(deployed: Deployed, path: str, query: dict[str, Any]) -> None:
    """The webhook is the last link of what was added, and no part of the chain that the client asked for."""
    answer = deployed.api.request("POST", path, query=query | {"callback_url": URL})
    assert answer.status == 202, answer.body
    sent = envelope(deployed)
    (*_, last) = sent["rest"]
    assert (last["task"], last["callback"]) == ("send_webhook", True)
    assert last["arguments"] == {"url": URL, "event": "task", "data": {"task": sent["task"]}}
    assert sent["links"] == len(sent["rest"])
    assert answer.json["task_id"] == sent["id"]
    assert answer.headers["location"] == f"/tasks/{sent['id']}"


@pytest.mark.parametrize(("path", "query"), ACCEPTING)
def test_without_an_address_nobody_is_told(deployed: Deployed, path: str, query: dict[str, Any]) -> None:
    """Nothing is added that the route does not say."""
    assert deployed.api.request("POST", path, query=query).status == 202
    assert all(not link["callback"] for link in envelope(deployed)["rest"])


@pytest.mark.parametrize("url", ["ftp://example.com/", "https://user:password@example.com/", "example.com", ""])
def test_an_address_that_is_none_is_refused(deployed: Deployed, url: str) -> None:
    """422 before anything is added."""
    answer = deployed.api.post("/send-notification/ada@example.com", callback_url=url)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert deployed.waiting("send_notification") == []


def test_a_finished_job_calls_back(deployed: Deployed) -> None:
    """Its worker hands over to the webhook's, and the job is completed whatever becomes of that."""
    job_id = deployed.api.post("/send-notification/ada@example.com", callback_url=URL).json["task_id"]
    deployed.run(send_notification.lambda_handler)
    (webhook,) = deployed.waiting("send_webhook")
    assert (webhook["chain"], webhook["broken_by"]) == (job_id, "")
    assert webhook["ended"] > 0
    progress = deployed.api.get(f"/task-progress/{job_id}").json
    assert (progress["status"], progress["total"]) == ("completed", None)
