"""Steps 2 to 6 of the way of a job: what a worker makes of a message."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from afterward import Discard, Job, Progress, Retry, injected
from afterward.backend import Backend
from afterward.delivery import LEG_AGE, LEG_RECEIVES, REASON_LIMIT
from afterward.errors import BadMessage
from afterward.job import Status
from afterward.memory import DEAD_LETTERS, MemoryQueues
from afterward.queues import MESSAGE_LIMIT, Incoming
from afterward.records import SKEW, Record
from afterward.testing import START, ManualClock
from afterward.worker import Worker
from tests.support.cloud import DEAD, Cloud
from tests.support.jobs import (
    FIRST,
    OWNER,
    SECOND,
    THIRD,
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


def nothing(text: str) -> None:
    """Do what is asked, which is nothing."""


def failing(error: BaseException) -> Callable[[str], None]:
    def work(text: str) -> None:
        raise error

    return work


def counting() -> tuple[list[str], Worker]:
    """Return a worker of the first task, and the list in which it notes each call."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)

    return seen, worker(FIRST, work)


def dead(using: Backend) -> list[dict[str, str]]:
    """Return what is told beside the dead letters in memory."""
    assert isinstance(using.queues, MemoryQueues)
    return [letter.attributes for letter in using.queues.waiting(DEAD_LETTERS)]


def due(using: Backend) -> float | None:
    """Return in how many seconds the next message can be received."""
    assert isinstance(using.queues, MemoryQueues)
    visible = using.queues.next_visible()
    return None if visible is None else visible - using.clock.now()


def queued(using: Backend, **about: Any) -> None:
    """Accept a job of the first task: its message and its record."""
    send(using, envelope(**about))
    using.records.add(record())


def overtaken(using: Backend, **changes: Any) -> Record:
    """Let somebody else write into the record."""
    stands = standing(using)
    new = stands.changed(using.clock.now(), **changes)
    using.records.swap(stands, new)
    return new


# Claim and complete


def test_a_job_runs_with_its_arguments_and_is_completed(memory: Backend, clock: ManualClock) -> None:
    """Its message is gone then, and its record says what happened."""
    seen, handler = counting()
    queued(memory)
    clock.advance(5)
    run(handler, memory)
    assert (seen, due(memory)) == (["hello"], None)
    done = standing(memory)
    assert (done.status, done.attempt, done.lease, done.reason) == (Status.COMPLETED, 1, 0.0, None)
    assert done.message == "Task completed successfully"
    assert done.updated == "2026-11-18T11:06:45.000000Z"


def test_a_short_job_costs_two_writes_and_nothing_of_sqs(cloud: Cloud) -> None:
    """The claim and the end."""
    send(cloud.backend, envelope())
    (message,) = cloud.waiting(FIRST)
    cloud.sqs.sent.clear()
    assert deliver(worker(FIRST, nothing), cloud.backend, message) == []
    assert (cloud.dynamodb.counts, cloud.sqs.counts, cloud.s3.counts) == ({"UpdateItem": 2}, {}, {})


def test_the_record_is_running_under_a_lease_while_the_task_runs(memory: Backend, clock: ManualClock) -> None:
    """Until the invocation's deadline, and as much longer as clocks may differ."""
    seen: list[Record] = []

    def work(text: str) -> None:
        seen.append(standing(memory))

    send(memory, envelope())
    run(worker(FIRST, work), memory, seconds=7)
    assert [(one.status, one.attempt, one.lease) for one in seen] == [(Status.RUNNING, 1, START + 7 + SKEW)]


def test_a_task_may_know_which_job_it_is(memory: Backend) -> None:
    """Its id is the same in every attempt."""
    seen: list[Job] = []

    def work(text: str, *, job: Job = injected) -> None:
        seen.append(job)

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert seen == [Job("job-1", FIRST, "2026-11-18T11:06:40.000000Z")]


def test_an_async_task_is_awaited(memory: Backend) -> None:
    """On a loop of the worker's own."""
    seen: list[str] = []

    async def work(text: str) -> None:
        await asyncio.sleep(0)
        seen.append(text)

    send(memory, envelope())
    handler = worker(FIRST, work)
    run(handler, memory)
    handler.close()
    assert (seen, standing(memory).status) == (["hello"], Status.COMPLETED)


def test_the_tasks_last_words_stay(memory: Backend, clock: ManualClock) -> None:
    """Whether its last report was stored already or not."""

    def work(text: str, *, progress: Progress = injected) -> None:
        progress.report(1, 2, "half")
        clock.advance(5)
        if text == "twice":
            progress.report(2, 2, "all")

    for text, said in (("once", (1, "half")), ("twice", (2, "all"))):
        send(memory, envelope(job_id=text, arguments={"text": text}))
        run(worker(FIRST, work), memory)
        done = standing(memory, text)
        assert (done.status, done.progress, done.message) == (Status.COMPLETED, *said)


# Duplicates


def test_a_duplicate_of_a_running_job_waits_out_its_lease(memory: Backend) -> None:
    """It comes again when the lease has ended, and costs no attempt."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)
        if len(seen) == 1:
            run(handler, memory)

    handler = worker(FIRST, work)
    send(memory, envelope(), envelope())
    run(handler, memory, seconds=10)
    assert (seen, due(memory), standing(memory).attempt) == (["hello"], 11 + SKEW, 1)


def test_a_duplicate_of_a_finished_job_is_dropped(memory: Backend) -> None:
    """Whatever it ended as, the task does not run again."""
    seen, handler = counting()
    send(memory, envelope(), envelope())
    run(handler, memory)
    run(handler, memory)
    assert (seen, due(memory)) == (["hello"], None)


def test_a_killed_worker_is_replaced_when_its_lease_has_ended(memory: Backend, clock: ManualClock) -> None:
    """The second attempt counts as one."""
    seen, handler = counting()
    send(memory, envelope())
    memory.records.add(record(status=Status.RUNNING, attempt=1, lease=START + 10))
    run(handler, memory)
    assert (seen, due(memory)) == ([], 11)
    clock.advance(11)
    run(handler, memory)
    assert (seen, standing(memory).attempt, standing(memory).status) == (["hello"], 2, Status.COMPLETED)


def test_a_message_of_an_older_run_is_dropped(memory: Backend) -> None:
    """The job was queued again by hand since."""
    seen, handler = counting()
    send(memory, envelope(run=1))
    memory.records.add(record(run=2))
    run(handler, memory)
    assert (seen, due(memory), standing(memory).attempt) == ([], None, 0)


def test_a_message_of_a_newer_run_waits_for_its_record(memory: Backend) -> None:
    """A retry sends it before it writes that."""
    seen, handler = counting()
    send(memory, envelope(run=2))
    memory.records.add(record(run=1, status=Status.FAILED))
    run(handler, memory)
    assert (seen, due(memory)) == ([], 1)


def test_the_message_of_a_retry_that_died_does_not_come_for_ever(memory: Backend, clock: ManualClock) -> None:
    """The job is what it was, and the message is dropped when nobody can be writing that run any more."""
    seen, handler = counting()
    send(memory, envelope(run=2))
    memory.records.add(record(run=1, status=Status.FAILED))
    deliveries = delivered(memory, clock, handler)
    assert (seen, standing(memory).run) == ([], 1)
    assert clock.now() - START > 15 * 60
    assert deliveries < 30


@pytest.mark.parametrize("seconds", [5, 900, 86_400])
def test_a_job_does_not_run_before_its_time(memory: Backend, clock: ManualClock, seconds: float) -> None:
    """However early its message comes; waiting costs no attempt and no write."""
    seen, handler = counting()
    send(memory, envelope(not_before=START + seconds))
    run(handler, memory)
    # No further than SQS can put a message off.
    assert (seen, due(memory), memory.records.get(OWNER, "job-1")) == ([], min(seconds, 43_140), None)
    clock.advance(seconds)
    run(handler, memory)
    assert (seen, standing(memory).attempt) == (["hello"], 1)


def test_a_job_that_waits_for_its_retry_is_not_run_by_a_duplicate(memory: Backend, clock: ManualClock) -> None:
    """The record says when; the duplicate comes again then."""
    seen, handler = counting()
    send(memory, envelope())
    memory.records.add(record(attempt=1, not_before=START + 20))
    run(handler, memory)
    assert (seen, due(memory)) == ([], 20)


def test_a_job_may_wait_longer_than_its_queue_remembers(memory: Backend, clock: ManualClock) -> None:
    """Before SQS forgets the message, a new one takes its place: nothing accepted expires in silence."""
    seen, handler = counting()
    month = 30 * 86_400
    send(memory, envelope(not_before=START + month))
    sent = START
    while clock.now() < START + month:
        # No further than SQS can put a message off, and no message older than it may get.
        clock.advance(min(43_140, month + START - clock.now()))
        before = len(waiting(memory, FIRST))
        assert isinstance(memory.queues, MemoryQueues)
        (message,) = memory.queues.waiting(FIRST)
        assert clock.now() - message.sent < 7 * 86_400 / 2
        memory.queues.put_off(FIRST, message, 0)
        run(handler, memory)
        assert len(waiting(memory, FIRST)) == before or seen
        sent = message.sent
    assert (seen, sent > START, standing(memory).attempt) == (["hello"], True, 1)


# Failures


def test_a_failed_attempt_is_tried_again_after_its_backoff(memory: Backend, clock: ManualClock) -> None:
    """First the record says so, then the message is put off as long."""
    send(memory, envelope())
    handler = worker(FIRST, failing(OSError("connection refused")))
    run(handler, memory)
    failed = standing(memory)
    assert (failed.status, failed.attempt, failed.not_before, failed.lease) == (Status.QUEUED, 1, START + 4, 0.0)
    assert failed.reason == "OSError: connection refused"
    assert failed.message == "Attempt 1 of 3 failed, trying again: OSError: connection refused"
    assert due(memory) == 4
    clock.advance(4)
    run(handler, memory)
    assert (standing(memory).attempt, due(memory)) == (2, 8)


def test_a_job_that_succeeds_at_last_shows_no_failure(memory: Backend, clock: ManualClock) -> None:
    """The reason of an earlier attempt goes."""
    attempts = iter([OSError("once"), OSError("twice"), None])

    def work(text: str) -> None:
        if error := next(attempts):
            raise error

    send(memory, envelope())
    for _ in range(3):
        run(worker(FIRST, work), memory)
        clock.advance(60)
    done = standing(memory)
    assert (done.status, done.attempt, done.reason) == (Status.COMPLETED, 3, None)
    assert (done.message, dead(memory)) == ("Task completed successfully", [])


def test_the_last_attempt_fails_the_job(memory: Backend, clock: ManualClock) -> None:
    """Its message becomes a dead letter, with the reason beside it."""
    send(memory, envelope())
    handler = worker(FIRST, failing(OSError("connection refused")))
    for _ in range(3):
        run(handler, memory)
        clock.advance(60)
    failed = standing(memory)
    assert (failed.status, failed.attempt, failed.owes) == (Status.FAILED, 3, "archive")
    assert (failed.reason, failed.message) == (
        "OSError: connection refused",
        "Task failed: OSError: connection refused",
    )
    assert [(one["reason"], one["error"]) for one in dead(memory)] == [("OSError: connection refused", "OSError")]
    assert waiting(memory, FIRST) == []


def test_a_task_may_say_when_to_try_again(memory: Backend) -> None:
    """Its own delay, in place of the backoff; and its own words."""
    send(memory, envelope())
    run(worker(FIRST, failing(Retry("rate limited", delay=90))), memory)
    assert (due(memory), standing(memory).not_before, standing(memory).reason) == (90, START + 90, "rate limited")


def test_a_retry_on_the_last_attempt_fails_the_job(memory: Backend) -> None:
    """Asking again counts as an attempt."""
    send(memory, envelope(name=THIRD))
    run(worker(THIRD, failing(Retry("later"))), memory)
    assert (standing(memory).status, standing(memory).reason) == (Status.FAILED, "later")


@pytest.mark.parametrize(
    ("error", "reason", "kind"),
    [
        (Discard("no such user"), "no such user", "Discard"),
        (Discard(), "Discard", "Discard"),
        (BadMessage("odd"), "odd", "BadMessage"),
    ],
)
def test_a_discarded_job_has_failed_at_once(memory: Backend, error: BaseException, reason: str, kind: str) -> None:
    """No attempt follows."""
    send(memory, envelope())
    run(worker(FIRST, failing(error)), memory)
    assert (standing(memory).status, standing(memory).attempt, standing(memory).reason) == (Status.FAILED, 1, reason)
    assert [(one["reason"], one["error"]) for one in dead(memory)] == [(reason, kind)]


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"arguments": {"text": 5}}, "invalid arguments: `text`"),
        ({"arguments": {}}, "invalid arguments: `text`"),
        ({"arguments": {"text": "x", "more": 1}}, "invalid arguments: `more`"),
    ],
)
def test_a_job_that_does_not_fit_its_task_has_failed_at_once(
    memory: Backend, about: dict[str, Any], reason: str
) -> None:
    """It says where, without the values."""
    seen, handler = counting()
    send(memory, envelope(**about))
    run(handler, memory)
    assert (seen, standing(memory).status) == ([], Status.FAILED)
    assert (standing(memory).reason or "").startswith(reason)
    assert len(dead(memory)) == 1


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit(), BaseException("odd")])
def test_whatever_a_task_raises_is_its_own_failure(memory: Backend, error: BaseException) -> None:
    """Neither the worker nor its batch ends with it."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)
        if text == "bad":
            raise error

    send(memory, envelope(job_id="bad", arguments={"text": "bad"}), envelope())
    run(worker(FIRST, work), memory, batch=10)
    assert seen == ["bad", "hello"]
    assert (standing(memory, "bad").status, standing(memory).status) == (Status.QUEUED, Status.COMPLETED)


def test_a_developer_can_stop_a_worker(memory: Backend) -> None:
    """Ctrl-C is no failure of the task."""
    send(memory, envelope())
    with pytest.raises(KeyboardInterrupt):
        run(worker(FIRST, failing(KeyboardInterrupt())), memory)
    assert standing(memory).status is Status.RUNNING


def test_an_async_task_that_is_cancelled_has_failed_its_attempt(memory: Backend) -> None:
    """By itself, say: the record does not stay running until its lease ends."""

    async def work(text: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    send(memory, envelope())
    handler = worker(FIRST, work)
    run(handler, memory)
    handler.close()
    assert standing(memory).status is Status.QUEUED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(), "ValueError"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ValueError("x" * 2_000), "ValueError: " + "x" * (REASON_LIMIT - 12)),
        (KeyError("name"), "KeyError: 'name'"),
    ],
)
def test_a_reason_is_one_line_of_bounded_length(memory: Backend, error: Exception, reason: str) -> None:
    """It names the exception and says its words."""
    send(memory, envelope())
    run(worker(FIRST, failing(error)), memory)
    assert standing(memory).reason == reason


def test_a_failure_with_characters_that_sqs_refuses_is_buried(cloud: Cloud) -> None:
    """It would else come again a thousand times."""
    send(cloud.backend, envelope())
    assert deliver(worker(FIRST, failing(Discard("\x1b[31mred\x00"))), cloud.backend, *cloud.waiting(FIRST)) == []
    assert [letter.attributes["reason"] for letter in cloud.waiting(DEAD)] == ["\ufffd[31mred\ufffd"]


def test_progress_is_kept_when_an_attempt_fails(memory: Backend, clock: ManualClock) -> None:
    """The next one shows it until it gets there itself, and goes on behind what was done."""
    seen: list[str] = []

    def work(text: str, *, progress: Progress = injected) -> None:
        for item in progress.track("abcd"):
            seen.append(item)
            if seen == ["a", "b", "c"]:
                raise OSError("once")

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert (standing(memory).status, standing(memory).progress, standing(memory).total) == (Status.QUEUED, 2, 4)
    clock.advance(4)
    run(worker(FIRST, work), memory)
    assert seen == ["a", "b", "c", "c", "d"]
    assert (standing(memory).progress, standing(memory).checkpoint) == (4, None)


def test_progress_does_not_go_backwards_over_attempts(memory: Backend, clock: ManualClock) -> None:
    """A task that starts anew shows what the first attempt reached."""

    reached = iter([7, 1])

    def work(text: str, *, progress: Progress = injected) -> None:
        progress.report(next(reached), 10)
        raise OSError("always")

    send(memory, envelope())
    for _ in range(2):
        run(worker(FIRST, work), memory)
        clock.advance(60)
    assert (standing(memory).attempt, standing(memory).progress) == (2, 7)


@pytest.mark.parametrize("lost", [False, True])
def test_a_failed_job_ends_its_chain(memory: Backend, *, lost: bool) -> None:
    """Those behind it are cancelled, what runs in any case is sent; a lost attempt is a failure like any other."""
    rest = [link(SECOND, "job-2"), link(THIRD, "job-3", even_if_failed=True)]
    send(memory, envelope(rest=rest))
    if lost:
        memory.records.add(record(status=Status.RUNNING, attempt=3, lease=START))
    run(worker(FIRST, failing(Discard("no"))), memory)
    assert [standing(memory, job_id).status for job_id in ("job-1", "job-2")] == [Status.FAILED, Status.CANCELLED]
    assert [(one.id, one.broken_by) for one in waiting(memory, THIRD)] == [("job-3", "job-1")]


def test_a_lost_last_attempt_fails_the_job(memory: Backend, clock: ManualClock) -> None:
    """Killed, timed out or out of memory: the message that comes back says so."""
    seen, handler = counting()
    send(memory, envelope())
    memory.records.add(record(status=Status.RUNNING, attempt=3, lease=START + 10))
    clock.advance(10)
    run(handler, memory)
    failed = standing(memory)
    assert (seen, failed.status, failed.attempt, failed.owes) == ([], Status.FAILED, 3, "archive")
    assert "the last attempt did not come to its end" in (failed.reason or "")
    assert [one["error"] for one in dead(memory)] == ["AttemptLost"]
    assert waiting(memory, FIRST) == []


# What is owed


def test_a_crash_before_the_dead_letter_is_made_good(cloud: Cloud) -> None:
    """The record says failed and what it owes; the next delivery pays that."""
    send(cloud.backend, envelope())
    (message,) = cloud.waiting(FIRST)
    cloud.sqs.cut("SendMessage")
    seen, handler = counting()
    assert deliver(worker(FIRST, failing(Discard("no"))), cloud.backend, message) == [message.id]
    assert standing(cloud.backend).status is Status.FAILED
    cloud.sqs.heal()
    assert deliver(handler, cloud.backend, message) == []
    assert (seen, [letter.attributes["reason"] for letter in cloud.waiting(DEAD)]) == ([], ["no"])


def test_a_crash_before_the_hand_over_is_made_good(cloud: Cloud) -> None:
    """The next delivery of the finished job sends the successor, and the task does not run again."""
    seen, handler = counting()
    send(cloud.backend, envelope(rest=[link(SECOND, "job-2")]))
    (message,) = cloud.waiting(FIRST)
    cloud.sqs.cut("SendMessage")
    assert deliver(handler, cloud.backend, message) == [message.id]
    assert standing(cloud.backend).status is Status.COMPLETED
    cloud.sqs.heal()
    assert deliver(handler, cloud.backend, message) == []
    assert (seen, len(cloud.waiting(SECOND))) == (["hello"], 1)


def test_what_is_archived_is_not_buried_again(memory: Backend) -> None:
    """A late duplicate of a failed job is only dropped."""
    _, handler = counting()
    send(memory, envelope())
    memory.records.add(record(status=Status.FAILED, reason="no", owes=""))
    run(handler, memory)
    assert (dead(memory), due(memory)) == ([], None)


def test_a_cancelled_job_does_not_run_and_hands_over(memory: Backend) -> None:
    """Its successors are cancelled with it, those that run in any case are sent."""
    seen, handler = counting()
    send(memory, envelope(rest=[link(SECOND, "job-2"), link(THIRD, "job-3", even_if_failed=True)]))
    memory.records.add(record(status=Status.CANCELLED))
    run(handler, memory)
    assert (seen, due(memory) is not None) == ([], True)
    assert standing(memory, "job-2").status is Status.CANCELLED
    assert [one.id for one in waiting(memory, THIRD)] == ["job-3"]
    assert waiting(memory, FIRST) == []


@pytest.mark.parametrize("ending", [None, OSError("no"), Discard("no")])
def test_a_cancel_wins_over_the_end_of_an_attempt(memory: Backend, ending: BaseException | None) -> None:
    """As a whole: the record stays cancelled, nothing is retried or buried, and the chain hears of it."""

    def work(text: str) -> None:
        overtaken(memory, status=Status.CANCELLED)
        if ending:
            raise ending

    send(memory, envelope(rest=[link(SECOND, "job-2")]))
    run(worker(FIRST, work), memory)
    assert standing(memory).status is Status.CANCELLED
    assert (dead(memory), waiting(memory, FIRST), standing(memory, "job-2").status) == ([], [], Status.CANCELLED)


def test_a_cancelled_job_stops_at_its_next_report(memory: Backend, clock: ManualClock) -> None:
    """It does not reach its end, whatever it catches on the way."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected) -> None:
        for item in range(10):
            try:
                progress.report(item, 10)
            except Exception:  # noqa: BLE001 - what a careless task does
                seen.append(-1)
            seen.append(item)
            clock.advance(1)
            if item == 2:
                overtaken(memory, status=Status.CANCELLED)

    send(memory, envelope())
    run(worker(FIRST, work), memory, seconds=100)
    assert seen == [0, 1, 2]
    assert (standing(memory).status, waiting(memory, FIRST)) == (Status.CANCELLED, [])
    clock.advance(100)
    assert standing(memory).status is Status.CANCELLED


def test_an_overtaken_attempt_writes_nothing_and_waits(memory: Backend, clock: ManualClock) -> None:
    """Another attempt runs under its own lease; the message comes again after it."""

    def work(text: str) -> None:
        clock.advance(12)
        overtaken(memory, attempt=2, lease=clock.now() + 30)

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert (standing(memory).status, standing(memory).attempt, due(memory)) == (Status.RUNNING, 2, 31)


def test_an_attempt_of_an_older_run_writes_nothing(memory: Backend) -> None:
    """Its job was queued again by hand; the new run has a message of its own."""

    def work(text: str) -> None:
        overtaken(memory, status=Status.QUEUED, run=2, attempt=0, lease=0.0)

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    stands = standing(memory)
    assert (stands.status, stands.run, stands.attempt, waiting(memory, FIRST)) == (Status.QUEUED, 2, 0, [])


def test_an_attempt_whose_record_is_gone_comes_again(memory: Backend) -> None:
    """A new record is made by the next claim."""

    def work(text: str) -> None:
        memory.records.remove(standing(memory))

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert (memory.records.get(OWNER, "job-1"), due(memory)) == (None, 1)


def test_two_messages_of_a_lost_job_fail_it_once(cloud: Cloud, clock: ManualClock) -> None:
    """The second one finds it failed, and pays what is owed with it."""
    _, handler = counting()
    send(cloud.backend, envelope())
    (message,) = cloud.waiting(FIRST)
    cloud.backend.records.add(record(status=Status.RUNNING, attempt=3, lease=START))
    cloud.dynamodb.meanwhile("UpdateItem", lambda: deliver(handler, cloud.backend, message), skip=1)
    assert deliver(handler, cloud.backend, message) == []
    assert standing(cloud.backend).status is Status.FAILED
    assert {letter.attributes["reason"] for letter in cloud.waiting(DEAD)} == {standing(cloud.backend).reason}


# Messages that can never run


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("hello", "the message is not JSON"),
        ('{"Records": []}', "the message is not an Afterward envelope"),
        ('{"afterward": 0}', "the envelope has format 0"),
        ('{"afterward": 1, "stored": "envelopes/gone.json"}', "is gone from S3"),
    ],
)
def test_a_message_that_is_no_job_becomes_a_dead_letter(memory: Backend, body: str, reason: str) -> None:
    """With the reason, and without holding up its batch."""
    seen, handler = counting()
    send(memory, envelope())
    (good,) = memory.queues.receive(FIRST)  # type: ignore[attr-defined]
    bad = Incoming("bad", "receipt", body, 1, START, {})
    assert deliver(handler, memory, bad, good) == []
    assert (seen, len(dead(memory)), dead(memory)[0]["error"]) == (["hello"], 1, "BadMessage")
    assert reason in dead(memory)[0]["reason"]


@pytest.mark.parametrize("name", [SECOND, "unheard_of"])
def test_a_job_of_another_task_becomes_a_dead_letter(memory: Backend, name: str) -> None:
    """It says whose worker got which task's job."""
    seen, handler = counting()
    body = json.dumps({"afterward": 1, "owner": OWNER, "id": "x", "task": name, "created": "", "arguments": {}})
    assert deliver(handler, memory, Incoming("bad", "receipt", body, 1, START, {})) == []
    reason = f"the worker of core_first got a job of the task {name!r}, which it does not know"
    assert (seen, [one["reason"] for one in dead(memory)]) == ([], [reason])


# Services that do not answer


def test_a_claim_that_is_not_answered_leaves_the_message(cloud: Cloud) -> None:
    """It comes again by its queue's visibility."""
    seen, handler = counting()
    send(cloud.backend, envelope())
    (message,) = cloud.waiting(FIRST)
    cloud.dynamodb.cut("UpdateItem")
    assert deliver(handler, cloud.backend, message) == [message.id]
    assert seen == []


@pytest.mark.parametrize("skip", [0, 1])
def test_a_lost_reply_of_the_table_changes_nothing(cloud: Cloud, skip: int) -> None:
    """Neither that of the claim nor that of the end: the job runs once and is completed."""
    seen, handler = counting()
    send(cloud.backend, envelope())
    cloud.dynamodb.lose("UpdateItem", skip=skip)
    assert deliver(handler, cloud.backend, *cloud.waiting(FIRST)) == []
    assert (seen, standing(cloud.backend).status, standing(cloud.backend).attempt) == (["hello"], Status.COMPLETED, 1)


def test_an_end_that_cannot_be_written_leaves_the_message(cloud: Cloud, clock: ManualClock) -> None:
    """The lease ends, and another attempt follows."""
    seen, handler = counting()
    send(cloud.backend, envelope())
    (message,) = cloud.waiting(FIRST)
    cloud.dynamodb.cut("UpdateItem", skip=1)
    assert deliver(handler, cloud.backend, message) == [message.id]
    cloud.dynamodb.heal()
    assert standing(cloud.backend).status is Status.RUNNING
    clock.advance(30)
    assert deliver(handler, cloud.backend, message) == []
    assert (seen, standing(cloud.backend).attempt) == (["hello"] * 2, 2)


def test_a_message_that_cannot_be_put_off_comes_again_all_the_same(cloud: Cloud) -> None:
    """The record says when it may run; SQS's own visibility brings it back."""
    send(cloud.backend, envelope())
    (message,) = cloud.waiting(FIRST)
    cloud.sqs.refuse("ChangeMessageVisibility", "MessageNotInflight")
    handler = worker(FIRST, failing(OSError("no")))
    assert deliver(handler, cloud.backend, message) == [message.id]
    assert (standing(cloud.backend).status, standing(cloud.backend).not_before) == (Status.QUEUED, START + 4)


def test_progress_that_cannot_be_stored_does_not_fail_the_job(cloud: Cloud) -> None:
    """What it was goes in with the end."""

    def work(text: str, *, progress: Progress = injected) -> None:
        cloud.dynamodb.cut("UpdateItem", times=3)
        progress.report(3, 4, "three of four")

    send(cloud.backend, envelope())
    assert deliver(worker(FIRST, work), cloud.backend, *cloud.waiting(FIRST)) == []
    done = standing(cloud.backend)
    assert (done.status, done.progress, done.total, done.message) == (Status.COMPLETED, 3, 4, "three of four")


def test_progress_that_was_stored_without_a_word_does_not_stop_the_job(cloud: Cloud) -> None:
    """The attempt recognises its own write."""

    def work(text: str, *, progress: Progress = injected) -> None:
        cloud.dynamodb.lose("UpdateItem", times=3)
        progress.report(3, 4)

    send(cloud.backend, envelope())
    assert deliver(worker(FIRST, work), cloud.backend, *cloud.waiting(FIRST)) == []
    assert (standing(cloud.backend).status, standing(cloud.backend).progress) == (Status.COMPLETED, 3)


# Long tasks and continued ones


def test_a_long_task_puts_its_message_off_to_the_end_of_its_lease(memory: Backend, clock: ManualClock) -> None:
    """A killed worker is then replaced soon, and not after six times its timeout."""
    seen: list[float | None] = []

    def work(text: str) -> None:
        seen.append(due(memory))

    for seconds in (30, 31, 900):
        send(memory, envelope(job_id=f"job-{seconds}"))
        run(worker(FIRST, work), memory, seconds=seconds)
    assert seen == [60, 41, 910]


def test_a_job_that_takes_a_while_puts_its_message_off_too(memory: Backend, clock: ManualClock) -> None:
    """To the end of its lease, when it has run for a second: a killed worker is replaced within seconds."""
    seen: list[float] = []

    def work(text: str) -> None:
        for _ in range(3):
            seen.append((due(memory) or 0) + clock.now() - START)
            clock.advance(1)

    send(memory, envelope())
    run(worker(FIRST, work), memory, seconds=10)
    assert seen == [60, 20, 20]


def test_a_job_that_is_over_puts_nothing_off(memory: Backend, clock: ManualClock) -> None:
    """Its message waits for the next attempt, and is not hurried."""
    send(memory, envelope())
    run(worker(FIRST, failing(Retry(delay=1_000))), memory, seconds=10)
    clock.advance(5)
    assert due(memory) == 995


def test_a_long_task_runs_although_its_message_cannot_be_put_off(cloud: Cloud) -> None:
    """That only makes a replacement slower; the attempt is not lost for it."""
    seen, handler = counting()
    send(cloud.backend, envelope())
    messages = cloud.waiting(FIRST)
    cloud.sqs.cut("ChangeMessageVisibility")
    assert deliver(handler, cloud.backend, *messages, seconds=900) == []
    assert (seen, standing(cloud.backend).status) == (["hello"], Status.COMPLETED)


def tracked(clock: ManualClock, items: int, seen: list[int]) -> Worker:
    """Return a worker of the third task that works through items of two seconds each."""

    def work(text: str, *, progress: Progress = injected) -> None:
        for item in progress.track(range(items)):
            seen.append(item)
            clock.advance(2)

    return worker(THIRD, work)


def test_a_job_goes_on_in_another_invocation(memory: Backend, clock: ManualClock) -> None:
    """Behind what is done, at once, and without using its attempts up: this task has only one."""
    seen: list[int] = []
    handler = tracked(clock, 10, seen)
    send(memory, envelope(name=THIRD))
    run(handler, memory, seconds=10)
    paused = standing(memory)
    assert (seen, paused.status, paused.lease, paused.progress) == ([0, 1, 2, 3], Status.QUEUED, 0.0, 4)
    assert (paused.attempt, paused.limit, due(memory)) == (1, 2, 0)
    while run(handler, memory, seconds=10):
        pass
    assert seen == list(range(10))
    done = standing(memory)
    assert (done.status, done.progress, done.attempt, done.checkpoint) == (Status.COMPLETED, 10, 3, None)


def test_a_continued_job_still_has_all_its_attempts(memory: Backend, clock: ManualClock) -> None:
    """What was continued was no failure; the waiting times and words count failures only."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected) -> None:
        for item in progress.track(range(4)):
            if item == 3:
                raise OSError("always")
            seen.append(item)
            clock.advance(5)

    handler = worker(FIRST, work)
    send(memory, envelope())
    for _ in range(3):
        run(handler, memory, seconds=10)
        clock.advance(0)
    run(handler, memory, seconds=10)
    assert seen == [0, 1, 2]
    said = "Attempt {} of 3 failed, trying again: OSError: always"
    assert (standing(memory).message, due(memory)) == (said.format(1), 4)
    clock.advance(4)
    run(handler, memory, seconds=10)
    assert (standing(memory).message, due(memory)) == (said.format(2), 8)
    clock.advance(8)
    run(handler, memory, seconds=10)
    assert standing(memory).status is Status.FAILED


@pytest.mark.parametrize(("receives", "age"), [(LEG_RECEIVES, 0.0), (1, LEG_AGE)])
@pytest.mark.parametrize("large", [False, True])
def test_a_job_that_goes_on_for_long_does_so_as_a_new_message(
    memory: Backend, clock: ManualClock, receives: int, age: float, *, large: bool
) -> None:
    """The same run, the next leg: no message gets old enough to expire or to become a dead letter."""
    seen: list[int] = []
    handler = tracked(clock, 10, seen)
    text = "x" * MESSAGE_LIMIT if large else "hello"
    send(memory, envelope(name=THIRD, arguments={"text": text}, not_before=START, rest=[link(FIRST, "job-2")]))
    (message,) = memory.queues.receive(THIRD)  # type: ignore[attr-defined]
    old = Incoming(message.id, message.receipt, message.body, receives, START - age, {})
    assert deliver(handler, memory, old, seconds=10) == []
    memory.queues.delete(THIRD, [message])  # type: ignore[attr-defined]
    (following,) = waiting(memory, THIRD)
    assert (following.leg, following.run, following.id, following.not_before) == (1, 1, "job-1", 0.0)
    assert [one.id for one in following.behind] == ["job-2"]
    while run(handler, memory, seconds=10):
        pass
    assert (seen, standing(memory).status) == (list(range(10)), Status.COMPLETED)


def test_a_new_leg_that_cannot_be_sent_keeps_the_old_message(cloud: Cloud, clock: ManualClock) -> None:
    """The record is queued, so whichever message comes next goes on."""
    seen: list[int] = []
    handler = tracked(clock, 5, seen)
    send(cloud.backend, envelope(name=THIRD))
    (message,) = cloud.waiting(THIRD)
    old = Incoming(message.id, message.receipt, message.body, LEG_RECEIVES, START, {})
    cloud.sqs.cut("SendMessage")
    assert deliver(handler, cloud.backend, old) == [message.id]
    cloud.sqs.heal()
    assert deliver(handler, cloud.backend, old) == []
    assert (seen, standing(cloud.backend).status) == (list(range(5)), Status.COMPLETED)


def test_a_cancel_between_two_legs_ends_the_job(memory: Backend, clock: ManualClock) -> None:
    """What is left is not done."""
    seen: list[int] = []
    handler = tracked(clock, 10, seen)
    send(memory, envelope(name=THIRD))
    run(handler, memory, seconds=10)
    overtaken(memory, status=Status.CANCELLED)
    run(handler, memory, seconds=10)
    assert (seen, waiting(memory, THIRD), standing(memory).status) == ([0, 1, 2, 3], [], Status.CANCELLED)


def test_a_cancel_in_the_moment_of_going_on_wins(memory: Backend, clock: ManualClock) -> None:
    """The pause is not written over it."""

    def work(text: str, *, progress: Progress = injected) -> None:
        for item in progress.track(range(9)):
            clock.advance(0.3)
            if item:  # within a second of the first report, so the next write is the pause itself
                overtaken(memory, status=Status.CANCELLED)

    send(memory, envelope(name=THIRD))
    run(worker(THIRD, work), memory, seconds=1)
    assert (standing(memory).status, standing(memory).progress, waiting(memory, THIRD)) == (Status.CANCELLED, 1, [])


def test_a_task_that_saves_its_state_goes_on_from_it(memory: Backend, clock: ManualClock) -> None:
    """Without a loop that is tracked."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected) -> None:
        state = progress.state or 0
        while state < 6:
            seen.append(state)
            clock.advance(3)
            state += 1
            progress.checkpoint(state)

    send(memory, envelope(name=THIRD))
    handler = worker(THIRD, work)
    while run(handler, memory, seconds=10):
        pass
    assert (seen, standing(memory).status) == ([0, 1, 2, 3, 4, 5], Status.COMPLETED)


def test_an_async_task_ends_a_little_before_the_deadline(memory: Backend) -> None:
    """There is time to write down that it did not come to its end."""

    async def work(text: str) -> None:
        await asyncio.sleep(60)

    send(memory, envelope())
    handler = worker(FIRST, work)
    run(handler, memory, seconds=0.05)
    handler.close()
    assert standing(memory).status is Status.QUEUED
    assert (standing(memory).reason or "").startswith("TimeoutError")


# The whole chain


def test_a_chain_runs_in_order_and_to_its_end(memory: Backend, clock: ManualClock) -> None:
    """Each job by its own worker, each with a record of its own."""
    seen: list[str] = []

    def work(text: str, *, job: Job = injected) -> None:
        seen.append(job.id)

    send(memory, envelope(rest=[link(SECOND, "job-2", delay=5.0), link(THIRD, "job-3")]))
    handlers = [worker(name, work) for name in (FIRST, SECOND, THIRD)]
    for _ in range(10):
        for handler in handlers:
            run(handler, memory)
        clock.advance(1)
    assert seen == ["job-1", "job-2", "job-3"]
    assert {standing(memory, job_id).status for job_id in seen} == {Status.COMPLETED}
    assert {standing(memory, job_id).chain for job_id in seen} == {"job-1"}


# A continuation that comes no further


def endless(clock: ManualClock, *, resumes: bool) -> Worker:
    """Return a worker whose task needs 30 seconds, of which an invocation gives it 10."""

    def work(text: str, *, progress: Progress = injected) -> None:
        begin = (progress.state or 0) if resumes else 0
        for second in range(begin, 30):
            clock.advance(1)
            progress.checkpoint(second + 1)

    return worker(FIRST, work)


def delivered(using: Backend, clock: ManualClock, handler: Worker) -> int:
    """Deliver until nothing is left on the task's queue; return how often that was."""
    count = 0
    while waiting(using, FIRST):
        clock.advance(due(using) or 0)
        count += run(handler, using, seconds=10)
    return count


def test_a_task_that_ignores_its_checkpoints_does_not_go_on_for_ever(memory: Backend, clock: ManualClock) -> None:
    """Attempts that come no further than the one before count, and the last one says why it failed."""
    send(memory, envelope())
    assert delivered(memory, clock, endless(clock, resumes=False)) == 4  # the first one could not know
    failed = standing(memory)
    assert failed.status is Status.FAILED
    assert failed.reason is not None
    assert failed.reason.endswith("no further than the one before it: it does not go on from progress.state")


def test_a_task_that_resumes_goes_on_as_often_as_it_needs(memory: Backend, clock: ManualClock) -> None:
    """None of its attempts counts."""
    send(memory, envelope())
    delivered(memory, clock, endless(clock, resumes=True))
    assert standing(memory).status is Status.COMPLETED


@pytest.mark.parametrize("ending", ["late", "killed"])
def test_a_task_that_first_saves_where_it_is_has_not_stalled(memory: Backend, clock: ManualClock, ending: str) -> None:
    """The attempt before saved the same and nothing else, since it began late or was killed; this one goes on."""
    began: list[int] = []

    def work(text: str, *, progress: Progress = injected) -> None:
        page = progress.state or 0
        began.append(page)
        clock.advance(9 if ending == "late" and len(began) == 1 else 0)
        progress.checkpoint(page)
        if ending == "killed" and len(began) == 1:
            raise KeyboardInterrupt
        for following in range(page + 1, 21):
            clock.advance(1)
            progress.checkpoint(following)

    send(memory, envelope())
    handler, reasons = worker(FIRST, work), set()
    while waiting(memory, FIRST):
        clock.advance(due(memory) or 0)
        with suppress(KeyboardInterrupt):
            run(handler, memory, seconds=10)
        reasons.add(standing(memory).reason)
    assert (began, standing(memory).status, reasons) == ([0, 0, 8, 16], Status.COMPLETED, {None})


def test_a_task_that_saves_the_same_and_comes_no_further_has_stalled(memory: Backend, clock: ManualClock) -> None:
    """Each attempt needs the time of its invocation to begin; that it goes on from where it was does not help."""

    def work(text: str, *, progress: Progress = injected) -> None:
        clock.advance(9)
        progress.checkpoint(progress.state or 0)

    send(memory, envelope())
    handler = worker(FIRST, work)
    for _ in range(4):
        clock.advance(due(memory) or 0)
        run(handler, memory, seconds=10)
    assert (standing(memory).status, (standing(memory).reason or "").split(":")[0]) == (Status.FAILED, "TimeoutError")


def test_a_task_that_reports_more_has_not_stalled(memory: Backend, clock: ManualClock) -> None:
    """Its checkpoint only names what it waits for, and is the same each time."""

    def work(text: str, *, progress: Progress = injected) -> None:
        for row in range(progress.done, 20):
            progress.checkpoint("export-7")
            clock.advance(1)
            progress.report(row + 1, 20)

    send(memory, envelope(name=THIRD))
    handler = worker(THIRD, work)
    while run(handler, memory, seconds=10):
        pass
    assert (standing(memory).status, standing(memory).progress) == (Status.COMPLETED, 20)
