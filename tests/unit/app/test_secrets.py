"""Secrets: out of Secrets Manager, changed without a deploy, and nowhere else to be read."""

import asyncio
import base64
import datetime as dt
import io
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters import base
from moto import mock_aws
from standardwebhooks import Webhook, WebhookVerificationError

import catalog
import hash_key
import send_webhook
from afterward import Retry
from afterward.aws import client
from afterward.background import DurableTasks
from afterward.clock import SystemClock
from afterward.errors import SettingError
from afterward.execution import Execution
from afterward.pii import Pii
from afterward.testing import ManualClock, MemoryJobs, Trial
from csv_pipeline.engine import Engine
from csv_pipeline.layout import Layout
from destination import PublicGuard
from local.template import load
from mailer import SmtpMailer, login, smtp_mailer
from outbound import Client, public_client
from row_schemas import CustomerRow, PaymentRow
from send_email import deliver
from tests.support.logs import configured
from tests.support.postmaster import LOGIN, client_context, postmaster
from tests.support.resolver import TableResolver
from tests.support.webserver import WebServer, answer, web_server

ROOT = Path(__file__).parents[3]
PARAMETERS = {
    "JwtIssuer": "https://login.example.com",
    "JwtAudience": "afterward",
    "SmtpHost": "smtp.example.com",
    "SmtpSender": "afterward@example.com",
    "SmtpSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:smtp-AbCdEf",
}

FIRST, SECOND = (base64.b64encode(text * 4).decode() for text in (b"first key ab", b"second key c"))
HEADER = ("payment_id", "paid_at", "amount", "currency", "customer_number")


class Moved(dt.datetime):
    """The clock, so many seconds later."""

    seconds = 0.0

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "Moved":
        moved = super().now(tz) + dt.timedelta(seconds=cls.seconds)
        assert isinstance(moved, cls)
        return moved


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of Powertools' cache, and that of the key's."""
    monkeypatch.setattr(Moved, "seconds", 0.0)
    monkeypatch.setattr(hash_key, "monotonic", lambda: time.monotonic() + Moved.seconds)
    monkeypatch.setattr(base, "datetime", Moved)

    def move(seconds: float) -> None:
        monkeypatch.setattr(Moved, "seconds", Moved.seconds + seconds)

    return move


@pytest.fixture
def secret() -> Iterator[Callable[[str], str]]:
    """Stores the one secret of a test, or another value of it, and returns its ARN."""
    with mock_aws():
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        manager = client("secretsmanager")
        arn: str = manager.create_secret(Name="secret")["ARN"]

        def put(value: str) -> str:
            manager.put_secret_value(SecretId=arn, SecretString=value)
            return arn

        yield put
    parameters.clear_caches()  # type: ignore[no-untyped-call]


# The key of hashes


def layout(header: tuple[str, ...]) -> Layout:
    return Layout(delimiter=",", header=header, start=0)


def clean(*numbers: str) -> list[str]:
    """Return what stands in the clean file for the numbers of these customers."""
    engine = Engine(layout(HEADER), PaymentRow)
    rows = [f"A-1,2026-11-22T14:00:00Z,5,CHF,{number}\n" for number in numbers]
    done = engine.process("".join(rows).encode(), 2)
    assert done.rejected == 0, done.rejects
    return [line.rpartition(",")[2] for line in done.clean.decode().splitlines()]


def test_files_can_be_joined_on_hashes(secret: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same customer has the same hash in each file, another one another, and nobody can read the number in it."""
    monkeypatch.setenv("PII_HASH_SECRET", secret(FIRST))
    first, second = clean("C-1001", "C-1002", "C-1001"), clean("C-1002", "", "C-1003")
    assert first[0] == first[2]
    assert first[1] == second[0]
    assert len({*first, *second}) == 4
    assert second[1] == ""
    for one in {*first, *second} - {""}:
        assert re.fullmatch(r"\[CUSTOMER:h[0-9a-f]{24}\]", one)


def test_a_hash_is_the_keys(secret: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no key cannot find out a number by trying: it is that of the key which the secret holds."""
    monkeypatch.setenv("PII_HASH_SECRET", secret(FIRST))
    assert clean("C-1001") == [Pii("customer", "hash", key=FIRST.encode())("C-1001")]
    assert clean("C-1001") != [Pii("customer", "hash", key=SECOND.encode())("C-1001")]


def test_a_new_key_is_used_within_five_minutes(
    secret: Callable[[str], str], later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No deployment is needed: the same process hashes with the new key, which joins with files of before no more."""
    monkeypatch.setenv("PII_HASH_SECRET", secret(FIRST))
    before = clean("C-1001")
    secret(SECOND)
    later(hash_key.MAX_AGE - 5)
    assert clean("C-1001") == before
    later(10)
    assert clean("C-1001") == [Pii("customer", "hash", key=SECOND.encode())("C-1001")] != before


def test_only_those_who_need_the_key_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files without the column, and schemas without it, need no secret: nothing is set up here."""
    monkeypatch.delenv("PII_HASH_SECRET", raising=False)
    row = b"A-1,2026-11-22T14:00:00Z,5,CHF\n"
    assert Engine(layout(HEADER[:4]), PaymentRow).process(row, 2).kept == 1
    assert Engine(layout(HEADER), PaymentRow).header == b",".join(name.encode() for name in HEADER) + b"\n"
    assert "customer_number" not in CustomerRow.model_fields


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said which one, to whoever reads the job's status."""
    monkeypatch.delenv("PII_HASH_SECRET", raising=False)
    with pytest.raises(SettingError, match="environment variable PII_HASH_SECRET is not set"):
        clean("C-1001")


@pytest.mark.parametrize("value", ["short", "x" * 31])
def test_a_key_that_could_be_guessed_is_refused(
    value: str, secret: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what it should be, without it."""
    monkeypatch.setenv("PII_HASH_SECRET", secret(value))
    with pytest.raises(SettingError, match=r"that PII_HASH_SECRET names must be a text of at least 32") as refusal:
        hash_key.hash_key()
    assert value not in str(refusal.value)


def test_a_key_that_cannot_be_read_is_tried_again(
    secret: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the file's."""
    arn = secret(FIRST)
    monkeypatch.setenv("PII_HASH_SECRET", arn)
    client("secretsmanager").delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    with pytest.raises(Retry, match=r"^the key for hashes could not be read from Secrets Manager$"):
        hash_key.hash_key()


# Webhooks and mails


class Hook:
    """send_webhook with the keys in Secrets Manager, and a client that may call this server."""

    def __init__(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        worker, self.clock = send_webhook.lambda_handler, ManualClock(dt.datetime.now(dt.UTC).timestamp() // 1)
        guard = PublicGuard(loopback=frozenset({server.port}), resolver=TableResolver())
        overrides: dict[Any, Any] = {public_client: lambda: Client(guard), SystemClock: lambda: self.clock}
        monkeypatch.setattr(worker, "_execution", Execution(worker.implementation, worker.needs, overrides))
        self.server = server

    def send(self) -> None:
        tasks = DurableTasks.in_memory(clock=self.clock)
        jobs = MemoryJobs(tasks)
        tasks.add_task(catalog.send_webhook, self.server.url(), "task", {})
        asyncio.run(jobs.publish_and_drain())

    def verifies(self, key: str) -> bool:
        """Say whether a receiver that has this key takes the last webhook, by the reference library."""
        request = self.server.requests[-1]
        try:
            Webhook(key).verify(request.body, request.headers)
        except WebhookVerificationError:
            return False
        return True


def test_receivers_change_keys_one_after_the_other(
    secret: Callable[[str], str], later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While both keys are in the secret both receivers verify each webhook; the process stays the same."""
    monkeypatch.setenv("WEBHOOK_SECRET", secret(FIRST))
    with web_server(answer(204)) as server:
        hook = Hook(server, monkeypatch)
        verified = []
        for value in (FIRST, f"{FIRST} whsec_{SECOND}", SECOND):
            secret(value)
            later(301)
            hook.send()
            verified.append((hook.verifies(FIRST), hook.verifies(SECOND)))
    assert verified == [(True, False), (True, True), (False, True)]


def test_a_new_login_is_used_within_five_minutes(secret: Callable[[str], str], later: Callable[[float], None]) -> None:
    """The password of the mail server changes without a deploy."""
    arn = secret(json.dumps({"username": "mailer", "password": "old"}))
    assert login(arn) == ("mailer", "old")
    secret(json.dumps({"username": "mailer", "password": "new"}))
    assert login(arn) == ("mailer", "old")
    later(301)
    assert login(arn) == ("mailer", "new")


# Nowhere else

SECRETIVE = re.compile("secret|password|passwd|token|credential|(?<![a-z])key(?![a-z])|private", re.IGNORECASE)


@pytest.fixture(scope="module")
def deployed() -> dict[str, Any]:
    """What CloudFormation gets, with a parameter for everything."""
    document: dict[str, Any] = dict(load(ROOT / "template.yaml", PARAMETERS).document)
    return document


def test_the_template_names_secrets_and_holds_none(deployed: dict[str, Any]) -> None:
    """Each secret is made up where it is deployed; no value of one stands in the template."""
    secrets = {
        name: one["Properties"]
        for name, one in deployed["Resources"].items()
        if one["Type"] == "AWS::SecretsManager::Secret"
    }
    assert {"DigestSecret", "WebhookSecret", "PiiHashSecret"} <= secrets.keys()
    for properties in secrets.values():
        assert "SecretString" not in properties
        assert properties["GenerateSecretString"]["PasswordLength"] >= 64
    assert not re.search(r'"SecretString"|\{\{resolve:', json.dumps(deployed))


def test_variables_name_secrets_and_hold_none(deployed: dict[str, Any]) -> None:
    """What a function's variable says of a secret is where it is: the ARN."""
    found = set()
    for name, resource in deployed["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function":
            for variable, value in resource["Properties"].get("Environment", {}).get("Variables", {}).items():
                if SECRETIVE.search(variable.replace("_", " ")):
                    found.add((name, variable))
                    assert is_a_reference(deployed, value), f"{name}: {variable}"
    assert {
        ("Api", "AFTERWARD_DIGEST_SECRET"),
        ("ProcessCsvChunk", "PII_HASH_SECRET"),
        ("SendEmail", "SMTP_SECRET"),
        ("SendWebhook", "WEBHOOK_SECRET"),
    } <= found


def is_a_reference(deployed: dict[str, Any], value: Any) -> bool:
    """Say whether a value is the ARN of a secret, which is what !Ref of one gives, or of one by a parameter."""
    named = value.get("Ref") if isinstance(value, dict) else None
    if named in deployed["Resources"]:
        return bool(deployed["Resources"][named]["Type"] == "AWS::SecretsManager::Secret")
    return bool(str(named).endswith("SecretArn") or re.match(r"arn:[a-z-]+:secretsmanager:", str(value)))


def test_no_parameter_takes_a_secret(deployed: dict[str, Any]) -> None:
    """What is deployed with is shown in consoles and histories: an ARN at most."""
    secretive = {name for name in deployed["Parameters"] if SECRETIVE.search(re.sub("(?=[A-Z])", " ", name))}
    assert secretive == {"SmtpSecretArn"}


PASSWORD = "Pa55-word-of-the-mail-server"


def test_no_secret_is_logged_or_left_in_the_environment(
    secret: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every level, whether it goes well or not, the logs hold no secret, and neither do variables."""
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")
    log = io.StringIO()
    with configured(log), web_server(answer(500), answer(204)) as server, postmaster() as office:
        for level in ("botocore", "urllib3"):
            logging.getLogger(level).setLevel(logging.INFO)
        arn = secret(f"{FIRST} {SECOND}")
        monkeypatch.setenv("WEBHOOK_SECRET", arn)
        Hook(server, monkeypatch).send()
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        monkeypatch.setenv("PII_HASH_SECRET", secret(FIRST))
        clean("C-1001")
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        for password in (LOGIN[1], PASSWORD):
            secret(json.dumps({"username": LOGIN[0], "password": password}))
            parameters.clear_caches()  # type: ignore[no-untyped-call]
            outcome = mail_to(office.port, arn)
            logging.getLogger(__name__).error("the mail: %s", outcome, exc_info=outcome)
        assert {password for _, password in office.logins} == {LOGIN[1], PASSWORD}
        for wrong in (f"{PASSWORD} {PASSWORD}", PASSWORD):
            secret(wrong)
            parameters.clear_caches()  # type: ignore[no-untyped-call]
            Hook(server, monkeypatch).send()
    assert "the mail" in log.getvalue()
    assert "WEBHOOK_SECRET" in log.getvalue()
    for value in (FIRST, SECOND, LOGIN[1], PASSWORD):
        for spelled in (value, base64.b64encode(value.encode()).decode().rstrip("=")):
            assert spelled not in log.getvalue()
            assert spelled not in "\n".join(os.environ.values())


def mail_to(port: int, arn: str) -> Exception | None:
    mailer = SmtpMailer("127.0.0.1", port, "robot@sender.example", starttls=True, tls=client_context(), secret=arn)
    try:
        Trial(overrides={smtp_mailer: lambda: mailer}).run(deliver, "ada@example.com", "Hi", "Hello")
    except Exception as error:  # noqa: BLE001 - whatever is raised is logged by the worker
        return error
    return None
