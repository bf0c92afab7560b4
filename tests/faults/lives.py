"""Processes that can be killed: from then on nothing that they ask of AWS is heard, whatever of them still runs.

A kill that ran cleanup would prove nothing. So each invocation has clients and a clock of its own, thin covers of those
that all share, and a dead one's calls are refused: those of `finally` blocks, of generators that are closed later, of
timers and of threads, also while another invocation is under way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from afterward.clock import Timer
from afterward.testing import ManualClock


class Killed(BaseException):
    """The process is gone. No `except Exception` holds it up, neither the library's nor botocore's."""

    def __init__(self, life: "Life") -> None:
        super().__init__(f"{life.name} is dead")
        self.life = life


@dataclass(slots=True)
class Life:
    """One invocation of a function, or one request: `name` says of what. It ends at its deadline at the latest.

    `unheard` names what it has asked for after its end; `sent`: whether a message of it has arrived.
    """

    name: str
    time: ManualClock
    deadline: float
    dead: bool = False
    sent: bool = False
    unheard: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return not self.dead and self.time.now() < self.deadline

    def kill(self) -> Killed:
        """Return what the process has to be ended with."""
        self.dead = True
        return Killed(self)

    def must_live(self, asked: str) -> None:
        if not self.alive:
            self.unheard.append(asked)
            raise self.kill()


@dataclass(frozen=True, slots=True)
class LifeClock:
    """The world's time, as one process sees it: a sleep past the deadline is the end, and the dead have no timers."""

    life: Life

    def now(self) -> float:
        return self.life.time.now()

    def sleep(self, seconds: float) -> None:
        self.life.must_live("sleep")
        self.life.time.advance(max(0.0, min(seconds, self.life.deadline - self.now())))
        self.life.must_live("sleep")

    async def pause(self, seconds: float) -> None:
        self.sleep(seconds)

    def jitter(self, limit: float) -> float:
        return self.life.time.jitter(limit)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        return self.life.time.call_later(seconds, lambda: call() if self.life.alive else None)


@dataclass(slots=True)
class Call:
    """One call of a client by a process; `tries` counts its HTTP requests, `number` the calls of all processes."""

    life: Life
    tries: int = 0
    number: int = 0


CALL: ContextVar[Call] = ContextVar("CALL")
"""The call that the HTTP request at hand belongs to; what the tests themselves ask for belongs to none."""


@dataclass(frozen=True, slots=True)
class LifeClient:
    """A botocore client as one process has it."""

    client: Any
    life: Life

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def called(*args: Any, **request: Any) -> Any:
            self.life.must_live(operation)
            with _calling(self.life):
                return getattr(self.client, operation)(*args, **request)

        return called


@contextmanager
def _calling(life: Life) -> Iterator[None]:
    before = CALL.set(Call(life))
    try:
        yield
    finally:
        CALL.reset(before)
