"""Messages that other versions of the code have made: older ones are brought up to date, newer ones wait for it."""

import json
from collections.abc import Iterator

import pytest

from afterward import task
from afterward.backend import Backend
from afterward.declaration import REGISTRY, Task
from afterward.delivery import DEPLOY, DEPLOY_LOOK
from afterward.job import Status
from afterward.memory import DEAD_LETTERS, MemoryBlobs, MemoryQueues
from afterward.parcel import pack
from afterward.queues import Outgoing
from afterward.steering import retry
from afterward.testing import ManualClock
from afterward.worker import Worker
from tests.support.jobs import OWNER, deliver, envelope, record, run, send, standing
from tests.support.line import LETTERS

NAME = "deploys_greet"


def greet(name: str, title: str) -> None:
    """Greet somebody."""


@pytest.fixture
def deployed() -> Iterator[list[str]]:
    """What the third version of a task, as it is deployed now, was called with."""
    called: list[str] = []
    yield called
    REGISTRY.pop(NAME, None)


def version(number: int, called: list[str]) -> Worker:
    """Deploy a version of the task; it knows how to read the one before."""
    REGISTRY.pop(NAME, None)
    declared: Task[...] = task(name=NAME, version=number, max_attempts=2)(greet)
    if number > 1:
        declared.upcast(number - 1)(lambda old: {"name": old["name"], "title": "Dr"})

    def work(name: str, title: str) -> None:
        called.append(f"{title} {name} by {number}")

    return Worker(declared, work)


def accepted(using: Backend, made_for: int) -> None:
    arguments = {"name": "Ada"} | ({} if made_for < 3 else {"title": "Lady"})
    send(using, envelope(NAME, version=made_for, arguments=arguments))


def test_a_job_of_an_older_version_runs_with_what_its_upcaster_says(memory: Backend, deployed: list[str]) -> None:
    """It was accepted before the deploy."""
    accepted(memory, 2)
    run(version(3, deployed), memory)
    assert (deployed, standing(memory).status) == (["Dr Ada by 3"], Status.COMPLETED)


def test_a_job_of_a_newer_version_waits_for_its_code(memory: Backend, clock: ManualClock, deployed: list[str]) -> None:
    """The API is deployed, the worker a moment later: no attempt is spent, and nothing is a dead letter."""
    accepted(memory, 3)
    for _ in range(5):
        run(version(2, deployed), memory)
        clock.advance(DEPLOY_LOOK)
    assert memory.records.get(OWNER, "job-1") is None
    run(version(3, deployed), memory)
    assert (deployed, standing(memory).attempt) == (["Lady Ada by 3"], 1)


def test_a_job_whose_code_does_not_come_is_archived(memory: Backend, clock: ManualClock, deployed: list[str]) -> None:
    """It says for which version it was made; when that is deployed, a retry brings it back."""
    accepted(memory, 3)
    old = version(2, deployed)
    looks = 0
    while run(old, memory):
        looks += 1
        clock.advance(DEPLOY_LOOK)
    run(LETTERS, memory)
    failed = standing(memory)
    assert looks == DEPLOY / DEPLOY_LOOK + 1
    assert failed.status is Status.FAILED
    assert failed.reason == f"the job was made for version 3 of {NAME}, and this code is version 2"
    new = version(3, deployed)
    retry(memory, failed)
    run(new, memory)
    assert (deployed, standing(memory).status) == (["Lady Ada by 3"], Status.COMPLETED)


def test_an_envelope_of_a_newer_format_waits_too(memory: Backend, clock: ManualClock, deployed: list[str]) -> None:
    """Code that can read it may come; after half an hour it is archived as it is."""
    body = json.dumps({"afterward": 2})
    memory.queues.send([Outgoing(NAME, body, OWNER)])
    worker = version(1, deployed)
    run(worker, memory)
    clock.advance(DEPLOY_LOOK)
    assert isinstance(memory.queues, MemoryQueues)
    assert not memory.queues.waiting(DEAD_LETTERS)
    clock.advance(DEPLOY)
    run(worker, memory)
    (letter,) = memory.queues.waiting(DEAD_LETTERS)
    assert (letter.body, letter.attributes["error"]) == (body, "NewerMessage")


def test_a_job_whose_format_stays_unknown_has_failed(memory: Backend, clock: ManualClock, deployed: list[str]) -> None:
    """Whatever else its envelope says, it names the job as ever, so that this does not stay queued."""
    memory.records.add(record(limit=2))
    body = json.loads(pack(envelope(NAME), memory.blobs).body) | {"afterward": 2, "arguments": "packed in a new way"}
    memory.queues.send([Outgoing(NAME, json.dumps(body), OWNER)])
    worker, looks = version(1, deployed), 0
    while run(worker, memory):
        assert standing(memory).untouched
        looks += 1
        clock.advance(DEPLOY_LOOK)
    assert looks == DEPLOY / DEPLOY_LOOK + 1
    run(LETTERS, memory)
    failed = standing(memory)
    assert (failed.status, failed.owes, deployed) == (Status.FAILED, "", [])
    assert failed.reason == "the envelope has format 2, and this code knows format 1"
    assert isinstance(memory.blobs, MemoryBlobs)
    (key,) = memory.blobs.objects
    assert key.startswith("archive/unreadable/")


def test_a_message_that_waits_for_its_code_does_not_hold_up_its_batch(memory: Backend, deployed: list[str]) -> None:
    """The other one runs."""
    send(
        memory,
        envelope(NAME, "newer", version=3, arguments={}),
        envelope(NAME, version=2, arguments={"name": "Ada", "title": "Ms"}),
    )
    assert isinstance(memory.queues, MemoryQueues)
    newer, good = memory.queues.receive(NAME, 2)
    assert deliver(version(2, deployed), memory, newer, good) == [newer.id]
    assert deployed == ["Ms Ada by 2"]
