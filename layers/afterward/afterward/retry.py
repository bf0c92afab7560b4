"""When to try again: exponential backoff with full jitter.

Full jitter (a uniform share of the exponential limit) is what AWS measured to finish a contended herd soonest:
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

MAX_VISIBILITY = 43_200
"""Seconds that ChangeMessageVisibility can put a message off, counted from its receipt (12 hours)."""


LONGEST_WAIT = 86_400
"""Seconds between two attempts at most: a message must come back well before its queue forgets it (7 days)."""


class Delays(Protocol):
    """How long to wait after attempt n failed; `jitter(limit)` gives a random share of `limit`."""

    def delay(self, attempt: int, jitter: Callable[[float], float]) -> float: ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds: attempt n waits a random share of `min(cap, base * 2 ** (n - 1))`."""

    base: float = 2.0
    cap: float = 900.0

    def __post_init__(self) -> None:
        if not 0 <= self.base <= self.cap <= MAX_VISIBILITY:
            raise ValueError(f"a backoff needs 0 <= base <= cap <= {MAX_VISIBILITY} seconds, got {self}")

    def limit(self, attempt: int) -> float:
        return float(min(self.cap, self.base * 2 ** min(attempt - 1, 32)))

    def delay(self, attempt: int, jitter: Callable[[float], float]) -> float:
        return jitter(self.limit(attempt))


class Schedule:
    """Seconds, one for each wait: attempt n is followed by the n-th, give or take a tenth so that herds disperse.

    What SQS cannot put off at once (more than 12 hours) is put off again when the message comes back too early.
    """

    def __init__(self, *seconds: float) -> None:
        if not seconds or not all(0 <= one <= LONGEST_WAIT for one in seconds):
            raise ValueError(f"a schedule needs waits of 0 to {LONGEST_WAIT} seconds, got {seconds}")
        self.seconds = seconds

    def delay(self, attempt: int, jitter: Callable[[float], float]) -> float:
        wait = self.seconds[min(attempt, len(self.seconds)) - 1]
        return 0.95 * wait + jitter(0.1 * wait)
