"""The progress of a chain whose first task has a unit: it counts what the jobs work on, and not the jobs."""

from typing import Any

import pytest

from afterward import Children, Discard, Progress, Results, injected, task
from afterward.backend import Backend
from afterward.chains import speaking_for_chain
from afterward.job import Status
from afterward.tasks import Tasks
from afterward.testing import START
from afterward.worker import Worker
from tests.support.jobs import OWNER, run
from tests.support.line import drain

Told = tuple[Status, int, int | None, str | None]


@task(name="units_divide", unit="rows")
def divide(rows: int) -> None:
    """Divide the work."""


@task(name="units_share", max_attempts=1)
def share(rows: int) -> None:
    """Do a share of it."""


@task(name="units_join")
def join() -> None:
    """Put the shares together."""


@task(name="units_tell")
def tell() -> None:
    """Tell somebody."""


class Line:
    """Workers of the three tasks, which tell at each step what the chain's progress says."""

    def __init__(self, using: Backend, *, fails: bool = False) -> None:
        self.using = using
        self.fails = fails
        self.told: list[Told] = []
        self.job = ""
        self.workers = [
            Worker(divide, self._divide),
            Worker(share, self._share),
            Worker(join, self._join),
            Worker(tell, lambda: None),
        ]

    def add(self, rows: int) -> None:
        tasks = Tasks(OWNER, using=self.using)
        self.job = tasks.add_task(divide, rows).id
        tasks.add_task(join)
        tasks.add_task(tell)
        tasks.publish()

    def look(self) -> Told:
        first = self.using.records.get(OWNER, self.job)
        assert first is not None
        shown = speaking_for_chain(self.using.records, first)
        self.told.append((shown.status, shown.progress, shown.total, shown.message))
        return self.told[-1]

    def _divide(self, rows: int, *, children: Children = injected, progress: Progress = injected) -> None:
        progress.report(0, message="Splitting")
        self.look()
        group = children.group()
        for _ in range(rows // 1_000):
            group.add_task(share, 1_000)
        progress.report(0, rows, "Divided")

    def _share(self, rows: int, *, progress: Progress = injected) -> None:
        progress.report(rows // 2, rows)
        self.look()
        if self.fails:
            raise Discard("row 7 cannot be read")
        progress.report(rows, rows)

    def _join(self, *, progress: Progress = injected, results: Results = injected) -> None:
        progress.report(0, 1, "Merging")
        self.look()
        results.store("joined.txt", b"", "text/plain")
        progress.report(1, 1, "Completed: all rows are there")


def test_rows_are_counted(memory: Backend) -> None:
    """Nothing until the work is divided, then what the shares report of what there is, in the unit's words."""
    line = Line(memory)
    line.add(3_000)
    assert line.look() == (Status.QUEUED, 0, None, "Waiting to start")
    drain(memory, *line.workers)
    running = Status.RUNNING
    assert line.told[1:] == [
        (running, 0, None, "Splitting"),
        (running, 500, 3_000, "500 of 3,000 rows"),
        (running, 1_500, 3_000, "1,500 of 3,000 rows"),
        (running, 2_500, 3_000, "2,500 of 3,000 rows"),
        (running, 3_000, 3_000, "Merging"),
    ]
    assert line.look() == (Status.COMPLETED, 3_000, 3_000, "Completed: all rows are there")


def test_between_two_jobs_it_says_the_same(memory: Backend) -> None:
    """What waits for its turn says less than what was done; what has left the results has the last word."""
    line = Line(memory)
    line.add(1_000)
    divide_, share_, join_, _ = line.workers
    run(divide_, memory)
    assert line.look() == (Status.RUNNING, 0, 1_000, "0 of 1,000 rows")
    run(share_, memory)
    assert line.look() == (Status.RUNNING, 1_000, 1_000, "1,000 of 1,000 rows")
    run(join_, memory)
    assert line.look() == (Status.RUNNING, 1_000, 1_000, "Completed: all rows are there")


def test_a_share_that_fails_is_told_of(memory: Backend) -> None:
    """What was done counts, and the chain says why it has failed."""
    line = Line(memory, fails=True)
    line.add(1_000)
    drain(memory, *line.workers)
    assert line.look() == (Status.FAILED, 500, 1_000, "Task failed: row 7 cannot be read")


def test_work_without_shares_is_done(memory: Backend) -> None:
    """A file without rows is completed like any other."""
    line = Line(memory)
    line.add(0)
    drain(memory, *line.workers)
    assert line.look() == (Status.COMPLETED, 0, 0, "Completed: all rows are there")


@pytest.mark.parametrize("changes", [{"task": "gone_since"}, {"task": "units_share"}])
def test_a_chain_whose_first_task_has_no_unit_counts_jobs(memory: Backend, changes: dict[str, Any]) -> None:
    """Also where that task is not declared any more."""
    line = Line(memory)
    line.add(1_000)
    first = memory.records.get(OWNER, line.job)
    assert first is not None
    memory.records.swap(first, first.changed(START, **changes))
    assert line.look()[1:3] == (0, 3)
