"""When to try again: exponential backoff with full jitter.

Full jitter (a uniform share of the exponential limit) is what AWS measured to finish a contended herd soonest:
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from collections.abc import Callable
from dataclasses import dataclass

MAX_VISIBILITY = 43_200
"""Seconds that ChangeMessageVisibility can put a message off, counted from its receipt (12 hours)."""


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
