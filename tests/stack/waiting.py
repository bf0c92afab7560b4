"""The one way in which these tests wait for other processes."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def eventually(look: Callable[[], Result], within: float = 45) -> Result:
    """Give what `look` finds, which has so many seconds to become something."""
    end = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < end, f"not within {within} s: {look}"
        time.sleep(0.02)
    return found
