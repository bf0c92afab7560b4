"""A failed or cancelled job that its owner runs again, with what comes behind it in its chain."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from afterward import Progress, injected
from afterward.archive import kept
from afterward.backend import Backend
from afterward.clock import timestamp
from afterward.envelope import Entry, Envelope, members_of
from afterward.errors import CannotSteer, Unavailable
from afterward.handover import STEP, WIDTH
from afterward.job import Status
from afterward.memory import MemoryBlobs, MemoryQueues, MemoryRecords
from afterward.parcel import unpack
from afterward.queues import MESSAGE_LIMIT, Incoming
from afterward.records import Break, Claim, Joined, Record, Seat, Swap, queued
from afterward.steering import BY_OWNER, cancel, retry
from afterward.testing import START, ManualClock
from afterward.worker import Worker
from tests.support.cloud import Cloud
from tests.support.faults import Wire
from tests.support.jobs import (
    DECLARED,
    FIRST,
    OWNER,
    SECOND,
    THIRD,
    deliver,
    envelope,
    link,
    record,
    send,
    standing,
    waiting,
)
from tests.support.line import LETTERS, Works, delete, drain, receive, step


def named(task: str, job_id: str, **about: Any) -> Any:
    """Return a link whose text is its id."""
    made = link(task, job_id, **about)
    return type(made)(**{name: getattr(made, name) for name in made.__slots__} | {"arguments": {"text": job_id}})


def chain(using: Backend, *rest: Entry, head: str = "job-1") -> Envelope:
    """Accept a chain whose jobs have their ids as text: the message of its first one, and all records."""
    first = envelope(
        job_id=head,
        arguments={"text": head},
        rest=rest,
        links=1 + sum(len(members_of(entry)) for entry in rest),
    )
    send(using, first)
    for one in (first, *(member for entry in rest for member in members_of(entry))):
        using.records.add(queued(first, one, limit=DECLARED[one.task].max_attempts, shards=4, now=START))
    return first


def three(using: Backend) -> Envelope:
    """Accept a chain of three, whose last job runs in any case."""
    return chain(using, named(SECOND, "job-2"), named(THIRD, "job-3", even_if_failed=True))


def failed(using: Backend, **about: Any) -> Record:
    """Bring one job of the first task to its failure, archived."""
    send(using, envelope(**about))
    using.records.add(record())
    drain(using, Works("hello", "x" * MESSAGE_LIMIT).workers[0], LETTERS)
    assert standing(using).status is Status.FAILED
    return standing(using)


def statuses(using: Backend, *job_ids: str) -> list[tuple[str, int]]:
    found = [standing(using, job_id) for job_id in job_ids]
    return [(one.status, one.run) for one in found]


# One job


def test_a_failed_job_runs_again_from_the_start(stores: Backend) -> None:
    """As a new run: nothing of the one before is left but the archive."""
    before = failed(stores)
    again = retry(stores, before)
    assert again == standing(stores)
    fresh = record().changed(START)
    told = {name: getattr(again, name) for name in Record.__slots__}
    assert told == {name: getattr(fresh, name) for name in Record.__slots__} | {"run": 2, "nonce": again.nonce}
    works = Works()
    works.drain(stores)
    done = standing(stores)
    assert (works.ran, done.status, done.run, done.attempt) == (["hello"], Status.COMPLETED, 2, 1)


def test_a_cancelled_job_runs_again(stores: Backend) -> None:
    """Once a worker has met its message and kept what it says."""
    chain(stores)
    cancel(stores, standing(stores))
    works = Works()
    works.drain(stores)
    assert retry(stores, standing(stores)).run == 2
    works.drain(stores)
    assert (works.ran, standing(stores).status) == (["job-1"], Status.COMPLETED)


def test_a_retry_that_fails_may_be_retried(stores: Backend) -> None:
    """Each run is kept apart."""
    failed(stores)
    works = Works("hello")
    for number in (2, 3):
        assert retry(stores, standing(stores)).run == number
        works.drain(stores)
        assert statuses(stores, "job-1") == [(Status.FAILED, number)]
        assert kept(stores, standing(stores)) == envelope(run=number)


def test_all_attempts_are_there_again(memory: Backend) -> None:
    """Those of the declaration, however often the run before went on in another invocation."""
    stands = failed(memory)
    memory.records.swap(stands, grown := stands.changed(START, limit=17, attempt=17))
    assert retry(memory, grown).limit == 3


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.COMPLETED])
def test_a_job_that_has_not_failed_is_not_retried(stores: Backend, status: Status) -> None:
    """It is said what it is, and nothing is sent."""
    stands = record(status=status)
    stores.records.add(stands)
    with pytest.raises(CannotSteer, match=f"The task is {status}; only a failed or a cancelled one"):
        retry(stores, stands)
    assert (standing(stores), receive(stores, Works().workers[0])) == (stands, [])


def test_a_job_that_is_gone_is_not_retried(memory: Backend) -> None:
    """Its record has expired since it was read."""
    before = failed(memory)
    memory.records.remove(before)
    with pytest.raises(CannotSteer, match="gone"):
        retry(memory, before)


def test_a_dead_letter_that_is_not_archived_yet_is_too_early(stores: Backend) -> None:
    """The caller is told to ask again in a moment, and then it works."""
    works = Works("job-1")
    chain(stores)
    drain(stores, works.workers[0])
    with pytest.raises(CannotSteer, match="yet") as early:
        retry(stores, standing(stores))
    assert early.value.retry_after == 2
    works.drain(stores)
    assert retry(stores, standing(stores)).run == 2


def test_a_cancelled_job_whose_message_is_on_its_way_is_too_early(memory: Backend, clock: ManualClock) -> None:
    """The caller is told when that is due, where it is known."""
    memory.records.add(record(status=Status.QUEUED, attempt=1, not_before=START + 50))
    cancel(memory, standing(memory))
    with pytest.raises(CannotSteer) as early:
        retry(memory, standing(memory))
    assert early.value.retry_after == 51


def test_a_job_that_was_cancelled_with_its_chain_names_the_one_to_retry(stores: Backend) -> None:
    """It was never kept by itself."""
    works = Works("job-1")
    three(stores)
    works.drain(stores)
    with pytest.raises(CannotSteer, match=r"because job job-1, which comes before it .* retry that one") as refused:
        retry(stores, standing(stores, "job-2"))
    assert refused.value.retry_after is None


def test_a_job_whose_archive_is_gone_is_not_retried(memory: Backend) -> None:
    """Asking again would not help, so nobody is told to."""
    before = failed(memory)
    assert isinstance(memory.blobs, MemoryBlobs)
    memory.blobs.objects.clear()
    with pytest.raises(CannotSteer, match="no longer kept") as refused:
        retry(memory, before)
    assert refused.value.retry_after is None


def test_an_archive_that_this_code_cannot_read_is_named(memory: Backend) -> None:
    """A later version wrote it, say."""
    before = failed(memory)
    assert isinstance(memory.blobs, MemoryBlobs)
    memory.blobs.objects[f"archive/{OWNER}/job-1/1.json"] = '{"body": "{\\"afterward\\": 2}"}'
    with pytest.raises(CannotSteer, match="cannot be read: the envelope has format 2"):
        retry(memory, before)


def test_a_job_of_a_task_that_is_gone_is_not_retried(memory: Backend) -> None:
    """Nobody would run it: a deploy has removed the task since."""
    before = failed(memory)
    assert isinstance(memory.blobs, MemoryBlobs)
    key = f"archive/{OWNER}/job-1/1.json"
    memory.blobs.objects[key] = memory.blobs.objects[key].replace(FIRST, "removed")
    with pytest.raises(CannotSteer, match="There is no task removed any more"):
        retry(memory, before)
    assert standing(memory) == before


def test_a_large_job_is_sent_by_pointer_again(stores: Backend) -> None:
    """Its envelope is too large for a message; the retry has one of its own."""
    large = {"text": "x" * MESSAGE_LIMIT}
    before = failed(stores, arguments=large)
    retry(stores, before)
    works = Works()
    works.drain(stores)
    assert (works.ran, standing(stores).status) == ([large["text"]], Status.COMPLETED)


def test_a_job_that_waited_for_its_time_runs_at_once(memory: Backend) -> None:
    """Its delay was for the first run."""
    before = failed(memory, not_before=START - 5, delay=60.0, leg=3)
    retry(memory, before)
    (one,) = waiting(memory, FIRST)
    assert (one.run, one.leg, one.not_before) == (2, 0, 0.0)
    assert isinstance(memory.queues, MemoryQueues)
    assert memory.queues.next_visible() == memory.clock.now()


# Messages of other runs


def test_a_message_of_the_run_before_is_dropped(stores: Backend) -> None:
    """A duplicate that SQS delivers late runs nothing."""
    before = failed(stores)
    retry(stores, before)
    send(stores, envelope())
    works = Works()
    works.drain(stores)
    assert (works.ran, statuses(stores, "job-1")) == (["hello"], [(Status.COMPLETED, 2)])


def test_an_attempt_of_the_run_before_cannot_write_any_more(memory: Backend, clock: ManualClock) -> None:
    """One that ran on after its job was cancelled: its progress and its end are refused."""
    works = Works()
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected) -> None:
        cancel(memory, standing(memory))
        send(memory, envelope())
        drain(memory, works.workers[0])  # a duplicate of its message, which keeps the job
        retry(memory, standing(memory))
        seen.append(1)
        progress.report(1, 2)
        seen.append(2)

    chain(memory)
    step(memory, Worker(DECLARED[FIRST], work))
    assert seen == [1]
    assert (statuses(memory, "job-1"), standing(memory).progress) == ([(Status.QUEUED, 2)], 0)
    works.drain(memory)
    assert statuses(memory, "job-1") == [(Status.COMPLETED, 2)]


def test_a_message_of_a_retry_waits_for_its_record(memory: Backend, clock: ManualClock) -> None:
    """Sent first, then written: a worker that is faster gives it back, and runs it when it comes again."""
    before = failed(memory)
    works = Works()
    swap_all = memory.records.swap_all

    def late(swaps: Sequence[Swap], leaving: Sequence[Seat] = ()) -> bool:
        works.drain(memory)
        assert works.ran == []
        return swap_all(swaps, leaving)

    memory.records.swap_all = late  # type: ignore[method-assign]
    retry(memory, before)
    clock.advance(1)
    works.drain(memory)
    assert (works.ran, statuses(memory, "job-1")) == (["hello"], [(Status.COMPLETED, 2)])


# Chains


def test_a_retry_brings_back_what_was_cancelled_with_it(stores: Backend) -> None:
    """What ran in any case is not run a second time."""
    works = Works("job-1")
    three(stores)
    works.drain(stores)
    assert works.ran == ["job-1", "job-3"]
    works.failing.clear()
    retry(stores, standing(stores))
    assert statuses(stores, "job-1", "job-2", "job-3") == [
        (Status.QUEUED, 2),
        (Status.QUEUED, 2),
        (Status.COMPLETED, 1),
    ]
    assert (standing(stores, "job-2").reason, standing(stores, "job-2").message) == (None, None)
    works.drain(stores)
    assert works.ran == ["job-1", "job-3", "job-1", "job-2"]
    assert [one for one, _ in statuses(stores, "job-1", "job-2", "job-3")] == [Status.COMPLETED] * 3


def test_what_runs_in_any_case_and_has_not_begun_waits_for_the_retry(stores: Backend) -> None:
    """Its queue is long: it runs once, behind what is run again."""
    works = Works("job-1")
    three(stores)
    first, _, third = works.workers
    drain(stores, first, LETTERS)
    works.failing.clear()
    retry(stores, standing(stores))
    assert statuses(stores, "job-3") == [(Status.QUEUED, 2)]
    drain(stores, third)
    assert works.ran == ["job-1"]
    works.drain(stores)
    assert works.ran == ["job-1", "job-1", "job-2", "job-3"]


def test_a_retry_in_the_middle_goes_on_to_the_end(stores: Backend) -> None:
    """What came before it has completed and stays so."""
    works = Works("job-2")
    chain(stores, named(SECOND, "job-2"), named(THIRD, "job-3"))
    works.drain(stores)
    works.failing.clear()
    retry(stores, standing(stores, "job-2"))
    works.drain(stores)
    assert works.ran == ["job-1", "job-2", "job-2", "job-3"]
    assert statuses(stores, "job-1", "job-2", "job-3") == [
        (Status.COMPLETED, 1),
        (Status.COMPLETED, 2),
        (Status.COMPLETED, 2),
    ]


def test_each_retry_in_a_chain_has_a_run_of_its_own(stores: Backend) -> None:
    """The second job was retried twice; the first one's retry is run 4, for all that it takes along.

    What the first one broke comes back with that one only.
    """
    works = Works("job-1", "job-2")
    chain(stores, named(SECOND, "job-2", even_if_failed=True), named(THIRD, "job-3"))
    works.drain(stores)
    for _ in range(2):
        retry(stores, standing(stores, "job-2"))
        works.drain(stores)
    assert statuses(stores, "job-2", "job-3") == [(Status.FAILED, 3), (Status.CANCELLED, 1)]
    works.failing.clear()
    assert retry(stores, standing(stores)).run == 4
    works.drain(stores)
    assert statuses(stores, "job-1", "job-2", "job-3") == [
        (Status.COMPLETED, 4),
        (Status.FAILED, 3),
        (Status.COMPLETED, 4),
    ]


def test_what_another_job_broke_is_left_to_that_one(stores: Backend) -> None:
    """One that runs in any case is retried by itself; and what will not run is told so all the same."""
    works = Works("job-2")
    chain(
        stores,
        named(SECOND, "job-2", even_if_failed=True),
        named(THIRD, "job-3"),
        named(SECOND, "job-4", even_if_failed=True),
    )
    cancel(stores, standing(stores))
    first, second, _ = works.workers
    drain(stores, first)
    (message,) = receive(stores, second)
    assert deliver(second, stores, message) == []
    stands = standing(stores, "job-3")
    stores.records.swap(stands, stands.changed(START, status=Status.QUEUED, reason=None))  # as if not told yet
    drain(stores, LETTERS)
    stands = standing(stores, "job-3")
    stores.records.swap(stands, stands.changed(START, status=Status.QUEUED, reason=None))
    works.failing.clear()
    retry(stores, standing(stores, "job-2"))
    assert statuses(stores, "job-3") == [(Status.CANCELLED, 1)]
    retry(stores, standing(stores))
    works.drain(stores)
    assert statuses(stores, "job-1", "job-3") == [(Status.COMPLETED, 3)] * 2
    assert sorted(works.ran) == ["job-1", "job-2", "job-2", "job-3", "job-4"]


def test_what_its_owner_has_cancelled_stays_cancelled(stores: Backend) -> None:
    """A retry of another job does not undo that: the chain breaks there again, until that one is retried itself."""
    works = Works("job-1")
    chain(stores, named(SECOND, "job-2"), named(THIRD, "job-3"))
    cancel(stores, standing(stores, "job-2"))
    works.drain(stores)
    works.failing.clear()
    retry(stores, standing(stores))
    works.drain(stores)
    assert statuses(stores, "job-1", "job-2", "job-3") == [
        (Status.COMPLETED, 2),
        (Status.CANCELLED, 2),
        (Status.CANCELLED, 2),
    ]
    assert standing(stores, "job-2").reason == BY_OWNER
    retry(stores, standing(stores, "job-2"))
    works.drain(stores)
    assert statuses(stores, "job-2", "job-3") == [(Status.COMPLETED, 3)] * 2
    assert works.ran == ["job-1", "job-1", "job-2", "job-3"]


def test_a_job_behind_that_has_no_record_gets_one(stores: Backend) -> None:
    """It could not be written when the chain was accepted."""
    works = Works("job-1")
    three(stores)
    stores.records.remove(standing(stores, "job-2"))
    first, *_ = works.workers
    drain(stores, first)
    stores.records.remove(standing(stores, "job-2"))
    drain(stores, LETTERS)
    stores.records.remove(standing(stores, "job-2"))
    works.failing.clear()
    retry(stores, standing(stores))
    stands = standing(stores, "job-2")
    assert (stands.status, stands.run, stands.limit, stands.chain) == (Status.QUEUED, 2, 3, "job-1")
    works.drain(stores)
    assert statuses(stores, "job-2") == [(Status.COMPLETED, 2)]


def test_a_long_chain_comes_back_whole(stores: Backend) -> None:
    """Longer than what one transaction takes."""
    works = Works("job-1")
    chain(stores, *(named(SECOND, f"behind-{number}") for number in range(110)))
    works.drain(stores)
    retry(stores, standing(stores))
    assert {one for number in range(110) for one in statuses(stores, f"behind-{number}")} == {(Status.QUEUED, 2)}
    assert statuses(stores, "job-1") == [(Status.QUEUED, 2)]


# Groups


def test_a_group_stays_one_with_what_runs_again(stores: Backend) -> None:
    """A member that ran in any case is left out; what follows the group waits for the others."""
    group = (named(SECOND, "a"), named(SECOND, "b", even_if_failed=True), named(SECOND, "c"))
    works = Works("job-1")
    chain(stores, group, named(THIRD, "after"))
    works.drain(stores)
    assert works.ran == ["job-1", "b"]
    works.failing.clear()
    retry(stores, standing(stores))
    works.drain(stores)
    assert works.ran[:3] == ["job-1", "b", "job-1"]
    assert (sorted(works.ran[3:5]), works.ran[5:]) == (["a", "c"], ["after"])


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_what_follows_a_group_waits_for_all_members_that_are_retried(stores: Backend, order: Sequence[str]) -> None:
    """Two of three have failed and are retried: whichever ends last goes on, once."""
    works = Works("a", "b")
    chain(stores, (named(SECOND, "a"), named(SECOND, "b"), named(SECOND, "c")), named(THIRD, "after"))
    works.drain(stores)
    assert statuses(stores, "after") == [(Status.CANCELLED, 1)]
    works.failing.clear()
    works.ran.clear()
    for job_id in order:
        retry(stores, standing(stores, job_id))
    second, third = works.workers[1:]
    messages = {message.body: message for message in receive(stores, second)}
    for job_id in reversed(order):
        (message,) = (one for body, one in messages.items() if f'"id":"{job_id}"' in body)
        assert deliver(second, stores, message) == []
        drain(stores, third)
        assert works.ran.count("after") == (job_id == order[0])
    assert statuses(stores, "after") == [(Status.COMPLETED, 3)]


def beside_a_failed_one(using: Backend, works: Works) -> Incoming:
    """Bring a group of "a" and "b" to where "a" has failed and is archived; return the message of "b", received."""
    chain(using, (named(SECOND, "a"), named(SECOND, "b")), named(THIRD, "after"))
    first, second, _ = works.workers
    drain(using, first)
    messages = {message.body: message for message in receive(using, second)}
    (slow,) = (one for body, one in messages.items() if '"id":"b"' in body)
    (fast,) = (one for body, one in messages.items() if '"id":"a"' in body)
    assert deliver(second, using, fast) == []
    delete(using, second, fast)
    drain(using, LETTERS)
    return slow


def test_a_retried_member_waits_for_those_that_still_run(stores: Backend) -> None:
    """It was counted as over when it failed; it is not, until it ends again, and then the last one goes on."""
    works = Works("a")
    _, second, third = works.workers
    slow = beside_a_failed_one(stores, works)
    works.failing.clear()
    retry(stores, standing(stores, "a"))
    drain(stores, second, third)
    assert works.ran == ["job-1", "a", "a"]
    assert statuses(stores, "after") == [(Status.QUEUED, 2)]
    assert deliver(second, stores, slow) == []
    drain(stores, third)
    assert works.ran[3:] == ["b", "after"]
    assert statuses(stores, "after") == [(Status.COMPLETED, 2)]


def test_a_retried_member_is_not_counted_by_its_old_run(stores: Backend) -> None:
    """The dead letter's handler was about to hand over when the retry came: that counts nothing any more."""
    works = Works("a")
    _, second, third = works.workers
    slow = beside_a_failed_one(stores, works)
    key = f"{OWNER}#a#1#0#0"
    stands = standing(stores, "a")
    works.failing.clear()
    retry(stores, stands)
    assert stores.records.join(key, 0, None, START, run=1).count == 0
    assert deliver(second, stores, slow) == []
    drain(stores, third)
    assert works.ran == ["job-1", "a", "b"]
    drain(stores, second, third)
    assert works.ran == ["job-1", "a", "b", "a", "after"]


def test_a_member_of_a_large_group_is_counted_anew_on_every_level(memory: Backend) -> None:
    """Larger than one set: the retried member's set is open again, and so is the one above."""
    size = WIDTH + 2
    works = Works("member-1")
    chain(memory, tuple(named(SECOND, f"member-{number}") for number in range(size)), named(THIRD, "after"))
    works.drain(memory)
    assert statuses(memory, "after") == [(Status.CANCELLED, 1)]
    works.failing.clear()
    retry(memory, standing(memory, "member-1"))
    works.drain(memory)
    assert statuses(memory, "member-1", "after") == [(Status.COMPLETED, 2)] * 2


@pytest.mark.parametrize("last", ["a", "b"])
def test_what_a_retried_member_breaks_again_is_cancelled_again(stores: Backend, last: str) -> None:
    """The last of them fails once more, whichever run it is in: what follows the group says so, and does not wait."""
    works = Works("a", "b")
    chain(stores, (named(SECOND, "a"), named(SECOND, "b")), named(THIRD, "after"))
    works.drain(stores)
    works.failing = {last}
    for job_id in ("a", "b"):
        retry(stores, standing(stores, job_id))
    assert statuses(stores, "after") == [(Status.QUEUED, 3)]
    second = works.workers[1]
    for message in sorted(receive(stores, second), key=lambda one: f'"id":"{last}"' in one.body):
        assert deliver(second, stores, message) == []
    works.drain(stores)
    stands = standing(stores, "after")
    assert (stands.status, f"job {last}" in (stands.reason or "")) == (Status.CANCELLED, True)


@pytest.mark.parametrize("order", [("a", "c"), ("c", "a")])
def test_a_group_does_not_wait_for_a_member_that_is_retried_by_itself(stores: Backend, order: Sequence[str]) -> None:
    """One of it has run and failed although "a" had: the retry of "a" leaves it out, whatever it is doing by then."""
    works = Works("a", "c")
    behind = (named(SECOND, "c", even_if_failed=True), named(SECOND, "d"))
    chain(stores, (named(SECOND, "a"), named(SECOND, "b")), behind, named(THIRD, "after"))
    works.drain(stores)
    assert works.ran[3:] == ["c"]
    works.failing.clear()
    for job_id in order:
        retry(stores, standing(stores, job_id))
    works.drain(stores)
    assert [works.ran[4:].count(one) for one in ("a", "b", "c", "d", "after")] == [1, 0, 1, 1, 1]
    assert {status for status, _ in statuses(stores, "a", "b", "c", "d", "after")} == {Status.COMPLETED}


# Others at the same moment


def test_retries_at_the_same_moment_are_one_run(stores: Backend) -> None:
    """All callers get the same run, and the job runs once."""
    works = Works("job-1")
    three(stores)
    works.drain(stores)
    works.failing.clear()
    works.ran.clear()
    before = standing(stores)
    answers: list[int] = []
    barrier = threading.Barrier(4)

    def ask() -> None:
        barrier.wait()
        answers.append(retry(stores, before).run)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stands = standing(stores)
    assert answers == [stands.run] * 4
    while stands.status is not Status.COMPLETED or standing(stores, "job-2").status is not Status.COMPLETED:
        works.drain(stores)
        stands = standing(stores)
    assert works.ran == ["job-1", "job-2"]
    assert statuses(stores, "job-1", "job-2") == [(Status.COMPLETED, stands.run)] * 2


def test_a_job_behind_that_begins_at_the_same_moment_is_left_out(cloud: Cloud) -> None:
    """It was about to be taken along, and has run by then: the retry begins anew without it."""
    works = Works("job-1")
    three(cloud.backend)
    first, second, third = works.workers
    drain(cloud.backend, first, LETTERS)
    works.failing.clear()
    cloud.dynamodb.meanwhile("TransactWriteItems", lambda: drain(cloud.backend, third))
    again = retry(cloud.backend, standing(cloud.backend))
    assert again.run == 3
    told = [("job-3" in one.body, '"run":3' in one.body) for one in cloud.waiting(FIRST)]
    assert told == [(True, False), (False, True)]
    drain(cloud.backend, first, second, third)
    assert works.ran == ["job-1", "job-3", "job-1", "job-2"]


def test_a_retry_gives_up_where_others_keep_writing(memory: Backend) -> None:
    """It says that it may be tried again, and the job is what it was."""
    before = failed(memory)
    memory.records.swap_all = lambda *_: False  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="others kept writing"):
        retry(memory, before)
    assert statuses(memory, "job-1") == [(Status.FAILED, 1)]


# Faults

CALLS = {
    "archive": ("s3", "GetObject", 0),
    "behind": ("dynamodb", "BatchGetItem", 0),
    "run": ("dynamodb", "UpdateItem", 0),
    "message": ("sqs", "SendMessage", 0),
    "records": ("dynamodb", "TransactWriteItems", 0),
}


def broken_chain(cloud: Cloud) -> Works:
    works = Works("job-1")
    three(cloud.backend)
    works.drain(cloud.backend)
    works.failing.clear()
    works.ran.clear()
    return works


def wire_of(cloud: Cloud, part: str) -> tuple[Wire, str, int]:
    service, operation, skip = CALLS[part]
    wire: Wire = getattr(cloud, service)
    return wire, operation, skip


def ends_well(cloud: Cloud, works: Works) -> None:
    """Deliver all there is, and see that each job that was to run again ran once."""
    works.drain(cloud.backend)
    assert works.ran == ["job-1", "job-2"]
    one, two, three = statuses(cloud.backend, "job-1", "job-2", "job-3")
    assert one == two == (Status.COMPLETED, one[1])
    assert three == (Status.COMPLETED, 1)


@pytest.mark.parametrize("part", CALLS)
def test_a_retry_that_is_refused_leaves_all_as_it_was(cloud: Cloud, part: str) -> None:
    """Whichever call fails: no job runs, and the repeat does all of it."""
    works = broken_chain(cloud)
    before = statuses(cloud.backend, "job-1", "job-2", "job-3")
    wire, operation, skip = wire_of(cloud, part)
    wire.cut(operation, skip=skip)
    with pytest.raises(Unavailable):
        retry(cloud.backend, standing(cloud.backend))
    wire.heal()
    assert statuses(cloud.backend, "job-1", "job-2", "job-3") == before
    works.drain(cloud.backend)
    assert works.ran == []
    retry(cloud.backend, standing(cloud.backend))
    ends_well(cloud, works)


@pytest.mark.parametrize("part", CALLS)
def test_a_retry_whose_replies_are_lost_once_succeeds(cloud: Cloud, part: str) -> None:
    """botocore repeats the call; what it then meets is its own."""
    works = broken_chain(cloud)
    wire, operation, skip = wire_of(cloud, part)
    wire.lose(operation, skip=skip)
    skipped = part == "run"  # the number that nobody heard of
    assert retry(cloud.backend, standing(cloud.backend)).run == (3 if skipped else 2)
    ends_well(cloud, works)


@pytest.mark.parametrize("part", CALLS)
def test_a_retry_that_never_hears_is_made_good_by_its_repeat(cloud: Cloud, part: str) -> None:
    """It may have been done or not; the repeat finds out, and each job runs once."""
    works = broken_chain(cloud)
    wire, operation, skip = wire_of(cloud, part)
    wire.lose(operation, skip=skip, times=3)
    with pytest.raises(Unavailable):
        retry(cloud.backend, standing(cloud.backend))
    wire.heal()
    if part == "records":
        with pytest.raises(CannotSteer, match="queued"):
            retry(cloud.backend, standing(cloud.backend))
    else:
        retry(cloud.backend, standing(cloud.backend))
    ends_well(cloud, works)


@pytest.mark.parametrize("part", ["own", "run", "archive", "message"])
def test_a_retry_of_a_single_job_survives_lost_replies_too(cloud: Cloud, part: str) -> None:
    """It needs no transaction."""
    before = failed(cloud.backend)
    wire, operation, skip = (cloud.dynamodb, "UpdateItem", 1) if part == "own" else wire_of(cloud, part)
    wire.lose(operation, skip=skip)
    again = retry(cloud.backend, before).run
    assert again == (3 if part == "run" else 2)
    assert cloud.dynamodb.counts["TransactWriteItems"] == 0
    works = Works()
    works.drain(cloud.backend)
    assert (works.ran, statuses(cloud.backend, "job-1")) == (["hello"], [(Status.COMPLETED, again)])


def test_a_message_of_a_retry_that_died_never_runs(cloud: Cloud) -> None:
    """The repeat has a run of its own, since what it finds may be something else by then."""
    works = Works("job-1")
    three(cloud.backend)
    first, _, third = works.workers
    drain(cloud.backend, first, LETTERS)
    works.failing.clear()
    cloud.dynamodb.cut("TransactWriteItems")
    with pytest.raises(Unavailable):
        retry(cloud.backend, standing(cloud.backend))
    cloud.dynamodb.heal()
    drain(cloud.backend, third)  # what the message of the dead retry would have run again
    again = retry(cloud.backend, standing(cloud.backend))
    assert again.run == 3
    works.drain(cloud.backend)
    assert works.ran == ["job-1", "job-3", "job-1", "job-2"]


def test_transactions_that_meet_others_are_tried_again(cloud: Cloud) -> None:
    """A worker reads or writes one of the records at that moment."""
    works = broken_chain(cloud)
    cloud.dynamodb.cancel_transaction("TransactionConflict", "None", times=3)
    assert retry(cloud.backend, standing(cloud.backend)).run == 2
    ends_well(cloud, works)


def test_transactions_that_never_come_through_are_a_refusal(cloud: Cloud) -> None:
    """The job is what it was."""
    broken_chain(cloud)
    cloud.dynamodb.cancel_transaction("TransactionConflict", "None", times=100)
    with pytest.raises(Unavailable, match="kept cancelling"):
        retry(cloud.backend, standing(cloud.backend))
    assert statuses(cloud.backend, "job-1", "job-2") == [(Status.FAILED, 1), (Status.CANCELLED, 1)]


def test_a_retry_costs_few_calls(cloud: Cloud) -> None:
    """One job: its archive, a number for the run, a message, its record."""
    before = failed(cloud.backend)
    for wire in (cloud.s3, cloud.sqs, cloud.dynamodb):
        wire.sent.clear()
    retry(cloud.backend, before)
    assert (cloud.s3.counts, cloud.sqs.counts) == ({"GetObject": 1}, {"SendMessage": 1})
    assert cloud.dynamodb.counts == {"UpdateItem": 2}


# The contract of writing several records together


def test_records_are_swapped_together_or_not_at_all(stores: Backend) -> None:
    """One that has changed, or that stands where none should, keeps all of them back."""
    one, two = record("one"), record("two")
    for each in (one, two):
        stores.records.add(each)
    later = [Swap(each, each.changed(START, progress=5)) for each in (one, two)]
    fresh = Swap(None, record("three"))
    stores.records.add(record("taken"))
    for bad in (Swap(record("taken"), record("taken")), Swap(None, record("taken")), Swap(record("no"), record("no"))):
        assert not stores.records.swap_all([*later, fresh, bad])
        assert (standing(stores, "one"), standing(stores, "two")) == (one, two)
        assert stores.records.get(OWNER, "three") is None
    assert stores.records.swap_all([*later, fresh])
    assert [standing(stores, name).progress for name in ("one", "two", "three")] == [5, 5, 0]
    assert timestamp(START) == standing(stores, "one").updated


def test_records_of_another_attempt_are_not_swapped_together(stores: Backend) -> None:
    """A claim that arrives late again has its old nonce: who holds the attempt before may not write either record."""
    one, two = record("one"), record("two")
    stores.records.add(two)
    claim = Claim(fresh=one, now=START, lease=START + 10)
    first = stores.records.claim(claim).record
    assert first is not None
    stores.records.swap(first, first.changed(START, status=Status.QUEUED, lease=0.0))
    late = stores.records.claim(claim).record
    assert late is not None
    assert (late.nonce, late.attempt) == (first.nonce, 2)
    beside = Swap(two, two.changed(START, progress=5))
    assert not stores.records.swap_all([Swap(first, first.changed(START, progress=5)), beside])
    assert (standing(stores, "one"), standing(stores, "two")) == (late, two)
    assert stores.records.swap_all([Swap(late, late.changed(START, progress=5)), beside])


def test_a_repeated_hand_over_does_not_cut_a_group_down(memory: Backend) -> None:
    """(A) → (B | C) → D: B is retried while C waits, and A's message comes once more; D runs after both."""
    works = Works("B", "C")
    members = tuple(named(task, name) for task, name in ((SECOND, "B"), (THIRD, "C")))
    chain(memory, members, named(FIRST, "D"), head="A")
    first, second, third = works.workers
    (again,) = receive(memory, first)
    assert deliver(first, memory, again) == []
    delete(memory, first, again)
    drain(memory, second, LETTERS)
    retry(memory, standing(memory, "B"))
    deliver(first, memory, again)
    assert {(one.join, one.members) for one in waiting(memory, THIRD)} == {("B#1", 2)}
    drain(memory, third, LETTERS)
    works.failing.clear()
    works.drain(memory)
    retry(memory, standing(memory, "C"))
    works.drain(memory)
    assert [standing(memory, one).status for one in "ABCD"] == [Status.COMPLETED] * 4


def test_a_group_is_counted_as_before_by_a_hand_over_that_is_repeated_after_a_later_retry(cloud: Cloud) -> None:
    """(a | b) → (c | d | e) → after: a's retry sends c only, c is retried too, and then a's message comes once more."""
    works = Works("a")
    later = tuple(named(THIRD, job_id) for job_id in ("c", "d", "e"))
    chain(cloud.backend, (named(SECOND, "a"), named(SECOND, "b")), later, named(FIRST, "after"))
    works.drain(cloud.backend)
    works.failing = {"c"}
    retry(cloud.backend, standing(cloud.backend, "a"))
    (message,) = receive(cloud.backend, works.workers[1])
    cloud.sqs.fail_entries(1, 2)
    cloud.sqs.refuse("SendMessageBatch", "AccessDeniedException")
    assert deliver(works.workers[1], cloud.backend, message) == [message.id]
    cloud.sqs.heal()
    drain(cloud.backend, works.workers[2], LETTERS)
    assert works.ran == ["job-1", "a", "b", "a", "c"]
    works.failing.clear()
    retry(cloud.backend, standing(cloud.backend, "c"))
    assert deliver(works.workers[1], cloud.backend, message) == []
    works.drain(cloud.backend)
    assert (sorted(works.ran[5:8]), works.ran[8:]) == (["c", "d", "e"], ["after"])
    assert statuses(cloud.backend, "c", "d", "e", "after") == [(Status.COMPLETED, run) for run in (3, 2, 2, 3)]


def test_a_retry_sends_all_of_a_large_group_although_the_run_before_has_sent_it(memory: Backend) -> None:
    """None of it had begun, so it belongs to the new run; how many messages were sent is said of the old one."""
    works = Works("job-1")
    members = [f"member-{number}" for number in range(STEP + 1)]
    chain(memory, tuple(named(SECOND, one, even_if_failed=True) for one in members), named(THIRD, "after"))
    drain(memory, works.workers[0], LETTERS)
    assert standing(memory).handed == f"1:{STEP + 1}"
    works.failing.clear()
    retry(memory, standing(memory))
    works.drain(memory)
    assert (works.ran[:2], sorted(works.ran[2:-1]), works.ran[-1]) == (["job-1"] * 2, sorted(members), "after")


class Interrupted(MemoryRecords):
    """Does something just before a set is counted in the set above it."""

    meanwhile: Callable[[], object] | None = None

    def join(self, key: str, slot: int, broken: Break | None, now: float, *, run: int = 0) -> Joined:
        if self.meanwhile is not None and key.endswith("#1#0") and slot == 0:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return super().join(key, slot, broken, now, run=run)


def test_a_set_that_was_counted_before_a_retry_comes_too_late_above(memory: Backend, clock: ManualClock) -> None:
    """Between the two counts its failed member is retried: what follows waits for that, and is not cancelled."""
    using = replace(memory, records=(records := Interrupted(clock)))
    works = Works("member-1")
    chain(using, tuple(named(SECOND, f"member-{n}") for n in range(WIDTH + 2)), named(THIRD, "after"))
    drain(using, works.workers[0])
    queue = memory.queues._messages[SECOND]  # type: ignore[attr-defined]
    queue.sort(key=lambda one: "member-64" not in one.incoming.body and "member-65" not in one.incoming.body)

    def retried() -> None:
        drain(using, LETTERS)
        works.failing.clear()
        retry(using, standing(using, "member-1"))

    records.meanwhile = retried
    works.drain(using)
    assert works.ran.count("member-1") == 2
    assert (standing(using, "after").status, standing(using, "after").run) == (Status.COMPLETED, 2)


def test_a_job_cancelled_before_its_turn_came_says_whose_retry_it_needs(memory: Backend) -> None:
    """Its message never was on its way; when the failed job is retried, it is met, kept, and can be retried itself."""
    works = Works("A")
    chain(memory, named(SECOND, "B"), head="A")
    cancel(memory, standing(memory, "B"))
    works.drain(memory)
    with pytest.raises(CannotSteer, match="a task before it did not complete") as refused:
        retry(memory, standing(memory, "B"))
    assert refused.value.retry_after is None
    works.failing.clear()
    retry(memory, standing(memory, "A"))
    works.drain(memory)
    assert standing(memory, "B").status is Status.CANCELLED
    retry(memory, standing(memory, "B"))
    works.drain(memory)
    assert [standing(memory, one).status for one in "AB"] == [Status.COMPLETED] * 2


def test_what_its_owner_cancelled_owes_nothing_when_its_turn_will_not_come(stores: Backend) -> None:
    """It is behind a group of a broken chain, and a member's retry leaves it out: no message will ever archive it."""
    members = tuple(named(SECOND, one, even_if_failed=True) for one in ("job-2", "job-3"))
    chain(stores, members, named(THIRD, "job-4"))
    for job in ("job-2", "job-4"):
        cancel(stores, standing(stores, job))
    works = Works("job-1")
    first, second, third = works.workers
    drain(stores, first, LETTERS)
    messages = {unpack(one.body, stores.blobs).id: one for one in receive(stores, second)}
    assert deliver(second, stores, messages["job-2"]) == []
    retry(stores, standing(stores, "job-2"))
    assert deliver(second, stores, messages["job-3"]) == []
    drain(stores, second, third, LETTERS)
    assert works.ran == ["job-1", "job-3", "job-2"]
    assert (standing(stores, "job-4").status, standing(stores, "job-4").owes) == (Status.CANCELLED, "")
