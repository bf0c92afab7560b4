"""Invocations as threads of which one runs at any time: whoever was handed the baton, up to its next pause."""

import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from afterward.clock import Clock
from afterward.records import Record

HANG = 20.0
"""Seconds, real ones, after which an invocation that does not give the baton back is said to hang."""

_here = threading.local()


class Killed(BaseException):
    """The invocation was killed: whatever it still asks of a store is refused, in `finally` and timers, too."""


class Hang(AssertionError):
    """An invocation waits for something that is no pause of the world: a lock, or a loop without end."""


class Scenery(Protocol):
    """What an invocation needs of its world."""

    @property
    def now(self) -> float: ...
    def uniform(self, low: float, high: float) -> float: ...
    def tell(self, what: str) -> None: ...


@dataclass(slots=True)
class Alarm:
    """A call that an invocation has set for later; its thread makes it where the task's body works."""

    at: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(eq=False, slots=True)
class Invocation:
    """One call of a Lambda: `ends` is when it is killed, by the world's time, and `skew` what its own clock is off.

    `claims` are the run and the attempt under which it has claimed jobs, `claimed` the last of those records.
    """

    title: str
    world: Scenery
    work: Callable[["Invocation"], None]
    ends: float
    skew: float = 0.0
    wakes: float = 0.0
    claims: dict[str, tuple[int, int]] = field(default_factory=dict)
    claimed: Record | None = None
    killed: bool = False
    done: bool = False
    at: str = "its beginning"
    alarms: list[Alarm] = field(default_factory=list)
    error: BaseException | None = None
    _thread: threading.Thread | None = None
    _go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def resume(self) -> None:
        """Let it run up to its next pause, or to its end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.title, daemon=True)
            self._thread.start()
        self._go.release()
        if not self._back.acquire(timeout=HANG):
            raise Hang(f"{self.title} hangs after {self.at}:\n{self._stack()}")
        if self.done:
            self._thread.join(HANG)
        if self.error is not None:
            raise self.error

    def kill(self) -> None:
        """End it where it stands; its thread unwinds at once, and reaches nothing on its way."""
        self.killed = True
        if self._thread is None:
            self.done = True
        elif not self.done:
            self.resume()

    def pause(self, at: str = "") -> None:
        """Hand the baton back, and go on when it comes again."""
        self.check()
        self.at = at or self.at
        self._back.release()
        self._go.acquire()
        self.check()

    def check(self) -> None:
        """Go no further where the invocation was killed."""
        if self.killed:
            raise Killed

    def die(self, why: str) -> None:
        """Kill it from inside."""
        self.world.tell(f"{self.title} dies {why}")
        self.killed = True
        raise Killed

    def sleep(self, seconds: float) -> None:
        """Pause for a time, and make the calls that fall due meanwhile."""
        until = self.world.now + seconds
        while (due := self._next_alarm()) is not None and due.at <= until:
            self._wait(due.at)
            self.alarms.remove(due)
            due.call()
        self._wait(until)

    def _wait(self, until: float) -> None:
        self.wakes = until
        self.pause()

    def _next_alarm(self) -> Alarm | None:
        self.alarms = [one for one in self.alarms if not one.cancelled]
        return min(self.alarms, key=lambda one: one.at, default=None)

    def _run(self) -> None:
        _here.invocation = self
        self._go.acquire()
        try:
            with suppress(Killed):
                self.check()
                self.work(self)
        except BaseException as error:  # noqa: BLE001 - raised where the world resumes it
            self.error = error
        finally:
            self.done = True
            self._back.release()

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0) if self._thread else None
        return "".join(traceback.format_stack(frame)) if frame else "(its thread is gone)"


def here() -> Invocation:
    """Return the invocation in whose thread this is called."""
    found: Invocation = _here.invocation
    return found


@dataclass(frozen=True, slots=True)
class Watch(Clock):
    """An invocation's own clock: the world's time, and off by its skew."""

    by: Invocation

    def now(self) -> float:
        return self.by.world.now + self.by.skew

    def sleep(self, seconds: float) -> None:
        self.by.wakes = self.by.world.now + seconds
        self.by.pause()

    async def pause(self, seconds: float) -> None:
        self.sleep(seconds)

    def jitter(self, limit: float) -> float:
        return self.by.world.uniform(0, limit)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Alarm:
        alarm = Alarm(self.by.world.now + seconds, call)
        self.by.alarms.append(alarm)
        return alarm


@dataclass(frozen=True, slots=True)
class Context:
    """Lambda's context object."""

    by: Invocation

    @property
    def aws_request_id(self) -> str:
        return self.by.title

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.by.ends - self.by.world.now) * 1000))
