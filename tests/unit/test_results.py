"""Objects that a job leaves for its owner: stored at once, and shown with the work that made them."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from moto.server import ThreadedMotoServer

from afterward import Discard, Progress, Results, Retry, injected
from afterward.aws import client, session
from afterward.backend import Backend
from afterward.errors import UsageError
from afterward.job import Status
from afterward.memory import MemoryBlobs
from afterward.results import LIMIT, keys_of
from afterward.s3 import S3Blobs
from afterward.steering import cancel, retry
from afterward.testing import START, ManualClock, Result, Trial
from tests.support.cloud import BUCKET, Cloud
from tests.support.jobs import FIRST, OWNER, THIRD, envelope, link, record, run, send, standing, worker
from tests.support.line import LETTERS, Works, drain, receive


def storing(text: str, *, results: Results = injected) -> None:
    """Leave one object."""
    results.store("data.json", text.encode(), "application/json")


def accept(using: Backend, **about: Any) -> None:
    send(using, envelope(**about))
    using.records.add(record())


def test_what_a_job_stores_is_named_when_it_has_completed(stores: Backend) -> None:
    """Under a key of its own attempt."""
    accept(stores)
    drain(stores, worker(FIRST, storing))
    assert keys_of(standing(stores)) == {"data.json": f"results/{OWNER}/job-1/1-1/data.json"}


def test_an_object_is_stored_with_its_type(cloud: Cloud) -> None:
    """A browser knows what to do with it."""
    accept(cloud.backend)
    drain(cloud.backend, worker(FIRST, storing))
    stored = cloud.s3.client.get_object(Bucket=BUCKET, Key=keys_of(standing(cloud.backend))["data.json"])
    assert (stored["Body"].read(), stored["ContentType"]) == (b"hello", "application/json")


def test_a_task_may_put_an_object_itself(stores: Backend) -> None:
    """Under the key that it is given, which an attempt after it shows too: that one goes on where it stopped."""
    keys: list[str] = []

    def put(text: str, *, results: Results = injected) -> None:
        keys.append(results.key("large.csv"))
        if len(keys) == 1:
            raise Retry("not yet", delay=0)
        results.show("large.csv", keys[0])

    accept(stores)
    drain(stores, worker(FIRST, put))
    assert keys == [f"results/{OWNER}/job-1/1-1/large.csv", f"results/{OWNER}/job-1/1-2/large.csv"]
    assert keys_of(standing(stores)) == {"large.csv": keys[0]}


def test_a_job_without_results_names_none(stores: Backend) -> None:
    """And stores nothing about them."""
    accept(stores)
    drain(stores, *Works().workers)
    assert (keys_of(standing(stores)), standing(stores).results) == ({}, None)


def test_what_a_failed_attempt_has_stored_is_not_seen(memory: Backend, clock: ManualClock) -> None:
    """The attempt that ends well names its own objects only."""
    attempts = iter([OSError("once"), None])

    def work(text: str, *, results: Results = injected) -> None:
        error = next(attempts)
        results.store("first.txt" if error else "second.txt", b"x", "text/plain")
        if error:
            raise error

    accept(memory)
    run(worker(FIRST, work), memory)
    assert keys_of(standing(memory)) == {}
    clock.advance(4)
    run(worker(FIRST, work), memory)
    assert keys_of(standing(memory)) == {"second.txt": f"results/{OWNER}/job-1/1-2/second.txt"}


@pytest.mark.parametrize("error", [Discard("no"), OSError("broken")])
def test_a_failed_job_shows_nothing(memory: Backend, error: Exception) -> None:
    """What it had stored was not finished."""

    def work(text: str, *, results: Results = injected) -> None:
        results.store("half.txt", b"x", "text/plain")
        raise error

    accept(memory)
    memory.records.swap(standing(memory), standing(memory).changed(START, limit=1))
    run(worker(FIRST, work), memory)
    assert (standing(memory).status, keys_of(standing(memory))) == (Status.FAILED, {})


def test_a_cancelled_job_shows_nothing_of_the_attempt_that_went_on(memory: Backend) -> None:
    """Its end is refused, and so is what it had stored."""

    def work(text: str, *, results: Results = injected) -> None:
        cancel(memory, standing(memory))
        results.store("late.txt", b"x", "text/plain")

    accept(memory)
    run(worker(FIRST, work), memory)
    assert (standing(memory).status, keys_of(standing(memory))) == (Status.CANCELLED, {})


def test_a_job_that_goes_on_elsewhere_keeps_its_results(memory: Backend, clock: ManualClock) -> None:
    """Each invocation adds to them; a name that is stored again leads to the newest object."""

    def work(text: str, *, progress: Progress = injected, results: Results = injected) -> None:
        for number in progress.track(range(4)):
            results.store(f"{number}.txt", b"x", "text/plain")
            results.store("last.txt", str(number).encode(), "text/plain")
            clock.advance(4)

    accept(memory)
    handler = worker(FIRST, work)
    run(handler, memory, seconds=10)
    assert (standing(memory).status, list(keys_of(standing(memory)))) == (Status.QUEUED, ["0.txt", "last.txt", "1.txt"])
    run(handler, memory, seconds=10)
    done = standing(memory)
    assert (done.status, sorted(keys_of(done))) == (
        Status.COMPLETED,
        ["0.txt", "1.txt", "2.txt", "3.txt", "last.txt"],
    )
    assert [keys_of(done)[name].split("/")[3] for name in ("0.txt", "3.txt", "last.txt")] == ["1-1", "1-2", "1-2"]


def test_what_a_killed_attempt_has_counted_is_named(memory: Backend, clock: ManualClock) -> None:
    """Its successor goes on behind that, and would not store it again; what was not counted is stored anew."""

    class Killed(KeyboardInterrupt):
        pass

    def work(text: str, *, progress: Progress = injected, results: Results = injected) -> None:
        for number in progress.track(range(3)):
            results.store(f"{number}.txt", b"x", "text/plain")
            clock.advance(2)
            if number == 1 and standing(memory).attempt == 1:
                raise Killed

    accept(memory)
    with pytest.raises(Killed):
        run(worker(FIRST, work), memory)
    assert list(keys_of(standing(memory))) == ["0.txt"]
    clock.advance(60)
    run(worker(FIRST, work), memory)
    assert [key.split("/")[3] for key in keys_of(standing(memory)).values()] == ["1-1", "1-2", "1-2"]


def test_a_checkpoint_names_what_was_stored_before_it(memory: Backend, clock: ManualClock) -> None:
    """Also where the attempt fails afterwards: the next one goes on from there."""

    def work(text: str, *, progress: Progress = injected, results: Results = injected) -> None:
        if progress.state is None:
            results.store("one.txt", b"x", "text/plain")
            progress.checkpoint(1)
            results.store("two.txt", b"x", "text/plain")
            raise OSError("broken")

    accept(memory)
    run(worker(FIRST, work), memory)
    assert list(keys_of(standing(memory))) == ["one.txt"]
    clock.advance(4)
    run(worker(FIRST, work), memory)
    assert list(keys_of(standing(memory))) == ["one.txt"]


def test_a_new_run_has_the_results_behind_its_checkpoint(memory: Backend) -> None:
    """It goes on from there, so nobody would store them again; what it stores itself is added."""

    def work(text: str, *, progress: Progress = injected, results: Results = injected) -> None:
        results.store("one.txt", b"x", "text/plain")
        progress.checkpoint(1)
        results.store("two.txt", b"x", "text/plain")
        raise Discard("broken")

    accept(memory)
    drain(memory, worker(FIRST, work), LETTERS)
    retry(memory, standing(memory))
    assert list(keys_of(standing(memory))) == ["one.txt"]
    drain(memory, worker(FIRST, storing))
    assert keys_of(standing(memory)) == {
        "one.txt": f"results/{OWNER}/job-1/1-1/one.txt",
        "data.json": f"results/{OWNER}/job-1/2-1/data.json",
    }


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../up", "a b", "a\n", 'a"b', "ä.txt", "a" * 101, "-x"]
)
def test_a_name_stands_in_a_path(name: str) -> None:
    """Whatever could mean something else there, or in a header, is refused at the call, before anything is stored."""
    blobs = MemoryBlobs()
    with pytest.raises(ValueError, match="result name"):
        Results(blobs, "results").store(name, b"x", "text/plain")
    assert blobs.files == {}


@pytest.mark.parametrize("name", ["a", "data.json", "2026-11-22_Report.CSV", "a" * 100])
def test_names_of_files_are_names(name: str) -> None:
    """Letters, digits, dots, dashes, underscores."""
    Results(MemoryBlobs(), "results").store(name, b"x", "text/plain")


@pytest.mark.parametrize("kind", ["", "text", "text/", "text/plain\n", "text/plain\r\nX: y", "täxt/plain", "/"])
def test_a_type_that_is_none_is_refused(kind: str) -> None:
    """It becomes a header of the download."""
    with pytest.raises(ValueError, match="content type"):
        Results(MemoryBlobs(), "results").store("a", b"x", kind)


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain; charset=utf-8", "application/vnd.api+json", "image/svg+xml"]
)
def test_usual_types_are_types(kind: str) -> None:
    """With parameters too."""
    blobs = MemoryBlobs()
    Results(blobs, "results").store("a", b"x", kind)
    assert blobs.files == {"results/a": (b"x", kind)}


def test_a_job_has_at_most_a_hundred_results() -> None:
    """Replacing one is possible all the same."""
    results = Results(MemoryBlobs(), "results")
    for number in range(LIMIT):
        results.store(str(number), b"x", "text/plain")
    results.store("0", b"y", "text/plain")
    with pytest.raises(ValueError, match="at most 100 results"):
        results.store("more", b"x", "text/plain")


@pytest.mark.parametrize("fault", ["refused", "unreachable"])
def test_a_store_that_does_not_answer_fails_the_attempt(cloud: Cloud, fault: str) -> None:
    """Which is tried again, since the service is to blame and not the task."""
    accept(cloud.backend)
    if fault == "refused":
        cloud.s3.refuse("PutObject", "SlowDown", status=503)
    else:
        cloud.s3.cut("PutObject")
    drain(cloud.backend, worker(FIRST, storing))
    stands = standing(cloud.backend)
    assert (stands.status, stands.attempt, keys_of(stands)) == (Status.QUEUED, 1, {})
    assert (stands.reason or "").startswith("Unavailable: S3 did not take the request")


def test_a_store_whose_reply_is_lost_has_stored(cloud: Cloud) -> None:
    """botocore puts it once more, which changes nothing."""
    accept(cloud.backend)
    cloud.s3.lose("PutObject")
    drain(cloud.backend, worker(FIRST, storing))
    assert standing(cloud.backend).status is Status.COMPLETED
    assert list(keys_of(standing(cloud.backend))) == ["data.json"]


def test_results_are_of_one_job(stores: Backend) -> None:
    """The next job of the chain begins with none."""
    accept(stores, rest=[link(THIRD, "job-3")])
    drain(stores, worker(FIRST, storing), *Works().workers[1:])
    assert keys_of(standing(stores, "job-3")) == {}
    assert receive(stores, LETTERS) == []


def test_a_trial_shows_what_was_stored() -> None:
    """For the tests of a task."""
    attempt = Trial().run(storing, "hello")
    assert attempt.results == {"data.json": Result(b"hello", "application/json")}


def test_results_are_injected_and_nothing_else(memory: Backend) -> None:
    """A task that asks for them without the marker is told so."""

    def work(text: str, *, results: Results) -> None:
        """Never called."""

    with pytest.raises(UsageError):
        worker(FIRST, work)


# Links


@pytest.fixture
def server(_moto: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on a port of its own that speaks for S3."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    _, port = running.get_host_and_port()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    yield address
    running.stop()


def test_a_link_downloads_the_object_as_a_file(cloud: Cloud, server: str) -> None:
    """Over HTTP, by whoever has it: its bytes, its type, and the name to save it under."""
    blobs = S3Blobs(lambda: client("s3"), BUCKET)
    cloud.backend.blobs.put_bytes("results/o/j/1-1/data.json", b'{"a": "\xc3\xa4"}', "application/json")
    link = blobs.link("results/o/j/1-1/data.json", 300, "data.json")
    assert link.startswith(server)
    with urllib.request.urlopen(link, timeout=10) as answer:  # noqa: S310 - our own server
        assert json.load(answer) == {"a": "ä"}
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="data.json"'


@pytest.mark.parametrize(
    ("region", "host"),
    [("us-east-1", "s3.amazonaws.com"), ("eu-central-1", "s3.eu-central-1.amazonaws.com")],
)
def test_a_link_leads_to_the_buckets_own_region(monkeypatch: pytest.MonkeyPatch, region: str, host: str) -> None:
    """By signature version 4: the global address redirects there, and a redirect breaks the signature."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    session.cache_clear()
    link = urlsplit(S3Blobs(lambda: client("s3"), BUCKET).link("results/a", 300, "a"))
    session.cache_clear()
    query = parse_qs(link.query)
    assert (link.scheme, link.netloc) == ("https", f"{BUCKET}.{host}")
    assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == (["AWS4-HMAC-SHA256"], ["300"])


def test_a_link_in_memory_holds_the_object(memory: Backend) -> None:
    """There is no server to download from."""
    memory.blobs.put_bytes("key", b"hello", "text/plain")
    link = memory.blobs.link("key", 300, "a.txt")
    with urllib.request.urlopen(link) as answer:  # noqa: S310 - a data: URL
        assert (answer.read(), answer.headers["Content-Type"]) == (b"hello", "text/plain")
