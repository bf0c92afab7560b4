"""One owner's backlog raises another's waiting little: in a model of SQS's fair queues, and by what is really sent."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from afterward import Children, injected
from afterward.delivery import LEG_RECEIVES
from afterward.publish import publish
from afterward.queues import MESSAGE_LIMIT
from afterward.steering import retry
from afterward.testing import START, ManualClock
from tests.faults.fair_queue import FairQueue, Job, percentile, waits
from tests.support.cloud import DEAD, Cloud, cloud_of
from tests.support.jobs import FIRST, OWNER, SECOND, TASKS, THIRD, call, deliver, second, standing, third, worker
from tests.support.line import LETTERS, Works, drain

SEED = 20261122
WORKERS = 10
"""The template's MaximumConcurrency."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An owner makes 10,000 jobs of `seconds` each, `rate` a second; `quiet` ones add a short job now and then."""

    name: str
    rate: float
    seconds: float = 0.5
    jobs: int = 10_000
    noisy: int = 1
    quiet: int = 1
    workers: int = WORKERS
    batch: int = 1

    def make(self) -> list[Job]:
        some = random.Random(f"{SEED} {self.name}")  # noqa: S311 - to be the same each time
        return [
            *(self._job(f"noisy-{n % self.noisy}", n / self.rate, self.seconds, some) for n in range(self.jobs)),
            *(self._job(f"quiet-{n}", at, 0.2, some) for n in range(self.quiet) for at in self._times(some)),
        ]

    def _times(self, some: random.Random) -> Iterator[float]:
        """Yield when a quiet owner adds a job: every two seconds or so, for as long as the backlog lasts."""
        end, at = self.jobs * self.seconds / self.workers, 0.0
        while (at := at + some.expovariate(0.5)) < end:
            yield at

    @staticmethod
    def _job(owner: str, at: float, seconds: float, some: random.Random) -> Job:
        return Job(owner, at, seconds * some.uniform(0.8, 1.2), group=owner)

    @property
    def longest(self) -> float:
        """How long one invocation keeps a worker at most."""
        return 1.2 * self.seconds * self.batch


SHAPES = [
    Shape("all at once", rate=10_000),
    Shape("in a minute", rate=200),
    Shape("half as much again as is done", rate=30),
    Shape("few and long", rate=100, seconds=10, jobs=1_000),
    Shape("in batches of ten", rate=200, batch=10),
    Shape("with forty workers", rate=1_000, workers=40),
    Shape("two of them at once", rate=200, noisy=2),
    Shape("among twenty others", rate=200, quiet=20),
]


def quiet(shape: Shape, jobs: list[Job], **about: float) -> list[float]:
    """Return how long each job of the quiet owners waits."""
    waited = waits(jobs, FairQueue(**about), workers=shape.workers, batch=shape.batch)
    return [seconds for owner, each in waited.items() if owner.startswith("quiet") for seconds in each]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_backlog_is_its_owners_own(shape: Shape) -> None:
    """Others wait until one of the workers is free, and not for the backlog, as they would without groups."""
    jobs = shape.make()
    alone = quiet(shape, [job for job in jobs if job.owner.startswith("quiet")])
    grouped = quiet(shape, jobs)
    mixed = quiet(shape, [replace(job, group="") for job in jobs])
    for name, waited in {"nobody else there": alone, "groups": grouped, "no groups": mixed}.items():
        print(f"{shape.name}, {name}: median {percentile(waited, 0.5):.2f} s, p99 {percentile(waited, 0.99):.2f} s")
    ratio = percentile(mixed, 0.99) / percentile(grouped, 0.99)
    print(f"{shape.name}: without groups p99 is {ratio:,.0f} times as long")
    assert percentile(grouped, 0.5) <= percentile(alone, 0.5) + 1.2 * shape.longest / shape.workers
    assert percentile(grouped, 0.99) <= percentile(alone, 0.99) + shape.longest
    assert ratio > 50


@pytest.mark.parametrize(("recent", "notice"), [(10, 10), (300, 10)])
def test_what_sqs_leaves_open_changes_little(recent: float, notice: float) -> None:
    """However long the past counts, others wait no longer than it takes until the noisy owner is noticed."""
    shape = SHAPES[1]
    waited = quiet(shape, shape.make(), recent=recent, notice=notice)
    assert percentile(waited, 0.5) <= shape.longest / shape.workers
    assert max(waited) <= notice + shape.longest


def test_the_backlog_is_done_all_the_same() -> None:
    """The noisy owner's last job waits as long as the others' work takes, and no longer."""
    jobs = SHAPES[1].make()
    ends = [max(waits(some, FairQueue(), workers=WORKERS)["noisy-0"]) for some in (jobs, jobs[: SHAPES[1].jobs])]
    assert ends[0] - ends[1] <= sum(job.seconds for job in jobs if job.owner == "quiet-0") / WORKERS + 1


def loaded(**in_flight: int) -> FairQueue:
    """Return a queue with so many messages of each group in flight, and one more of each that waits."""
    queue = FairQueue(notice=0)
    for group, count in in_flight.items():
        for _ in range(count):
            queue.send(Job(group, 0, 1, group))
        assert len(queue.receive(0, count)) == count
    for group in in_flight:
        queue.send(Job(group, 0, 1, group))
    return queue


def test_a_group_is_noisy_by_what_it_has_in_flight() -> None:
    """From thirty messages on, and more than a tenth of all."""
    assert loaded(a=30, b=29).noisy(0) == {"a"}
    assert loaded(a=30, b=270).noisy(0) == {"b"}


def test_a_group_is_noisy_by_its_processing_time() -> None:
    """However few messages it has in flight, if they are more than a tenth of the recent time."""
    queue = FairQueue(notice=0)
    for number, seconds in enumerate([2, *[1] * 17]):
        queue.send(Job("", 0, seconds, f"group-{number}"))
    for job in queue.receive(0, 18):
        queue.delete(job, 1)
        queue.send(replace(job, arrives=1))
    assert queue.noisy(1) == {"group-0"}


def test_among_noisy_groups_the_one_with_fewest_in_flight_is_next() -> None:
    """So they share what quiet ones leave."""
    queue = loaded(a=60, b=30)
    assert [job.owner for job in queue.receive(1, 2)] == ["b", "a"]


def test_a_noisy_group_without_a_backlog_is_quiet() -> None:
    """When it has nothing that waits, nothing of it has to wait."""
    queue = loaded(a=30)
    assert queue.noisy(0) == {"a"}
    assert len(queue.receive(0, 1)) == 1
    assert queue.noisy(1) == set()


# What is sent


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with cloud_of(ManualClock(), TASKS) as made:
        yield made


def groups(cloud: Cloud) -> list[tuple[str, str | None]]:
    """List what was sent to the tasks' queues: the queue, and the message's group."""
    names = {url: name for name, url in cloud.urls.items()}
    sent = [(names[one["QueueUrl"]], one) for one in cloud.sqs.bodies("SendMessage")]
    for batch in cloud.sqs.bodies("SendMessageBatch"):
        sent += [(names[batch["QueueUrl"]], one) for one in batch["Entries"]]
    return [(name, one.get("MessageGroupId")) for name, one in sent if name != DEAD]


def hand_over(cloud: Cloud, about: dict[str, Any]) -> list[str]:
    publish(cloud.backend, OWNER, [[call(FIRST, id="a", **about), call(SECOND, id="b", **about)]])
    Works().drain(cloud.backend)
    return [FIRST, SECOND]


def side_by_side(cloud: Cloud, about: dict[str, Any]) -> list[str]:
    """Run a job, a group of three behind it, and a last one behind the group."""
    members = [call(SECOND, id=name, side=1, **about) for name in "bcd"]
    publish(cloud.backend, OWNER, [[call(FIRST, id="a", **about), *members, call(THIRD, id="e", **about)]])
    Works().drain(cloud.backend)
    return [FIRST, SECOND, SECOND, SECOND, THIRD]


def large(cloud: Cloud, about: dict[str, Any]) -> list[str]:
    """Run jobs whose messages only point at their envelopes."""
    text = "x" * MESSAGE_LIMIT
    publish(cloud.backend, OWNER, [[call(FIRST, text, id="a", **about), call(SECOND, text, id="b", **about)]])
    Works().drain(cloud.backend)
    return [FIRST, SECOND]


def again_by_hand(cloud: Cloud, about: dict[str, Any]) -> list[str]:
    """Fail a job, and retry it from the archive."""
    publish(cloud.backend, OWNER, [[call(FIRST, "poison", id="a", **about), call(SECOND, id="b", **about)]])
    Works("poison").drain(cloud.backend)
    retry(cloud.backend, standing(cloud.backend, "a"))
    Works().drain(cloud.backend)
    return [FIRST, FIRST, SECOND]


def next_leg(cloud: Cloud, about: dict[str, Any]) -> list[str]:
    """Have a job that failed wait as a new message, as its old one has been received so often."""

    def fails(text: str) -> None:
        raise OSError(text)

    publish(cloud.backend, OWNER, [[call(FIRST, id="a", **about)]])
    (message,) = cloud.waiting(FIRST)
    assert not deliver(worker(FIRST, fails), cloud.backend, replace(message, receives=LEG_RECEIVES, sent=START))
    return [FIRST, FIRST]


def owed(cloud: Cloud, about: dict[str, Any]) -> list[str]:
    """Send a successor's message again, as the first may never have been."""
    publish(cloud.backend, OWNER, [[call(FIRST, id="a", **about), call(SECOND, id="b", **about)]])
    (message,) = cloud.waiting(FIRST)
    for _ in range(2):
        deliver(Works().workers[0], cloud.backend, message)
    return [FIRST, SECOND, SECOND]


def fan_out(cloud: Cloud, about: dict[str, Any]) -> list[str]:
    """Run a job that adds two jobs side by side and one behind them, and what follows it in its chain."""

    def add(text: str, *, children: Children = injected) -> None:
        both = children.group()
        for number in "12":
            both.add_task(second.options(fairness=about["group"]), text + number)
        children.add_task(third.options(fairness=about["group"]), text)

    publish(cloud.backend, OWNER, [[call(FIRST, id="a", **about), call(THIRD, id="b", **about)]])
    drain(cloud.backend, worker(FIRST, add), *Works().workers[1:], LETTERS)
    return [FIRST, SECOND, SECOND, THIRD, THIRD]


WAYS = [hand_over, side_by_side, fan_out, large, again_by_hand, next_leg, owed]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("chosen", ["", "vip"])
def test_every_message_of_a_job_is_in_its_group(
    cloud: Cloud, way: Callable[[Cloud, dict[str, Any]], list[str]], chosen: str
) -> None:
    """The owner's, or the one that `options(fairness=)` has asked for, on each way in which a message is sent."""
    expected = way(cloud, {"group": chosen})
    assert sorted(groups(cloud)) == sorted((name, chosen or OWNER) for name in expected)
