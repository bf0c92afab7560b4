"""The tasks of the world: every kind of end that a body can have, told to the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from afterward import Backoff, Children, Effects, Progress, injected, task
from afterward.declaration import Task
from afterward.job import Job
from afterward.worker import Worker
from tests.faults.ledger import Body
from tests.faults.world_invocations import here

ITEMS = 5
"""What a job of several items has to do; more than one invocation's time where its items take long."""


class Ground(Protocol):
    """What a task's body needs of its world."""

    def begin(self, text: str) -> Body:
        """Take in that a body begins; raise Killed where that must not be."""

    def end(self, body: Body) -> None: ...
    def labour(self) -> float:
        """Return how many seconds the next piece of work takes."""

    def stumble(self) -> None:
        """Raise what a task may raise, or nothing."""


@task(name="world_plain", max_attempts=3, backoff=Backoff(base=2, cap=30))
def plain(text: str) -> None:
    """Report what nobody counts, from the beginning in each attempt."""


@task(name="world_counted", max_attempts=3, backoff=Backoff(base=2, cap=30))
def counted(text: str) -> None:
    """Have one effect."""


@task(name="world_once", max_attempts=1)
def once(text: str) -> None:
    """Have one effect, or none at the first failure."""


@task(name="world_items", max_attempts=3, backoff=Backoff(base=2, cap=30))
def items(text: str) -> None:
    """Have an effect for each item, and one in the end."""


@task(name="world_steps", max_attempts=3, backoff=Backoff(base=2, cap=30))
def steps(text: str) -> None:
    """Do the same by checkpoints."""


@task(name="world_parent", max_attempts=3, backoff=Backoff(base=2, cap=30))
def parent(text: str) -> None:
    """Have one effect, and children: two side by side, one that runs even if they fail, and perhaps a parent."""


TASKS: dict[str, Task[[str]]] = {one.name: one for one in (plain, counted, once, items, steps, parent)}
WITH_EFFECTS = frozenset(TASKS) - {plain.name}
IN_PARTS = frozenset({items.name, steps.name})


@contextmanager
def _body(text: str) -> Iterator[Ground]:
    ground = cast("Ground", here().world)
    body = ground.begin(text)
    try:
        yield ground
    finally:
        ground.end(body)


def _work(ground: Ground) -> None:
    here().sleep(ground.labour())
    ground.stumble()


def _count(effects: Effects, table: str, name: str) -> None:
    effects.update(table, {"id": name}, add={"n": 1})


def do_plain(text: str, *, progress: Progress = injected) -> None:
    with _body(text) as ground:
        for number in range(3):
            _work(ground)
            progress.report(number + 1, 3)


def do_counted(text: str, *, effects: Effects = injected, job: Job = injected) -> None:
    with _body(text) as ground:
        _count(effects, "ends", job.id)
        _work(ground)


def do_items(text: str, *, progress: Progress = injected, effects: Effects = injected, job: Job = injected) -> None:
    with _body(text) as ground:
        for number in progress.track(range(ITEMS)):
            _work(ground)
            _count(effects, "items", f"{job.id} {number}")
        _count(effects, "ends", job.id)


def do_steps(text: str, *, progress: Progress = injected, effects: Effects = injected, job: Job = injected) -> None:
    with _body(text) as ground:
        for number in range(progress.state or 0, ITEMS):
            _count(effects, "items", f"{job.id} {number}")
            _work(ground)
            progress.report(number + 1, ITEMS)
            progress.checkpoint(number + 1)
        _count(effects, "ends", job.id)


def do_parent(text: str, *, children: Children = injected, effects: Effects = injected, job: Job = injected) -> None:
    with _body(text) as ground:
        _count(effects, "ends", job.id)
        together = children.group()
        together.add_task(counted, f"{text}/0")
        together.add_task(steps, f"{text}/1")
        children.add_task(plain.options(even_if_failed=True), f"{text}/2")
        if "/" not in text:
            children.add_task(parent, f"{text}/3")
        _work(ground)


def children_of(number: int) -> list[tuple[bool, bool]]:
    """Return of each of a parent's children whether it is in the group, and whether it runs even if others fail."""
    return [(True, False), (True, False), (False, True), (False, False)][:number]


WORKERS: dict[str, Worker] = {
    plain.name: Worker(plain, do_plain),
    counted.name: Worker(counted, do_counted),
    once.name: Worker(once, do_counted),
    items.name: Worker(items, do_items),
    steps.name: Worker(steps, do_steps),
    parent.name: Worker(parent, do_parent),
}
