"""Jobs of three tasks that are declared for tests, and a way to hand their messages to a worker."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from afterward import Backoff, task
from afterward.backend import Backend
from afterward.clock import timestamp
from afterward.dead_letters import DeadLetters
from afterward.declaration import Task
from afterward.envelope import Entry, Envelope, Link
from afterward.event import Context, Response
from afterward.in_process import Invocation, as_record
from afterward.job import Status
from afterward.memory import DEAD_LETTERS, MemoryQueues
from afterward.parcel import pack, unpack
from afterward.publish import Call
from afterward.queues import Incoming
from afterward.records import Record, queued
from afterward.testing import START
from afterward.worker import Worker

OWNER = "c0ffee00c0ffee00c0ffee00c0ffee00"
FIRST, SECOND, THIRD = "core_first", "core_second", "core_third"
TASKS = (FIRST, SECOND, THIRD)


@task(name=FIRST, max_attempts=3, backoff=Backoff(base=4, cap=60))
def first(text: str) -> None:
    """Do the first thing."""


@task(name=SECOND, max_attempts=3)
def second(text: str) -> None:
    """Do the second thing."""


@task(name=THIRD, max_attempts=1)
def third(text: str) -> None:
    """Do the third thing."""


DECLARED: dict[str, Task[...]] = {FIRST: first, SECOND: second, THIRD: third}


def call(name: str, text: str = "hello", /, **about: Any) -> Call:
    """Return a call as `add_task` makes it; what is not given is made up."""
    made: dict[str, Any] = {
        "id": f"{name}-1",
        "created": timestamp(START),
        "version": 1,
        "max_attempts": DECLARED[name].max_attempts,
    }
    return Call(task=name, arguments={"text": text}, **(made | about))


def envelope(name: str = FIRST, job_id: str = "job-1", *, rest: Sequence[Entry] = (), **about: Any) -> Envelope:
    made = {"owner": OWNER, "created": timestamp(START), "arguments": {"text": "hello"}, "chain": job_id}
    return Envelope(id=job_id, task=name, rest=tuple(rest), **(made | about))


def link(name: str, job_id: str, **about: Any) -> Link:
    return Link(id=job_id, task=name, arguments={"text": "hello"}, **about)


def record(job_id: str = "job-1", *, now: float = START, limit: int = 3, **changes: Any) -> Record:
    """Return the record of a job as it is after accepting it, with changes."""
    about = envelope(job_id=job_id)
    fresh = queued(about, about, limit=limit, shards=4, now=now)
    return fresh.changed(now, **changes) if changes else fresh


def worker(name: str, implementation: Callable[..., Any]) -> Worker:
    """Return a worker of its own, beside any other that the task has in this process."""
    return Worker(DECLARED[name], implementation)


def deliver(
    handler: Worker | DeadLetters,
    using: Backend,
    *messages: Incoming,
    seconds: float = 10,
    context: Context | None = None,
) -> list[str]:
    """Invoke a handler as Lambda does; return the ids of the messages that it gives back."""
    event = {"Records": [as_record(message) for message in messages]}
    # Through JSON, since that is how an event comes.
    answer: Response = handler.run(json.loads(json.dumps(event)), context or Invocation(seconds), using)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def send(using: Backend, *envelopes: Envelope) -> None:
    """Put messages on their queues, with no record of them."""
    using.queues.send([pack(one, using.blobs) for one in envelopes])


def run(handler: Worker | DeadLetters, using: Backend, *, seconds: float = 10, batch: int = 1) -> int:
    """Hand what can be received now from a queue in memory to its handler; return how many messages that were."""
    queues = using.queues
    assert isinstance(queues, MemoryQueues)
    name = DEAD_LETTERS if isinstance(handler, DeadLetters) else handler.task.name
    received = queues.receive(name, batch)
    if received:
        kept = deliver(handler, using, *received, seconds=seconds)
        queues.delete(name, [message for message in received if message.id not in kept])
    return len(received)


def waiting(using: Backend, name: str) -> list[Envelope]:
    """Return the envelopes that lie in a queue in memory, seen or not."""
    queues = using.queues
    assert isinstance(queues, MemoryQueues)
    return [unpack(message.body, using.blobs) for message in queues.waiting(name)]


def standing(using: Backend, job_id: str = "job-1") -> Record:
    """Return the record of a job that has one."""
    found = using.records.get(OWNER, job_id)
    assert found is not None, f"{job_id} has no record"
    return found


def ended(about: Envelope, status: Status, **changes: Any) -> tuple[Envelope, Record]:
    """Return a job and its record as they are when it has ended: what a hand-over asks for."""
    fresh = queued(about, about, limit=3, shards=4, now=START)
    return about, fresh.changed(START, status=status, attempt=1, **changes)
