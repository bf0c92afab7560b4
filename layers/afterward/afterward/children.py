"""Jobs that a running task adds: they run when it has completed, and before what follows it in its chain."""

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

from afterward.additions import Additions
from afterward.envelope import Entry, Envelope, Link, dumps, dumps_rest, entries, loads
from afterward.errors import UsageError
from afterward.job import Job
from afterward.records import derived_id

if TYPE_CHECKING:
    from afterward.declaration import Task
    from afterward.envelope import Json
    from afterward.queues import Blobs
    from afterward.records import Record

LIMIT = 10_000
"""Children of one job."""

SIZE = 8_000_000
"""Bytes of a job's children together: whoever hands over reads them all at once."""

CARRIED = 256_000_000
"""Bytes of what follows a group in all messages of its jobs: each of them carries it."""


class Children(Additions):
    """Injected by type: `children: Children = injected`.

    Jobs are added as a request adds them, one after the other or in a `group()` side by side. They exist only if this
    attempt completes the job: one that fails, or goes on elsewhere, has added nothing. So they are added behind the
    last checkpoint: an attempt that resumes there would not add again what stands before it.
    """

    def __init__(self, parent: Envelope, record: "Record") -> None:
        super().__init__()
        self._parent = parent
        self._record = record
        self._links: list[tuple[int, Link]] = []
        self._size = 0
        self._closed = False
        self._lock = threading.Lock()

    def beside_checkpoint(self) -> dict[str, Any]:
        """Return what a checkpoint says of children, which is nothing; raise UsageError where it would lose some."""
        if self._links:
            raise UsageError(
                f"{self._parent.task} saves a checkpoint after it has added children, and an attempt that resumes "
                "there would not add them again; add the children behind the last checkpoint, and behind a tracked loop"
            )
        return {}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was added, as links of the chain."""
        return tuple(entries(self._links))

    def store(self, blobs: "Blobs") -> None:
        """Take no more, and keep what was added for the hand-over. It comes into being with the job's completion."""
        with self._lock:
            self._closed = True
        if self._links:
            self._check_carried()
            blobs.put(_key(self._record), dumps(dataclasses.replace(self._parent, arguments={}, rest=self.entries)))

    def changes(self) -> dict[str, Any]:
        """Return the field of the record that makes the children exist."""
        return {"children": len(self._links)} if self._links else {}

    def _check(self, task: "Task[...]") -> None:
        if reason := self._refusal(task):
            raise UsageError(f"{task.name} was added as a child of {self._parent.task}: {reason}")

    def _refusal(self, task: "Task[...]") -> str | None:
        parent, options = self._parent, task.call_options
        reasons = {
            "the attempt is over; add children before the task returns": self._closed,
            "a job of a group cannot have children; let a job that comes after the group add them": parent.members,
            "a callback tells of its chain and is no part of it, so it cannot have children": parent.callback,
            f"job {parent.broken_by} has stopped the chain, so it would not run; see Chain.status, or add it with "
            "options(even_if_failed=True)": parent.broken_by and not options.even_if_failed,
            "the id of a child follows from its parent's, so options(id=) and options(key=) are not for children": (
                options.id is not None or options.key is not None
            ),
            f"a job has at most {LIMIT:,} children; give each of them more to do, or let a child add the others": (
                len(self._links) >= LIMIT
            ),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _added(self, task: "Task[...]", arguments: "dict[str, Json]", *, side: int = 0) -> Job:
        options = task.call_options
        with self._lock:
            link = Link(
                id=child_id(self._record, len(self._links)),
                task=task.name,
                version=task.version,
                arguments=arguments,
                even_if_failed=options.even_if_failed,
                delay=options.delay,
                group=options.fairness,
            )
            size = self._size + len(dumps_rest((link,)).encode())
            if size > SIZE:
                raise UsageError(f"the children of {self._parent.task} come to more than {SIZE:,} bytes; {_INSTEAD}")
            self._links.append((side, link))
            self._size = size
            self.jobs.append(Job(link.id, link.task, self._record.created))
        return self.jobs[-1]

    def _check_carried(self) -> None:
        behind = len(dumps_rest(self._parent.rest))
        for entry in reversed(self.entries):
            if isinstance(entry, tuple) and len(entry) * behind > CARRIED:
                raise UsageError(
                    f"what follows the group of {len(entry)} children of {self._parent.task} is too much to travel "
                    "with each of them; let the job behind the group add what comes next as its own children"
                )
            behind += len(dumps_rest((entry,)))


_INSTEAD = "keep what is large in S3 and pass its key"


def child_id(parent: "Record", number: int) -> str:
    """Return the id of a job's n-th child, counted from 0: it follows from the parent's, so no record need list them.

    The time of the parent is in it, since a chosen id may name another job once its record has expired. Its run is not:
    a job that has completed, and so has children, is never run again.
    """
    return derived_id(parent.owner, parent.id, parent.created, f"child {number}")


def children_of(record: "Record", blobs: "Blobs") -> tuple[Entry, ...]:
    """Return what a completed job has added; raise BadMessage where it is gone."""
    return loads(blobs.get(_key(record))).rest if record.children else ()


def _key(record: "Record") -> str:
    """Name the object that an attempt leaves: another attempt, though it thinks itself the only one, has another."""
    return f"envelopes/{record.owner}/{record.id}/children-{record.run}-{record.attempt}.json"
