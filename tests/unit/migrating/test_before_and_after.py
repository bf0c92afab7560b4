"""FastAPI's background-task examples: the same to their callers with Afterward, and what is better then."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto import mock_aws

from afterward import Status
from afterward.aws import client
from afterward.clock import timestamp
from afterward.testing import START, Trial
from tests.support.postmaster import LOGIN, Postmaster, certificate, postmaster
from tests.support.webserver import WebServer, answer, web_server
from tests.unit.migrating.conftest import HERE, Durable, Load, Site

Before = Callable[[str], Site]
After = Callable[[str], Durable]
Rows = Callable[[str], list[Any]]

EXAMPLES = sorted(path.stem for path in (HERE / "before").glob("*.py"))
STATUS_ROUTES = {"/task-progress/{task_id}", "/tasks/{task_id}"}


def asked(site: Site) -> dict[str, Any]:
    """What each route takes, as OpenAPI tells it; left out is the optional Idempotency-Key."""
    routes = {
        path: methods["post"] for path, methods in site.app.openapi()["paths"].items() if path not in STATUS_ROUTES
    }
    return {path: (parameters(route), route.get("requestBody")) for path, route in routes.items()}


def parameters(route: dict[str, Any]) -> set[tuple[str, str, bool]]:
    return {
        (one["in"], one["name"], one["required"]) for one in route["parameters"] if one["name"] != "Idempotency-Key"
    }


@pytest.mark.parametrize("example", EXAMPLES)
def test_callers_ask_as_before(before: Before, after: After, example: str) -> None:
    """Paths and parameters stay, and so does a body."""
    was = asked(before(example))
    assert was
    assert asked(after(example)) == was


def compare(was: httpx.Response, now: httpx.Response, message: str) -> str:
    """Hold the new answer against the old one; return the job's id."""
    job_id: str = now.json()["task_id"]
    assert (was.status_code, was.json()["message"]) == (200, message)
    assert now.status_code == 202
    assert now.json() == {
        "message": message,
        "task_id": job_id,
        "check_progress_url": f"/task-progress/{job_id}",
    }
    assert now.headers["location"] == f"/tasks/{job_id}"
    return job_id


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the example has logged, and nothing of the library; forgotten then."""
    said = [one.message for one in caplog.records if one.name.startswith("shown_")]
    caplog.clear()
    return said


@pytest.mark.parametrize(("query", "text"), [("", "some notification"), ("?message=hello", "hello")])
def test_send_notification(before: Before, after: After, query: str, text: str) -> None:
    """The same line is written; after the answer, by whoever runs the job."""
    url, message = f"/send-notification/ada@example.com{query}", "Notification sent in the background"
    was = before("send_notification").post(url)
    written = Path("log.txt").read_text()
    Path("log.txt").unlink()
    site = after("send_notification")
    compare(was, site.post(url), message)
    assert not Path("log.txt").exists()
    assert [one.status for one in site.run()] == [Status.COMPLETED]
    assert written == Path("log.txt").read_text() == f"notification for ada@example.com: {text}\n"


def test_a_failure_can_be_seen(before: Before, after: After) -> None:
    """FastAPI's caller has a 200 whatever comes of it; Afterward's can ask, and the work was tried again."""
    Path("log.txt").mkdir()
    url = "/send-notification/ada@example.com"
    with pytest.raises(IsADirectoryError):
        before("send_notification").post(url)
    assert before("send_notification").request("POST", url, raises=False).status_code == 200

    site = after("send_notification")
    answer = site.post(url)
    site.run()
    shown = site.get(answer.json()["check_progress_url"]).json()
    assert (shown["status"], site.get(answer.headers["location"]).json()["attempt"]) == ("failed", 3)
    assert shown["message"].startswith("Task failed: ")
    assert "Is a directory" in shown["message"]


@pytest.mark.parametrize(
    ("query", "expected"), [("", ["message to ada"]), ("?q=cats", ["query: cats", "message to ada"])]
)
def test_log_query(before: Before, after: After, query: str, expected: list[str]) -> None:
    """A dependency adds to the same chain as the endpoint, and before it."""
    was = before("log_query").post(f"/send-message/ada{query}")
    written = Path("log.txt").read_text()
    Path("log.txt").unlink()
    site = after("log_query")
    compare(was, site.post(f"/send-message/ada{query}"), "Message sent")
    site.run()
    assert written.splitlines() == Path("log.txt").read_text().splitlines() == expected


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the examples count their seconds instead of sleeping them."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def steps(site: Site, job_id: str) -> tuple[object, ...]:
    """How a chain is doing."""
    shown = site.get(f"/task-progress/{job_id}").json()
    return shown["status"], shown["progress"], shown["total"]


def test_process_chain(before: Before, after: After, slept: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Three tasks run in the order of adding, each with a job of its own."""
    was = before("process_chain").post("/process/report")
    expected = lines(caplog)
    assert expected == ["report: 2 s of work done", "report: 3 s of work done", "report: cleaned up"]
    site = after("process_chain")
    job_id = compare(was, site.post("/process/report"), "Processing started for report")
    assert steps(site, job_id) == ("queued", 0, 3)
    assert [(one.task, one.status) for one in site.run()] == [
        ("slow_task", Status.COMPLETED),
        ("slow_task", Status.COMPLETED),
        ("cleanup", Status.COMPLETED),
    ]
    assert steps(site, job_id) == ("completed", 3, 3)
    assert lines(caplog) == expected
    assert slept == [2, 3, 2, 3]


def test_cleanup_runs_although_the_work_failed(
    before: Before, after: After, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure stops the tasks behind it, in both; only what was added with even_if_failed runs."""

    def fail(_seconds: float) -> None:
        raise OSError("out of paper")

    monkeypatch.setattr("time.sleep", fail)
    with pytest.raises(OSError, match="out of paper"):
        before("process_chain").post("/process/report")
    assert lines(caplog) == []
    site = after("process_chain")
    site.post("/process/report")
    assert [one.status for one in site.run()] == [Status.FAILED, Status.CANCELLED, Status.COMPLETED]
    assert lines(caplog) == ["report: cleaned up"]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postmaster]:
    (tmp_path / "ca.pem").write_bytes(certificate()[0])
    with postmaster() as opened:
        variables = {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(opened.port),
            "SMTP_USER": LOGIN[0],
            "SMTP_PASSWORD": LOGIN[1],
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield opened


EMAIL = {"to_email": "ada@example.com", "subject": "Welcome", "body": "Hello Ada"}


def mails(office: Postmaster) -> list[tuple[str, ...]]:
    return [(mail["To"], mail["Subject"], mail.get_content().strip()) for mail in office.mails]


def test_send_email(before: Before, after: After, office: Postmaster) -> None:
    """The same mail is sent, over STARTTLS and after a login."""
    was = before("send_email").post("/send-email/", params=EMAIL)
    site = after("send_email")
    compare(was, site.post("/send-email/", params=EMAIL), "Email will be sent in the background")
    site.run()
    assert mails(office) == 2 * [tuple(EMAIL.values())]
    assert (office.logins, office.encrypted) == ([LOGIN] * 2, [True] * 2)


def test_a_mail_that_is_refused_for_now(before: Before, after: After, office: Postmaster) -> None:
    """FastAPI's is lost; Afterward's is sent when the server takes it, under the Message-ID of its job."""
    office.replies["DATA"] = ["451 later", "451 later", "451 later"]
    before("send_email").request("POST", "/send-email/", params=EMAIL, raises=False)
    assert mails(office) == []
    site = after("send_email")
    answer = site.post("/send-email/", params=EMAIL)
    assert [(one.status, one.attempt) for one in site.run()] == [(Status.COMPLETED, 3)]
    assert mails(office) == [tuple(EMAIL.values())]
    assert {mail["Message-ID"] for mail in office.seen[1:]} == {f"<{answer.json()['task_id']}@sender.example>"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("UPLOADS_BUCKET", "uploads")
    with mock_aws():
        client("s3").create_bucket(Bucket="uploads")
        yield


def keys() -> list[str]:
    return [one["Key"] for one in client("s3").list_objects_v2(Bucket="uploads").get("Contents", [])]


def csv_file(content: str) -> dict[str, Any]:
    return {"files": {"file": ("march.csv", content.encode(), "text/csv")}}


@pytest.mark.usefixtures("bucket")
def test_upload_csv(
    before: Before, after: After, database: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are processed, the user is told, and the copy of the file is gone."""
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    content = csv_file("name,amount\nada,3\nbob,4\n")
    was = before("upload_csv").post("/upload-csv/7", **content)
    site = after("upload_csv")
    answer = site.post("/upload-csv/7", **content)
    compare(was, answer, "File march.csv uploaded and will be processed in background")
    assert len(keys()) == 1
    assert [one.status for one in site.run()] == [Status.COMPLETED, Status.COMPLETED]
    assert database("SELECT user_id, text FROM notices") == 2 * [(7, "2 rows processed, 7 in all")]
    assert keys() == []
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "error"),
    [("name,amount\nada,three\n", "invalid literal for int() with base 10: 'three'"), ("name\nada\n", "'amount'")],
)
@pytest.mark.usefixtures("bucket")
def test_a_file_that_is_not_valid(before: Before, after: After, database: Rows, content: str, error: str) -> None:
    """The user is told as before, the job fails for good at its first attempt, and the copy is gone all the same."""
    before("upload_csv").post("/upload-csv/7", **csv_file(content))
    site = after("upload_csv")
    site.post("/upload-csv/7", **csv_file(content))
    processed, removed = site.run()
    assert (processed.status, processed.attempt, removed.status) == (Status.FAILED, 1, Status.COMPLETED)
    assert processed.reason == f"The file is no list of amounts: {error}"
    assert database("SELECT text FROM notices") == 2 * [(f"Your file could not be processed: {error}",)]
    assert keys() == []


def recorded(database: Rows) -> tuple[list[Any], ...]:
    """What stands in the user's tables, which are empty then."""
    logged = database("SELECT user_id, action FROM activity ORDER BY action")
    counted = database("SELECT user_id, action, count FROM statistics ORDER BY action")
    database("DELETE FROM activity")
    database("DELETE FROM statistics")
    return logged, counted


ACTIONS = ("login", "logout", "login")


def test_user_action(before: Before, after: After, database: Rows) -> None:
    """Each action is logged and counted."""
    site = before("user_action")
    was = [site.post(f"/user/7/action?action={action}") for action in ACTIONS]
    expected = recorded(database)
    durable = after("user_action")
    now = [durable.post(f"/user/7/action?action={action}") for action in ACTIONS]
    for answers in zip(was, now, ACTIONS, strict=True):
        compare(*answers[:2], f"Action '{answers[2]}' recorded for user 7")
    durable.run()
    assert recorded(database) == expected
    assert expected == ([(7, "login"), (7, "login"), (7, "logout")], [(7, "login", 2), (7, "logout", 1)])


def test_an_action_is_counted_once(load: Load, database: Rows) -> None:
    """Attempts that repeat what is done write the same line and the same number, at the time of the request."""
    example, trial = load("after/user_action"), Trial()
    for _ in range(3):
        trial.run(example.log_activity, 7, "login")
        trial.clock.advance(60)
        trial.run(example.update_statistics, 7, "login")
    assert database("SELECT timestamp FROM activity") == [(timestamp(START),)]
    assert database("SELECT count FROM statistics") == [(1,)]


DATA = answer(200, b'[{"id": 1}, {"id": 2}]')


def addresses(server: WebServer) -> dict[str, str]:
    return {"data_url": server.url("/data"), "webhook_url": server.url("/hook")}


def told(server: WebServer) -> list[tuple[str | None, Any]]:
    """What the webhook was sent, and under which id."""
    posts = [one for one in server.requests if one.method == "POST"]
    return [(one.headers.get("webhook-id"), json.loads(one.body)) for one in posts]


def test_external_fetch(before: Before, after: After, database: Rows) -> None:
    """The data is fetched and kept, then the webhook is told."""
    site = after("external_fetch")
    with web_server(DATA) as server:
        was = before("external_fetch").post("/trigger-external-fetch/7", params=addresses(server))
        now = site.post("/trigger-external-fetch/7", params=addresses(server))
        compare(was, now, "External data fetch triggered for user 7")
        fetched, sent = site.run()
    assert (fetched.status, sent.status) == (Status.COMPLETED, Status.COMPLETED)
    assert database("SELECT user_id, items FROM fetched") == 2 * [(7, 2)]
    payload = {"user_id": 7, "action": "external_fetch_triggered"}
    assert told(server) == [(None, payload), (sent.id, payload)]


def test_a_source_that_is_down_for_a_moment(after: After, database: Rows) -> None:
    """503 is asked again, and the webhook waits for it; its own retries come under one webhook-id."""
    site = after("external_fetch")
    with web_server(answer(503), DATA, answer(500), answer()) as server:
        site.post("/trigger-external-fetch/7", params=addresses(server))
        assert [(one.status, one.attempt) for one in site.run()] == 2 * [(Status.COMPLETED, 2)]
    assert len(told(server)) == 2
    assert len({webhook_id for webhook_id, _ in told(server)}) == 1
    assert database("SELECT user_id, items FROM fetched") == [(7, 2)]


def test_a_source_that_has_nothing(after: After) -> None:
    """404 fails the job at once, in words of the author's, and the webhook is not told a lie."""
    site = after("external_fetch")
    with web_server(answer(404)) as server:
        site.post("/trigger-external-fetch/7", params=addresses(server))
        fetched, sent = site.run()
    assert (fetched.status, fetched.attempt) == (Status.FAILED, 1)
    assert fetched.reason == "The source has no such data (404)"
    assert sent.status is Status.CANCELLED
    assert told(server) == []


def test_safe_task(before: Before, after: After, caplog: pytest.LogCaptureFixture) -> None:
    """The notification goes out, then the cleanup runs."""
    was = before("safe_task").post("/safe-task/7?message=hello")
    said = lines(caplog)
    site = after("safe_task")
    compare(was, site.post("/safe-task/7?message=hello"), "Tasks scheduled with error handling")
    site.run()
    assert lines(caplog) == [line for line in said if not line.endswith((": started", ": ended"))]


def test_a_safe_task_that_fails(before: Before, after: After, caplog: pytest.LogCaptureFixture) -> None:
    """The wrapper's caller never learns of it; the job's does. The cleanup runs in both."""
    assert before("safe_task").post("/safe-task/0?message=hello").status_code == 200
    said = lines(caplog)
    assert ("send_notification: failed" in said, "cleaned up" in said) == (True, True)
    site = after("safe_task")
    answer = site.post("/safe-task/0?message=hello")
    sent, cleaned = site.run()
    assert (sent.status, sent.reason, sent.attempt) == (Status.FAILED, "user_id must be 1 or more", 1)
    assert cleaned.status is Status.COMPLETED
    assert site.get(answer.json()["check_progress_url"]).json()["status"] == "failed"


def test_a_task_that_nobody_knows(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """The wrapper logs an unknown name when the request is over; add_task refuses it before anything is promised."""
    load("before/safe_task").run_safely("send_notificatoin", 7, "hello")
    assert lines(caplog) == ["send_notificatoin: unknown task"]
    assert not hasattr(load("after/safe_task"), "send_notificatoin")


def test_start_task(before: Before, after: After, slept: list[float]) -> None:
    """The id is the client's, and its progress is told item by item."""
    was_site, site = before("start_task"), after("start_task")
    was, now = (one.post("/start-task/report-1?items_count=3") for one in (was_site, site))
    assert compare(was, now, "Task report-1 started") == "report-1"
    assert was.json() == now.json()
    assert site.get("/task-progress/report-1").json() == {
        "status": "queued",
        "progress": 0,
        "total": None,
        "message": "Waiting to start",
    }
    site.run()
    assert (
        was_site.get("/task-progress/report-1").json()
        == site.get("/task-progress/report-1").json()
        == {
            "status": "completed",
            "progress": 3,
            "total": 3,
            "message": "Task completed successfully",
        }
    )
    assert slept == 6 * [0.5]


def test_the_errors_of_start_task_have_a_status(before: Before, after: After, slept: list[float]) -> None:
    """A used id is 409 and an unknown one 404, in the words that were 200 before."""
    was_site, site = before("start_task"), after("start_task")
    for one in (was_site, site):
        one.post("/start-task/report-1?items_count=1")
    used = was_site.post("/start-task/report-1?items_count=1"), site.post("/start-task/report-1?items_count=1")
    unknown = was_site.get("/task-progress/report-2"), site.get("/task-progress/report-2")
    for (was, now), status, text in (
        (used, 409, "Task with this ID already exists"),
        (unknown, 404, "Task not found"),
    ):
        assert (was.status_code, was.json()) == (200, {"error": text})
        assert (now.status_code, now.json()["detail"]) == (status, text)
        assert now.headers["content-type"] == "application/problem+json"


def test_a_failing_start_task_says_why(before: Before, after: After, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of the example, without code for it."""

    def fail(_seconds: float) -> None:
        raise OSError("out of paper")

    monkeypatch.setattr("time.sleep", fail)
    was_site, site = before("start_task"), after("start_task")
    was_site.request("POST", "/start-task/report-1?items_count=3", raises=False)
    site.post("/start-task/report-1?items_count=3")
    site.run()
    shown = [one.get("/task-progress/report-1").json() for one in (was_site, site)]
    assert [one["status"] for one in shown] == ["failed", "failed"]
    assert [one["message"] for one in shown] == ["Task failed: out of paper", "Task failed: OSError: out of paper"]


@pytest.fixture
def plain_office(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postmaster]:
    with postmaster(tls=False) as opened:
        monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("SMTP_PORT", str(opened.port))
        yield opened


def test_action_services(before: Before, after: After, plain_office: Postmaster, database: Rows) -> None:
    """Both services do their part."""
    was = before("action_services").post("/action/7?action=login")
    site = after("action_services")
    compare(was, site.post("/action/7?action=login"), "Action login performed for user 7")
    site.run()
    assert database("SELECT text FROM log") == 2 * [("User 7 performed login",)]
    assert mails(plain_office) == 2 * [("user7@example.com", "Action Performed", "You performed: login")]


def test_services_do_their_part_once(after: After, plain_office: Postmaster, database: Rows) -> None:
    """A second attempt writes the same line, and its mail has the same Message-ID."""
    plain_office.replies["DATA"] = ["451 later"]
    site = after("action_services")
    answer = site.post("/action/7?action=login")
    assert [(one.status, one.attempt) for one in site.run()] == [(Status.COMPLETED, 2)]
    assert database("SELECT id FROM log") == [(answer.json()["task_id"],)]
    assert {mail["Message-ID"] for mail in plain_office.seen} == {f"<{answer.json()['task_id']}@sender.example>"}
