"""Following tasks over HTTP, through API Gateway's events and on the stores of AWS."""

import logging
from typing import Any

import pytest

import catalog
import send_notification
from afterward.worker import Worker
from tests.support.gateway import ADA, BOB, Answer
from tests.unit.app.conftest import Deployed


def notified(deployed: Deployed, *texts: str) -> list[str]:
    """Add a notification per text, and return the ids of the tasks."""
    answers = [deployed.api.post("/send-notification/ada@example.com", message=text) for text in texts]
    return [answer.json["task_id"] for answer in answers]


def deliver(deployed: Deployed) -> None:
    deployed.run(Worker(catalog.send_notification, send_notification.deliver))


def get(deployed: Deployed, path: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return deployed.api.request("GET", path, headers=named)


@pytest.mark.parametrize("path", ["/task-progress", "/tasks"])
def test_a_client_that_is_up_to_date_gets_304(deployed: Deployed, path: str) -> None:
    """A version holds until the task has gone on; the next answer is a new one, and the last one at that."""
    (job_id,) = notified(deployed, "tea")
    first = get(deployed, f"{path}/{job_id}")
    assert (first.status, first.headers["retry-after"]) == (200, "1")
    again = get(deployed, f"{path}/{job_id}", if_none_match=first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    deliver(deployed)
    last = get(deployed, f"{path}/{job_id}", if_none_match=first.headers["etag"], prefer="wait=5")
    assert (last.status, last.json["status"]) == (200, "completed")
    assert last.headers["preference-applied"] == "wait=5"
    assert "retry-after" not in last.headers


def test_tasks_are_listed_newest_first(deployed: Deployed) -> None:
    """GET /tasks leads through all of the caller's tasks, page by page, by its cursor as well as by its Link."""
    ids = notified(deployed, *(str(number) for number in range(5)))
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while query:
        answer = deployed.api.get("/tasks", **query)
        found += [task["task_id"] for task in answer.json["tasks"]]
        cursor = answer.json["next"]
        assert ("link" in answer.headers) == bool(cursor)
        query = {"limit": 2, "cursor": cursor} if cursor else {}
    assert found == ids[::-1]


def test_a_list_shows_how_tasks_are_doing(deployed: Deployed) -> None:
    """Each task is listed as its own status shows it."""
    (job_id,) = notified(deployed, "tea")
    deliver(deployed)
    (listed,) = deployed.api.get("/tasks").json["tasks"]
    assert listed == deployed.status(job_id)
    assert listed["status"] == "completed"


def test_everybody_lists_their_own_tasks(deployed: Deployed) -> None:
    """Another caller sees none of them."""
    (mine,) = notified(deployed, "tea")
    assert [task["task_id"] for task in deployed.api.caller(ADA).get("/tasks").json["tasks"]] == [mine]
    assert deployed.api.caller(BOB).get("/tasks").json == {"tasks": [], "next": None}


def test_a_cursor_that_nobody_gave_is_refused(deployed: Deployed) -> None:
    """It is 422 and named."""
    answer = deployed.api.get("/tasks", cursor="tea")
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json["errors"][0]["loc"] == ["query", "cursor"]


@pytest.mark.parametrize("operation", ["Query", "BatchGetItem"])
def test_a_list_that_cannot_be_read_is_a_503(deployed: Deployed, operation: str) -> None:
    """A table that does not answer is no empty list."""
    notified(deployed, "one", "two")
    deployed.dynamodb.refuse(operation, "ThrottlingException")
    answer = deployed.api.get("/tasks")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


def test_requests_are_logged_without_what_they_name(deployed: Deployed, caplog: pytest.LogCaptureFixture) -> None:
    """The log has each request's route and status, and nobody's address."""
    with caplog.at_level(logging.INFO, "afterward.background"):
        notified(deployed, "for your eyes only")
        deployed.api.get("/users/ada@example.com/notifications")
        deployed.api.get("/ada@example.com")
    lines = [one.getMessage() for one in caplog.records if one.name.endswith("request_log")]
    assert lines == [
        "POST /send-notification/{email} 202",
        "GET /users/{user_id}/notifications 200",
        "GET - 404",
    ]
    assert not any("ada" in str(vars(one)) or "eyes" in str(vars(one)) for one in caplog.records)
