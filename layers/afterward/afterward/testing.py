"""For the tests of those who write tasks: time that a test moves, one attempt, and whole jobs in memory."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec

from afterward.builtin import BUILTIN
from afterward.children import Children
from afterward.clock import timestamp
from afterward.codec import travelling_signature
from afterward.declaration import Task
from afterward.depends import Overrides, injected, needs_of
from afterward.effects import Batches, Effects
from afterward.envelope import Entry, Envelope
from afterward.errors import UsageError
from afterward.execution import Execution
from afterward.in_process import Consumer, Invocation
from afterward.job import Chain, Job
from afterward.memory import DEAD_LETTERS, MemoryBlobs, MemoryQueues, MemoryRecords
from afterward.progress import Progress
from afterward.records import queued
from afterward.results import Results
from afterward.writes import Item, Write

if TYPE_CHECKING:
    from afterward.background import DurableTasks
    from afterward.records import Record

P = ParamSpec("P")

START = 1_795_000_000.0
"""Where a ManualClock begins: in November 2026."""

OWNER = "test"
"""Whose jobs a Trial runs."""


@dataclass(slots=True)
class _Call:
    at: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(slots=True)
class ManualClock:
    """Time that stands still until a test moves it. `jitter` gives the whole limit, so that delays can be foretold."""

    time: float = START
    _calls: list[_Call] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    async def pause(self, seconds: float) -> None:
        self.advance(seconds)

    def jitter(self, limit: float) -> float:
        return limit

    def call_later(self, seconds: float, call: Callable[[], None]) -> _Call:
        later = _Call(self.time + seconds, call)
        self._calls.append(later)
        return later

    def advance(self, seconds: float) -> None:
        """Move time on, making the calls that fall due on the way, in their order."""
        until = self.time + seconds
        while due := sorted((one for one in self._calls if one.at <= until), key=lambda one: one.at):
            self._calls.remove(due[0])
            self.time = max(self.time, due[0].at)
            if not due[0].cancelled:
                due[0].call()
        self.time = max(self.time, until)


@dataclass(frozen=True, slots=True)
class Result:
    """One object that an attempt stored."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt reported: every write of progress in its order, the last one included.

    `effects` are what it has committed, in order: a Put, Update or Delete (`afterward.writes`) per item and commit.
    `children` are the jobs that it has added, in order: a Link (`afterward.envelope`) each, with its `task` and its
    `arguments` by name, and those of a group together in a tuple.
    """

    job: Job
    writes: list[dict[str, Any]]
    results: "dict[str, Result]" = field(default_factory=dict)
    effects: list[Write] = field(default_factory=list)
    children: tuple[Entry, ...] = ()

    @property
    def messages(self) -> list[str]:
        return [write["message"] for write in self.writes if "message" in write]


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs implementations as a worker would, one attempt each, and raises what they raise.

    `overrides` stand in for providers, as FastAPI's `dependency_overrides` do: `{smtp_mailer: lambda: outbox}`.
    """

    overrides: Overrides = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)
    job_id: str = "job-1"
    seconds: float = 900.0
    checkpoint: str | None = None
    chain: Chain | None = None

    def run(self, implementation: Callable[P, Awaitable[None] | None], *args: P.args, **kwargs: P.kwargs) -> Attempt:
        """Call `implementation`, or a task's body in place, with these arguments and what it needs injected."""
        function = _body(implementation)
        signature = travelling_signature(function.__qualname__, function, injected)
        written = _Written()
        job = Job(self.job_id, function.__name__, timestamp(self.clock.now()))
        children = _children(job)
        progress = Progress(
            written.write,
            clock=self.clock,
            deadline=self.clock.now() + self.seconds,
            saved=self.checkpoint,
            batches=written.batches,
            beside=children.beside_checkpoint,
        )
        needs = needs_of(function.__qualname__, function, signature, BUILTIN)
        execution = Execution(function, needs, self.overrides)
        blobs = MemoryBlobs()
        given: dict[type, Any] = {
            Progress: progress,
            Job: job,
            Chain: self.chain or Chain(self.job_id, owner=OWNER),
            Effects: Effects(written.batches),
            Results: Results(blobs, "results"),
            Children: children,
        }
        try:
            execution.run(_bind(signature, args, kwargs), given)
        finally:
            if pending := progress.pending():
                written.write(pending)
            execution.close()
        children.store(blobs)
        written.commit()
        stored = {key.rpartition("/")[2]: Result(*file) for key, file in blobs.files.items()}
        return Attempt(job, written.changes, stored, written.effects, children.entries)


def _children(job: Job) -> Children:
    parent = Envelope(id=job.id, task=job.task, arguments={}, owner=OWNER, created=job.created)
    return Children(parent, queued(parent, parent, limit=1, shards=1, now=START))


@dataclass(frozen=True, slots=True)
class _Written:
    """What an attempt has written, without a store: all its changes, and its effects as they were committed."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    effects: list[Write] = field(default_factory=list)
    batches: Batches = field(default_factory=Batches)

    def write(self, changes: dict[str, Any]) -> None:
        self.changes.append(changes)
        if "checkpoint" in changes:
            self._take()

    def commit(self) -> None:
        if not self.batches.fit():
            self._take()
        self.batches.close()
        self._take()

    def _take(self) -> None:
        count, effects = self.batches.staged()
        self.effects.extend(effects)
        self.batches.committed(count)


@dataclass(slots=True)
class MemoryJobs:
    """The jobs of `DurableTasks.in_memory()`: run them, and look at their records.

    ```
    background_tasks = DurableTasks.in_memory(clock=ManualClock())
    background_tasks.add_task(catalog.send_email, "ada@example.com", "Hello", "…")
    jobs = MemoryJobs(background_tasks)
    await jobs.publish_and_drain()
    ```
    """

    tasks: "DurableTasks"
    seconds: float = 900.0

    def step(self) -> bool:
        """Deliver one message of each queue; say whether there was any to deliver now."""
        return Consumer(self.tasks.backend, Invocation(self.seconds)).step()

    async def publish_and_drain(self, limit: int = 1_000) -> None:
        """Publish what was added and run it to its end."""
        await self.tasks.publish()
        await asyncio.to_thread(self.drain, limit)  # a task may have a loop of its own

    def drain(self, limit: int = 1_000) -> None:
        """Deliver until every queue is empty, moving a ManualClock to whatever is to come next."""
        for _ in range(limit):
            if self.step():
                continue
            visible = self._queues.next_visible()
            if visible is None:
                return
            clock = self.tasks.backend.clock
            if not isinstance(clock, ManualClock):
                raise UsageError("jobs wait for their time; give in_memory() a ManualClock so that drain can move it")
            clock.advance(max(0.0, visible - clock.now()))
        raise UsageError(f"jobs were still waiting after {limit} deliveries")

    def record(self, job: Job) -> "Record":
        """Return the record of a job; raise UsageError where it has none."""
        found = next((one for one in self.records() if one.id == job.id), None)
        if found is None:
            raise UsageError(f"job {job.id} has no record: was it published?")
        return found

    def records(self) -> "list[Record]":
        return self._records.all()

    def items(self, table: str) -> list[Item]:
        """Return the items of a table that the jobs' effects have written, by key."""
        return [item for _, item in sorted(self._records.tables.get(table, {}).items())]

    @property
    def dead_letters(self) -> dict[str, str]:
        """What was archived, by its key, and what waits to be."""
        blobs = self.tasks.backend.blobs
        archived = blobs.objects if isinstance(blobs, MemoryBlobs) else {}
        return archived | {one.id: one.body for one in self._queues.waiting(DEAD_LETTERS)}

    @property
    def _records(self) -> MemoryRecords:
        records = self.tasks.backend.records
        if not isinstance(records, MemoryRecords):
            raise UsageError("these jobs do not live in memory")
        return records

    @property
    def _queues(self) -> MemoryQueues:
        queues = self.tasks.backend.queues
        if not isinstance(queues, MemoryQueues):
            raise UsageError("these jobs do not live in memory")
        return queues


def _body(implementation: Callable[..., Awaitable[None] | None]) -> Callable[..., Awaitable[None] | None]:
    if not isinstance(implementation, Task):
        return implementation
    if implementation.body is None:
        raise UsageError(f"{implementation.name} is a declaration; run its implementation")
    return implementation.body


def _bind(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise UsageError(f"the implementation was called with arguments that do not fit: {error}") from None
    bound.apply_defaults()
    return bound
