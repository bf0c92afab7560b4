"""What a world changes of the process that it is in, and puts back."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from afterward import parcel
from afterward.delivery import Delivery
from afterward.queues import MESSAGE_LIMIT


class _Ear(logging.Handler):
    def __init__(self, hears: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.ERROR)
        self._hears = hears

    def emit(self, record: logging.LogRecord) -> None:
        self._hears(record)


@contextmanager
def unlocked() -> Iterator[None]:
    """Take the lock away that Python 3.11 has on a cached property of all instances: here each is its own process's."""
    cached = vars(Delivery)["_envelope"]
    lock = getattr(cached, "lock", None)
    cached.lock = nullcontext()
    try:
        yield
    finally:
        cached.lock = lock


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Let SQS take messages up to this size; envelopes that are larger go by S3."""
    vars(parcel)["MESSAGE_LIMIT"] = size
    try:
        yield
    finally:
        vars(parcel)["MESSAGE_LIMIT"] = MESSAGE_LIMIT


@contextmanager
def listening(hears: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Hear of what messages raised and nobody expected, and of nothing else: the library logs every fault."""
    every, event, ear = logging.getLogger("afterward"), logging.getLogger("afterward.event"), _Ear(hears)
    levels = every.level, event.level, event.propagate
    every.setLevel(logging.CRITICAL + 1)
    event.setLevel(logging.ERROR)
    event.propagate = False
    event.addHandler(ear)
    try:
        yield
    finally:
        event.removeHandler(ear)
        every.level, event.level, event.propagate = levels
        every.setLevel(levels[0])
        event.setLevel(levels[1])
