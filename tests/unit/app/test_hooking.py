"""send_webhook against real web servers, with signatures checked by the reference library of Standard Webhooks."""

import asyncio
import base64
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_lambda_powertools.utilities import parameters
from moto import mock_aws
from standardwebhooks import Webhook, WebhookVerificationError

import catalog
import send_webhook
from afterward import Chain, Discard, Job, Retry, Status, task
from afterward.aws import client
from afterward.background import DurableTasks
from afterward.clock import SystemClock
from afterward.depends import Overrides
from afterward.errors import SettingError
from afterward.execution import Execution
from afterward.records import Record
from afterward.testing import ManualClock, MemoryJobs
from destination import PublicGuard
from outbound import Client, public_client
from send_webhook import content, keys_of, secret_arn, signing_keys
from tests.support.postmaster import client_context, server_context
from tests.support.resolver import TableResolver
from tests.support.webserver import TOLD, Behaviour, Request, WebServer, answer, raw, web_server

SECRET = base64.b64encode(bytes(range(48))).decode()
OTHER = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
DATA: dict[str, Any] = {"user_id": 7, "action": "external_fetch_triggered", "text": "Grüße \u2028 \U0001f600"}


@task(name="before_webhook")
def before(end: str) -> None:
    """End as it is told to."""
    if end == "failed":
        raise Discard("it failed")


class Hook:
    """A webhook that is sent behind other jobs, by a worker whose client may call this server."""

    def __init__(self, server: WebServer, monkeypatch: pytest.MonkeyPatch, secret: str = SECRET) -> None:
        worker, self.clock = send_webhook.lambda_handler, ManualClock(float(int(time.time())))
        names = TableResolver({"localhost": [["127.0.0.1"]]})
        guard = PublicGuard(loopback=frozenset({server.port}), resolver=names)
        caller = Client(guard, tls=client_context() if server.tls else None)
        overrides: Overrides = {
            public_client: lambda: caller,
            signing_keys: lambda: keys_of(secret),
            SystemClock: lambda: self.clock,
        }
        monkeypatch.setattr(worker, "_execution", Execution(worker.implementation, worker.needs, overrides))
        self.url = server.url("/hook?token=secret")
        self.tasks = DurableTasks.in_memory(clock=self.clock)
        self.jobs = MemoryJobs(self.tasks)

    def send(self, *ends: str, url: str = "", data: dict[str, Any] | None = None) -> Record:
        """Run jobs that end so, and then the webhook to its end; return its record."""
        added = [self.tasks.add_task(before, end) for end in ends]
        sending = catalog.send_webhook.options(even_if_failed=True)
        self.job = self.tasks.add_task(sending, url or self.url, "external_fetch", DATA if data is None else data)
        self.first = [*added, self.job][0]
        asyncio.run(self.jobs.publish_and_drain())
        return self.jobs.record(self.job)


def send(behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, *ends: str) -> tuple[Record, list[Request]]:
    with web_server(behaviour) as server:
        record = Hook(server, monkeypatch).send(*ends)
        return record, server.requests


def sent(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body)
    return body


def test_a_webhook_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference library verifies what arrives with the secret, and with no other."""
    with web_server(answer(204)) as server:
        hook = Hook(server, monkeypatch)
        record = hook.send("completed")
        (request,) = server.requests
    assert (record.status, record.attempt) == (Status.COMPLETED, 1)
    verified = Webhook(SECRET).verify(request.body, request.headers)
    assert verified["data"]["text"] == DATA["text"]
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)


def test_a_webhook_says_how_the_chain_went(monkeypatch: pytest.MonkeyPatch) -> None:
    """Type, time and data, as compact JSON; the data of the call with the chain's id and status."""
    with web_server() as server:
        hook = Hook(server, monkeypatch)
        hook.send("completed", "completed")
        (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/hook?token=secret")
    assert b'"type":"external_fetch.completed","timestamp":"20' in request.body
    body = sent(request)
    assert list(body) == ["type", "timestamp", "data"]
    assert body["data"] == DATA | {"task_id": hook.first.id, "status": "completed"}
    assert body["timestamp"].startswith(time.strftime("%Y-%m-%dT", time.gmtime(hook.clock.now())))
    assert body["timestamp"].endswith("Z")


def test_a_webhook_has_the_specifications_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id follows from the job, its time is the attempt's in whole seconds."""
    with web_server() as server:
        hook = Hook(server, monkeypatch)
        hook.send("completed")
        headers = server.requests[0].headers
    assert headers["webhook-id"] == f"msg_{hook.job.id}"
    assert headers["webhook-timestamp"] == str(int(hook.clock.now()))
    assert headers["webhook-signature"].startswith("v1,")
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("Afterward/")


def test_a_webhook_names_the_job_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken chain is told as such, with the job that broke it."""
    with web_server() as server:
        hook = Hook(server, monkeypatch)
        hook.send("failed", "completed")
        body = sent(server.requests[0])
    assert body["type"] == "external_fetch.failed"
    assert body["data"] == DATA | {"task_id": hook.first.id, "status": "failed", "failed_task_id": hook.first.id}


def test_what_the_caller_says_of_the_chain_does_not_count() -> None:
    """Keys that are ours are overwritten; a chain's first job has its own time."""
    chain, job = Chain("job-1"), Job("job-1", "send_webhook", "2026-11-22T14:00:00.000000Z")
    body = json.loads(content("x", {"status": "great", "task_id": 1, "more": None}, chain, job))
    assert body == {
        "type": "x.completed",
        "timestamp": "2026-11-22T14:00:00.000000Z",
        "data": {"status": "completed", "task_id": "job-1", "more": None},
    }


def test_attempts_differ_in_their_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes under the same id each time, signed anew for the time of the attempt."""
    with web_server(answer(500), answer(500), answer(500), answer(200)) as server:
        record = Hook(server, monkeypatch).send("completed")
        requests = server.requests
    assert (record.status, record.attempt, len(requests)) == (Status.COMPLETED, 4, 4)
    assert len({request.body for request in requests}) == 1
    assert len({request.headers["webhook-id"] for request in requests}) == 1
    times = [int(request.headers["webhook-timestamp"]) for request in requests]
    assert times == sorted(set(times))
    for request in requests:
        assert request.headers["webhook-signature"] == signed_by(SECRET, request)


def signed_by(secret: str, request: Request) -> str:
    """What the reference library makes of the same id, time and body."""
    when = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(request.headers["webhook-id"], when, request.body.decode())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_is_one(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """2xx ends it, whatever the body says or how long it would be."""
    record, requests = send(
        raw(b"HTTP/1.1 %d OK\r\nContent-Length: 9999999\r\n\r\nno" % status), monkeypatch, "completed"
    )
    assert (record.status, record.attempt, len(requests)) == (Status.COMPLETED, 1, 1)


def test_gone_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """410 fails the job at once: the receiver wants no more."""
    record, requests = send(answer(410), monkeypatch, "completed")
    assert (record.status, record.attempt, len(requests)) == (Status.FAILED, 1, 1)
    assert record.reason == f"{TOLD} answered 410: it wants no more webhooks"


SCHEDULE = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308, 400, 401, 404, 422, 429, 500, 502, 503])
def test_anything_else_is_tried_by_the_schedule(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten attempts over three days, each at its time; a redirect is a failure like any other, and not followed."""
    with web_server(answer(status, Location="/elsewhere")) as server:
        hook = Hook(server, monkeypatch)
        record = hook.send("completed")
        requests = server.requests
    assert (record.status, record.attempt) == (Status.FAILED, 10)
    assert record.reason == f"{TOLD} answered {status}"
    times = [int(request.headers["webhook-timestamp"]) for request in requests]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    # The clock of tests takes all of the jitter, a twentieth; messages come back at whole seconds.
    assert waits == pytest.approx([1.05 * wait for wait in SCHEDULE], abs=1.5)
    assert {request.target for request in requests} == {"/hook?token=secret"}


@pytest.mark.parametrize(
    ("status", "asked", "waited"),
    [(429, "3600", 3_600), (503, "3600", 3_600), (429, "1", 5.25), (503, "999999", 86_400), (500, "3600", 5.25)],
)
def test_a_receiver_may_ask_for_patience(
    status: int, asked: str, waited: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After of 429 and 503 makes the next wait longer than the schedule's, up to a day, and never shorter."""
    with web_server(answer(status, Retry_After=asked), answer(200)) as server:
        record = Hook(server, monkeypatch).send("completed")
        first, second = (int(request.headers["webhook-timestamp"]) for request in server.requests)
    assert record.status is Status.COMPLETED
    assert second - first == pytest.approx(waited, abs=1.5)


def test_a_receiver_that_is_not_there_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that fails is an attempt like any other; the reason names the host and no more."""
    with web_server() as server:
        hook = Hook(server, monkeypatch)
    record = hook.send("completed")
    assert (record.status, record.attempt) == (Status.FAILED, 10)
    assert record.reason == f"{TOLD} does not take connections"


def test_a_receiver_that_does_not_answer_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that runs out is an attempt like any other."""
    monkeypatch.setattr(send_webhook, "SECONDS", 0.2)
    with web_server(lambda _request, connection: connection.hang(), answer(200)) as server:
        hook = Hook(server, monkeypatch)
        record = hook.send("completed")
    assert (record.status, record.attempt) == (Status.COMPLETED, 2)


def test_a_webhook_goes_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver with a certificate that is trusted gets it encrypted."""
    with web_server(tls=server_context()) as server:
        record = Hook(server, monkeypatch).send("completed")
        assert len(server.requests) == 1
    assert record.status is Status.COMPLETED


def test_a_certificate_that_is_not_trusted_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent to who cannot show the name's certificate; that is tried again, since certificates change."""
    with web_server(tls=server_context("other.example.com")) as server:
        record = Hook(server, monkeypatch).send("completed")
        assert server.requests == []
    assert (record.status, record.attempt) == (Status.FAILED, 10)
    assert record.reason == f"{TOLD} has no certificate that can be trusted"


@pytest.mark.parametrize("url", ["http://169.254.169.254/x?token=secret", "http://0x7f.1/", "http://localhost/"])
def test_a_forbidden_receiver_fails_the_job(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that a server must not call is refused for good, and named by its host alone."""
    with web_server() as server:
        record = Hook(server, monkeypatch).send("completed", url=url)
        assert server.requests == []
    assert (record.status, record.attempt) == (Status.FAILED, 1)
    assert record.reason
    assert record.reason.split()[1:5] == ["may", "not", "be", "called:"]
    assert "secret" not in record.reason


def test_nothing_secret_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the query of the URL nor the key stands in what is logged when a webhook fails."""
    caplog.set_level(logging.DEBUG)
    with web_server(answer(500)) as server:
        hook = Hook(server, monkeypatch)
        hook.send("completed")
        hook.send("completed", url="http://10.0.0.1/?token=secret")
    hook.send("completed")  # to nobody
    assert "127.0.0.1 answered 500" in caplog.text
    assert "token=secret" not in caplog.text
    assert SECRET not in caplog.text


# Keys


def test_each_key_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """While keys are rotated receivers with the old one and with the new one both verify it."""
    with web_server() as server:
        Hook(server, monkeypatch, secret=f"{SECRET} {OTHER}").send("completed")
        (request,) = server.requests
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, f"whsec_{SECRET}", OTHER):
        assert Webhook(secret).verify(request.body, request.headers)


@pytest.mark.parametrize("size", [24, 25, 26, 32, 48, 64])
def test_keys_of_24_to_64_bytes_are_taken(size: int) -> None:
    """With the prefix or without, with base64's padding or without."""
    key = bytes(range(size))
    text = base64.b64encode(key).decode()
    for spelling in (text, f"whsec_{text}", text.rstrip("="), f"  {text}\n"):
        assert keys_of(spelling) == [key]


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "   ",
        "whsec_",
        "short",
        base64.b64encode(b"x" * 23).decode(),
        base64.b64encode(b"x" * 65).decode(),
        "not base64 at all!",
        '{"key": "' + SECRET + '"}',
        f"{SECRET},{OTHER}",
        f"{SECRET} short",
        "whsec_whsec_" + SECRET,
        "ä" * 32,
    ],
)
def test_a_malformed_key_is_named_and_not_shown(secret: str) -> None:
    """It is said where it lies and what it should be, without it."""
    with pytest.raises(SettingError, match="the secret that WEBHOOK_SECRET names must be the base64") as refusal:
        keys_of(secret)
    assert secret.strip() not in str(refusal.value) or not secret.strip()
    assert refusal.value.__cause__ is None


@pytest.fixture
def stored() -> Iterator[Callable[[str], str]]:
    """Stores a secret, and returns its ARN."""
    with mock_aws():
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        yield lambda text: client("secretsmanager").create_secret(Name="webhook", SecretString=text)["ARN"]
    parameters.clear_caches()  # type: ignore[no-untyped-call]


def test_keys_come_from_secrets_manager(stored: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret that WEBHOOK_SECRET names is read once for several attempts."""
    arn = stored(SECRET)
    monkeypatch.setenv("WEBHOOK_SECRET", arn)
    assert signing_keys(secret_arn()) == [bytes(range(48))]
    client("secretsmanager").put_secret_value(SecretId=arn, SecretString=OTHER)
    assert signing_keys(secret_arn()) == [bytes(range(48))]
    parameters.clear_caches()  # type: ignore[no-untyped-call]
    assert signing_keys(secret_arn()) == [b"another key of thirty-two bytes!"]


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its variable the function does not come up."""
    monkeypatch.delenv("WEBHOOK_SECRET", raising=False)
    with pytest.raises(SettingError, match="WEBHOOK_SECRET is not set"):
        secret_arn()


def test_a_secret_that_cannot_be_read_is_tried_again(stored: Callable[[str], str]) -> None:
    """It is no fault of the job's."""
    arn = stored(SECRET)
    client("secretsmanager").delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    with pytest.raises(Retry, match=r"^the signing key could not be read from Secrets Manager$"):
        signing_keys(arn)


def test_without_a_key_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is wrong shows before any receiver hears of it, and stays an attempt that failed."""
    with web_server() as server:
        record = Hook(server, monkeypatch, secret="short").send("completed")
        assert server.requests == []
    assert record.status is Status.FAILED
    assert "WEBHOOK_SECRET" in str(record.reason)
