"""Time as a part that can be replaced: the worker, the stores and the progress ask it, never `time` itself."""

import random
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    """Something that will happen unless it is cancelled."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """`now` in seconds since the epoch; `pause` sleeps in a coroutine; `jitter(limit)` is a random share of `limit`."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    async def pause(self, seconds: float) -> None: ...
    def jitter(self, limit: float) -> float: ...
    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer: ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        import asyncio  # noqa: PLC0415 - only an API pauses, which has it already

        await asyncio.sleep(seconds)

    def jitter(self, limit: float) -> float:
        return random.uniform(0, limit)  # noqa: S311 - spreads retries, guards nothing

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        # What is logged by then belongs to the same job.
        timer = threading.Timer(seconds, copy_context().run, (call,))
        timer.daemon = True
        timer.start()
        return timer


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC with microseconds: sorts as text in the order of time."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
