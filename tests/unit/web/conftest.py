from asyncio import AbstractEventLoop
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from mangum import Mangum

from afterward import Job
from afterward.backend import Backend
from afterward.background import install, owner, store
from afterward.envelope import Envelope, loads
from afterward.errors import Unavailable
from afterward.memory import MemoryQueues
from afterward.queues import Outgoing
from afterward.testing import ManualClock
from tests.support.gateway import Gateway, lambda_loop
from tests.support.web_tasks import NAMES

OWNER = "0123456789abcdef0123456789abcdef"


@dataclass(slots=True)
class Queues(MemoryQueues):
    """Queues that can refuse."""

    refusing: bool = False

    def send(self, messages: list[Outgoing]) -> None:
        if self.refusing:
            raise Unavailable("SQS did not take the request (Throttled)", retry_after=7)
        super(Queues, self).send(messages)


@dataclass(slots=True)
class Site:
    """An app with Afterward installed, its stores in memory, and its callers."""

    backend: Backend
    loop: AbstractEventLoop
    app: FastAPI = field(default_factory=FastAPI)

    def __post_init__(self) -> None:
        install(self.app)
        self.app.dependency_overrides[store] = self._store
        self.app.dependency_overrides[owner] = self._owner

    def request(
        self, method: str, url: str, *, root_path: str = "", raises: bool = False, **content: Any
    ) -> httpx.Response:
        """Send one request as a server would; `raises`: raise what the app raised, instead of its 500."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=raises, root_path=root_path)
            async with httpx.AsyncClient(transport=transport, base_url="http://api.example.com") as client:
                return await client.request(method, url, **content)

        return self.loop.run_until_complete(send())

    def get(self, url: str, **content: Any) -> httpx.Response:
        return self.request("GET", url, **content)

    def post(self, url: str, **content: Any) -> httpx.Response:
        return self.request("POST", url, **content)

    @property
    def gateway(self) -> Gateway:
        return Gateway(Mangum(self.app, lifespan="off"))

    @property
    def queues(self) -> Queues:
        assert isinstance(self.backend.queues, Queues)
        return self.backend.queues

    def promised(self) -> list[list[Envelope]]:
        """Return every chain that was accepted, as the envelopes of its jobs."""
        return [chain_of(loads(message.body)) for name in NAMES for message in self.queues.waiting(name)]

    def texts(self) -> list[list[Any]]:
        """Return the argument `text` of every job, by chain."""
        return [[one.arguments["text"] for one in chain] for chain in self.promised()]

    def known(self, job: Job | str) -> bool:
        return self.backend.records.get(OWNER, job if isinstance(job, str) else job.id) is not None

    async def _store(self) -> Backend:
        return self.backend

    async def _owner(self) -> str:
        return OWNER


def chain_of(head: Envelope) -> list[Envelope]:
    return [head, *(one for index in range(len(head.rest)) for one in following(head, index))]


def following(head: Envelope, index: int) -> list[Envelope]:
    return head.successors(index, broken_by="", broken_as="", now=0)


@pytest.fixture
def site(memory: Backend, clock: ManualClock) -> Iterator[Site]:
    with lambda_loop() as loop:
        yield Site(replace(memory, queues=Queues(clock)), loop)
