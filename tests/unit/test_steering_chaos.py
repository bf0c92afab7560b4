"""Chains under everything that can happen to them at once, by chance: none may end where nothing goes on any more."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from afterward import Discard
from afterward.backend import Backend, in_memory
from afterward.envelope import Entry, Envelope, Link, members_of
from afterward.errors import CannotSteer, Unavailable
from afterward.job import Status
from afterward.memory import DEAD_LETTERS, MemoryQueues
from afterward.queues import Outgoing
from afterward.records import Record, queued
from afterward.steering import cancel, retry
from afterward.testing import START, ManualClock
from afterward.worker import Worker
from tests.support.jobs import DECLARED, FIRST, OWNER, SECOND, THIRD, deliver, envelope, link, send, standing
from tests.support.line import LETTERS

SEEDS = 800


class Queues(MemoryQueues):
    """Queues that refuse now and then, while there is chaos."""

    refuses: Callable[[], bool]

    def send(self, messages: list[Outgoing]) -> None:
        if self.refuses():
            raise Unavailable("SQS did not take the request")
        super().send(messages)


class Chaos:
    """A chain with groups, made by chance, whose jobs fail, are cancelled, retried and delivered again."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - repeatable
        self.clock = ManualClock()
        self.on = True
        queues = Queues(self.clock)
        queues.refuses = lambda: self.on and self._happens(0.05)
        self.queues = queues
        self.using: Backend = replace(in_memory(self.clock), queues=queues)
        self.workers = {name: Worker(DECLARED[name], self._work) for name in (FIRST, SECOND, THIRD)}
        self.settled: list[Outgoing] = []
        self.ids: list[str] = []
        self._accept()

    def go(self) -> None:
        """Do something, whatever it is."""
        todo: list[Callable[[], object]] = [self.deliver, self.repeat, self.cancel, self.retry]
        self.chance.choices(todo, [60, 10, 10, 15])[0]()

    def deliver(self) -> None:
        """Deliver one message of some queue, or move on to when there is one."""
        name = self.chance.choice(self.queues.names() or [FIRST])
        received = self.queues.receive(name)
        if not received:
            self.clock.advance(max(0.0, (self.queues.next_visible() or 0.0) - self.clock.now()))
        for message in received:
            handler = LETTERS if name == DEAD_LETTERS else self.workers[name]
            if deliver(handler, self.using, message) or (self.on and self._happens(0.05)):
                continue  # it comes again, though it was settled perhaps
            self.queues.delete(name, [message])
            if name != DEAD_LETTERS:
                self.settled.append(Outgoing(name, message.body, OWNER))

    def repeat(self) -> None:
        """Deliver a message that was settled long ago."""
        if self.settled:
            MemoryQueues.send(self.queues, [self.chance.choice(self.settled)])

    def cancel(self) -> None:
        self._steer(cancel, self.chance.choice(self.ids))

    def retry(self, job_id: str = "") -> bool:
        return self._steer(retry, job_id or self.chance.choice(self.ids))

    def drain(self) -> None:
        for _ in range(5_000):
            if not self.queues.names():
                return
            self.deliver()
        raise AssertionError("messages keep coming")

    def open(self) -> list[str]:
        return [job_id for job_id in self.ids if not standing(self.using, job_id).status.final]

    def unfinished(self) -> list[str]:
        return [job_id for job_id in self.ids if standing(self.using, job_id).status is not Status.COMPLETED]

    def _happens(self, share: float) -> bool:
        return self.chance.random() < share

    def _work(self, text: str) -> None:  # noqa: ARG002 - the task's signature
        if self.on and self._happens(0.35):
            raise Discard("broken")
        if self.on and self._happens(0.2):
            raise OSError("broken for now")

    def _steer(self, how: Callable[[Backend, Record], Record], job_id: str) -> bool:
        try:
            how(self.using, standing(self.using, job_id))
        except (CannotSteer, Unavailable):
            return False
        return True

    def _accept(self) -> None:
        rest: list[Entry] = [
            tuple(self._link() for _ in range(self.chance.randint(1, 3))) if self._happens(0.4) else self._link()
            for _ in range(self.chance.randint(1, 4))
        ]
        head = envelope(job_id="first", rest=rest)
        heads = [head]
        if self._happens(0.3) and isinstance(rest[0], tuple):
            heads = [
                replace(one, rest=tuple(rest[1:]), chain=rest[0][0].id)
                for one in head.at(rest[0], side_by_side=True, now=START)
            ]
        links: list[Link | Envelope] = [*heads, *(one for entry in heads[0].rest for one in members_of(entry))]
        self.on = False
        send(self.using, *heads)
        self.on = True
        for one in links:
            limit = DECLARED[one.task].max_attempts
            self.using.records.add(queued(heads[0], one, limit=limit, shards=4, now=START))
        self.ids = [one.id for one in links]

    def _link(self) -> Link:
        about: dict[str, Any] = {"even_if_failed": self._happens(0.3)}
        self._made = getattr(self, "_made", 0) + 1
        return link(self.chance.choice((FIRST, SECOND, THIRD)), f"job-{self._made}", **about)


@pytest.mark.parametrize("start", range(0, SEEDS, 50))
def test_a_chain_ends_and_can_be_brought_to_its_end(start: int) -> None:
    """When the chaos is over every job ends; and retries bring all of them to completion, in some order of them."""
    for seed in range(start, start + 50):
        chaos = Chaos(seed)
        for _ in range(chaos.chance.randint(5, 120)):
            chaos.go()
        chaos.on = False
        chaos.drain()
        assert chaos.open() == [], seed
        while todo := chaos.unfinished():
            retried = [chaos.retry(job_id) for job_id in (todo if seed % 2 else todo[:1])]
            assert any(retried) or any(map(chaos.retry, todo)), (seed, todo)
            chaos.drain()
            assert chaos.open() == [], seed
