"""`AFTERWARD_STORE=memory`: jobs that run inside the process that accepted them."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from afterward import Backoff, task
from afterward.backend import Backend, in_memory
from afterward.in_process import Consumer, Invocation, start
from afterward.job import Status
from afterward.memory import MemoryQueues
from afterward.publish import publish
from afterward.records import Record
from afterward.testing import ManualClock
from tests.support.cloud import Cloud
from tests.support.jobs import OWNER, THIRD, call

DONE = threading.Event()


@task(name="core_in_place", max_attempts=2, backoff=Backoff(base=0, cap=0))
def in_place(text: str) -> None:
    """A task with its body in place."""
    if text == "fail":
        raise OSError("no")
    DONE.set()


@pytest.fixture(autouse=True)
def _not_done() -> None:
    DONE.clear()


def accept(using: Backend, name: str, text: str = "hello", job_id: str = "job-1") -> None:
    publish(using, OWNER, [[replace(call(THIRD, text, id=job_id, max_attempts=2), task=name)]])


def standing(using: Backend) -> Record:
    found = using.records.get(OWNER, "job-1")
    assert found is not None
    return found


def test_a_job_runs_to_its_end_in_this_process(memory: Backend) -> None:
    """Its message is gone then."""
    accept(memory, "core_in_place")
    consumer = Consumer(memory)
    assert consumer.step() is True
    assert consumer.step() is False
    assert (DONE.is_set(), standing(memory).status) == (True, Status.COMPLETED)


def test_a_failing_job_is_tried_again_and_archived(memory: Backend, clock: ManualClock) -> None:
    """Retries and dead letters are those of AWS."""
    accept(memory, "core_in_place", "fail")
    consumer = Consumer(memory)
    while consumer.step():
        clock.advance(1)
    assert (standing(memory).status, standing(memory).attempt, standing(memory).owes) == (Status.FAILED, 2, "")


@pytest.mark.parametrize("name", ["core_third", "core_unheard_of"])
def test_a_job_that_nobody_here_can_run_says_so(memory: Backend, name: str) -> None:
    """It fails with a reason; it does not wait in silence."""
    accept(memory, name)
    consumer = Consumer(memory)
    while consumer.step():
        pass
    assert (standing(memory).status, standing(memory).reason) == (
        Status.FAILED,
        f"task '{name}' has no implementation in this process",
    )


def test_only_queues_in_memory_can_be_consumed(cloud: Cloud) -> None:
    """Lambda polls the others."""
    with pytest.raises(TypeError, match="only queues in memory"):
        Consumer(cloud.backend).step()


def test_an_invocation_lasts_as_long_as_lambdas() -> None:
    """A worker asks its context for the time that is left."""
    assert Invocation().get_remaining_time_in_millis() == 900_000
    assert Invocation(2.5).get_remaining_time_in_millis() == 2_500


def test_the_thread_runs_one_job_after_the_other() -> None:
    """What waited before it began, and what comes later; a failing one does not end it."""
    using = in_memory()
    accept(using, "core_in_place", "fail")
    start(using)
    wait_for(lambda: standing(using).status is Status.FAILED)
    accept(using, "core_in_place", job_id="job-2")
    assert DONE.wait(10)


def test_the_thread_wakes_for_a_job_whose_time_has_come() -> None:
    """A delay ends without another message."""
    using = in_memory()
    start(using)
    publish(using, OWNER, [[replace(call(THIRD, delay=0.05), task="core_in_place")]])
    assert DONE.wait(10)


def wait_for(condition: Callable[[], bool]) -> None:
    """Let the thread work until something shows that it did, for ten seconds at most."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_queue_in_memory_knows_what_waits(clock: ManualClock) -> None:
    """The thread sleeps until then."""
    queues = MemoryQueues(clock)
    assert (queues.names(), queues.next_visible()) == ([], None)
