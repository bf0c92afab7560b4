"""Waits that a task lays down one by one, also those that no queue can put a message off for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import catalog
from afterward import Retry, Schedule, Status, task
from afterward.backend import Backend, in_memory
from afterward.clock import timestamp
from afterward.envelope import Envelope
from afterward.memory import MemoryQueues
from afterward.queues import Incoming
from afterward.testing import START, ManualClock
from afterward.worker import Worker
from tests.support.jobs import OWNER, deliver, run, send, standing, waiting

NAME = "core_scheduled"
WAITS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
HALF_OF_THE_RETENTION = 7 * 86_400 / 2


@task(name=NAME, max_attempts=10, backoff=catalog.STANDARD_WEBHOOKS)
def scheduled() -> None:
    """Do something until it works."""


@dataclass(slots=True)
class EvenClock(ManualClock):
    """Takes half of every jitter, which is the middle of what a schedule allows."""

    def jitter(self, limit: float) -> float:
        return limit / 2


@dataclass(slots=True)
class Run:
    """A job of that task, with a worker that fails until it is told to stop failing."""

    clock: ManualClock = field(default_factory=EvenClock)
    failures: int = 9
    attempts: list[float] = field(default_factory=list)
    messages: list[Incoming] = field(default_factory=list)
    error: Callable[[], Retry] = lambda: Retry("not yet")
    backend: Backend = field(init=False)
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.backend, self.worker = in_memory(self.clock), Worker(scheduled, self._attempt)
        created = timestamp(START)
        send(self.backend, Envelope(id="job-1", task=NAME, arguments={}, owner=OWNER, created=created, chain="job-1"))

    def _attempt(self) -> None:
        self.attempts.append(self.clock.now() - START)
        if len(self.attempts) <= self.failures:
            raise self.error()

    def deliveries(self) -> Iterator[Incoming]:
        """Deliver message after message, each when it is visible, to the end of the job."""
        queues = self.backend.queues
        assert isinstance(queues, MemoryQueues)
        while queues.waiting(NAME):
            self.clock.advance(max(0.0, (queues.next_visible() or 0.0) - self.clock.now()))
            message = queues.waiting(NAME)[0]
            self.messages.append(message)
            yield message
            assert run(self.worker, self.backend) == 1

    def to_the_end(self) -> "Run":
        for _ in self.deliveries():
            pass
        return self

    @property
    def waits(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.attempts)]


def test_attempts_keep_to_the_schedule_of_standard_webhooks() -> None:
    """Each of ten attempts comes at its time, over more than three days; what comes in between is none."""
    done = Run().to_the_end()
    assert done.waits == list(WAITS)
    record = standing(done.backend)
    assert (record.status, record.attempt, record.limit) == (Status.COMPLETED, 10, 10)
    assert sum(WAITS) > 3 * 86_400


def test_the_last_wait_is_followed_by_the_last_attempt() -> None:
    """A job that never works fails at the tenth attempt."""
    done = Run(failures=99).to_the_end()
    record = standing(done.backend)
    assert (record.status, record.attempt, record.reason) == (Status.FAILED, 10, "not yet")
    assert len(done.attempts) == 10


def test_a_message_that_comes_back_too_early_is_put_off_again() -> None:
    """A wait of more than 12 hours takes more than one delivery, and the record shows the time all along."""
    job = Run(failures=99)
    waited: set[float] = set()
    for message in job.deliveries():
        record = job.backend.records.get(OWNER, "job-1")
        if record is None or job.clock.now() >= record.not_before:
            continue
        waited.add(record.not_before)
        assert record.status is Status.QUEUED
        assert record.attempt == len(job.attempts)
        assert job.clock.now() - START >= job.attempts[-1] + 43_140
        assert message.receives < 100
    assert len(waited) == len([wait for wait in WAITS if wait > 43_140])
    assert len(job.messages) > 10


def test_no_message_gets_old() -> None:
    """Long before SQS forgets the message another one has taken its place, and the job's waits go on in it."""
    job = Run()
    for message in job.deliveries():
        assert job.clock.now() - message.sent < HALF_OF_THE_RETENTION
    assert len({message.id for message in job.messages}) > 1
    assert job.waits == list(WAITS)


def test_a_wait_goes_on_over_a_new_message() -> None:
    """Also a message that is new while the job waits is put off to the job's time, and not run before."""
    job = Run(failures=99)
    legs = set()
    for _ in job.deliveries():
        (envelope,) = waiting(job.backend, NAME)
        legs.add(envelope.leg)
    assert max(legs) >= 1
    assert job.waits == list(WAITS)


def test_a_duplicate_does_not_shorten_a_wait() -> None:
    """A second copy of the message finds the job waiting, and waits with it."""
    job = Run(failures=1)
    assert run(job.worker, job.backend) == 1
    (message,) = waiting(job.backend, NAME)
    send(job.backend, message)
    before = len(job.attempts)
    assert run(job.worker, job.backend) == 1
    assert len(job.attempts) == before
    job.to_the_end()
    assert job.waits == [5]


def test_a_message_that_comes_back_every_minute_changes_nothing() -> None:
    """However often a message is seen before its time, it costs no attempt; in the end a new one goes on."""
    job = Run(failures=99)
    queues = job.backend.queues
    assert isinstance(queues, MemoryQueues)
    for _ in job.deliveries():
        if len(job.attempts) == 9:
            break
    for _ in range(150):
        job.clock.advance(60)
        (message,) = queues.waiting(NAME)
        queues.put_off(NAME, message, 0)
        assert run(job.worker, job.backend) == 1
    assert len(job.attempts) == 9
    assert waiting(job.backend, NAME)[0].leg >= 2
    job.to_the_end()
    assert job.waits == list(WAITS)


@given(st.integers(1, 20), st.floats(0, 1))
def test_a_schedule_varies_by_a_twentieth(attempt: int, share: float) -> None:
    """Each wait is its own, give or take 5 %; behind the last one it stays that."""
    wait = WAITS[min(attempt, 9) - 1]
    delay = catalog.STANDARD_WEBHOOKS.delay(attempt, lambda limit: share * limit)
    assert 0.95 * wait <= delay <= 1.05 * wait + 1e-6


@pytest.mark.parametrize("waits", [(), (-1,), (5, 86_401), (float("nan"),), (float("inf"),)])
def test_a_schedule_that_cannot_be_kept_is_refused(waits: tuple[float, ...]) -> None:
    """Waits are seconds from none to a day, and there is at least one."""
    with pytest.raises(ValueError, match="a schedule needs waits of 0 to 86400 seconds"):
        Schedule(*waits)


@pytest.mark.parametrize(("asked", "waited"), [(0, 5), (4, 5), (60, 60), (86_400, 86_400)])
def test_a_retry_can_ask_for_a_longer_wait(asked: float, waited: float) -> None:
    """`at_least` makes the wait longer, never shorter."""
    assert Run(failures=1, error=lambda: Retry("busy", at_least=asked)).to_the_end().waits == [waited]


def test_a_retrys_own_delay_is_the_delay() -> None:
    """`delay` replaces the schedule's wait."""
    assert Run(failures=1, error=lambda: Retry("busy", delay=1, at_least=60)).to_the_end().waits == [1]


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_a_wait_that_is_none_is_refused(seconds: float) -> None:
    """Both are seconds from 0 up."""
    with pytest.raises(ValueError, match=f"at_least must be seconds from 0 up, got {seconds}"):
        Retry(at_least=seconds)


def test_an_attempt_that_is_delivered_twice_counts_once() -> None:
    """The schedule goes by attempts that were claimed, not by deliveries."""
    job = Run(failures=2)
    queues = job.backend.queues
    assert isinstance(queues, MemoryQueues)
    (message,) = queues.receive(NAME)
    assert deliver(job.worker, job.backend, message) == [message.id]
    assert deliver(job.worker, job.backend, message) == [message.id]
    job.to_the_end()
    assert job.waits == [5, 300]
