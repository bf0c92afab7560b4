"""A job that waits for an event from elsewhere: watched before, and started by whoever learns of the event."""

from dataclasses import replace

import pytest

from afterward.backend import Backend
from afterward.errors import IdTaken, Unavailable, UsageError
from afterward.job import Status
from afterward.memory import MemoryQueues
from afterward.publish import Call, announce
from afterward.queues import Outgoing
from afterward.records import KEEP_ANNOUNCED, Record, Written
from afterward.steering import cancel, retry
from afterward.tasks import Tasks
from afterward.testing import ManualClock
from tests.support.jobs import FIRST, OWNER, SECOND, call, first, second, standing, waiting
from tests.support.line import Works, drain

WAITS = "Waiting for the upload"


class Refusing(MemoryQueues):
    """Queues that take nothing."""

    def send(self, messages: list[Outgoing]) -> None:
        raise Unavailable(f"SQS did not take {len(messages)} messages")


def chain(text: str = "hello") -> list[Call]:
    return [call(FIRST, text, id="mine", chosen=True), call(SECOND, text)]


def added(using: Backend, text: str = "hello") -> Tasks:
    """Add the chain as another function does that learns of the event."""
    tasks = Tasks(OWNER, using=using)
    tasks.add_task(first.options(id="mine"), text)
    tasks.add_task(second, text)
    return tasks


def test_an_announced_job_can_be_watched_and_does_not_run(stores: Backend) -> None:
    """It is queued, says what it waits for, and no message is sent."""
    announce(stores, OWNER, chain(), WAITS)
    stands = standing(stores, "mine")
    assert (stands.status, stands.message, stands.links) == (Status.QUEUED, WAITS, 2)
    works = Works()
    drain(stores, *works.workers)
    assert works.ran == []


def test_the_same_chain_under_the_same_id_starts_it(stores: Backend) -> None:
    """Whoever adds it needs to know no more than the id and the arguments; then it waits for its turn as any job."""
    announce(stores, OWNER, chain(), WAITS)
    added(stores).publish()
    assert standing(stores, "mine").message is None
    assert not standing(stores, "mine").reserved
    works = Works()
    drain(stores, *works.workers)
    assert works.ran == ["hello", "hello"]
    assert standing(stores, "mine").status is Status.COMPLETED


def test_it_is_started_once(stores: Backend) -> None:
    """An event that comes again finds its id taken, before the job has run and after."""
    announce(stores, OWNER, chain(), WAITS)
    added(stores).publish()
    with pytest.raises(IdTaken):
        added(stores).publish()
    works = Works()
    drain(stores, *works.workers)
    with pytest.raises(IdTaken):
        added(stores).publish()
    drain(stores, *works.workers)
    assert works.ran == ["hello", "hello"]


def test_an_event_may_be_faster_than_the_announcement(memory: Backend) -> None:
    """The job that has begun is left as it is."""
    added(memory).publish()
    works = Works()
    drain(memory, *works.workers)
    announce(memory, OWNER, chain(), WAITS)
    assert (standing(memory, "mine").status, standing(memory, "mine").message) != (Status.QUEUED, WAITS)


def test_another_chain_may_not_have_the_id(stores: Backend) -> None:
    """Neither announced nor started: the arguments tell the chains apart."""
    announce(stores, OWNER, chain(), WAITS)
    with pytest.raises(IdTaken):
        announce(stores, OWNER, chain("other"), WAITS)
    with pytest.raises(IdTaken):
        added(stores, "other").publish()
    assert standing(stores, "mine").message == WAITS


def test_it_is_watched_for_six_hours(memory: Backend, clock: ManualClock) -> None:
    """What never comes leaves nothing; what comes later still starts the job."""
    announce(memory, OWNER, chain(), WAITS)
    clock.advance(KEEP_ANNOUNCED - 1)
    assert memory.records.get(OWNER, "mine") is not None
    clock.advance(1)
    assert memory.records.get(OWNER, "mine") is None
    added(memory).publish()
    assert standing(memory, "mine").status is Status.QUEUED


def test_what_could_not_be_started_waits_on(memory: Backend) -> None:
    """Queues that do not answer take nothing back from the announcement, and the event that is repeated starts it."""
    announce(memory, OWNER, chain(), WAITS)
    refusing = replace(memory, queues=Refusing(memory.clock))
    with pytest.raises(Unavailable):
        added(refusing).publish()
    assert standing(memory, "mine").message == WAITS
    added(memory).publish()
    assert [one.id for one in waiting(memory, FIRST)] == ["mine"]


def test_one_that_was_cancelled_does_not_run(memory: Backend) -> None:
    """Its message is sent all the same, by which it is archived: so it can be retried."""
    announce(memory, OWNER, chain(), WAITS)
    cancel(memory, standing(memory, "mine"))
    with pytest.raises(IdTaken):
        added(memory).publish()
    works = Works()
    drain(memory, *works.workers)
    assert (works.ran, standing(memory, "mine").status) == ([], Status.CANCELLED)
    retry(memory, standing(memory, "mine"))
    drain(memory, *works.workers)
    assert works.ran == ["hello", "hello"]


def test_only_a_chosen_id_can_be_announced(memory: Backend) -> None:
    """Nobody could start another one."""
    with pytest.raises(UsageError, match=r"options\(id=\)"):
        announce(memory, OWNER, [call(FIRST)], WAITS)
    with pytest.raises(UsageError, match=r"options\(id=\)"):
        announce(memory, OWNER, [], WAITS)


def test_what_it_waits_for_holds_no_personal_data(memory: Backend) -> None:
    """As with anything that a record says."""
    announce(memory, OWNER, chain(), "Waiting for ada@example.com")
    assert standing(memory, "mine").message == "Waiting for [EMAIL]"


def test_tasks_outside_a_request(stores: Backend) -> None:
    """They are added and run as those of a request are, and published once."""
    tasks = Tasks(OWNER, using=stores)
    job = tasks.add_task(first, "a")
    tasks.add_task(second, "b")
    tasks.publish()
    tasks.publish()
    works = Works()
    drain(stores, *works.workers)
    assert works.ran == ["a", "b"]
    assert (job.status_url, standing(stores, job.id).status) == ("", Status.COMPLETED)


def test_an_owner_that_no_queue_takes_is_refused(memory: Backend) -> None:
    """Before anything is added."""
    with pytest.raises(UsageError, match="the owner must be"):
        Tasks("two words", using=memory)


def test_a_record_that_was_confirmed_is_not_reserved(memory: Backend) -> None:
    """What tells them apart is when they expire."""
    announce(memory, OWNER, chain(), WAITS)
    stands: Record = standing(memory, "mine")
    assert stands.reserved
    outcome = memory.records.swap(stands, stands.changed(memory.clock.now()))
    assert isinstance(outcome, Written)
    assert not outcome.record.reserved
