import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from afterward.background import DurableTasks, owner, store
from afterward.declaration import REGISTRY
from afterward.job import Job
from afterward.records import Record
from afterward.testing import ManualClock, MemoryJobs
from tests.support.modules import importing

HERE = Path(__file__).parent
OWNER = "test"
"""That of `DurableTasks.in_memory()`."""

TABLES = """
CREATE TABLE notices (id TEXT PRIMARY KEY, user_id INTEGER, text TEXT);
CREATE TABLE activity (id TEXT PRIMARY KEY, user_id INTEGER, action TEXT, timestamp TEXT);
CREATE TABLE statistics (user_id INTEGER, action TEXT, count INTEGER, PRIMARY KEY (user_id, action));
CREATE TABLE fetched (id TEXT PRIMARY KEY, user_id INTEGER, items INTEGER);
CREATE TABLE log (id TEXT PRIMARY KEY, text TEXT);
CREATE TABLE orders (id TEXT PRIMARY KEY);
CREATE TABLE points (user_id TEXT PRIMARY KEY, points INTEGER);
CREATE TABLE bookings (id TEXT PRIMARY KEY, user_id TEXT, points INTEGER);
"""

Load = Callable[[str], ModuleType]


@pytest.fixture
def load() -> Iterator[Load]:
    """Import one of the files that the guide shows, as new; the tasks that it declares are forgotten after the test."""
    with importing("shown") as imported:
        REGISTRY.clear()
        yield lambda name: imported(HERE / f"{name}.py")


@pytest.fixture(scope="session")
def guide() -> str:
    return (HERE.parents[2] / "docs/migrating.md").read_text()


@pytest.fixture(scope="session")
def words(guide: str) -> str:
    """The guide without its line breaks."""
    return " ".join(guide.split())


@dataclass(frozen=True, slots=True)
class Site:
    """An app of the guide, and who asks it. `post` raises what the app raised, also after its response has begun."""

    app: FastAPI

    def post(self, url: str, **content: Any) -> httpx.Response:
        return self.request("POST", url, **content)

    def get(self, url: str, **content: Any) -> httpx.Response:
        return self.request("GET", url, **content)

    def request(self, method: str, url: str, *, raises: bool = True, **content: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=raises)
            async with httpx.AsyncClient(transport=transport, base_url="http://api.example.com") as client:
                return await client.request(method, url, **content)

        return asyncio.run(send())


@dataclass(frozen=True, slots=True)
class Durable(Site):
    """The same with Afterward, its stores in memory and its clock in the test's hands."""

    tasks: DurableTasks = field(default_factory=lambda: DurableTasks.in_memory(owner=OWNER, clock=ManualClock()))

    def __post_init__(self) -> None:
        self.app.dependency_overrides[store] = lambda: self.tasks.backend
        self.app.dependency_overrides[owner] = lambda: OWNER

    @property
    def jobs(self) -> MemoryJobs:
        return MemoryJobs(self.tasks)

    def run(self) -> list[Record]:
        """Run what was accepted to its end; return the records in the order of adding."""
        self.jobs.drain()
        return self.jobs.records()

    def record(self, job_id: str) -> Record:
        return self.jobs.record(Job(job_id, "", ""))


@pytest.fixture
def before(load: Load) -> Callable[[str], Site]:
    """One of FastAPI's examples as FastAPI runs it."""

    def site(name: str) -> Site:
        app = FastAPI()
        app.include_router(load(f"before/{name}").router)
        return Site(app)

    return site


@pytest.fixture
def after(load: Load) -> Callable[[str], Durable]:
    """The same example with Afterward, in the app that the guide builds around it."""

    def site(name: str) -> Durable:
        return Durable(load("after/app").create_app(load(f"after/{name}").router))

    return site


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Any]]:
    """The author's own database, `app.db` where the process works, and a way to ask it."""
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("app.db")) as made:
        made.executescript(TABLES)

    def rows(query: str) -> list[Any]:
        with closing(sqlite3.connect("app.db")) as opened, opened:
            return opened.execute(query).fetchall()

    return rows
