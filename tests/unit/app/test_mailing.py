"""send_email against a real SMTP server."""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from aws_lambda_powertools.utilities import parameters
from moto import mock_aws

import catalog
import mailer
import send_email
from afterward import Retry, Status
from afterward.aws import client
from afterward.background import DurableTasks
from afterward.errors import SettingError
from afterward.execution import Execution
from afterward.testing import ManualClock, MemoryJobs, Trial
from mailer import SmtpMailer, smtp_mailer
from send_email import deliver
from tests.support.postmaster import HANG_UP, LOGIN, Postmaster, client_context, postmaster

MAIL = ("ada@example.com", "Wëlcome", "Hello Ada,\r\n.a line with a dot\nlöng: " + "x" * 2_000)


@pytest.fixture
def office() -> Iterator[Postmaster]:
    with postmaster() as open_office:
        yield open_office


def mailer_to(office: Postmaster, **about: Any) -> SmtpMailer:
    given: dict[str, Any] = {"starttls": True, "tls": client_context()} | about
    return SmtpMailer("127.0.0.1", office.port, "robot@sender.example", **given)


def send(office: Postmaster, *mail: str, **about: Any) -> None:
    Trial(overrides={smtp_mailer: lambda: mailer_to(office, **about)}).run(deliver, *(mail or MAIL))


def test_a_mail_arrives_as_it_was_written(office: Postmaster) -> None:
    """Sender, recipient, subject and text arrive unchanged, over an encrypted connection."""
    send(office)
    (mail,) = office.mails
    assert (mail["From"], mail["To"], mail["Subject"]) == ("robot@sender.example", "ada@example.com", "Wëlcome")
    assert mail.get_content().splitlines() == MAIL[2].splitlines()
    assert office.recipients == ["ada@example.com"]
    assert office.encrypted == [True]
    assert office.logins == []


def test_a_mail_is_named_for_its_job(office: Postmaster) -> None:
    """Message-ID and Date follow from the job alone."""
    send(office)
    (mail,) = office.mails
    assert mail["Message-ID"] == "<job-1@sender.example>"
    assert parsedate_to_datetime(mail["Date"]).timestamp() == 1_795_000_000


@pytest.mark.parametrize("address", ["a..b@example.com", ".a@x", "o'neil+tag@sub.example.com", "{x}|y@example.com"])
def test_every_address_that_is_accepted_can_be_sent_to(office: Postmaster, address: str) -> None:
    """An odd address that passes the check reaches the server as it is."""
    send(office, address, "Hi", "there")
    assert office.recipients == [address]


def worker_with(overrides: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    worker = send_email.lambda_handler
    monkeypatch.setattr(worker, "_execution", Execution(worker.implementation, worker.needs, overrides))


def run_job(office: Postmaster, monkeypatch: pytest.MonkeyPatch) -> Any:
    worker_with({smtp_mailer: lambda: mailer_to(office)}, monkeypatch)
    tasks = DurableTasks.in_memory(clock=ManualClock())
    job = tasks.add_task(catalog.send_email, *MAIL)
    jobs = MemoryJobs(tasks)
    asyncio.run(jobs.publish_and_drain())
    return jobs.record(job)


TEMPORARY = [("MAIL", "451 later"), ("RCPT", "450 ada@example.com is busy"), ("DATA", "452 full")]


@pytest.mark.parametrize(("command", "reply"), TEMPORARY)
def test_a_temporary_refusal_is_tried_again(
    office: Postmaster, command: str, reply: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 4xx reply is retried after the backoff, and the mail is sent once."""
    office.replies[command] = [reply]
    record = run_job(office, monkeypatch)
    assert (record.status, record.attempt) == (Status.COMPLETED, 2)
    assert len(office.mails) == 1
    assert "ada" not in str(record.reason)


def test_retries_send_the_same_mail(office: Postmaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt has the same Message-ID, Date and text, so that mail systems recognise a repeat."""
    office.replies["DATA"] = ["451 later", "451 later"]
    record = run_job(office, monkeypatch)
    assert record.attempt == len(office.seen) == 3
    assert len({mail.as_bytes() for mail in office.seen}) == 1


PERMANENT = [
    ("MAIL", "550 not from you", "the mail server refuses the message (550)"),
    ("RCPT", "550 5.1.1 ada@example.com is unknown", "the mail server refuses the recipient (550)"),
    ("DATA", "554 spam for ada@example.com", "the mail server refuses the message (554)"),
]


@pytest.mark.parametrize(("command", "reply", "reason"), PERMANENT)
def test_a_permanent_refusal_is_not_tried_again(
    office: Postmaster, command: str, reply: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 5xx reply fails the job at once; its record says why without repeating the address."""
    office.replies[command] = [reply]
    record = run_job(office, monkeypatch)
    assert (record.status, record.attempt, record.reason) == (Status.FAILED, 1, reason)
    assert record.message == f"Task failed: {reason}"
    assert office.mails == []


def test_a_job_that_is_refused_again_and_again_fails(office: Postmaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last attempt's refusal is the job's."""
    office.replies["RCPT"] = ["450 later"] * 9
    record = run_job(office, monkeypatch)
    assert (record.status, record.attempt) == (Status.FAILED, 5)
    assert record.reason == "the mail server refuses the recipient for now (450)"


@pytest.mark.parametrize("farewell", ["421 too busy", "500 what", HANG_UP])
def test_a_bad_farewell_changes_nothing(office: Postmaster, farewell: str) -> None:
    """A mail that the server took is sent, whatever it answers to QUIT."""
    office.replies["QUIT"] = [farewell]
    send(office)
    assert len(office.mails) == 1


def test_nothing_is_sent_in_the_clear() -> None:
    """Where STARTTLS is required and the server has none, no mail leaves."""
    with postmaster(tls=False) as office:
        with pytest.raises(smtplib.SMTPNotSupportedError, match="STARTTLS"):
            send(office)
        assert office.seen == []


def test_an_unknown_certificate_is_not_trusted(office: Postmaster) -> None:
    """A server that cannot prove who it is gets no mail."""
    with pytest.raises(ssl.SSLCertVerificationError):
        send(office, tls=None)
    assert office.seen == []


def test_starttls_can_be_left_out() -> None:
    """A server without encryption is used where that is asked for."""
    with postmaster(tls=False) as office:
        send(office, starttls=False)
        assert office.encrypted == [False]


@pytest.fixture
def secret() -> Iterator[str]:
    """The ARN of a secret with the login."""
    with mock_aws():
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        text = f'{{"username": "{LOGIN[0]}", "password": "{LOGIN[1]}"}}'
        yield client("secretsmanager").create_secret(Name="smtp", SecretString=text)["ARN"]
    parameters.clear_caches()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_login_from_the_secret(secret: str, mechanism: str) -> None:
    """User name and password come from Secrets Manager, by the mechanism that the server offers."""
    excluded = {"PLAIN", "LOGIN"} - {mechanism}
    with postmaster(auth_required=True, auth_exclude_mechanism=excluded) as office:
        send(office, secret=secret)
        send(office, secret=secret)
        assert office.logins == [LOGIN, LOGIN]
        assert len(office.mails) == 2


def test_a_login_is_kept_for_a_while(secret: str) -> None:
    """The secret is not fetched for every mail."""
    with postmaster(auth_required=True) as office:
        send(office, secret=secret)
        client("secretsmanager").put_secret_value(SecretId=secret, SecretString='{"username": "x", "password": "y"}')
        send(office, secret=secret)
        assert office.logins == [LOGIN, LOGIN]


def test_a_server_that_wants_a_login_gets_no_mail_without_one() -> None:
    """Without a secret nobody logs in, and what the server says to that is the reason."""
    with postmaster(auth_required=True) as office:
        with pytest.raises(Retry, match=r"refuses the message for now \(530\)"):
            send(office)
        assert office.logins == []


def test_a_wrong_login_is_no_verdict_on_the_mail(secret: str, caplog: pytest.LogCaptureFixture) -> None:
    """A login that is refused is retried, since it says nothing about the mail; the password is shown nowhere."""
    client("secretsmanager").put_secret_value(SecretId=secret, SecretString='{"username": "x", "password": "hunter2"}')
    with postmaster(auth_required=True) as office:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
            send(office, secret=secret)
        assert office.seen == []
    assert "hunter2" not in str(refusal.value) + caplog.text


@pytest.mark.parametrize("value", ['{"username": "x"}', '["x", "y"]', '"x"'])
def test_a_secret_of_another_shape_is_named(office: Postmaster, secret: str, value: str) -> None:
    """A secret that is no login says what it should be, without showing what it is."""
    client("secretsmanager").put_secret_value(SecretId=secret, SecretString=value)
    with pytest.raises(SettingError, match="SMTP_SECRET names must be a JSON object with username and password"):
        send(office, secret=secret)


def test_a_server_that_is_not_there_is_tried_again() -> None:
    """A refused connection is an error of this attempt, not the end of the job."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        send(Postmaster(port=port))


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence ends the attempt well before the function's own timeout."""
    assert mailer.TIMEOUT <= 5
    monkeypatch.setattr(mailer, "TIMEOUT", 0.05)
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
        send(Postmaster(port=silent.getsockname()[1]))


SETTINGS = {"SMTP_HOST": "mail.example.com", "SMTP_SENDER": "robot@example.com"}


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({}, SmtpMailer("mail.example.com", 587, "robot@example.com", starttls=True)),
        (
            {"SMTP_PORT": "25", "SMTP_STARTTLS": "never", "SMTP_SECRET": "arn"},
            SmtpMailer("mail.example.com", 25, "robot@example.com", starttls=False, secret="arn"),
        ),
    ],
)
def test_the_mailer_is_set_by_variables(
    changes: dict[str, str], made: SmtpMailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Host and sender are needed; the port is 587, encryption is required and nobody logs in unless it is said."""
    for name in ("SMTP_PORT", "SMTP_STARTTLS", "SMTP_SECRET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (SETTINGS | changes).items():
        monkeypatch.setenv(name, value)
    assert smtp_mailer() == made


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SMTP_HOST", None, "SMTP_HOST is not set"),
        ("SMTP_SENDER", " ", "SMTP_SENDER is not set"),
        ("SMTP_PORT", "smtp", "SMTP_PORT must be a whole number from 1 to 65535, got 'smtp'"),
        ("SMTP_PORT", "70000", "SMTP_PORT must be a whole number"),
        ("SMTP_STARTTLS", "maybe", "SMTP_STARTTLS must be 'required' or 'never', got 'maybe'"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is missing or malformed is named."""
    for one, usual in SETTINGS.items():
        monkeypatch.setenv(one, usual)
    monkeypatch.setenv(name, value or "")
    with pytest.raises(SettingError, match=said):
        smtp_mailer()


def test_temporary_refusals_are_retries() -> None:
    """What is refused for now is Retry in words of ours."""
    with postmaster() as office:
        office.replies["RCPT"] = ["450 ada@example.com is busy"]
        with pytest.raises(Retry, match=r"^the mail server refuses the recipient for now \(450\)$"):
            send(office)
