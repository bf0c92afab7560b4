"""The API as callers of FastAPI's own background-task examples know it, through API Gateway's events."""

import time
from typing import Any

import pytest

import catalog
import send_notification
from afterward.aws import CONFIG, client
from afterward.worker import Worker
from tests.support.faults import Wire
from tests.support.gateway import ADA, BOB, Answer
from tests.unit.app.conftest import Deployed


def accepted(answer: Answer, message: str) -> str:
    """Check everything that a 202 says, and return the id that it names."""
    assert answer.status == 202, answer.body
    job_id: str = answer.json["task_id"]
    assert answer.json == {
        "message": message,
        "task_id": job_id,
        "check_progress_url": f"/task-progress/{job_id}",
    }
    assert answer.headers["location"] == f"/tasks/{job_id}"
    assert answer.headers["content-type"] == "application/json"
    return job_id


def problem(answer: Answer, status: int) -> Any:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json


def test_a_notification_is_promised_and_delivered(deployed: Deployed) -> None:
    """POST /send-notification/{email} answers as the example does; its worker puts the line into the inbox."""
    job_id = accepted(
        deployed.api.post("/send-notification/ada@example.com", message="tea is ready"),
        "Notification sent in the background",
    )
    (envelope,) = deployed.waiting("send_notification")
    assert envelope["arguments"] == {"recipient": "ada@example.com", "message": "tea is ready"}
    assert deployed.api.get(f"/task-progress/{job_id}").json["status"] == "queued"
    deployed.run(Worker(catalog.send_notification, send_notification.deliver))
    (line,) = deployed.api.get("/users/ada@example.com/notifications").json["notifications"]
    assert line == {
        "text": "notification for ada@example.com: tea is ready",
        "created_at": envelope["created"],
        "task_id": job_id,
    }
    assert deployed.api.get(f"/task-progress/{job_id}").json == {
        "status": "completed",
        "progress": 0,
        "total": None,
        "message": "Task completed successfully",
    }
    assert deployed.waiting("send_notification") == []


def test_a_notification_has_a_default_text(deployed: Deployed) -> None:
    """Without `message` the example's default is sent."""
    accepted(deployed.api.post("/send-notification/ada+x@example.com"), "Notification sent in the background")
    (envelope,) = deployed.waiting("send_notification")
    assert envelope["arguments"] == {"recipient": "ada+x@example.com", "message": "some notification"}


@pytest.mark.parametrize("email", ["ada", "ada@", "@example.com", "a b@example.com", "a@b@c", "ada@example.com\n"])
def test_a_notification_needs_an_address(deployed: Deployed, email: str) -> None:
    """What is no e-mail address is 422, and nothing is promised."""
    said = problem(deployed.api.post(f"/send-notification/{email}"), 422)
    assert said["errors"][0]["loc"] == ["path", "email"]
    assert deployed.waiting("send_notification") == []
    assert deployed.records() == []


def test_an_inbox_is_newest_first_and_bounded(deployed: Deployed) -> None:
    """The inbox lists as many lines as are asked for, newest first, and nobody else's."""
    for number in range(3):
        deployed.api.post("/send-notification/ada@example.com", message=str(number))
    deployed.api.post("/send-notification/bob@example.com", message="for Bob")
    deployed.run(Worker(catalog.send_notification, send_notification.deliver))
    answer = deployed.api.get("/users/ada@example.com/notifications", limit=2)
    assert [line["text"][-1] for line in answer.json["notifications"]] == ["2", "1"]
    assert deployed.api.get("/users/nobody/notifications").json == {"notifications": []}


@pytest.mark.parametrize("limit", ["0", "101", "many"])
def test_an_inbox_has_a_limit(deployed: Deployed, limit: str) -> None:
    """A page holds 1 to 100 lines."""
    said = problem(deployed.api.get("/users/ada/notifications", limit=limit), 422)
    assert said["errors"][0]["loc"] == ["query", "limit"]


MAIL = {"to_email": "ada@example.com", "subject": "Wëlcome 你好", "body": "Hello\nAda\r\n.\tBye"}


@pytest.mark.parametrize("form", ["query", "body"])
def test_an_email_is_promised(deployed: Deployed, form: str) -> None:
    """POST /send-email/ takes the example's query parameters, or the same keys as JSON."""
    answer = deployed.api.request("POST", "/send-email/", **{form: MAIL})
    accepted(answer, "Email will be sent in the background")
    (envelope,) = deployed.waiting("send_email")
    assert envelope["arguments"] == MAIL


def test_an_email_without_fields_names_them(deployed: Deployed) -> None:
    """Neither query nor body is 422 and names each field that is missing, as one that misses some."""
    said = problem(deployed.api.post("/send-email/"), 422)
    assert [one["loc"] for one in said["errors"]] == [["query", name] for name in MAIL]
    assert all("JSON body" in one["msg"] for one in said["errors"])
    said = problem(deployed.api.request("POST", "/send-email/", query={"subject": "Hi", "body": "there"}), 422)
    assert [one["loc"] for one in said["errors"]] == [["query", "to_email"]]
    said = problem(deployed.api.post("/send-email/", body={"to_email": "ada@example.com"}), 422)
    assert [one["loc"] for one in said["errors"]] == [["body", "subject"], ["body", "body"]]


BAD_MAIL = [
    ({"subject": "Hi\r\nBcc: all@example.com"}, "subject"),
    ({"subject": "Hi\nthere"}, "subject"),
    *(({"subject": f"Hi{character}there"}, "subject") for character in "\x00\x0b\x1e\x7f\x85\u2028\u2029"),
    ({"subject": ""}, "subject"),
    ({"subject": "a" * 901}, "subject"),
    ({"to_email": "ada@example.com\r\nBcc: all@example.com"}, "to_email"),
    ({"to_email": "ada@example.com,bob@example.com"}, "to_email"),
    ({"to_email": '"ada"@example.com'}, "to_email"),
    ({"to_email": "Ada <ada@example.com>"}, "to_email"),
    ({"to_email": "adä@example.com"}, "to_email"),
    ({"to_email": f"{'a' * 65}@example.com"}, "to_email"),
    ({"to_email": f"ada@{'a.' * 130}com"}, "to_email"),
    ({"body": "a" * 200_001}, "body"),
    ({"cc": "bob@example.com"}, "cc"),
    ({"body": 5}, "body"),
]


@pytest.mark.parametrize(("change", "field"), BAD_MAIL)
def test_an_email_that_cannot_be_one_is_refused(deployed: Deployed, change: dict[str, Any], field: str) -> None:
    """No line break or control character reaches a header; addresses, sizes and keys are checked before the 202."""
    answer = deployed.api.post("/send-email/", body=MAIL | change)
    assert [one["loc"] for one in problem(answer, 422)["errors"]] == [["body", field]]
    if field in MAIL and isinstance(change[field], str):
        answer = deployed.api.request("POST", "/send-email/", query=MAIL | change)
        assert [one["loc"] for one in problem(answer, 422)["errors"]] == [["query", field]]
    assert deployed.waiting("send_email") == []


def test_a_lone_surrogate_is_refused(deployed: Deployed) -> None:
    """Text that no encoding can write is 422, not an error later."""
    raw = b'{"to_email": "ada@example.com", "subject": "Hi", "body": "\\ud800"}'
    problem(deployed.api.request("POST", "/send-email/", body=raw), 422)


def test_a_task_is_started_under_the_callers_id(deployed: Deployed) -> None:
    """POST /start-task/{task_id} promises a job of that very id, which its progress is asked by."""
    answer = deployed.api.post("/start-task/my-task", items_count=3)
    assert accepted(answer, "Task my-task started") == "my-task"
    assert deployed.waiting("long_running_task")[0]["arguments"] == {"items_count": 3}
    assert deployed.api.get("/task-progress/my-task").json == {
        "status": "queued",
        "progress": 0,
        "total": None,
        "message": "Waiting to start",
    }
    status = deployed.api.get("/tasks/my-task").json
    assert (status["task_id"], status["task"], status["run"], status["attempt"]) == (
        "my-task",
        "long_running_task",
        1,
        0,
    )
    assert "items_count" not in str(status)


@pytest.mark.parametrize("items", [3, 4])
def test_a_used_id_is_a_conflict(deployed: Deployed, items: int) -> None:
    """The same id a second time is 409 in the example's words, whatever is asked for; the first job stays."""
    deployed.api.post("/start-task/my-task", items_count=3)
    said = problem(deployed.api.post("/start-task/my-task", items_count=items), 409)
    assert said["detail"] == "Task with this ID already exists"
    assert {one["arguments"]["items_count"] for one in deployed.waiting("long_running_task")} == {3}


def test_two_owners_have_their_own_ids(deployed: Deployed) -> None:
    """Each caller has ids of their own, and sees nobody else's jobs."""
    ada, bob = deployed.api.caller(ADA), deployed.api.caller(BOB)
    accepted(ada.post("/start-task/mine", items_count=1), "Task mine started")
    for path in ("/task-progress/mine", "/tasks/mine"):
        assert problem(bob.get(path), 404)["detail"] == "Task not found"
    accepted(bob.post("/start-task/mine", items_count=2), "Task mine started")
    assert ada.get("/tasks/mine").json["created_at"] != bob.get("/tasks/mine").json["created_at"]
    assert len({one["owner"] for one in deployed.waiting("long_running_task")}) == 2
    assert not any("ada" in key or "bob" in key for key in deployed.records())


@pytest.mark.parametrize("items", ["0", "10001", "-1", "1.5", "many", ""])
def test_a_task_has_1_to_10000_items(deployed: Deployed, items: str) -> None:
    """`items_count` out of range is 422, and the id stays free."""
    said = problem(deployed.api.post("/start-task/my-task", items_count=items), 422)
    assert said["errors"][0]["loc"] == ["query", "items_count"]
    accepted(deployed.api.post("/start-task/my-task", items_count=10_000), "Task my-task started")


def test_a_task_needs_its_number_of_items(deployed: Deployed) -> None:
    """`items_count` has no default."""
    assert problem(deployed.api.post("/start-task/my-task"), 422)["errors"][0]["type"] == "missing"


@pytest.mark.parametrize("task_id", ["-x", "a b", "ä", "a#b", "a" * 129])
def test_an_id_stands_in_a_path(deployed: Deployed, task_id: str) -> None:
    """An id that could not stand in a path or a key is 422."""
    said = problem(deployed.api.post(f"/start-task/{task_id}", items_count=1), 422)
    assert said["errors"][0]["loc"] == ["path", "task_id"]


@pytest.mark.parametrize("task_id", ["unknown", "a#b", "-x"])
@pytest.mark.parametrize("path", ["/task-progress", "/tasks"])
def test_an_unknown_id_is_not_found(deployed: Deployed, path: str, task_id: str) -> None:
    """A job that is not there is 404 in the example's words."""
    assert problem(deployed.api.get(f"{path}/{task_id}"), 404)["detail"] == "Task not found"


CALLS = [
    ("POST", "/send-notification/ada@example.com", {}),
    ("POST", "/send-email/", MAIL),
    ("POST", "/start-task/my-task", {"items_count": 1}),
    ("GET", "/task-progress/my-task", {}),
    ("GET", "/tasks/my-task", {}),
]


@pytest.mark.parametrize(("method", "path", "query"), CALLS)
def test_nobody_is_anonymous(deployed: Deployed, method: str, path: str, query: dict[str, Any]) -> None:
    """Without verified claims every route about jobs is 401, and nothing is promised."""
    answer = deployed.api.caller(None).request(method, path, query=query)
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert deployed.records() == []


@pytest.mark.parametrize(("method", "path", "query"), CALLS[:3])
@pytest.mark.parametrize("fault", ["throttled", "denied", "unreachable"])
def test_a_queue_that_refuses_is_a_503(
    deployed: Deployed, method: str, path: str, query: dict[str, Any], fault: str
) -> None:
    """Where SQS takes no message the caller is told when to try again; no record and no job stays behind."""
    if fault == "unreachable":
        deployed.sqs.cut("SendMessage")
    else:
        deployed.sqs.refuse("SendMessage", "RequestThrottled" if fault == "throttled" else "AccessDenied", status=403)
    answer = deployed.api.request(method, path, query=query)
    assert problem(answer, 503)["detail"].startswith("The task could not be stored.")
    assert answer.headers["retry-after"] == ("30" if fault == "denied" else "2")
    assert "location" not in answer.headers
    assert deployed.records() == []
    deployed.sqs.heal()
    assert deployed.api.request(method, path, query=query).status == 202


def test_a_table_that_refuses_the_callers_id_is_a_503(deployed: Deployed) -> None:
    """An id that the caller chose is put first: where that is refused, no message leaves."""
    deployed.dynamodb.refuse("PutItem", "ProvisionedThroughputExceededException")
    answer = deployed.api.post("/start-task/my-task", items_count=1)
    problem(answer, 503)
    assert answer.headers["retry-after"] == "2"
    assert deployed.waiting("long_running_task") == []


def test_a_key_that_cannot_be_had_is_a_503(deployed: Deployed) -> None:
    """Without the key of the digests an id of the caller's cannot be promised, so nothing is."""
    Wire(client("secretsmanager")).refuse("GetSecretValue", "ThrottlingException")
    problem(deployed.api.post("/start-task/my-task", items_count=1), 503)
    assert deployed.records() == []
    assert deployed.waiting("long_running_task") == []


def test_a_table_that_refuses_our_id_breaks_no_promise(deployed: Deployed) -> None:
    """With an id of ours the message is the promise: a record that could not be put is made by the worker."""
    deployed.dynamodb.refuse("PutItem", "InternalServerError", status=500)
    job_id = accepted(deployed.api.post("/send-notification/ada@example.com"), "Notification sent in the background")
    problem(deployed.api.get(f"/tasks/{job_id}"), 404)
    deployed.dynamodb.heal()
    deployed.run(Worker(catalog.send_notification, send_notification.deliver))
    assert deployed.api.get(f"/tasks/{job_id}").json["status"] == "completed"


@pytest.mark.parametrize(("path", "operation"), [("/tasks/my-task", "GetItem"), ("/users/ada/notifications", "Query")])
def test_a_table_that_cannot_be_read_is_a_503(deployed: Deployed, path: str, operation: str) -> None:
    """A read that DynamoDB refuses says so, and not that the job is not there."""
    deployed.dynamodb.refuse(operation, "ThrottlingException")
    answer = deployed.api.get(path)
    assert problem(answer, 503)["detail"] == "This cannot be read now. Please try again."
    assert answer.headers["retry-after"] == "2"


def test_services_that_are_down_are_noticed_soon(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """With botocore's own timeouts and pauses a 503 leaves long before the gateway's 30 seconds."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    monkeypatch.setitem(deployed.urls, "send_notification", "http://127.0.0.1:9/1/q")
    monkeypatch.setenv("AFTERWARD_QUEUE_SEND_NOTIFICATION", "http://127.0.0.1:9/1/q")
    client.cache_clear()
    from moto.core.models import botocore_stubber  # noqa: PLC0415 - moto answers for every address

    client("sqs").meta.events.unregister("before-send", botocore_stubber)
    began = time.monotonic()
    answer = deployed.api.post("/send-notification/ada@example.com")
    assert time.monotonic() - began < 10
    problem(answer, 503)
    worst = CONFIG.retries["total_max_attempts"] * (CONFIG.connect_timeout + CONFIG.read_timeout)  # type: ignore[attr-defined]
    assert worst < 10


def test_the_documentation_is_complete(deployed: Deployed) -> None:
    """OpenAPI names every route of ours; those that accept a task with their 202, and with what may tell its end."""
    paths = deployed.api.get("/openapi.json").json["paths"]
    accepting = {
        "/send-notification/{email}",
        "/process/{name}",
        "/send-email/",
        "/user/{user_id}/action",
        "/trigger-external-fetch/{user_id}",
        "/safe-task/{user_id}",
        "/start-task/{task_id}",
        "/action/{user_id}",
    }
    uploading = {"/upload-csv/{user_id}", "/upload-csv/{user_id}/url"}
    assert {(method, path) for path, methods in paths.items() for method in methods} == {
        *(("post", path) for path in accepting | uploading),
        ("get", "/task-progress/{task_id}"),
        ("get", "/tasks"),
        ("get", "/tasks/{task_id}"),
        ("post", "/tasks/{task_id}/cancel"),
        ("post", "/tasks/{task_id}/retry"),
        ("get", "/tasks/{task_id}/results/{name}"),
        ("get", "/users/{user_id}/notifications"),
        ("get", "/users/{user_id}/activity"),
        ("get", "/users/{user_id}/statistics"),
    }
    assert all("202" in paths[path]["post"]["responses"] for path in accepting | uploading)
    for path in accepting:
        assert "callback_url" in [one["name"] for one in paths[path]["post"]["parameters"]]
    assert deployed.api.get("/docs").status == 200


def test_an_address_may_be_encoded(deployed: Deployed) -> None:
    """A query is decoded once: a plus that was encoded stays a plus."""
    answer = deployed.api.request("POST", "/send-email/", query=MAIL | {"to_email": "a+b@example.com"})
    assert answer.status == 202
    assert deployed.waiting("send_email")[0]["arguments"]["to_email"] == "a+b@example.com"
