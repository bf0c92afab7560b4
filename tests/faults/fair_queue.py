"""Amazon SQS's fair queues as a model, since moto has none: which message a consumer gets, and how long each waited.

Written after https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html.
What AWS leaves open is a parameter here: how recent is recent, and how late a noisy group is noticed.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

SHARE = 0.1
"""Of the messages in flight, or of the recent processing time: a group that has more is noisy."""

IN_FLIGHT = 30
"""Messages in flight below which the first of the two is not looked at."""

FORGOTTEN = 300.0
"""Seconds without a message in flight after which a noisy group is quiet again."""


@dataclass(frozen=True, slots=True)
class Job:
    """A message, and the work that it asks for. One without a group is a group of its own."""

    owner: str
    arrives: float
    seconds: float
    group: str = ""


@dataclass(slots=True)
class _Group:
    waiting: deque[Job] = field(default_factory=deque)
    in_flight: int = 0
    processed: float = 0.0
    """Seconds of processing, those longer ago counting for less."""
    noisy: bool = False
    last: float = 0.0
    """When it had a message in flight last."""


class FairQueue:
    """A standard queue: the oldest message first, except that those of noisy groups wait for those of quiet ones.

    `recent` seconds ago, processing counts for 1/e; noisy groups are looked for every `notice` seconds.
    """

    def __init__(self, recent: float = 60.0, notice: float = 1.0) -> None:
        self._recent = recent
        self._notice = notice
        self._alone: deque[Job] = deque()
        self._groups: dict[str, _Group] = {}
        self._in_flight = 0
        self._processed = 0.0
        self._aged = self._looked = -math.inf

    def send(self, job: Job) -> None:
        """Take a message; they come in the order of their arrival."""
        waiting = self._groups.setdefault(job.group, _Group()).waiting if job.group else self._alone
        waiting.append(job)

    def receive(self, now: float, most: int) -> list[Job]:
        """Give up to so many messages, which are in flight until they are deleted."""
        self._look(now)
        return [job for _ in range(most) if (job := self._next(now)) is not None]

    def delete(self, job: Job, now: float) -> None:
        """Note that a message was processed."""
        self._age(now)
        self._in_flight -= 1
        self._processed += job.seconds
        if job.group:
            group = self._groups[job.group]
            group.in_flight -= 1
            group.processed += job.seconds
            group.last = now

    def noisy(self, now: float) -> set[str]:
        """Return the groups whose messages wait for those of the others."""
        self._look(now)
        return {name for name, group in self._groups.items() if group.noisy}

    def _next(self, now: float) -> Job | None:
        waiting = self._turn()
        if waiting is None:
            return None
        job = waiting.popleft()
        self._in_flight += 1
        if job.group:
            group = self._groups[job.group]
            group.in_flight += 1
            group.last = now
        return job

    def _turn(self) -> deque[Job] | None:
        """Return whose turn it is: quiet groups by their oldest message, then the noisy one with fewest in flight."""
        groups = [group for group in self._groups.values() if group.waiting]
        quiet = [self._alone] if self._alone else []
        quiet += [group.waiting for group in groups if not group.noisy]
        if quiet:
            return min(quiet, key=lambda waiting: waiting[0].arrives)
        return min(groups, key=attrgetter("in_flight")).waiting if groups else None

    def _look(self, now: float) -> None:
        if now < self._looked + self._notice:
            return
        self._looked = now
        self._age(now)
        for group in self._groups.values():
            if not group.waiting or (group.noisy and now - group.last >= FORGOTTEN and not group.in_flight):
                group.noisy = False
            elif self._dominates(group):
                group.noisy = True

    def _dominates(self, group: _Group) -> bool:
        concurrency = group.in_flight >= IN_FLIGHT and group.in_flight > SHARE * self._in_flight
        return concurrency or group.processed > SHARE * self._processed

    def _age(self, now: float) -> None:
        factor = math.exp((self._aged - now) / self._recent)
        self._aged = now
        self._processed *= factor
        for group in self._groups.values():
            group.processed *= factor


def waits(jobs: Iterable[Job], queue: FairQueue, *, workers: int, batch: int = 1) -> dict[str, list[float]]:
    """Run jobs, by so many workers with so many messages an invocation; return how long each waited, by its owner.

    A batch is worked off message by message and deleted as a whole, as Lambda's event source mapping does.
    """
    waited: dict[str, list[float]] = {}
    for job, began in _runs(sorted(jobs, key=attrgetter("arrives")), queue, workers, batch):
        waited.setdefault(job.owner, []).append(began - job.arrives)
    return waited


def _runs(jobs: list[Job], queue: FairQueue, workers: int, batch: int) -> Iterator[tuple[Job, float]]:
    """Yield each job with the time at which its work begins."""
    coming, ends = deque(jobs), list[tuple[float, int, list[Job]]]()
    number = 0
    while coming or ends:
        now = min(coming[0].arrives if coming else math.inf, ends[0][0] if ends else math.inf)
        while coming and coming[0].arrives <= now:
            queue.send(coming.popleft())
        while ends and ends[0][0] <= now:
            for job in heapq.heappop(ends)[2]:
                queue.delete(job, now)
        while len(ends) < workers and (taken := queue.receive(now, batch)):
            end = now
            for job in taken:
                yield job, end
                end += job.seconds
            number += 1
            heapq.heappush(ends, (end, number, taken))


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
