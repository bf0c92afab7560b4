"""Jobs side by side: one link of a chain, over when all of them are."""

import threading
from collections.abc import Sequence

import pytest

from afterward import Chain, injected
from afterward.backend import Backend
from afterward.clock import timestamp
from afterward.envelope import Entry, Envelope, members_of
from afterward.errors import Discard, Unavailable
from afterward.handover import WIDTH, hand_over
from afterward.job import Status
from afterward.memory import MemoryQueues
from afterward.publish import publish
from afterward.records import Record, queued
from afterward.sqs import SqsQueues
from afterward.testing import START, ManualClock
from tests.support.cloud import Cloud
from tests.support.jobs import FIRST, OWNER, SECOND, THIRD, call, ended, envelope, link, run, standing, waiting, worker
from tests.support.line import LETTERS, drain


def group(*job_ids: str, task: str = SECOND) -> Entry:
    return tuple(link(task, job_id) for job_id in job_ids)


def head(*rest: Entry) -> Envelope:
    made = envelope()
    return Envelope(
        id=made.id,
        task=made.task,
        arguments=made.arguments,
        owner=OWNER,
        created=timestamp(START),
        chain=made.id,
        links=1 + sum(len(members_of(entry)) for entry in rest),
        rest=rest,
    )


def members(size: int, *rest: Entry) -> list[Envelope]:
    """The envelopes of a group whose turn has come, with something behind it."""
    links = [link(FIRST, f"member-{number}") for number in range(size)]
    return head(*rest).at(links, side_by_side=True, now=START)


def sent(using: Backend) -> int:
    """How many messages lie on the queue of the second task."""
    if isinstance(using.queues, MemoryQueues):
        return len(using.queues.waiting(SECOND))
    assert isinstance(using.queues, SqsQueues)
    client, url = using.queues._client, using.queues._urls[SECOND]
    about = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(about["Attributes"]["ApproximateNumberOfMessages"])


def ids(envelopes: Sequence[Envelope]) -> list[str]:
    return sorted(one.id for one in envelopes)


def test_the_job_before_a_group_starts_all_of_it(memory: Backend) -> None:
    """Each member gets a message of its own, with what follows the group behind it."""
    hand_over(memory, *ended(head(group("a", "b"), link(THIRD, "after")), Status.COMPLETED))
    assert ids(waiting(memory, SECOND)) == ["a", "b"]
    assert [[members_of(entry)[0].id for entry in one.rest] for one in waiting(memory, SECOND)] == [["after"]] * 2
    assert waiting(memory, THIRD) == []


def test_what_follows_a_group_waits_for_all_of_it(stores: Backend) -> None:
    """Whoever is last sends its message, whichever that is; until then there is none."""
    one, two, three = members(3, link(SECOND, "after"))
    for member in (three, one):
        hand_over(stores, *ended(member, Status.COMPLETED))
        assert sent(stores) == 0
    hand_over(stores, *ended(two, Status.COMPLETED))
    assert sent(stores) == 1


@pytest.mark.parametrize("size", [1, 2, WIDTH, WIDTH + 1, 2 * WIDTH, 3 * WIDTH + 7])
def test_the_last_member_of_any_size_of_group_goes_on(memory: Backend, size: int) -> None:
    """Also over the edges of the sets by which members are counted."""
    started = members(size, link(SECOND, "after"))
    for member in started[1:]:
        hand_over(memory, *ended(member, Status.COMPLETED))
    assert waiting(memory, SECOND) == []
    hand_over(memory, *ended(started[0], Status.COMPLETED))
    assert ids(waiting(memory, SECOND)) == ["after"]


def test_a_set_of_sets_is_counted_in_the_table_too(cloud: Cloud) -> None:
    """No item of the table counts more members than one set has."""
    started = members(WIDTH + 2, link(SECOND, "after"))
    for member in started:
        hand_over(cloud.backend, *ended(member, Status.COMPLETED))
    assert [message.body for message in cloud.waiting(SECOND)] != []
    counted = [body["Key"]["pk"]["S"] for body in cloud.dynamodb.bodies("UpdateItem")]
    assert len(set(counted)) == 3
    assert max(map(counted.count, set(counted))) <= WIDTH


def test_a_repeated_end_counts_once(stores: Backend) -> None:
    """A member that is delivered again after its end does not stand in for one that still runs."""
    one, two = members(2, link(SECOND, "after"))
    for _ in range(3):
        hand_over(stores, *ended(one, Status.COMPLETED), again=True)
    assert sent(stores) == 0
    hand_over(stores, *ended(two, Status.COMPLETED))
    assert sent(stores) == 1


def test_members_that_end_at_one_time_start_what_follows(memory: Backend) -> None:
    """However their ends interleave, one of them sees that all are over."""
    started = members(40, link(SECOND, "after"))
    barrier = threading.Barrier(len(started))

    def end(member: Envelope) -> None:
        barrier.wait()
        hand_over(memory, *ended(member, Status.COMPLETED))

    threads = [threading.Thread(target=end, args=(member,)) for member in started]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ids(waiting(memory, SECOND))) == {"after"}


def test_a_failure_in_a_group_stops_the_chain_when_all_are_over(stores: Backend) -> None:
    """Its neighbours run to their end; what follows is cancelled and says whose failure it was."""
    one, two, three = members(3, link(SECOND, "after"))
    hand_over(stores, *ended(two, Status.FAILED))
    hand_over(stores, *ended(one, Status.COMPLETED))
    assert stores.records.get(OWNER, "after") is None
    hand_over(stores, *ended(three, Status.COMPLETED))
    assert standing(stores, "after").status is Status.CANCELLED
    assert two.id in (standing(stores, "after").reason or "")


def test_a_failure_shows_through_sets_of_sets(memory: Backend) -> None:
    """A failure in one set of many stops the chain as well."""
    started = members(2 * WIDTH + 5, link(SECOND, "after"))
    for member in started:
        hand_over(memory, *ended(member, Status.FAILED if member.id == "member-70" else Status.COMPLETED))
    assert "member-70" in (standing(memory, "after").reason or "")


def test_of_a_group_behind_a_failure_only_some_run(memory: Backend) -> None:
    """Members that run in any case are a group of their own; the others are cancelled at once."""
    behind = (link(SECOND, "never"), link(SECOND, "always", even_if_failed=True))
    hand_over(memory, *ended(head(behind, link(THIRD, "after", even_if_failed=True)), Status.FAILED))
    (always,) = waiting(memory, SECOND)
    assert (always.id, always.members) == ("always", 1)
    assert standing(memory, "never").status is Status.CANCELLED
    hand_over(memory, *ended(always, Status.COMPLETED))
    assert ids(waiting(memory, THIRD)) == ["after"]


def test_a_group_that_cannot_be_sent_whole_is_sent_by_the_next_delivery(cloud: Cloud) -> None:
    """What was refused is sent by whoever finds the job before it finished; what has begun meanwhile is left alone."""
    before = head(group("a", "b"))
    cloud.sqs.fail_entries(1)
    cloud.sqs.fail_entries(0)
    with pytest.raises(Unavailable):
        hand_over(cloud.backend, *ended(before, Status.COMPLETED))
    cloud.backend.records.add(_begun(cloud.backend, before, "a"))
    hand_over(cloud.backend, *ended(before, Status.COMPLETED), again=True)
    assert sorted('"id":"a"' in message.body for message in cloud.waiting(SECOND)) == [False, True]


def _begun(using: Backend, chain: Envelope, job_id: str) -> Record:
    (member,) = [one for one in members_of(chain.rest[0]) if one.id == job_id]
    fresh = queued(chain, member, limit=3, shards=4, now=START)
    return fresh.changed(START, status=Status.RUNNING, attempt=1, lease=START + 10)


def test_a_request_may_begin_with_a_group(memory: Backend) -> None:
    """All its members have their messages and records at once; what follows has a record and no message."""
    calls = [
        call(FIRST, id="a", side=1),
        call(SECOND, id="b", side=1),
        call(THIRD, id="c"),
    ]
    publish(memory, OWNER, [calls])
    assert (ids(waiting(memory, FIRST)), ids(waiting(memory, SECOND)), waiting(memory, THIRD)) == (["a"], ["b"], [])
    assert [standing(memory, one).status for one in "abc"] == [Status.QUEUED] * 3
    assert [standing(memory, one).chain for one in "abc"] == ["a"] * 3
    assert standing(memory, "a").links == 3


def test_groups_and_jobs_run_to_their_end(memory: Backend, clock: ManualClock) -> None:
    """first → (second | second) → third, through workers, each told how the chain stands."""
    told: list[tuple[str, Chain]] = []

    def note(text: str, *, chain: Chain = injected) -> None:
        told.append((text, chain))

    handlers = [worker(name, note) for name in (FIRST, SECOND, THIRD)]
    calls = [
        call(FIRST, "1", id="a"),
        call(SECOND, "2", id="b", side=1),
        call(SECOND, "2", id="c", side=1),
        call(THIRD, "3", id="d"),
    ]
    publish(memory, OWNER, [calls])
    while any(run(handler, memory) for handler in handlers):
        clock.advance(1)
    assert [text for text, _ in told] == ["1", "2", "2", "3"]
    assert {(chain.owner, chain.id) for _, chain in told} == {(OWNER, "a")}
    assert told[0][1].ended == ""
    assert told[-1][1].ended > told[1][1].ended > ""
    assert {chain.status for _, chain in told} == {Status.COMPLETED}


def test_a_callback_is_told_what_broke_the_chain(memory: Backend) -> None:
    """It runs after the last job in any case, with the id of the job that did not complete, and its reason."""
    told: list[Chain] = []

    def fail(text: str) -> None:
        raise Discard("no")

    def tell(text: str, *, chain: Chain = injected) -> None:
        told.append(chain)

    publish(memory, OWNER, [[call(FIRST, id="a"), call(SECOND, id="b"), call(THIRD, id="t", callback=True)]])
    drain(memory, worker(FIRST, fail), worker(SECOND, tell), worker(THIRD, tell), LETTERS)
    assert [(one.id, one.status, one.broken_by, one.reason) for one in told] == [("a", Status.FAILED, "a", "no")]
    assert standing(memory, "b").status is Status.CANCELLED
    assert standing(memory, "t").status is Status.COMPLETED


def test_a_callback_that_fails_stops_nothing(memory: Backend) -> None:
    """A second callback still hears that the chain has completed."""
    told: list[Chain] = []

    def fail(text: str) -> None:
        raise Discard("nobody there")

    def tell(text: str, *, chain: Chain = injected) -> None:
        told.append(chain)

    def work(text: str) -> None: ...

    calls = [call(FIRST, id="a"), call(SECOND, id="t", callback=True), call(THIRD, id="u", callback=True)]
    publish(memory, OWNER, [calls])
    drain(memory, worker(FIRST, work), worker(SECOND, fail), worker(THIRD, tell), LETTERS)
    assert [(one.id, one.status) for one in told] == [("a", Status.COMPLETED)]
    assert standing(memory, "a").links is None
