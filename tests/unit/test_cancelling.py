"""What becomes of a job that its owner cancels, wherever it is on its way."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from afterward import Discard, Progress, injected
from afterward.archive import kept
from afterward.backend import Backend
from afterward.errors import CannotSteer, Unavailable
from afterward.handover import hand_over
from afterward.job import Status
from afterward.queues import MESSAGE_LIMIT, Incoming
from afterward.records import Record
from afterward.steering import BY_OWNER, cancel
from afterward.testing import START, ManualClock
from tests.support.cloud import Cloud
from tests.support.faults import ALWAYS
from tests.support.jobs import (
    FIRST,
    SECOND,
    THIRD,
    deliver,
    ended,
    envelope,
    link,
    record,
    run,
    send,
    standing,
    waiting,
    worker,
)
from tests.support.line import LETTERS, Works, drain, receive


def accept(using: Backend, **about: Any) -> Record:
    """Accept a job of the first task, with what comes behind it."""
    head = envelope(**about)
    send(using, head)
    using.records.add(record())
    for index, entry in enumerate(head.rest):
        assert not isinstance(entry, tuple)
        using.records.add(record(entry.id, limit=1 + index))
    return standing(using)


def test_a_queued_job_does_not_run_any_more(stores: Backend) -> None:
    """Its message is settled and its envelope kept, and nothing of the task happens."""
    works = Works()
    cancelled = cancel(stores, accept(stores))
    assert (cancelled.status, cancelled.reason) == (Status.CANCELLED, "cancelled by its owner")
    assert (cancelled.message, cancelled.lease, cancelled.owes) == ("Cancelled by its owner", 0.0, "archive")
    assert standing(stores) == cancelled
    drain(stores, *works.workers)
    assert (works.ran, standing(stores).status, standing(stores).owes) == ([], Status.CANCELLED, "")
    assert kept(stores, cancelled) == envelope()


def test_cancelling_again_changes_nothing(stores: Backend) -> None:
    """The repeat of a request whose reply was lost gets the same answer."""
    once = cancel(stores, accept(stores))
    assert cancel(stores, once) == once == standing(stores)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_a_job_that_has_ended_cannot_be_cancelled(stores: Backend, status: Status) -> None:
    """It is said why, and its record stays as it is."""
    ended = record(status=status)
    stores.records.add(ended)
    with pytest.raises(CannotSteer, match=f"The task is {status} already"):
        cancel(stores, ended)
    assert standing(stores) == ended


def test_a_job_that_is_gone_cannot_be_cancelled(stores: Backend) -> None:
    """Its record has expired, or was taken back."""
    with pytest.raises(CannotSteer, match="gone"):
        cancel(stores, record())


def test_a_job_that_waits_for_its_retry_is_kept_when_it_comes(memory: Backend, clock: ManualClock) -> None:
    """It is cancelled at once; its message is seen to when it is due."""
    tries: list[str] = []

    def work(text: str) -> None:
        tries.append(text)
        raise OSError("once more")

    accept(memory)
    handler = worker(FIRST, work)
    run(handler, memory)
    cancel(memory, standing(memory))
    clock.advance(4)
    run(handler, memory)
    assert (tries, waiting(memory, FIRST)) == (["hello"], [])
    assert (standing(memory).status, standing(memory).attempt, standing(memory).owes) == (Status.CANCELLED, 1, "")
    assert kept(memory, standing(memory)) is not None


def test_a_running_job_ends_at_its_next_progress(stores: Backend) -> None:
    """What comes behind that report does not happen, and the record keeps what was reported before."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected) -> None:
        for number in range(1, 5):
            progress.report(number, 5)
            seen.append(number)
            if number == 2:
                cancel(stores, standing(stores))
            stores.clock.sleep(2)

    accept(stores)
    drain(stores, worker(FIRST, work))
    stands = standing(stores)
    assert (seen, stands.progress) == ([1, 2], 2)
    assert (stands.status, stands.reason, stands.owes) == (Status.CANCELLED, BY_OWNER, "")
    assert kept(stores, stands) == envelope()


@pytest.mark.parametrize("error", [None, OSError("broken"), Discard("no")])
def test_a_running_job_without_progress_stays_cancelled_when_it_ends(stores: Backend, error: Exception | None) -> None:
    """However it ends: nothing says completed, nothing is tried again, nothing is a dead letter."""

    def work(text: str) -> None:
        cancel(stores, standing(stores))
        if error:
            raise error

    accept(stores)
    drain(stores, worker(FIRST, work))
    stands = standing(stores)
    assert (stands.status, stands.reason, stands.owes) == (Status.CANCELLED, BY_OWNER, "")
    assert receive(stores, LETTERS) == []


def test_a_killed_worker_leaves_a_cancelled_job_cancelled(memory: Backend, clock: ManualClock) -> None:
    """Its message comes again, and is settled without another attempt."""
    works = Works()
    accept(memory)
    stands = standing(memory)
    memory.records.swap(stands, stands.changed(START, status=Status.RUNNING, attempt=1, lease=START + 10))
    cancel(memory, standing(memory))
    drain(memory, *works.workers)
    assert (works.ran, standing(memory).status, standing(memory).owes) == ([], Status.CANCELLED, "")


# Chains of three


def chain_of_three(using: Backend) -> None:
    """The first job, one that runs if all goes well, and one that runs in any case."""
    accept(using, rest=[link(SECOND, "job-2"), link(THIRD, "job-3", even_if_failed=True)])


def test_cancelling_the_first_job_stops_its_chain(stores: Backend) -> None:
    """The second is cancelled with it, and the third runs in any case."""
    works = Works()
    chain_of_three(stores)
    cancel(stores, standing(stores))
    drain(stores, *works.workers)
    assert [standing(stores, f"job-{number}").status for number in (1, 2, 3)] == [
        Status.CANCELLED,
        Status.CANCELLED,
        Status.COMPLETED,
    ]
    assert len(works.ran) == 1
    assert "job job-1" in (standing(stores, "job-2").reason or "")


def test_a_job_may_be_cancelled_before_its_turn(stores: Backend) -> None:
    """The one before it runs, it does not, it is kept for a retry, and what runs in any case runs."""
    works = Works()
    chain_of_three(stores)
    cancel(stores, standing(stores, "job-2"))
    drain(stores, *works.workers)
    assert [standing(stores, f"job-{number}").status for number in (1, 2, 3)] == [
        Status.COMPLETED,
        Status.CANCELLED,
        Status.COMPLETED,
    ]
    assert (len(works.ran), standing(stores, "job-2").reason, standing(stores, "job-2").owes) == (2, BY_OWNER, "")
    kept_of_it = kept(stores, standing(stores, "job-2"))
    assert kept_of_it is not None
    assert [entry.id for entry in kept_of_it.rest if not isinstance(entry, tuple)] == ["job-3"]


def test_a_cancelled_job_whose_message_was_never_sent_is_seen_to_all_the_same(cloud: Cloud) -> None:
    """The job before it had ended, and its worker died: whoever finds that sends on, so that the chain ends."""
    works = Works()
    chain_of_three(cloud.backend)
    cancel(cloud.backend, standing(cloud.backend, "job-2"))
    cloud.sqs.cut("SendMessage")
    first, second, third = works.workers
    (message,) = receive(cloud.backend, first)
    assert deliver(first, cloud.backend, message) == [message.id]
    cloud.sqs.heal()
    assert standing(cloud.backend).status is Status.COMPLETED
    assert deliver(first, cloud.backend, message) == []
    drain(cloud.backend, second, third)
    assert (standing(cloud.backend, "job-2").owes, standing(cloud.backend, "job-3").status) == ("", Status.COMPLETED)


def test_a_chain_that_was_broken_before_leaves_a_cancelled_job_as_it_is(stores: Backend) -> None:
    """It keeps its owner's reason."""

    def failing(text: str) -> None:
        raise Discard("no")

    chain_of_three(stores)
    cancel(stores, standing(stores, "job-2"))
    _, second, third = Works().workers
    drain(stores, worker(FIRST, failing), second, third, LETTERS)
    assert (standing(stores, "job-2").status, standing(stores, "job-2").reason) == (Status.CANCELLED, BY_OWNER)


# Dead letters


def test_a_dead_letter_of_a_cancelled_job_is_kept_and_the_job_stays_cancelled(stores: Backend) -> None:
    """SQS moved the message before a worker met it; the chain ends as it would have."""
    rest = [link(SECOND, "job-2"), link(THIRD, "job-3", even_if_failed=True)]
    accept(stores, rest=rest)
    cancel(stores, standing(stores))
    first, _, third = Works().workers
    (message,) = receive(stores, first)
    stores.queues.bury(Incoming(message.id, message.receipt, message.body, 1, START, {}), "", "")
    drain(stores, LETTERS, third)
    stands = standing(stores)
    assert (stands.status, stands.reason, stands.owes) == (Status.CANCELLED, BY_OWNER, "")
    assert kept(stores, stands) == envelope(rest=rest)
    assert [standing(stores, one).status for one in ("job-2", "job-3")] == [Status.CANCELLED, Status.COMPLETED]


def test_a_large_job_is_kept_whole(stores: Backend) -> None:
    """Not the pointer of its message, whose object goes with its lifecycle."""
    large = {"text": "x" * MESSAGE_LIMIT}
    cancel(stores, accept(stores, arguments=large))
    drain(stores, *Works().workers)
    found = kept(stores, standing(stores))
    assert found is not None
    assert found.arguments == large


# Others at the same moment


def claimed(using: Backend) -> Callable[[], None]:
    """Let a worker begin."""

    def begin() -> None:
        stands = standing(using)
        using.records.swap(stands, stands.changed(START, status=Status.RUNNING, attempt=1, lease=START + 10))

    return begin


def test_a_job_that_begins_at_the_same_moment_is_cancelled(cloud: Cloud) -> None:
    """The worker was faster, and the cancel looks again."""
    stands = accept(cloud.backend)
    cloud.dynamodb.meanwhile("UpdateItem", claimed(cloud.backend))
    assert cancel(cloud.backend, stands).attempt == 1
    assert (standing(cloud.backend).status, standing(cloud.backend).lease) == (Status.CANCELLED, 0.0)


def test_a_job_that_ends_at_the_same_moment_has_ended(cloud: Cloud) -> None:
    """The cancel is refused as a whole."""
    stands = accept(cloud.backend)
    done = stands.changed(START, status=Status.COMPLETED)
    cloud.dynamodb.meanwhile("UpdateItem", lambda: cloud.backend.records.swap(stands, done))
    with pytest.raises(CannotSteer, match="completed already"):
        cancel(cloud.backend, stands)
    assert standing(cloud.backend) == done


def test_cancels_and_a_worker_agree_on_one_end(memory: Backend) -> None:
    """Whoever is first wins as a whole: a job is completed and refused all cancels, or cancelled for all of them."""

    def work(text: str) -> None:
        """End at once."""

    for number in range(40):
        job_id = f"race-{number}"
        send(memory, envelope(job_id=job_id))
        fresh = record(job_id)
        memory.records.add(fresh)
        answers: list[str] = []
        barrier = threading.Barrier(5)

        def ask(fresh: Record = fresh, answers: list[str] = answers, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                answers.append(cancel(memory, fresh).status)
            except CannotSteer:
                answers.append("refused")

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        barrier.wait()
        run(worker(FIRST, work), memory)
        for thread in threads:
            thread.join()
        ended = standing(memory, job_id).status
        assert set(answers) == ({"refused"} if ended is Status.COMPLETED else {Status.CANCELLED})


# Faults


def test_a_cancel_whose_reply_is_lost_has_succeeded(cloud: Cloud) -> None:
    """botocore repeats it, and meets what it wrote itself."""
    stands = accept(cloud.backend)
    cloud.dynamodb.lose("UpdateItem")
    assert cancel(cloud.backend, stands) == standing(cloud.backend)
    assert standing(cloud.backend).status is Status.CANCELLED


def test_a_cancel_that_never_hears_may_be_repeated(cloud: Cloud) -> None:
    """It took place without a word; to ask again is answered as the first time would have been."""
    stands = accept(cloud.backend)
    cloud.dynamodb.lose("UpdateItem", times=3)
    with pytest.raises(Unavailable):
        cancel(cloud.backend, stands)
    assert cancel(cloud.backend, standing(cloud.backend)).status is Status.CANCELLED


def test_a_cancel_that_is_refused_changes_nothing(cloud: Cloud) -> None:
    """The job runs."""
    works = Works()
    stands = accept(cloud.backend)
    cloud.dynamodb.cut("UpdateItem")
    with pytest.raises(Unavailable):
        cancel(cloud.backend, stands)
    cloud.dynamodb.heal()
    drain(cloud.backend, *works.workers)
    assert (works.ran, standing(cloud.backend).status) == (["hello"], Status.COMPLETED)


@pytest.mark.parametrize("lost", [False, True], ids=["refused", "lost"])
@pytest.mark.parametrize("part", ["archive", "record", "hand-over"])
def test_a_cancelled_job_is_kept_whatever_fails_meanwhile(cloud: Cloud, part: str, lost: bool) -> None:
    """Its message stays until all is done, and the next delivery makes good what is missing."""
    accept(cloud.backend, rest=[link(THIRD, "job-3", even_if_failed=True)])
    cancelled = cancel(cloud.backend, standing(cloud.backend))
    first, _, third = Works().workers
    (message,) = receive(cloud.backend, first)
    wire, operation, skip = {
        "archive": (cloud.s3, "PutObject", 0),
        "record": (cloud.dynamodb, "UpdateItem", 1),  # the first one is the claim
        "hand-over": (cloud.sqs, "SendMessage", 0),
    }[part]
    if lost:
        wire.lose(operation, skip=skip, times=ALWAYS)
    else:
        wire.cut(operation, skip=skip)
    assert deliver(first, cloud.backend, message, seconds=2) == [message.id]
    wire.heal()
    assert deliver(first, cloud.backend, message) == []
    drain(cloud.backend, third)
    stands = standing(cloud.backend)
    assert (stands.status, stands.owes, kept(cloud.backend, stands) is not None) == (Status.CANCELLED, "", True)
    assert standing(cloud.backend, "job-3").status is Status.COMPLETED
    assert len(cloud.objects("archive/")) == 1
    assert cancelled.run == stands.run


def test_a_worker_that_keeps_a_job_which_is_run_again_meanwhile_leaves_it_alone(cloud: Cloud) -> None:
    """Its message is of an older run then."""
    accept(cloud.backend)
    stands = cancel(cloud.backend, standing(cloud.backend))
    again = stands.changed(START, status=Status.QUEUED, run=2, attempt=0, owes="")
    first, *_ = Works().workers
    (message,) = receive(cloud.backend, first)
    cloud.dynamodb.meanwhile("UpdateItem", lambda: cloud.backend.records.swap(stands, again), skip=1)
    assert deliver(first, cloud.backend, message) == []
    assert standing(cloud.backend) == again


def test_a_hand_over_that_is_repeated_does_not_send_what_was_cancelled_and_kept(memory: Backend) -> None:
    """A message is owed only until its job has been kept."""
    head = envelope(rest=[link(SECOND, "job-2")])
    for owes, messages in (("archive", 1), ("", 0)):
        memory.records.add(record("job-2"))
        stands = standing(memory, "job-2")
        memory.records.swap(stands, stands.changed(START, status=Status.CANCELLED, reason=BY_OWNER, owes=owes))
        before = len(waiting(memory, SECOND))
        hand_over(memory, *ended(head, Status.COMPLETED), again=True)
        assert len(waiting(memory, SECOND)) - before == messages
