"""Fan out, and join: jobs that a running task adds, and what follows them."""

from collections.abc import Callable
from cProfile import Profile
from typing import Any

import pytest

from afterward import Chain, Children, Discard, Effects, Job, Progress, handover, injected
from afterward.additions import Additions
from afterward.backend import Backend
from afterward.chains import speaking_for_chain
from afterward.children import LIMIT, SIZE, child_id
from afterward.envelope import members_of
from afterward.errors import UsageError
from afterward.handover import hand_over
from afterward.job import Status
from afterward.memory import MemoryBlobs, MemoryRecords
from afterward.publish import Call, publish
from afterward.queues import MESSAGE_LIMIT, Incoming
from afterward.records import Record, queued
from afterward.steering import BY_OWNER, cancel, retry
from afterward.testing import ManualClock, Trial
from afterward.worker import Worker
from tests.support.cloud import Cloud
from tests.support.jobs import (
    FIRST,
    OWNER,
    SECOND,
    THIRD,
    call,
    deliver,
    envelope,
    first,
    link,
    second,
    standing,
    third,
)
from tests.support.line import LETTERS, Works, drain, lose, receive, step

Add = Callable[[str, Additions], object]


class Fan(Works):
    """Works whose first task adds children as `add` says, by its text."""

    def __init__(self, add: Add, *failing: str) -> None:
        super().__init__(*failing)
        self._add = add
        self.workers[0] = Worker(first, self._fan_out)

    def _fan_out(self, text: str, *, children: Children = injected) -> None:
        self._add(text, children)
        self._work(text)

    def start(self, using: Backend) -> Incoming:
        """Work on the job that fans out, and on nothing else; return its message, which is not deleted."""
        (message,) = receive(using, self.workers[0])
        deliver(self.workers[0], using, message)
        return message


def split(_text: str, children: Additions) -> None:
    """Two chunks side by side, and what merges them."""
    chunks = children.group()
    for chunk in ("a", "b"):
        chunks.add_task(second, chunk)
    children.add_task(third, "merge")


def splitting(size: int) -> Add:
    def add(_text: str, children: Additions) -> None:
        chunks = children.group()
        for number in range(size):
            chunks.add_task(second, f"{number}")
        children.add_task(third, "merge")

    return add


AFTER = call(SECOND, "after", id="after")


def accept(using: Backend, *behind: Call) -> None:
    publish(using, OWNER, [[call(FIRST, "split", id="head"), *behind]])


def child(using: Backend, number: int, parent: str = "head") -> Record:
    return standing(using, child_id(standing(using, parent), number))


def of_children(using: Backend, size: int = 3) -> list[str]:
    head = standing(using, "head")
    ids = [child_id(head, number) for number in range(size)]
    found = using.records.get_all(OWNER, ids)
    return [str(found[one].status) if one in found else "none" for one in ids]


def shown(using: Backend) -> tuple[str, int, int | None, str | None]:
    record = speaking_for_chain(using.records, standing(using, "head"))
    return str(record.status), record.progress, record.total, record.message


# Order


def test_children_run_before_what_follows_their_parent(stores: Backend) -> None:
    """A group side by side, then what was added behind it, then the rest of the parent's chain; each of them once."""
    accept(stores, AFTER)
    works = Fan(split)
    works.drain(stores)
    assert [works.ran[0], sorted(works.ran[1:3]), *works.ran[3:]] == ["split", ["a", "b"], "merge", "after"]
    assert (of_children(stores), standing(stores, "after").status) == (["completed"] * 3, Status.COMPLETED)
    assert standing(stores, "head").children == 3


def test_children_run_in_the_order_in_which_they_are_added(stores: Backend) -> None:
    """Without a group one after the other, as in any chain."""

    def add(_text: str, children: Additions) -> None:
        for task, text in ((third, "1"), (second, "2"), (third, "3")):
            children.add_task(task, text)

    accept(stores, AFTER)
    works = Fan(add)
    works.drain(stores)
    assert works.ran == ["split", "1", "2", "3", "after"]


def nested(text: str, children: Additions) -> None:
    chunks = children.group()
    for chunk in "ab" if text == "split" else "cd":
        chunks.add_task(second, chunk)
    if text == "split":
        children.add_task(first, "plan")
    children.add_task(third, "merge" if text == "split" else "join")


def test_a_child_that_is_in_no_group_may_have_children(stores: Backend) -> None:
    """They come before what follows the child: split → (a | b) → plan → (c | d) → join → merge → after."""
    accept(stores, AFTER)
    works = Fan(nested)
    works.drain(stores)
    ran = works.ran
    assert [ran[0], sorted(ran[1:3]), ran[3], sorted(ran[4:6])] == ["split", ["a", "b"], "plan", ["c", "d"]]
    assert ran[6:] == ["join", "merge", "after"]
    assert shown(stores)[:3] == ("completed", 9, 9)


def test_many_children_are_joined_over_several_sets(stores: Backend) -> None:
    """70 of them, in two sets of at most 64: the one behind runs once, when all are over."""
    accept(stores, AFTER)
    works = Fan(splitting(70))
    works.drain(stores)
    assert sorted(works.ran[1:71], key=int) == [str(number) for number in range(70)]
    assert works.ran[71:] == ["merge", "after"]


def test_children_may_wait_and_run_in_spite_of_failures(stores: Backend) -> None:
    """Options count as everywhere: `delay` from the end of what comes before, `even_if_failed`, `fairness`."""

    def add(_text: str, children: Additions) -> None:
        children.add_task(second.options(fairness="small"), "a")
        children.add_task(third.options(even_if_failed=True, delay=5), "clean")

    accept(stores)
    works = Fan(add, "a")
    works.drain(stores)
    assert works.ran == ["split", "a"]
    assert standing(stores, child(stores, 1).id).status is Status.QUEUED
    assert of_children(stores, 2) == ["failed", "queued"]


def test_children_come_with_the_effects_of_their_parent(stores: Backend) -> None:
    """Both are part of the one write that completes the job."""

    def work(text: str, *, children: Children = injected, effects: Effects = injected) -> None:
        effects.update("jobs", {"pk": "counter"}, add={"n": 1})
        split(text, children)

    accept(stores)
    works = Works()
    drain(stores, Worker(first, work), *works.workers[1:])
    assert sorted(works.ran) == ["a", "b", "merge"]
    if isinstance(stores.records, MemoryRecords):
        assert [item["n"] for item in stores.records.tables["jobs"].values()] == [1]


def test_children_are_there_before_their_turn_comes(stores: Backend) -> None:
    """Their owner sees those that wait, with their tasks and attempts, and may cancel them."""
    accept(stores)
    Fan(split).start(stores)
    made = [child(stores, number) for number in range(3)]
    assert [(one.task, one.limit, one.status) for one in made] == [
        (SECOND, 3, Status.QUEUED),
        (SECOND, 3, Status.QUEUED),
        (THIRD, 1, Status.QUEUED),
    ]
    assert {one.chain for one in made} == {"head"}


# Attempts that do not complete


def test_an_attempt_that_fails_has_added_nothing(stores: Backend, clock: ManualClock) -> None:
    """Not even an object; the attempt that completes the job adds its children once."""
    tries: list[str] = []

    def add(text: str, children: Additions) -> None:
        split(text, children)
        tries.append(text)
        if len(tries) < 3:
            raise OSError("not now")

    accept(stores)
    works = Fan(add)
    message = works.start(stores)
    assert (standing(stores, "head").children, of_children(stores)) == (None, ["none"] * 3)
    for _ in range(2):
        clock.advance(70)
        deliver(works.workers[0], stores, message)
    works.drain(stores)
    assert [works.ran[0], sorted(works.ran[1:3]), *works.ran[3:]] == ["split", ["a", "b"], "merge"]


def test_a_job_that_fails_for_good_has_no_children_until_its_retry(stores: Backend) -> None:
    """What follows is cancelled with it; its next run fans out, and all of the rest comes behind."""
    accept(stores, AFTER)
    failing = Fan(split, "split")
    failing.drain(stores)
    assert (of_children(stores), standing(stores, "after").status) == (["none"] * 3, Status.CANCELLED)
    retry(stores, standing(stores, "head"))
    works = Fan(split)
    works.drain(stores)
    assert [works.ran[0], sorted(works.ran[1:3]), *works.ran[3:]] == ["split", ["a", "b"], "merge", "after"]


def test_a_job_that_is_cancelled_while_it_runs_has_no_children(stores: Backend) -> None:
    """Its last write is refused, whatever it has stored before."""

    def add(text: str, children: Additions) -> None:
        split(text, children)
        cancel(stores, standing(stores, "head"))

    accept(stores, AFTER)
    works = Fan(add)
    works.drain(stores)
    assert (works.ran, of_children(stores)) == (["split"], ["none"] * 3)
    assert standing(stores, "after").status is Status.CANCELLED


def test_an_attempt_that_was_replaced_hands_nothing_over(stores: Backend, clock: ManualClock) -> None:
    """Only the children of the attempt that completes the job exist, under ids that are the same for both."""
    accept(stores)
    late: list[str] = []

    def add(text: str, children: Additions) -> None:
        if not late:
            late.append(text)
            children.add_task(second, "of the first attempt")
            clock.advance(60)
            deliver(works.workers[0], stores, message)
            return
        split(text, children)

    works = Fan(add)
    (message,) = receive(stores, works.workers[0])
    deliver(works.workers[0], stores, message)
    assert standing(stores, "head").children == 3
    works.drain(stores)
    assert sorted(works.ran) == ["a", "b", "merge", "split", "split"]


# Faults between two steps


def test_children_whose_object_is_not_stored_fail_the_attempt(cloud: Cloud) -> None:
    """The job is tried again, as if its task had met that itself; nothing has been promised."""
    accept(cloud.backend)
    cloud.s3.refuse("PutObject", "AccessDenied", status=403)
    works = Fan(split)
    works.start(cloud.backend)
    head = standing(cloud.backend, "head")
    assert (head.status, head.attempt, head.children) == (Status.QUEUED, 1, None)
    assert (cloud.waiting(SECOND), "S3 did not take" in (head.reason or "")) == ([], True)


def test_a_worker_that_dies_before_its_last_write_leaves_an_object_and_nothing_else(
    cloud: Cloud, clock: ManualClock
) -> None:
    """The next attempt fans out anew, into an object of its own."""
    accept(cloud.backend)
    cloud.dynamodb.cut("UpdateItem", skip=1)
    works = Fan(split)
    message = works.start(cloud.backend)
    cloud.dynamodb.heal()
    assert standing(cloud.backend, "head").status is Status.RUNNING
    clock.advance(60)
    deliver(works.workers[0], cloud.backend, message)
    assert [key.rpartition("/")[2] for key in cloud.objects("envelopes/")] == ["children-1-1.json", "children-1-2.json"]
    works.drain(cloud.backend)
    assert sorted(works.ran) == ["a", "b", "merge", "split", "split"]


@pytest.mark.parametrize(
    ("service", "operation"), [("s3", "GetObject"), ("dynamodb", "TransactWriteItems"), ("sqs", "SendMessageBatch")]
)
def test_a_hand_over_that_was_cut_off_is_made_good_by_the_next_delivery(
    cloud: Cloud, clock: ManualClock, service: str, operation: str
) -> None:
    """Between the last write and the last message, wherever it was."""
    accept(cloud.backend, AFTER)
    getattr(cloud, service).cut(operation)
    works = Fan(split)
    message = works.start(cloud.backend)
    getattr(cloud, service).heal()
    assert (standing(cloud.backend, "head").status, cloud.waiting(SECOND)) == (Status.COMPLETED, [])
    clock.advance(60)
    assert deliver(works.workers[0], cloud.backend, message) == []
    works.drain(cloud.backend)
    assert [works.ran[0], sorted(works.ran[1:3]), *works.ran[3:]] == ["split", ["a", "b"], "merge", "after"]


def messages(cloud: Cloud) -> int:
    about = cloud.sqs.client.get_queue_attributes(
        QueueUrl=cloud.urls[SECOND], AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(about["Attributes"]["ApproximateNumberOfMessages"])


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> int:
    """Steps of so many messages, and of ten records: moto copies the table for each transaction."""
    monkeypatch.setattr(handover, "STEP", 10)
    monkeypatch.setattr(handover, "TOGETHER", 10)
    return 10


def test_many_messages_that_were_cut_off_go_on_where_they_stopped(
    cloud: Cloud, clock: ManualClock, short_steps: int
) -> None:
    """Each delivery brings it further, though no child has begun: what is noted as sent is not sent again."""
    accept(cloud.backend)
    works = Fan(splitting(3 * short_steps + 5))
    cloud.sqs.cut("SendMessageBatch", skip=1)
    message = works.start(cloud.backend)
    assert (messages(cloud), standing(cloud.backend, "head").handed) == (10, "1:10")
    for sent, skip in ((20, 1), (35, 100), (35, 100)):
        cloud.sqs.heal()
        cloud.sqs.cut("SendMessageBatch", skip=skip)
        clock.advance(60)
        deliver(works.workers[0], cloud.backend, message)
        assert messages(cloud) == sent


def test_two_hand_overs_at_one_time_share_what_is_sent(cloud: Cloud, short_steps: int) -> None:
    """Where another delivery notes more, this one goes on behind it."""
    accept(cloud.backend)
    works = Fan(splitting(3 * short_steps))
    cloud.sqs.cut("SendMessageBatch")
    message = works.start(cloud.backend)
    cloud.sqs.heal()
    cloud.sqs.meanwhile("SendMessageBatch", lambda: deliver(works.workers[0], cloud.backend, message))
    deliver(works.workers[0], cloud.backend, message)
    assert messages(cloud) == 4 * short_steps
    assert standing(cloud.backend, "head").handed == "1:30"


def test_a_repeated_hand_over_leaves_alone_what_has_begun(cloud: Cloud) -> None:
    """A duplicate of the parent's message sends nothing once its children are at work."""
    accept(cloud.backend)
    works = Fan(split)
    message = works.start(cloud.backend)
    works.drain(cloud.backend)
    cloud.sqs.sent.clear()
    assert deliver(works.workers[0], cloud.backend, message) == []
    assert (cloud.sqs.counts["SendMessage"], cloud.sqs.counts["SendMessageBatch"]) == (0, 0)


def test_the_dead_letter_of_a_job_that_has_completed_hands_its_children_over(stores: Backend) -> None:
    """A message that was received too often may be all that is left of the promise."""
    accept(stores)
    works = Fan(split)
    message = works.start(stores)
    drain_away(stores, works)
    stores.queues.bury(message, "", "")
    step(stores, LETTERS)
    drain(stores, *works.workers[1:])
    assert sorted(works.ran) == ["a", "b", "merge", "split"]


# Failures among children


def test_a_child_that_fails_stops_what_follows(stores: Backend) -> None:
    """Its neighbours run to their end; then the chain is broken by it, for its callback too."""
    told: list[Chain] = []

    def tell(text: str, *, chain: Chain = injected) -> None:
        told.append(chain)

    accept(stores, AFTER, call(THIRD, "tell", id="tell", callback=True))
    works = Fan(split, "a")
    drain(stores, *works.workers[:2], Worker(third, tell), LETTERS)
    assert of_children(stores) == ["failed", "completed", "cancelled"]
    assert standing(stores, "after").status is Status.CANCELLED
    assert [(one.status, one.broken_by) for one in told] == [(Status.FAILED, child(stores, 0).id)]


@pytest.mark.parametrize("number", [0, 1])
def test_a_child_that_is_retried_brings_back_what_follows(stores: Backend, number: int) -> None:
    """Its new run is joined with what its neighbour has done: the merge runs once, and so does the rest."""
    accept(stores, AFTER)
    failing = Fan(split, "ab"[number])
    failing.drain(stores)
    retry(stores, child(stores, number))
    works = Fan(split)
    works.drain(stores)
    assert works.ran == ["ab"[number], "merge", "after"]
    assert (of_children(stores), shown(stores)[:3]) == (["completed"] * 3, ("completed", 5, 5))


def test_children_that_all_failed_may_be_retried_one_after_the_other(stores: Backend) -> None:
    """What follows waits for the last of them."""
    accept(stores, AFTER)
    Fan(split, "a", "b").drain(stores)
    works = Fan(split)
    for number in (1, 0):
        retry(stores, child(stores, number))
        works.drain(stores)
    assert works.ran == ["b", "a", "merge", "after"]


def test_a_child_that_is_cancelled_stops_what_follows_until_its_retry(stores: Backend) -> None:
    """Its owner may cancel it while it waits."""
    accept(stores, AFTER)
    works = Fan(split)
    works.start(stores)
    assert cancel(stores, child(stores, 1)).reason == BY_OWNER
    drain(stores, *works.workers[1:], LETTERS)
    assert (works.ran, of_children(stores)) == (["split", "a"], ["completed", "cancelled", "cancelled"])
    retry(stores, child(stores, 1))
    drain(stores, *works.workers[1:], LETTERS)
    assert works.ran == ["split", "a", "b", "merge", "after"]


def test_a_child_that_waits_behind_others_may_be_cancelled(stores: Backend) -> None:
    """When its turn comes it is kept for a retry, and stops the chain."""
    accept(stores, AFTER)
    works = Fan(split)
    works.start(stores)
    cancel(stores, child(stores, 2))
    drain(stores, *works.workers[1:], LETTERS)
    assert sorted(works.ran) == ["a", "b", "split"]
    assert standing(stores, "after").status is Status.CANCELLED
    retry(stores, child(stores, 2))
    drain(stores, *works.workers[1:], LETTERS)
    assert works.ran[3:] == ["merge", "after"]


@pytest.mark.parametrize("sure", [True, False])
def test_in_a_chain_that_is_broken_children_run_only_in_any_case(stores: Backend, sure: bool) -> None:
    """A cleanup that fans out is told that a child would never run, and how it would."""

    def add(text: str, children: Additions) -> None:
        if text == "clean":
            children.add_task(third.options(even_if_failed=sure), "child")

    accept(stores, call(FIRST, "clean", id="clean", even_if_failed=True))
    works = Fan(add, "split")
    works.drain(stores)
    assert works.ran == (["split", "clean", "child"] if sure else ["split"])
    if not sure:
        reason = standing(stores, "clean").reason or standing(stores, "clean").message or ""
        assert "has stopped the chain, so it would not run" in reason


def test_many_jobs_that_are_cancelled_are_written_together(cloud: Cloud, clock: ManualClock, short_steps: int) -> None:
    """A failure before a large group costs a few requests, and a later delivery cancels only what is left."""

    def add(_text: str, children: Additions) -> None:
        children.add_task(third, "prepare")
        splitting(2 * short_steps + 4)("", children)

    accept(cloud.backend)
    works = Fan(add, "prepare")
    works.start(cloud.backend)
    for record in cloud.backend.records.get_all(OWNER, [child(cloud.backend, n).id for n in range(1, 26)]).values():
        cloud.backend.records.remove(record)  # as if they had not been put
    (message,) = receive(cloud.backend, works.workers[2])
    cloud.dynamodb.cut("TransactWriteItems", skip=1)
    deliver(works.workers[2], cloud.backend, message)
    cloud.dynamodb.heal()
    cloud.dynamodb.sent.clear()
    clock.advance(60)
    deliver(works.workers[2], cloud.backend, message)
    assert len(cloud.dynamodb.bodies("TransactWriteItems")) == 2  # of three
    assert of_children(cloud.backend, 26) == ["failed", *["cancelled"] * 25]


def test_a_job_that_gets_its_record_while_it_is_cancelled_is_cancelled(cloud: Cloud) -> None:
    """Accepting puts records after the message is sent, so a fast worker may fail before them."""
    head = envelope(rest=[link(SECOND, "job-2"), link(SECOND, "job-3")])
    late = [queued(head, one, limit=3, shards=4, now=cloud.clock.now()) for one in head.behind]
    cloud.dynamodb.meanwhile("TransactWriteItems", lambda: cloud.backend.records.add_all(late))
    failed = queued(head, head, limit=3, shards=4, now=cloud.clock.now()).changed(0, status=Status.FAILED)
    hand_over(cloud.backend, head, failed)
    found = cloud.backend.records.get_all(OWNER, ["job-2", "job-3"])
    assert [one.status for one in found.values()] == [Status.CANCELLED] * 2


# Objects that cannot be read


def test_children_whose_object_is_gone_have_failed(stores: Backend) -> None:
    """Nobody knows any more what they were, but the chain says so, and does not go on as if they had run."""
    accept(stores, AFTER, call(THIRD, "clean", id="clean", even_if_failed=True))
    works = Fan(split)
    message = works.start(stores)
    for one in [child(stores, number) for number in range(3)]:
        stores.records.remove(one)
    drain_away(stores, works)
    lose(stores)
    deliver(works.workers[0], stores, message)
    works.drain(stores)
    assert (works.ran, of_children(stores)) == (["split", "clean"], ["failed"] * 3)
    assert child(stores, 0).reason == "what job head has added to its chain is gone from S3"
    assert (standing(stores, "after").status, shown(stores)[:3]) == (Status.CANCELLED, ("failed", 6, 6))


def test_what_waits_for_a_child_whose_envelope_is_gone_is_cancelled(stores: Backend) -> None:
    """The child was too large for its message, and what it was asked to do is nowhere any more."""

    def add(_text: str, children: Additions) -> None:
        children.add_task(second, "x" * MESSAGE_LIMIT)

    accept(stores, AFTER)
    works = Fan(add)
    works.start(stores)
    assert child(stores, 0).status is Status.QUEUED
    lose(stores)
    drain(stores, works.workers[1], LETTERS)
    assert (works.ran, of_children(stores, 1), shown(stores)[0]) == (["split"], ["failed"], "failed")
    assert (standing(stores, "after").status, standing(stores, "head").status) == (Status.CANCELLED, Status.COMPLETED)
    assert child(stores, 0).id in (standing(stores, "after").reason or "")


@pytest.mark.parametrize("lost_last", [False, True])
def test_a_group_of_children_goes_on_without_one_whose_envelope_is_gone(stores: Backend, *, lost_last: bool) -> None:
    """Whichever is over last: nothing behind it waits for ever."""

    def add(_text: str, children: Additions) -> None:
        parts = children.group()
        parts.add_task(second, "x" * MESSAGE_LIMIT)
        parts.add_task(third, "b")
        children.add_task(second, "merge")

    accept(stores, AFTER)
    works = Fan(add)
    works.start(stores)
    lose(stores, but="children")
    _, seconds, thirds = works.workers
    drain(stores, thirds if lost_last else seconds, LETTERS)
    works.drain(stores)
    assert of_children(stores, 3) == ["failed", "completed", "cancelled"]
    assert (standing(stores, "after").status, shown(stores)[0]) == (Status.CANCELLED, "failed")


def drain_away(using: Backend, works: Works) -> None:
    """Receive the messages of the second task and forget them, as if they had never been sent."""
    while receive(using, works.workers[1]):
        pass


def test_children_in_a_newer_form_wait_for_newer_code(memory: Backend) -> None:
    """A deploy in progress; nothing is failed or sent by code that cannot read them."""
    accept(memory, AFTER)
    works = Fan(split)
    message = works.start(memory)
    for one in [child(memory, number) for number in range(3)]:
        memory.records.remove(one)
    drain_away(memory, works)
    blobs = memory.blobs
    assert isinstance(blobs, MemoryBlobs)
    for key, text in blobs.objects.items():
        blobs.objects[key] = text.replace('"afterward":1', '"afterward":2')
    assert deliver(works.workers[0], memory, message) == [message.id]
    assert (of_children(memory), standing(memory, "after").status) == (["none"] * 3, Status.QUEUED)


# How the chain is doing


def test_a_chain_grows_when_a_job_of_it_has_children(stores: Backend) -> None:
    """Its progress never falls, and it is not over before the last of them is."""
    accept(stores, AFTER)
    works = Fan(nested)
    told = [shown(stores)]
    while any(step(stores, one) for one in works.workers):
        told.append(shown(stores))
    assert told[0] == ("queued", 0, 2, f"{FIRST} (1 of 2): Waiting to start")
    assert {one[0] for one in told[1:-1]} == {"running"}
    assert told[1][1:3] == (1, 6)
    assert told[-1] == ("completed", 9, 9, f"{SECOND} (9 of 9): Task completed successfully")
    assert [one[1] for one in told] == sorted(one[1] for one in told)


def test_a_job_alone_speaks_for_its_children(stores: Backend) -> None:
    """What it has counted itself is not taken back when the jobs that it has added begin to count."""

    def work(text: str, *, children: Children = injected, progress: Progress = injected) -> None:
        progress.report(7, 7, "All read")
        split(text, children)

    accept(stores)
    works = Works()
    assert shown(stores)[:3] == ("queued", 0, None)
    step(stores, Worker(first, work))
    assert shown(stores) == ("running", 7, 10, f"{SECOND} (2 of 4): Waiting to start")
    step(stores, works.workers[1])
    assert shown(stores) == ("running", 9, 10, f"{THIRD} (4 of 4): Waiting to start")
    step(stores, works.workers[2])
    assert shown(stores)[:3] == ("completed", 10, 10)


def test_a_failed_child_is_how_its_chain_ended(stores: Backend) -> None:
    """Once all is over, and with its words; before, the chain still runs."""
    accept(stores, AFTER)
    works = Fan(split, "b")
    works.start(stores)
    told = []
    for chunk in receive(stores, works.workers[1]):
        deliver(works.workers[1], stores, chunk)
        told.append(shown(stores))
    assert [one[:3] for one in told] == [("running", 2, 5), ("failed", 5, 5)]
    assert told[1][3] == f"{SECOND} (3 of 5): Task failed: b is broken"


def test_children_without_records_are_queued(memory: Backend) -> None:
    """A chain is not over because nobody has written yet that it is not."""
    accept(memory)
    Fan(split).start(memory)
    for number in range(3):
        memory.records.remove(child(memory, number))
    assert shown(memory) == ("running", 1, 4, "next job (2 of 4): Waiting to start")


def test_many_generations_are_read(memory: Backend) -> None:
    """A job whose child has a child, and so on, more often than Python would call itself."""

    def add(text: str, children: Additions) -> None:
        count = int(text) if text != "split" else 1_200
        if count:
            children.add_task(first, str(count - 1))

    accept(memory)
    works = Fan(add)
    for _ in range(1_201):
        assert step(memory, works.workers[0]) == 1
    assert shown(memory)[:3] == ("completed", 1_201, 1_201)


# What is refused


def refused(using: Backend, add: Add, **about: Any) -> str:
    """Run a job that is refused what it adds; return the words."""
    said: list[str] = []

    def trying(text: str, children: Additions) -> None:
        try:
            add(text, children)
        except UsageError as error:
            said.append(str(error))

    publish(using, OWNER, [[call(FIRST, "split", id="head", **about)]])
    Fan(trying).drain(using)
    assert standing(using, "head").children is None
    (words,) = said
    return words


def test_a_job_of_a_group_has_no_children(memory: Backend) -> None:
    """It counts as over when it has ended itself, so what follows would not wait for them."""
    assert refused(memory, split, side=1) == (
        f"{SECOND} was added as a child of {FIRST}: a job of a group cannot have children; "
        "let a job that comes after the group add them"
    )


def test_a_callback_has_no_children(memory: Backend) -> None:
    """It tells of a chain that is over."""
    said: list[str] = []

    def add(text: str, children: Additions) -> None:
        if text == "tell":
            with pytest.raises(UsageError, match="a callback tells of its chain and is no part of it"):
                children.add_task(second, "late")
            said.append(text)

    accept(memory, call(FIRST, "tell", id="tell", callback=True))
    Fan(add).drain(memory)
    assert said == ["tell"]


@pytest.mark.parametrize("chosen", [second.options(id="mine"), second.options(key="once")])
def test_ids_of_children_are_not_chosen(memory: Backend, chosen: Any) -> None:
    """They follow from the parent's, so that its progress can find them."""
    assert "follows from its parent's" in refused(memory, lambda _, children: children.add_task(chosen, "a"))


def test_what_is_no_task_is_no_child(memory: Backend) -> None:
    """As for a request: another process could not find it."""
    assert "is not a declared task" in refused(memory, lambda _, children: children.add_task(print, "a"))  # type: ignore[arg-type]


def test_children_have_a_limit() -> None:
    """As many as one hand-over can bring through, and no more."""
    made: list[Job] = []

    def work(*, children: Children = injected) -> None:
        group = children.group()
        made.extend(group.add_task(second, "x") for _ in range(LIMIT))
        with pytest.raises(UsageError, match="at most 10,000 children"):
            group.add_task(second, "x")

    (group,) = Trial().run(work).children
    assert len({job.id for job in made}) == len(members_of(group)) == LIMIT


def test_children_have_a_size() -> None:
    """All of them are read at once by whoever hands over."""

    def work(*, children: Children = injected) -> None:
        children.add_task(second, "x" * (SIZE // 2))
        with pytest.raises(UsageError, match="8,000,000 bytes; keep what is large in S3"):
            children.add_task(second, "x" * (SIZE // 2))
        children.add_task(third, "x")

    assert [members_of(one)[0].task for one in Trial().run(work).children] == [SECOND, THIRD]


def test_what_follows_a_group_must_be_small_enough_to_travel() -> None:
    """It is in the message of each of the group's jobs."""

    def work(*, children: Children = injected) -> None:
        splitting(3_000)("", children)
        children.add_task(second, "x" * 90_000)

    with pytest.raises(UsageError, match="too much to travel"):
        Trial().run(work)


def test_twice_as_many_groups_are_twice_the_work() -> None:
    """What follows each of them is weighed once, and not once more for every group before it."""

    def work(pairs: int, *, children: Children = injected) -> None:
        for _ in range(pairs):
            group = children.group()
            group.add_task(second, "a")
            group.add_task(second, "b")

    def calls(pairs: int) -> int:
        profile = Profile()
        made = profile.runcall(Trial().run, work, pairs)
        assert len(made.children) == pairs
        return sum(one.callcount for one in profile.getstats())

    calls(1)  # what is done once in a process
    assert calls(200) < 2.5 * calls(100)


def test_children_are_added_by_the_attempt_and_not_after_it() -> None:
    """A thread that outlives it is told so."""
    kept: list[Children] = []

    def work(*, children: Children = injected) -> None:
        kept.append(children)

    Trial().run(work)
    with pytest.raises(UsageError, match="the attempt is over"):
        kept[0].add_task(second, "late")


def test_a_group_of_children_is_filled_at_once() -> None:
    """As for a request: what was added behind it waits for it."""

    def work(*, children: Children = injected) -> None:
        group = children.group()
        group.add_task(second, "a")
        children.add_task(third, "merge")
        with pytest.raises(UsageError, match="fill a group at once"):
            group.add_task(second, "b")

    assert len(Trial().run(work).children) == 2


def test_a_checkpoint_behind_children_is_refused(memory: Backend) -> None:
    """The attempt that resumes there would not add them again; the effects before it are not committed either."""

    def work(
        text: str, *, children: Children = injected, progress: Progress = injected, effects: Effects = injected
    ) -> None:
        effects.put("things", {"id": text}, {})
        children.add_task(second, "a")
        with pytest.raises(UsageError, match="add the children behind the last checkpoint"):
            progress.checkpoint("here")
        raise Discard("that is no use")

    accept(memory)
    drain(memory, Worker(first, work), LETTERS)
    assert standing(memory, "head").reason == "that is no use"
    assert isinstance(memory.records, MemoryRecords)
    assert (standing(memory, "head").checkpoint, memory.records.tables) == (None, {})


def test_children_are_not_added_in_a_tracked_loop(stores: Backend) -> None:
    """Each item that is counted is a checkpoint: what the item has written is not committed without it."""
    said: list[UsageError] = []

    def work(
        text: str, *, children: Children = injected, progress: Progress = injected, effects: Effects = injected
    ) -> None:
        try:
            for chunk in progress.track(["a", "b"]):
                effects.update("jobs", {"pk": "counter"}, add={"n": 1})
                if chunk == "b":
                    children.add_task(second, chunk)
        except UsageError as error:
            said.append(error)
            raise Discard("a loop that adds children") from error

    accept(stores)
    drain(stores, Worker(first, work), LETTERS)
    assert "behind a tracked loop" in str(said[0])
    if isinstance(stores.records, MemoryRecords):
        assert [item["n"] for item in stores.records.tables["jobs"].values()] == [1]


def test_children_behind_the_last_checkpoint_are_added_by_the_attempt_that_resumes(
    stores: Backend, clock: ManualClock
) -> None:
    """Once, however often the job went on elsewhere before."""

    def work(text: str, *, children: Children = injected, progress: Progress = injected) -> None:
        for _ in progress.track(range(6)):
            clock.advance(3)
        split(text, children)

    accept(stores)
    handler = Worker(first, work)
    (message,) = receive(stores, handler)
    for _ in range(4):
        deliver(handler, stores, message)
    works = Works()
    drain(stores, *works.workers[1:])
    assert sorted(works.ran) == ["a", "b", "merge"]


# For tests of tasks


def test_a_trial_shows_the_children() -> None:
    """In their order, with tasks and arguments; a group's together."""

    def work(key: str, *, children: Children = injected) -> None:
        split(key, children)

    group, merge = Trial().run(work, "rows.csv").children
    assert [dict(one.arguments) for one in members_of(group)] == [{"text": "a"}, {"text": "b"}]
    assert [(one.task, dict(one.arguments)) for one in members_of(merge)] == [(THIRD, {"text": "merge"})]


def test_an_attempt_that_fails_in_a_trial_refuses_checkpoints_too() -> None:
    """A task's own tests find the loop that adds children."""

    def work(*, children: Children = injected, progress: Progress = injected) -> None:
        for one in progress.track(["a"]):
            children.add_task(second, one)

    with pytest.raises(UsageError, match="behind the last checkpoint"):
        Trial().run(work)
