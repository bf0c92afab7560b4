"""Asking again a service that did not answer, for as long as there is time."""

from collections.abc import Callable
from typing import TypeVar

from afterward.clock import Clock
from afterward.errors import Unavailable

T = TypeVar("T")

RESERVE = 1.0
"""Seconds before the end in which nothing is begun again: a call may take that long."""


def patiently(call: Callable[[], T], clock: Clock, until: float) -> T:
    """Return what `call` returns, called again with longer and longer pauses while it raises Unavailable.

    Raises the last Unavailable where time runs out, or at once where no repeat will help. `call` may have taken place
    although it raised, so to repeat it must change nothing.
    """
    pause = 0.1
    while True:
        try:
            return call()
        except Unavailable as unavailable:
            if unavailable.lasting or clock.now() + 2 * pause + RESERVE > until:
                raise
            clock.sleep(pause / 2 + clock.jitter(pause / 2))
            pause = min(2 * pause, 1.0)
