"""Random schedules: whatever happens in whatever order, what was promised is done, and counted once.

`AFTERWARD_SEED=17 pytest tests/faults/test_schedules.py` replays one seed; `AFTERWARD_SCHEDULES=20` runs twenty times
as many as usual.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from afterward.errors import Unavailable
from tests.faults.world import World
from tests.faults.world_invocations import Hang, Invocation, Killed, here

ROOT = Path(__file__).parents[2]
CHUNK = 20
USUAL = 120
"""Schedules of each kind: together they take less than a minute."""


def seeds(first: int) -> list[range]:
    """Return the seeds to run from this one on, in chunks that are one test each."""
    if one := os.environ.get("AFTERWARD_SEED"):
        return [range(int(one), int(one) + 1)]
    every = USUAL * int(os.environ.get("AFTERWARD_SCHEDULES", "1"))
    return [range(start, start + CHUNK) for start in range(first, first + every, CHUNK)]


def named(chunk: range) -> str:
    return f"{chunk.start}-{chunk.stop - 1}"


@pytest.mark.parametrize("chunk", seeds(0), ids=named)
def test_clocks_agree(chunk: range) -> None:
    """Every promised job ends, its effects are there once, in the order of its chain, and can be brought to success."""
    for seed in chunk:
        World(seed).run()


@pytest.mark.parametrize("chunk", seeds(1_000_000), ids=named)
def test_clocks_differ_a_little(chunk: range) -> None:
    """Up to 2 s between any two clocks, each attempt still runs once, and never beside another one of its job."""
    for seed in chunk:
        World(seed, skew=2).run()


@pytest.mark.parametrize("chunk", seeds(2_000_000), ids=named)
def test_clocks_are_wrong(chunk: range) -> None:
    """With clocks wrong by up to 5 minutes no effect is there twice, no job lost, and nothing written by a late one."""
    for seed in chunk:
        World(seed, skew=600).run()


def test_a_seed_replays() -> None:
    """The same seed tells the same story to its last word, in processes whose hashes differ."""
    program = "from tests.faults.world import World; w = World(7, skew=2); w.run(); print(len(w.story), w.digest)"
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1, told
    assert int(told.pop().split()[0]) > 100


def test_a_schedule_holds_what_it_is_made_of() -> None:
    """Over some seeds every kind of fault, of end and of client's luck takes place: none is switched off by mistake."""
    told = "\n".join(line for seed in range(40) for line in _story(seed))
    for what in ("dies before", "dies after", ": refused", ": lost", ": stray", "arrives late", "times out", "freezes"):
        assert what in told, what
    for what in ("times again", "too early", "SQS gives up", "is not deleted", "is killed", "202", "409", "503"):
        assert what in told, what
    for what in (
        "cancel ",
        "retry ",
        " → False",
        "has children",
        "join ",
        "remove ",
        "remember",
        "put envelopes",
        "with effects",
    ):
        assert what in told, what


def _story(seed: int) -> list[str]:
    world = World(seed, skew=2)
    world.run()
    return world.story


def test_no_thread_outlives_its_world() -> None:
    """Invocations that were killed have unwound, and those that were never begun have no thread."""
    before = set(threading.enumerate())
    World(3).run()
    assert set(threading.enumerate()) == before


class Still:
    """A world in which nothing happens by itself."""

    now = 0.0
    said: str = ""

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def tell(self, what: str) -> None:
        self.said = what


def invocation(work: Callable[[Invocation], None]) -> Invocation:
    return Invocation("it", Still(), work, ends=10)


def test_an_invocation_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that nobody opens fails the test, with the place where it waits, and does not stop it for ever."""
    monkeypatch.setattr("tests.faults.world_invocations.HANG", 0.05)
    opened = threading.Event()

    def work(by: Invocation) -> None:
        opened.wait()

    with pytest.raises(Hang, match="it hangs"):
        invocation(work).resume()
    opened.set()


def test_a_killed_invocation_reaches_nothing() -> None:
    """In `finally`, too, every pause raises, and a cleanup that runs into stores changes nothing."""
    seen: list[str] = []

    def work(by: Invocation) -> None:
        try:
            by.pause()
            seen.append("went on")
        finally:
            try:
                here().pause()
            except Killed:
                seen.append("refused")

    one = invocation(work)
    one.resume()
    one.kill()
    assert (seen, one.done) == (["refused"], True)


def test_what_an_invocation_raises_reaches_the_test() -> None:
    """An error that is no kill is raised where the world resumes it."""

    def work(by: Invocation) -> None:
        raise Unavailable("no")

    with pytest.raises(Unavailable, match="no"):
        invocation(work).resume()
