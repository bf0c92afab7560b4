"""What could not be done is kept, and its record says so."""

import json
from dataclasses import replace
from typing import Any

import pytest

from afterward import Discard
from afterward.backend import Backend
from afterward.dead_letters import DeadLetters
from afterward.envelope import pointer
from afterward.errors import CannotSteer, SettingError
from afterward.in_process import Invocation
from afterward.job import Status
from afterward.memory import DEAD_LETTERS, MemoryBlobs, MemoryQueues
from afterward.parcel import pack
from afterward.publish import publish
from afterward.queues import MESSAGE_LIMIT, Incoming
from afterward.steering import retry
from afterward.testing import START, ManualClock
from tests.support.cloud import BUCKET, Cloud
from tests.support.jobs import (
    FIRST,
    OWNER,
    SECOND,
    THIRD,
    call,
    deliver,
    envelope,
    link,
    record,
    run,
    send,
    standing,
    waiting,
    worker,
)
from tests.support.line import LETTERS, Works, drain, lose

HANDLER = DeadLetters()


def failing(text: str) -> None:
    """Fail for good."""
    raise Discard("no such user")


def buried(using: Backend, reason: str = "no such user", error: str = "Discard", **about: Any) -> None:
    """Put a dead letter on its queue, as a worker does; without a reason as SQS itself does."""
    message = Incoming("message-1", "r", pack(envelope(**about), using.blobs).body, 1, START, {})
    using.queues.bury(message, reason, error)


def archive(using: Backend) -> dict[str, Any]:
    """Return what is archived, by its key."""
    assert isinstance(using.blobs, MemoryBlobs)
    return {key: json.loads(text) for key, text in using.blobs.objects.items() if key.startswith("archive/")}


def letters(using: Backend) -> int:
    assert isinstance(using.queues, MemoryQueues)
    return len(using.queues.waiting(DEAD_LETTERS))


def test_a_failed_job_is_archived_and_owes_nothing_more(memory: Backend, clock: ManualClock) -> None:
    """The archive holds the envelope and why it is there; the record keeps its reason."""
    send(memory, envelope())
    run(worker(FIRST, failing), memory)
    clock.advance(1)
    run(HANDLER, memory)
    ((key, letter),) = archive(memory).items()
    assert key == f"archive/{OWNER}/job-1/1.json"
    assert json.loads(letter.pop("body"))["arguments"] == {"text": "hello"}
    assert letter.pop("message")
    assert letter == {
        "archived": "2026-11-18T11:06:41.000000Z",
        "owner": OWNER,
        "job": "job-1",
        "task": FIRST,
        "run": 1,
        "attempts": 1,
        "reason": "no such user",
        "error": "Discard",
    }
    failed = standing(memory)
    assert (failed.status, failed.owes, failed.reason) == (Status.FAILED, "", "no such user")
    assert (failed.message, letters(memory)) == ("Task failed: no such user", 0)


def test_a_job_that_was_never_claimed_fails_too(memory: Backend) -> None:
    """A broken deploy: SQS moved its message here, and nobody ever said why."""
    buried(memory, "", "")
    memory.records.add(record())
    run(HANDLER, memory)
    assert standing(memory).status is Status.FAILED
    assert "received too often without an attempt being settled" in (standing(memory).reason or "")
    assert [one["error"] for one in archive(memory).values()] == ["NeverSettled"]


def test_a_job_without_a_record_gets_one(memory: Backend) -> None:
    """Its failure is not silent, even when its put failed and no worker ever made it."""
    buried(memory, "odd", "BadMessage")
    run(HANDLER, memory)
    failed = standing(memory)
    assert (failed.status, failed.reason, failed.task, failed.attempt) == (Status.FAILED, "odd", FIRST, 0)
    assert failed.listing.startswith(OWNER)


def test_the_records_reason_is_the_one_that_counts(memory: Backend) -> None:
    """It is whole there; what travels beside the letter may be cut."""
    buried(memory, "cut", "")
    memory.records.add(record(status=Status.FAILED, owes="archive", reason="the whole story", attempt=3))
    run(HANDLER, memory)
    ((_, letter),) = archive(memory).items()
    assert (letter["reason"], letter["attempts"], letter["error"]) == ("the whole story", 3, "")
    assert standing(memory).reason == "the whole story"


def test_a_letter_waits_for_a_running_attempt(memory: Backend, clock: ManualClock) -> None:
    """It may yet succeed; nothing is archived meanwhile."""
    buried(memory)
    running = record(status=Status.RUNNING, attempt=1, lease=START + 30)
    memory.records.add(running)
    run(HANDLER, memory)
    assert isinstance(memory.queues, MemoryQueues)
    assert (memory.queues.next_visible(), archive(memory)) == (START + 31, {})
    memory.records.swap(running, running.changed(START, status=Status.COMPLETED, lease=0.0))
    clock.advance(31)
    run(HANDLER, memory)
    assert (standing(memory).status, archive(memory), letters(memory)) == (Status.COMPLETED, {}, 0)


def test_a_lease_that_has_ended_holds_no_letter_back(memory: Backend) -> None:
    """Nobody runs that job any more."""
    buried(memory)
    memory.records.add(record(status=Status.RUNNING, attempt=1, lease=START))
    run(HANDLER, memory)
    assert (standing(memory).status, standing(memory).lease, len(archive(memory))) == (Status.FAILED, 0.0, 1)


@pytest.mark.parametrize(("letter", "job"), [(1, 2), (2, 1)])
def test_a_letter_of_another_run_is_dropped(memory: Backend, letter: int, job: int) -> None:
    """The job was queued again by hand; its own run decides."""
    buried(memory, run=letter)
    stands = record(run=job)
    memory.records.add(stands)
    run(HANDLER, memory)
    assert (standing(memory), archive(memory), letters(memory)) == (stands, {}, 0)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.CANCELLED, Status.FAILED])
def test_a_letter_of_a_finished_job_changes_nothing(memory: Backend, status: Status) -> None:
    """It is a duplicate of what was done already."""
    buried(memory)
    stands = record(status=status)
    memory.records.add(stands)
    run(HANDLER, memory)
    assert (standing(memory), archive(memory), letters(memory)) == (stands, {}, 0)


def test_a_letter_that_comes_twice_is_archived_once(memory: Backend) -> None:
    """The first one stays as it is."""
    for reason in ("first", "second"):
        buried(memory, reason)
        run(HANDLER, memory)
    assert [one["reason"] for one in archive(memory).values()] == ["first"]
    assert standing(memory).reason == "first"


def test_runs_are_archived_apart(memory: Backend) -> None:
    """A retry by hand that fails as well does not hide the first failure."""
    buried(memory, "first")
    run(HANDLER, memory)
    stands = standing(memory)
    memory.records.swap(stands, stands.changed(START, status=Status.QUEUED, run=2, attempt=0))
    buried(memory, "second", run=2)
    run(HANDLER, memory)
    assert {key[-6:]: one["reason"] for key, one in archive(memory).items()} == {"1.json": "first", "2.json": "second"}


def test_the_archive_holds_a_large_envelope_whole(memory: Backend) -> None:
    """Not the pointer, whose object goes with its lifecycle."""
    buried(memory, arguments={"text": "x" * MESSAGE_LIMIT})
    run(HANDLER, memory)
    assert [len(json.loads(one["body"])["arguments"]["text"]) for one in archive(memory).values()] == [MESSAGE_LIMIT]


@pytest.mark.parametrize("body", ["hello", '{"afterward": 2}', '{"afterward": 1, "stored": "gone"}'])
def test_what_is_no_job_is_archived_as_it_came(memory: Backend, body: str) -> None:
    """Under the id that it failed with first, with the reason."""
    memory.queues.bury(Incoming("message-1", "r", body, 1, START, {}), "the reason", "BadMessage")
    run(HANDLER, memory)
    ((key, letter),) = archive(memory).items()
    assert key == "archive/unreadable/message-1.json"
    assert (letter["body"], letter["reason"], letter["error"]) == (body, "the reason", "BadMessage")
    assert letters(memory) == 0


def test_what_is_no_job_and_has_no_reason_gets_one(memory: Backend) -> None:
    """Someone sent it to the dead letters directly, or SQS moved it there."""
    assert deliver(HANDLER, memory, Incoming("message-1", "r", "hello", 1, START, {})) == []
    ((key, letter),) = archive(memory).items()
    assert (key, letter["error"]) == ("archive/unreadable/message-1.json", "NeverSettled")
    assert "not JSON" in letter["reason"]


def test_a_letter_ends_its_chain(memory: Backend) -> None:
    """Those behind it are cancelled, and what runs in any case is sent."""
    rest = [link(SECOND, "job-2"), link(THIRD, "job-3", even_if_failed=True)]
    buried(memory, rest=rest)
    run(HANDLER, memory)
    assert standing(memory, "job-2").status is Status.CANCELLED
    assert [(one.id, one.broken_by) for one in waiting(memory, THIRD)] == [("job-3", "job-1")]


def test_a_chain_that_went_on_already_is_not_sent_again(memory: Backend) -> None:
    """The worker handed over before; its successor has begun."""
    buried(memory, rest=[link(THIRD, "job-3", even_if_failed=True)])
    memory.records.add(record("job-3", status=Status.RUNNING, attempt=1))
    run(HANDLER, memory)
    assert waiting(memory, THIRD) == []


# Faults


def test_a_job_that_moves_on_meanwhile_is_looked_at_again(cloud: Cloud) -> None:
    """The letter stays, and the next delivery sees what stands."""
    buried(cloud.backend)
    (letter,) = cloud.waiting("dead-letters")
    stands = record()
    cloud.backend.records.add(stands)
    done = stands.changed(START, status=Status.COMPLETED)
    cloud.dynamodb.meanwhile("UpdateItem", lambda: cloud.backend.records.swap(stands, done))
    assert deliver(HANDLER, cloud.backend, letter) == [letter.id]
    assert deliver(HANDLER, cloud.backend, letter) == []
    assert standing(cloud.backend).status is Status.COMPLETED


def test_a_record_that_appears_meanwhile_is_looked_at_again(cloud: Cloud) -> None:
    """A late put of accepting, say."""
    buried(cloud.backend)
    (letter,) = cloud.waiting("dead-letters")
    cloud.dynamodb.meanwhile("PutItem", lambda: cloud.backend.records.add(record()))
    assert deliver(HANDLER, cloud.backend, letter) == [letter.id]
    assert deliver(HANDLER, cloud.backend, letter) == []
    assert standing(cloud.backend).status is Status.FAILED


def test_a_letter_whose_reply_is_lost_has_succeeded(cloud: Cloud) -> None:
    """Of the archive and of the record alike."""
    buried(cloud.backend)
    cloud.s3.lose("PutObject")
    cloud.dynamodb.lose("PutItem")
    assert deliver(HANDLER, cloud.backend, *cloud.waiting("dead-letters")) == []
    assert standing(cloud.backend).status is Status.FAILED


@pytest.mark.parametrize("part", ["archive", "record", "hand-over"])
def test_a_service_that_does_not_answer_keeps_the_letter(cloud: Cloud, part: str) -> None:
    """It comes again, and what was done already changes nothing."""
    buried(cloud.backend, rest=[link(THIRD, "job-3", even_if_failed=True)])
    (letter,) = cloud.waiting("dead-letters")
    cloud.sqs.sent.clear()
    wire, operation = {
        "archive": (cloud.s3, "PutObject"),
        "record": (cloud.dynamodb, "PutItem"),
        "hand-over": (cloud.sqs, "SendMessage"),
    }[part]
    wire.cut(operation)
    assert deliver(HANDLER, cloud.backend, letter) == [letter.id]
    wire.heal()
    assert deliver(HANDLER, cloud.backend, letter) == []
    assert (standing(cloud.backend).status, standing(cloud.backend).owes) == (Status.FAILED, "")
    assert [one["reason"] for one in cloud.objects("archive/").values()] == ["no such user"]
    assert len(cloud.waiting(THIRD)) == 1


def test_the_archive_is_written_before_the_record(cloud: Cloud) -> None:
    """A record that owes nothing has its letter archived, whatever crashes in between."""
    buried(cloud.backend)
    cloud.s3.cut("PutObject")
    deliver(HANDLER, cloud.backend, *cloud.waiting("dead-letters"))
    assert cloud.item(OWNER, "job-1") is None


# The process


def test_the_handler_takes_the_processes_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Lambda on first use."""
    handler = DeadLetters()
    monkeypatch.setenv("AFTERWARD_STORE", "memory")
    assert handler({"Records": []}, Invocation()) == {"batchItemFailures": []}


def test_the_handler_on_lambda_reads_its_settings_at_init(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing one is named."""
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    monkeypatch.setattr("logging.root.handlers", [])
    with pytest.raises(SettingError, match="AFTERWARD_JOBS_TABLE"):
        DeadLetters()


def test_a_letter_of_a_refused_request_fails_nobody_elses_job(memory: Backend) -> None:
    """Its message was sent although the answer was 503, and the id has become another request's since."""
    using = memory.records
    using.add(replace(record(), digest="the second request"))
    buried(memory, digest="the first request")
    run(HANDLER, memory)
    assert (standing(memory).status, archive(memory), letters(memory)) == (Status.QUEUED, {}, 0)


# Envelopes that lie in S3, and are gone


def pointing(job_id: str = "job-1", **about: Any) -> Incoming:
    """Return a dead letter that points at an envelope which is not there."""
    body = pointer("envelopes/gone.json", envelope(job_id=job_id, **about))
    return Incoming("letter", "r", body, 1, START, {"reason": "it is gone", "error": "BadMessage", "message": "m-1"})


@pytest.mark.parametrize("stands", [{}, {"attempt": 1, "not_before": START + 5}])
def test_a_job_whose_envelope_is_gone_has_failed(memory: Backend, stands: dict[str, Any]) -> None:
    """Nobody can run it any more, and its record does not stay queued; a retry says that nothing is kept."""
    memory.records.add(record(**stands))
    assert deliver(HANDLER, memory, pointing()) == []
    failed = standing(memory)
    assert (failed.status, failed.reason, failed.owes) == (Status.FAILED, "it is gone", "")
    assert list(archive(memory)) == ["archive/unreadable/m-1.json"]
    with pytest.raises(CannotSteer, match="no longer kept"):
        retry(memory, failed)


def test_a_cancelled_job_whose_envelope_is_gone_owes_nothing_more(memory: Backend) -> None:
    """It stays what its owner made of it."""
    memory.records.add(record(status=Status.CANCELLED, owes="archive"))
    assert deliver(HANDLER, memory, pointing()) == []
    assert (standing(memory).status, standing(memory).owes) == (Status.CANCELLED, "")


@pytest.mark.parametrize(
    ("letter", "stands"),
    [
        ({"run": 1}, {"run": 2}),
        ({"digest": "mine"}, {"digest": "another's"}),
        ({}, {"status": Status.COMPLETED}),
    ],
)
def test_it_says_nothing_about_another_job(memory: Backend, letter: dict[str, Any], stands: dict[str, Any]) -> None:
    """Nor about another run, another request, or one that has ended."""
    memory.records.add(record(**stands))
    before = standing(memory)
    assert deliver(HANDLER, memory, pointing(**letter)) == []
    assert standing(memory) == before


def test_a_job_that_runs_is_waited_for_also_without_its_envelope(memory: Backend) -> None:
    """A second copy of its message may be of use to it."""
    memory.records.add(record(status=Status.RUNNING, attempt=1, lease=START + 10))
    assert deliver(HANDLER, memory, pointing()) == ["letter"]
    assert standing(memory).status is Status.RUNNING


def test_a_record_without_its_job_is_not_made(memory: Backend) -> None:
    """Nothing is known of it."""
    assert deliver(HANDLER, memory, pointing()) == []
    assert memory.records.get(OWNER, "job-1") is None


def test_the_whole_way_of_an_envelope_that_is_gone(cloud: Cloud) -> None:
    """Its worker finds it gone, and the record says so in the end."""
    envelope_too_large = envelope(arguments={"text": "x" * MESSAGE_LIMIT})
    send(cloud.backend, envelope_too_large)
    cloud.backend.records.add(record())
    (key,) = cloud.objects("envelopes/")
    cloud.s3.client.delete_object(Bucket=BUCKET, Key=key)
    drain(cloud.backend, worker(FIRST, failing), HANDLER)
    assert standing(cloud.backend).status is Status.FAILED
    assert "is gone from S3" in (standing(cloud.backend).reason or "")


def accepted(using: Backend) -> None:
    """Accept a chain of three."""
    publish(using, OWNER, [[call(FIRST, id="job-1"), call(SECOND, id="job-2"), call(THIRD, id="job-3")]])


def test_what_comes_after_a_job_whose_envelope_is_gone_is_cancelled(stores: Backend) -> None:
    """Nobody knows any more what it was to do; it says why, and another copy of the letter changes nothing."""
    accepted(stores)
    assert deliver(HANDLER, stores, pointing()) == []
    after = [standing(stores, job_id) for job_id in ("job-2", "job-3")]
    assert [one.status for one in after] == [Status.CANCELLED] * 2
    assert after[1].reason == "job job-1, which comes before it in its chain, did not complete"
    assert deliver(HANDLER, stores, pointing()) == []
    assert [standing(stores, job_id) for job_id in ("job-2", "job-3")] == after


@pytest.mark.parametrize(
    ("operation", "skip"), [("GetItem", 1), ("BatchGetItem", 0), ("UpdateItem", 1), ("UpdateItem", 2)]
)
def test_a_crash_before_all_of_it_is_cancelled_is_made_good(cloud: Cloud, operation: str, skip: int) -> None:
    """The job has failed already, and its letter comes again."""
    accepted(cloud.backend)
    cloud.dynamodb.refuse(operation, "AccessDeniedException", skip=skip)
    assert deliver(HANDLER, cloud.backend, pointing()) == ["letter"]
    cloud.dynamodb.heal()
    assert (standing(cloud.backend).status, standing(cloud.backend, "job-3").status) == (Status.FAILED, Status.QUEUED)
    assert deliver(HANDLER, cloud.backend, pointing()) == []
    assert [standing(cloud.backend, job_id).status for job_id in ("job-2", "job-3")] == [Status.CANCELLED] * 2


@pytest.mark.parametrize("lost_last", [False, True])
def test_a_group_goes_on_without_the_one_whose_envelope_is_gone(stores: Backend, *, lost_last: bool) -> None:
    """The others have envelopes of their own, and what follows the group does not wait for ever."""
    group = [call(FIRST, "x" * MESSAGE_LIMIT, id="a", side=1), call(SECOND, "b", id="b", side=1)]
    behind = [call(THIRD, "c", id="c"), call(THIRD, "d", id="d", even_if_failed=True)]
    publish(stores, OWNER, [[*group, *behind]])
    lose(stores)
    works = Works()
    first, second, _ = works.workers
    drain(stores, second if lost_last else first, LETTERS)
    drain(stores, first, LETTERS, second)
    works.drain(stores)
    told = {one: str(standing(stores, one).status) for one in "abcd"}
    # Only an envelope knows that "d" runs in any case, and none is left where the lost one was the last.
    rest = "cancelled" if lost_last else "completed"
    assert told == {"a": "failed", "b": "completed", "c": "cancelled", "d": rest}
    assert works.ran == (["b"] if lost_last else ["b", "d"])


def test_what_a_retry_has_taken_along_is_not_cancelled(memory: Backend) -> None:
    """It is of another run, and has a message of its own to come."""
    accepted(memory)
    stands = standing(memory, "job-2")
    memory.records.swap(stands, stands.changed(START, run=2))
    assert deliver(HANDLER, memory, pointing()) == []
    assert [standing(memory, job_id).status for job_id in ("job-2", "job-3")] == [Status.QUEUED, Status.CANCELLED]


def test_a_letter_of_a_completed_job_leaves_its_chain_alone(memory: Backend) -> None:
    """A copy of its message came too late; the job behind it has a message of its own."""
    accepted(memory)
    stands = standing(memory)
    memory.records.swap(stands, stands.changed(START, status=Status.COMPLETED, attempt=1))
    assert deliver(HANDLER, memory, pointing()) == []
    assert [standing(memory, job_id).status for job_id in ("job-2", "job-3")] == [Status.QUEUED] * 2
