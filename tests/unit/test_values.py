"""The plain values at the bottom of the library: errors, jobs, time and when to try again."""

import math
import re
import threading
from contextvars import ContextVar

import pytest

import afterward
from afterward import Backoff, Retry, errors
from afterward.clock import SystemClock, timestamp
from afterward.job import Status, checked_id, new_id
from afterward.testing import ManualClock


def test_what_ends_an_attempt_from_inside_passes_by_the_tasks_own_handlers() -> None:
    """`except Exception` in a task catches neither a stop nor a continuation."""
    assert not issubclass(errors.Interrupt, Exception)
    assert issubclass(errors.Stopped, errors.Interrupt)
    assert issubclass(errors.Continue, errors.Interrupt)


def test_every_other_error_has_one_root() -> None:
    """Whoever wants to catch what this library raises names one class."""
    raised = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert [one for one in raised if not issubclass(one, errors.AfterwardError)] == []
    assert issubclass(errors.UsageError, TypeError)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    """The tree is the map of the module."""
    named = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or "")) | {"AfterwardError", "Interrupt"}
    assert named == {name for name, one in vars(errors).items() if isinstance(one, type)}


def test_a_refusal_says_when_to_come_back() -> None:
    """Without a word of its own it is soon."""
    assert errors.Unavailable("no").retry_after == 2
    assert errors.Unavailable("no", retry_after=30).retry_after == 30
    assert str(errors.IdTaken("job-1")) == "job id 'job-1' is in use"
    assert errors.IdTaken("job-1").job_id == "job-1"


def test_a_retry_may_say_when() -> None:
    """Without a delay the task's backoff decides."""
    assert Retry().delay is None
    assert Retry("later", delay=0).delay == 0
    assert str(Retry("later")) == "later"


@pytest.mark.parametrize("delay", [-1, math.inf, math.nan])
def test_a_retry_needs_a_time_that_comes(delay: float) -> None:
    """A delay that no clock reaches is the task's mistake, said where it is made."""
    with pytest.raises(ValueError, match="delay must be seconds from 0 up"):
        Retry(delay=delay)


def test_the_package_offers_its_names_when_they_are_used() -> None:
    """Each public name can be had from `afterward`, and no other."""
    assert [name for name in afterward.__all__ if getattr(afterward, name) is None] == []
    assert afterward.Progress.__module__ == "afterward.progress"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = afterward.nothing


@pytest.mark.parametrize(
    ("status", "final"),
    [("queued", False), ("running", False), ("completed", True), ("failed", True), ("cancelled", True)],
)
def test_three_statuses_are_final(status: str, final: bool) -> None:
    """Within a run nothing follows them."""
    assert Status(status).final is final


@pytest.mark.parametrize("job_id", ["a", "A-1_b.c~d", "9" * 128])
def test_an_id_stands_in_a_path_as_it_is(job_id: str) -> None:
    """Unreserved characters need no escaping."""
    assert checked_id(job_id) == job_id


@pytest.mark.parametrize("job_id", ["", "-a", ".", "..", "a/b", "a#b", "a b", "é", "a" * 129, "a\n"])
def test_an_id_that_could_not_is_refused(job_id: str) -> None:
    """Neither a path nor a key can be broken by it."""
    with pytest.raises(ValueError, match="must be 1 to 128 letters"):
        checked_id(job_id)


def test_ids_made_here_are_valid_and_differ() -> None:
    """They pass the check that chosen ones have to."""
    made = {checked_id(new_id()) for _ in range(1_000)}
    assert len(made) == 1_000


def test_times_sort_as_text() -> None:
    """The listing's range key is compared as text, down to the microsecond."""
    times = [0.0, 1_795_000_000.0, 1_795_000_000.000001, 1_795_000_000.5, 1_795_000_001.0]
    assert [timestamp(one) for one in times] == sorted(timestamp(one) for one in times)
    assert timestamp(1_795_000_000.5) == "2026-11-18T11:06:40.500000Z"


def test_the_systems_clock_keeps_time() -> None:
    """Time passes while it sleeps, and its jitter stays within the limit."""
    clock = SystemClock()
    before = clock.now()
    clock.sleep(0.002)
    assert clock.now() > before
    assert all(0 <= clock.jitter(3) <= 3 for _ in range(100))
    assert clock.jitter(0) == 0


def test_the_systems_clock_calls_later_unless_it_is_cancelled() -> None:
    """The call is made from a thread that does not keep the process alive."""
    called = threading.Event()
    never = SystemClock().call_later(60, called.set)
    never.cancel()
    assert not called.is_set()
    SystemClock().call_later(0, called.set)
    assert called.wait(10)


def test_what_the_systems_clock_calls_later_is_logged_for_the_same_job() -> None:
    """What runs in another thread belongs to whoever asked for it."""
    seen, called = [], threading.Event()
    asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")

    def call() -> None:
        seen.append(asked_by.get())
        called.set()

    asked_by.set("job-1")
    SystemClock().call_later(0, call)
    assert called.wait(10)
    assert seen == ["job-1"]


def test_a_manual_clock_makes_its_calls_in_order() -> None:
    """What falls due on the way is called at its own time, cancelled calls are not."""
    clock, seen = ManualClock(), []
    start = clock.now()
    clock.call_later(3, lambda: seen.append(("three", clock.now() - start)))
    clock.call_later(1, lambda: seen.append(("one", clock.now() - start)))
    clock.call_later(2, lambda: seen.append(("two", clock.now() - start))).cancel()
    clock.call_later(9, lambda: seen.append(("nine", clock.now() - start)))
    clock.advance(5)
    assert seen == [("one", 1), ("three", 3)]
    assert clock.now() - start == 5


def test_a_manual_clock_does_not_go_back() -> None:
    """A call that takes longer than the test moves the clock has taken that long."""
    clock = ManualClock()
    start = clock.now()
    clock.call_later(1, lambda: clock.advance(60))
    clock.advance(5)
    assert clock.now() - start == 61


def test_the_backoff_doubles_up_to_its_cap() -> None:
    """Attempt n waits a share of base * 2 ** (n - 1), and never of more than the cap."""
    backoff = Backoff(base=2, cap=900)
    assert [backoff.limit(attempt) for attempt in (1, 2, 3, 9, 10, 11, 10_000)] == [2, 4, 8, 512, 900, 900, 900]


def test_the_backoff_takes_its_share_by_jitter() -> None:
    """Full jitter: the whole limit is drawn from, zero included."""
    backoff = Backoff(base=4, cap=60)
    assert backoff.delay(2, lambda limit: limit) == 8
    assert backoff.delay(2, lambda _limit: 0.0) == 0


@pytest.mark.parametrize(("base", "cap"), [(-1, 5), (6, 5), (1, 43_201), (math.nan, 5)])
def test_a_backoff_that_sqs_cannot_keep_is_refused(base: float, cap: float) -> None:
    """The bounds are said when the task is declared."""
    with pytest.raises(ValueError, match="a backoff needs 0 <= base <= cap <= 43200"):
        Backoff(base=base, cap=cap)
