"""POST /action/{user_id}: services that are injected into the task, real ones and stand-ins."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import pytest

import action_notification
import catalog
from action_notification import ActivityService, EmailService, activity_service, email_service, notify
from afterward import Discard, Status
from afterward.background import DurableTasks
from afterward.depends import Overrides
from afterward.execution import Execution
from afterward.records import Record
from afterward.testing import ManualClock, MemoryJobs, Trial
from afterward.worker import Worker
from mailer import SmtpMailer, smtp_mailer
from tests.stack.waiting import eventually
from tests.support.postmaster import Postmaster, client_context, postmaster
from tests.unit.app.conftest import Deployed

TEXT = "User 7 performed login"


@pytest.fixture
def office() -> Iterator[Postmaster]:
    with postmaster() as open_office:
        yield open_office


def mailer_to(office: Postmaster) -> SmtpMailer:
    return SmtpMailer("127.0.0.1", office.port, "robot@sender.example", starttls=True, tls=client_context())


def closed(office: Postmaster) -> bool:
    """Say whether the server has seen the end of every connection, which it does a moment after the client."""
    return eventually(lambda: not office.open)


@dataclass
class Services:
    """Stand-ins for both services, which write down what is done with them; `failures` are raised by the mails."""

    happened: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def log(self, user_id: int, action: str) -> None:
        self.happened.append(f"log {user_id} {action}")

    def send(self, to_email: str, subject: str, body: str) -> None:
        self.happened.append(f"mail {to_email} | {subject} | {body}")
        if self.failures:
            raise self.failures.pop(0)

    def activity(self) -> ActivityService:
        return self

    def email(self) -> Iterator[EmailService]:
        self.happened.append("open")
        try:
            yield self
        except Exception as error:
            self.happened.append(f"failed: {error}")
            raise
        finally:
            self.happened.append("close")

    @property
    def overrides(self) -> Overrides:
        return {activity_service: self.activity, email_service: self.email}


MAIL = "mail user7@example.com | Action Performed | You performed: login"


def test_an_action_is_promised(deployed: Deployed) -> None:
    """POST /action/{user_id} answers in the example's words, and one job waits."""
    answer = deployed.api.post("/action/7", action="login")
    assert (answer.status, answer.json["message"]) == (202, "Action login performed for user 7")
    (envelope,) = deployed.waiting("action_notification")
    assert (envelope["id"], envelope["arguments"]) == (answer.json["task_id"], {"user_id": 7, "action": "login"})


@pytest.mark.parametrize(
    ("path", "query", "loc"),
    [
        ("/action/0", {"action": "login"}, ["path", "user_id"]),
        ("/action/ada", {"action": "login"}, ["path", "user_id"]),
        ("/action/7", {}, ["query", "action"]),
        ("/action/7", {"action": ""}, ["query", "action"]),
        ("/action/7", {"action": "a" * 65}, ["query", "action"]),
        ("/action/7", {"action": "log\r\nin"}, ["query", "action"]),
    ],
)
def test_an_action_that_cannot_be_one_is_refused(
    deployed: Deployed, path: str, query: dict[str, str], loc: list[str]
) -> None:
    """User and action are checked before the 202."""
    answer = deployed.api.post(path, **query)
    assert (answer.status, answer.json["errors"][0]["loc"]) == (422, loc)
    assert deployed.records() == []


def test_an_action_is_logged_and_mailed(deployed: Deployed, office: Postmaster) -> None:
    """The job's end brings the line that the API shows, and the user has the mail."""
    job_id = deployed.api.post("/action/7", action="login").json["task_id"]
    worker = Worker(catalog.action_notification, notify)
    worker._execution = Execution(notify, worker.needs, {smtp_mailer: lambda: mailer_to(office)})
    deployed.run(worker)
    assert deployed.status(job_id)["status"] == "completed"
    (line,) = deployed.api.get("/users/7/activity").json["activity"]
    assert (line["action"], line["text"], line["task_id"]) == ("login", TEXT, job_id)
    counted = deployed.api.get("/users/7/statistics").json
    assert (counted["actions"], counted["last_at"]) == ({"login": 1}, line["created_at"])
    (mail,) = office.mails
    assert (mail["To"], mail["Subject"]) == ("user7@example.com", "Action Performed")
    assert mail.get_content().strip() == "You performed: login"
    assert mail["Message-ID"] == f"<{job_id}@sender.example>"
    assert (office.connections, closed(office)) == (1, True)


def test_services_can_be_stood_in_for() -> None:
    """A test gives services of its own; the provider that yields is closed after the attempt."""
    services = Services()
    Trial(overrides=services.overrides).run(notify, 7, "login")
    assert services.happened == ["open", "log 7 login", MAIL, "close"]


def test_services_are_cleaned_up_after_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that fail close what was provided for them, with the error in sight; the next has its own."""
    services = Services(failures=[OSError("no route"), Discard("no such user")])
    worker = action_notification.lambda_handler
    monkeypatch.setattr(worker, "_execution", Execution(notify, worker.needs, services.overrides))
    record = run(lambda tasks: tasks.add_task(catalog.action_notification, 7, "login"))[0]
    assert (record.status, record.message) == (Status.FAILED, "Task failed: no such user")
    attempt = ["open", "log 7 login", MAIL]
    assert services.happened == [
        *(*attempt, "failed: no route", "close"),
        *(*attempt, "failed: no such user", "close"),
    ]


def run(add: Callable[[DurableTasks], Any]) -> tuple[Record, dict[str, dict[str, Any]]]:
    """Run a job in memory to its end; return its record, and the tables that its effects have written."""
    tasks = DurableTasks.in_memory(clock=ManualClock())
    job = add(tasks)
    jobs = MemoryJobs(tasks)
    asyncio.run(jobs.publish_and_drain())
    tables: dict[str, dict[str, Any]] = tasks.backend.records.tables  # type: ignore[attr-defined]
    return jobs.record(job), tables


@pytest.fixture
def send(office: Postmaster, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Record, dict[str, Any]]]:
    """Run one action through the real services, in memory and with a real SMTP server."""
    monkeypatch.setenv("ACTIVITY_TABLE", "activity")
    monkeypatch.setenv("STATISTICS_TABLE", "statistics")
    worker = action_notification.lambda_handler
    overrides = {smtp_mailer: lambda: mailer_to(office)}
    monkeypatch.setattr(worker, "_execution", Execution(notify, worker.needs, overrides))
    return partial(run, lambda tasks: tasks.add_task(catalog.action_notification, 7, "login"))


def test_an_attempt_has_its_own_connection(
    office: Postmaster, send: Callable[[], tuple[Record, dict[str, Any]]]
) -> None:
    """A mail that is refused for now is sent again over a new connection, as the same mail; the log has one line."""
    office.replies["DATA"] = ["451 later", "451 later"]
    record, tables = send()
    assert (record.status, record.attempt) == (Status.COMPLETED, 3)
    assert len(office.mails) == 1
    assert len(office.seen) == office.connections == 3
    assert len({mail.as_bytes() for mail in office.seen}) == 1
    assert parsedate_to_datetime(office.seen[0]["Date"]).timestamp() == 1_795_000_000
    assert len(tables["activity"]) == 1
    assert closed(office)


def test_an_action_that_could_not_be_mailed_is_not_logged(
    office: Postmaster, send: Callable[[], tuple[Record, dict[str, Any]]]
) -> None:
    """Where the mail is refused for good the job fails, its line is not there, and the connection is closed."""
    office.replies["RCPT"] = ["550 no such user"]
    record, tables = send()
    assert (record.status, record.message) == (
        Status.FAILED,
        "Task failed: the mail server refuses the recipient (550)",
    )
    assert not tables.get("activity")
    assert closed(office)
