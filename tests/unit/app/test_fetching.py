"""fetch_external_data against real web servers."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

import catalog
import fetch_external_data
from afterward import Discard, Retry, Status
from afterward.background import DurableTasks
from afterward.clock import SystemClock
from afterward.execution import Execution
from afterward.records import Record
from afterward.testing import START, Attempt, ManualClock, MemoryJobs, Trial
from destination import PublicGuard
from fetch_external_data import LIMIT, fetch
from outbound import Client, public_client
from tests.support.resolver import TableResolver
from tests.support.webserver import TOLD, Behaviour, WebServer, answer, raw, web_server

Overrides = dict[Callable[..., Any], Callable[..., Any]]


def overrides(server: WebServer, clock: ManualClock | None = None) -> Overrides:
    client = Client(PublicGuard(loopback=frozenset({server.port}), resolver=TableResolver()))
    return {public_client: lambda: client, SystemClock: lambda: clock or ManualClock()}


def attempt(behaviour: Behaviour, path: str = "/") -> Attempt:
    with web_server(behaviour) as server:
        return Trial(overrides=overrides(server)).run(fetch, 7, server.url(path))


def run_job(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> tuple[Record, float]:
    """Run a job to its end; return its record and how long that took by its clock."""
    worker, clock = fetch_external_data.lambda_handler, ManualClock()
    execution = Execution(worker.implementation, worker.needs, overrides(server, clock))
    monkeypatch.setattr(worker, "_execution", execution)
    tasks = DurableTasks.in_memory(clock=clock)
    job = tasks.add_task(catalog.fetch_external_data, 7, server.url("/data?token=secret"))
    jobs = MemoryJobs(tasks)
    asyncio.run(jobs.publish_and_drain())
    return jobs.record(job), clock.now() - START


TYPES = [
    ("application/json", b'{"a": [1, 2.5, null]}', "data.json", "application/json"),
    ("Application/JSON; Charset=UTF-8", b"[]", "data.json", "application/json; charset=UTF-8"),
    ("application/vnd.api+json", b"7", "data.json", "application/vnd.api+json"),
    ("application/json", "\ufeff{}".encode(), "data.json", "application/json"),
    ("application/json", '{"a": "ä"}'.encode("utf-16"), "data.json", "application/json"),
    ("application/json", b"1" * 10_000, "data.json", "application/json"),
    ("text/plain", b"hello", "data.txt", "text/plain"),
    ("text/csv; charset=latin-1", b"a;b", "data.csv", "text/csv; charset=latin-1"),
    ('text/html; charset="utf-8"', b"<p>", "data.html", "text/html; charset=utf-8"),
    ("application/xml", b"<a/>", "data.xml", "application/xml"),
    ("text/xml;version=1", b"<a/>", "data.xml", "text/xml"),
    ("text/plain", b"", "data.txt", "text/plain"),
]


@pytest.mark.parametrize(("sent", "body", "name", "kept"), TYPES)
def test_data_is_kept_as_it_was_sent(sent: str, body: bytes, name: str, kept: str) -> None:
    """The bytes become the job's result, under a name and a type that follow from what the server says they are."""
    found = attempt(answer(200, body, Content_Type=sent))
    assert {name: (one.body, one.content_type) for name, one in found.results.items()} == {name: (body, kept)}
    assert found.messages == [f"Stored {len(body)} bytes of {kept.partition(';')[0]}"]


def test_ten_megabytes_are_taken_and_no_more() -> None:
    """The limit is what the task promises."""
    body = b'"' + b"x" * (LIMIT - 2) + b'"'
    assert LIMIT == 10_000_000
    assert attempt(answer(200, body, Content_Type="application/json")).results["data.json"].body == body
    with pytest.raises(Discard, match=r"^127.0.0.1 answers with more than 10000000 bytes$"):
        attempt(answer(200, body + b" ", Content_Type="application/json"))


FORBIDDEN = (
    "may not be called: it should be a public host by http or https, without a user name, on port 80, 443, 8080 or 8443"
)

REFUSED = [
    (answer(200, b"x", Content_Type="image/png"), f"{TOLD} sends image/png; JSON, text and XML are taken"),
    (
        answer(200, b"x", Content_Type="application/octet-stream"),
        f"{TOLD} sends application/octet-stream; JSON, text and XML are taken",
    ),
    (
        answer(200, b"x", Content_Type="multipart/form-data; boundary=x"),
        f"{TOLD} sends multipart/form-data; JSON, text and XML are taken",
    ),
    (answer(200, b"x"), f"{TOLD} does not say what type of data it sends"),
    (answer(200, b"x", Content_Type="json"), f"{TOLD} does not say what type of data it sends"),
    (answer(200, b"x", Content_Type="text/"), f"{TOLD} does not say what type of data it sends"),
    (answer(204), f"{TOLD} does not say what type of data it sends"),
    (answer(304), f"{TOLD} answered 304"),
    (answer(400), f"{TOLD} answered 400"),
    (answer(401), f"{TOLD} answered 401"),
    (answer(404, b"<html>", Content_Type="text/html"), f"{TOLD} answered 404"),
    (answer(410), f"{TOLD} answered 410"),
    (
        answer(302, Location="http://10.0.0.1/?token=secret"),
        f"{TOLD} {FORBIDDEN}",
    ),
    (answer(302, Location="/"), f"{TOLD} would be redirect number 4, and 3 are followed"),
    (
        answer(200, b"x", Content_Type="text/plain", Content_Encoding="br"),
        f"{TOLD} answers in a content coding that was not asked for",
    ),
]


@pytest.mark.parametrize(("behaviour", "reason"), REFUSED)
def test_what_another_attempt_cannot_change_fails_the_job(
    behaviour: Behaviour, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job fails at the first attempt; its record names the host and nothing else of the URL."""
    with web_server(behaviour) as server:
        record, _ = run_job(server, monkeypatch)
    assert (record.status, record.attempt, record.reason) == (Status.FAILED, 1, reason)
    assert record.results is None


NOT_JSON = [
    b"",
    b"{",
    b"{'a': 1}",
    b"[1,]",
    b"nul",
    b"NaN",
    b"[Infinity]",
    b"-Infinity",
    b"\xff\xff",
    b"[" * 100_000,
    b"{} {}",
]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: str(body[:12]))
def test_json_must_be_json(body: bytes) -> None:
    """What does not parse, or only for Python, is refused in words that say so."""
    with pytest.raises(Discard, match=r"^what 127.0.0.1 sends as application/json is not valid JSON$"):
        attempt(answer(200, body, Content_Type="application/json"))


TEMPORARY = [
    (answer(408), f"{TOLD} answered 408"),
    (answer(425), f"{TOLD} answered 425"),
    (answer(429), f"{TOLD} answered 429"),
    (answer(500), f"{TOLD} answered 500"),
    (answer(503), f"{TOLD} answered 503"),
    (answer(599), f"{TOLD} answered 599"),
    (raw(b""), f"{TOLD} gave no answer that could be understood"),
    (
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhalf"),
        f"{TOLD} gave no answer that could be understood",
    ),
]


@pytest.mark.parametrize(("behaviour", "reason"), TEMPORARY)
def test_what_may_pass_is_tried_again(behaviour: Behaviour, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that fails for now gets another attempt, and the job completes with what that one brings."""
    with web_server(behaviour, answer(200, b"[1]", Content_Type="application/json")) as server:
        record, _ = run_job(server, monkeypatch)
        assert len(server.requests) == 2
    assert (record.status, record.attempt, record.reason) == (Status.COMPLETED, 2, None)
    assert record.message == "Stored 3 bytes of application/json"
    assert list(json.loads(record.results or "{}")) == ["data.json"]
    with web_server(behaviour) as server:
        record, _ = run_job(server, monkeypatch)
    assert (record.status, record.attempt, record.reason) == (Status.FAILED, 5, reason)


def test_a_server_that_is_not_there_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection's failure is the reason where it stays so."""
    with web_server() as server:
        pass
    record, _ = run_job(server, monkeypatch)
    assert (record.status, record.attempt, record.reason) == (Status.FAILED, 5, f"{TOLD} does not take connections")


@pytest.mark.parametrize(("asked", "waited"), [("600", 600), ("86400", 3_600), ("1", 5), ("soon", 5)])
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_may_ask_for_patience(status: int, asked: str, waited: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After makes the wait longer than the task's own backoff, up to an hour, and never shorter."""
    busy, done = answer(status, Retry_After=asked), answer(200, b"x", Content_Type="text/plain")
    with web_server(busy, done) as server:
        record, took = run_job(server, monkeypatch)
    assert (record.status, took) == (Status.COMPLETED, waited)


def test_a_forbidden_address_fails_the_job() -> None:
    """Nothing on this machine is called but what was allowed."""
    with web_server() as server, web_server() as other:
        with pytest.raises(Discard, match=r"^127.0.0.1 may not be called: it should be a public host"):
            Trial(overrides=overrides(server)).run(fetch, 7, other.url())
        assert other.requests == []


def test_a_slow_server_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that runs out is a reason to try again, and the query is not in it."""
    monkeypatch.setattr(fetch_external_data, "SECONDS", 0.2)
    with web_server(lambda _request, connection: connection.hang()) as server:
        trial = Trial(overrides=overrides(server))
        with pytest.raises(Retry, match=r"^127.0.0.1 did not answer in time$"):
            trial.run(fetch, 7, server.url("/?token=secret"))


def test_a_deployed_function_calls_public_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the local cloud's variable nothing on this machine may be called; with it, the port that it names."""
    with web_server(answer(200, b"[]", Content_Type="application/json")) as server:
        monkeypatch.delenv("OUTBOUND_ALLOW_LOOPBACK", raising=False)
        with pytest.raises(Discard, match="may not be called"):
            Trial().run(fetch, 7, server.url())
        monkeypatch.setenv("OUTBOUND_ALLOW_LOOPBACK", str(server.port))
        assert Trial().run(fetch, 7, server.url()).results
