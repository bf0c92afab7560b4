"""A CSV file on its way through all its jobs, in memory, where any one call to a store can be its process's last."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

import pytest

import cleanup
import merge_csv
import notify_of_failure
import process_csv
import process_csv_chunk
import scan_csv
import send_notification
import split_csv
import uploads
from afterward.backend import Backend
from afterward.dead_letters import DeadLetters
from afterward.digest import KeyedDigests
from afterward.errors import IdTaken, Unavailable
from afterward.execution import Execution
from afterward.in_process import Invocation, as_record
from afterward.job import Status
from afterward.memory import DEAD_LETTERS, MemoryBlobs, MemoryQueues, MemoryRecords
from afterward.queues import Incoming
from afterward.records import Record
from afterward.results import keys_of
from afterward.tasks import Tasks
from afterward.testing import ManualClock
from afterward.worker import Worker
from csv_pipeline import dividing, joining, work
from csv_pipeline.dividing import AT_HAND, spans_of
from csv_pipeline.objects import Writer, bucket_objects, parts_of
from csv_pipeline.scan import records
from inbox import Notification, table_inbox
from scratch import bucket_scratch
from tests.faults.lives import Killed, Life, LifeClock
from tests.support.jobs import OWNER
from tests.support.objects import MemoryObjects, MemoryScratch
from uploads import Upload

FUNCTIONS: dict[str, Worker] = {
    module.lambda_handler.task.name: module.lambda_handler
    for module in (
        cleanup,
        merge_csv,
        notify_of_failure,
        process_csv,
        process_csv_chunk,
        scan_csv,
        send_notification,
        split_csv,
    )
}

SECONDS = 10.0
"""That an invocation may last."""

UPLOAD = Upload(OWNER, "upload-1", 7, "any")

LEAST, MOST = 16, 64
"""Bytes of a part, instead of megabytes."""


class Fault(StrEnum):
    """What becomes of one call, and of the process that makes it: only where that is killed it does not go on."""

    KILLED_BEFORE = "killed-before"
    KILLED_AFTER = "killed-after"
    REFUSED = "refused"
    REPLY_LOST = "reply-lost"


@dataclass(frozen=True, slots=True)
class Point:
    """A call: the how manieth, of which store, and in whose process."""

    number: int
    call: str
    actor: str

    def __str__(self) -> str:
        return f"{self.number:03}-{self.call}-of-{self.actor}"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at one call."""

    point: Point
    fault: Fault

    def __str__(self) -> str:
        return f"{self.point}-{self.fault}"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How files are divided: in bytes. Larger ones than `at_hand` are scanned by jobs of their own.

    `seconds` is what each part of an upload takes.
    """

    chunk: int
    span: int = 1_000
    at_hand: int = AT_HAND
    part: int = 32
    block: int = 40
    seconds: float = 0.0


@contextmanager
def divided_by(sizes: Sizes) -> Iterator[None]:
    """Let small files be what large ones are. Requests are made one by one, so that their order is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dividing, "spans_of", partial(spans_of, chunk=sizes.chunk, span=sizes.span))
        patch.setattr(process_csv, "AT_HAND", sizes.at_hand)
        patch.setattr(process_csv, "Writer", partial(Writer, part=sizes.part))
        patch.setattr(process_csv_chunk, "Writer", partial(Writer, part=sizes.part))
        patch.setattr(process_csv_chunk, "records", partial(records, block=sizes.block))
        patch.setattr(joining, "parts_of", partial(parts_of, least=LEAST, most=MOST))
        patch.setattr(joining, "LEAST_PART", LEAST)
        patch.setattr(joining, "AT_ONCE", 1)
        patch.setattr(work, "AT_ONCE", 1)
        yield


class SlowObjects(MemoryObjects):
    """Objects whose parts take so many seconds each."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__(least=LEAST)
        self._pause = partial(clock.advance, seconds)

    def put_part(self, key: str, upload: str, number: int, body: bytes) -> None:
        self._pause()
        super().put_part(key, upload, number, body)


@dataclass(slots=True)
class MemoryInbox:
    """Lines by their recipient and what names them, as the table has them; `delivered` counts all writes."""

    lines: dict[tuple[str, str, str], str] = field(default_factory=dict)
    delivered: int = 0

    def deliver(self, notification: Notification) -> None:
        self.delivered += 1
        self.lines[notification.recipient, notification.created, notification.job] = notification.text

    def newest(self, recipient: str, limit: int) -> list[Notification]:
        raise NotImplementedError("tasks only write")


@dataclass(frozen=True, slots=True)
class Store:
    """A store as one process has it: each call is a point; what the dead ask for is not heard."""

    name: str
    inner: Any
    life: Life
    reached: Callable[[str, Life], Fault | None]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def called(*args: Any, **more: Any) -> Any:
            self.life.must_live(name)
            fault = self.reached(f"{self.name}.{name}", self.life)
            if fault is Fault.KILLED_BEFORE:
                raise self.life.kill()
            if fault is Fault.REFUSED:
                raise Unavailable("planned")
            answer = getattr(self.inner, name)(*args, **more)
            if isinstance(answer, Iterator):
                answer = iter([*answer])
            if fault is Fault.KILLED_AFTER:
                raise self.life.kill()
            if fault is Fault.REPLY_LOST:
                raise Unavailable("planned")
            return answer

        return called


class Scene:
    """The stores, and the functions that work on them; `points` are all calls so far, and `strike` hits one of them."""

    def __init__(self, seconds: float = 0.0, strike: Strike | None = None) -> None:
        self.clock = ManualClock()
        self.records = MemoryRecords(self.clock)
        self.queues = MemoryQueues(self.clock)
        self.blobs = MemoryBlobs()
        self.objects = SlowObjects(self.clock, seconds)
        self.inbox = MemoryInbox()
        self.points: list[Point] = []
        self._strike = strike

    def upload(self, body: bytes) -> None:
        """Put a file, and start its jobs; S3 tells of it until that is done."""
        self.objects.put(UPLOAD.key, body, "text/csv")
        while not self._started():
            self.clock.advance(60)

    def settle(self, limit: int = 3_000) -> None:
        """Deliver until nothing is left."""
        for _ in range(limit):
            if not self.step():
                visible = self.queues.next_visible()
                if visible is None:
                    return
                self.clock.advance(max(0.0, visible - self.clock.now()))
        raise AssertionError(f"messages were left after {limit} rounds")

    @property
    def struck(self) -> bool:
        return self._strike is None or self._strike.point in self.points

    def statuses(self) -> dict[str, set[Status]]:
        """Return how the jobs of each task have ended."""
        tasks = {one.task for one in self.records.all()}
        return {task: {one.status for one in self.records.all() if one.task == task} for task in tasks}

    def job(self, task: str) -> Record:
        (found,) = (one for one in self.records.all() if one.task == task)
        return found

    def results(self) -> dict[str, bytes]:
        """Return what the job that merges has left, wherever it lies."""
        keys = keys_of(self.job("merge_csv"))
        return {name: self._content(key) for name, key in keys.items()}

    def _content(self, key: str) -> bytes:
        return self.blobs.files[key][0] if key in self.blobs.files else self.objects.get(key)

    def _started(self) -> bool:
        tasks = Tasks(OWNER, using=self._backend(self._born("s3_upload")))
        uploads.add(tasks, UPLOAD, UPLOAD.key)
        try:
            tasks.publish()
        except (Killed, Unavailable):
            return False
        except IdTaken:
            return True
        return True

    def step(self) -> bool:
        """Deliver one message of each queue; say whether there was any."""
        handled = [self._deliver(name) for name in self.queues.names()]
        return any(handled)

    def _deliver(self, name: str) -> bool:
        received = self.queues.receive(name)
        for message in received:
            try:
                kept = self._invoke(name, message)
            except Killed:
                continue
            if not kept:
                self.queues.delete(name, [message])
        return bool(received)

    def _invoke(self, name: str, message: Incoming) -> bool:
        life = self._born(name or "dead_letter")
        event = {"Records": [as_record(message)]}
        answer = self._function(name, life).run(event, Invocation(SECONDS), self._backend(life))
        if life.dead:
            raise life.kill()
        return bool(answer["batchItemFailures"])

    def _function(self, name: str, life: Life) -> Worker | DeadLetters:
        if name == DEAD_LETTERS:
            return DeadLetters()
        worker = copy(FUNCTIONS[name])
        worker._execution = Execution(worker.implementation, worker.needs, self._providers(life))
        return worker

    def _born(self, name: str) -> Life:
        return Life(name, self.clock, self.clock.now() + SECONDS)

    def _store(self, name: str, life: Life, inner: Any = None) -> Any:
        return Store(name, inner or getattr(self, name), life, self._reached)

    def _providers(self, life: Life) -> Mapping[Callable[..., Any], Callable[..., Any]]:
        objects, inbox = self._store("objects", life), self._store("inbox", life)
        scratch = self._store("scratch", life, MemoryScratch(self.objects))
        return {bucket_objects: lambda: objects, table_inbox: lambda: inbox, bucket_scratch: lambda: scratch}

    def _backend(self, life: Life) -> Backend:
        return Backend(
            records=self._store("records", life),
            queues=self._store("queues", life),
            blobs=self._store("blobs", life),
            digests=KeyedDigests(b"a key for tests"),
            clock=LifeClock(life),
        )

    def _reached(self, call: str, life: Life) -> Fault | None:
        point = Point(len(self.points) + 1, call, life.name)
        self.points.append(point)
        return self._strike.fault if self._strike is not None and self._strike.point == point else None


def play(body: bytes, sizes: Sizes, strike: Strike | None = None) -> Scene:
    """Let a file go its way to the end."""
    scene = Scene(sizes.seconds, strike)
    with divided_by(sizes):
        scene.upload(body)
        scene.settle()
    return scene
