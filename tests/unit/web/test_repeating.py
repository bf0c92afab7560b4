"""`Idempotency-Key`: a request whose reply was lost is repeated, and adds nothing twice."""

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Form, HTTPException, Request, UploadFile, WebSocket

from afterward.background import Accepted, BackgroundTasks, accepted, install
from afterward.background.idempotency import KEEP
from afterward.errors import Unavailable
from afterward.memory import MemoryQueues, MemoryRecords
from afterward.queues import Outgoing
from afterward.records import Claim, RequestKey, queued
from afterward.testing import ManualClock
from tests.support.web_tasks import note, other
from tests.unit.web.conftest import OWNER, Queues, Site

KEY = {"Idempotency-Key": "order-1"}


@pytest.fixture
def notes(site: Site) -> Site:
    """A site with routes that add one task, a chain, and a task under an id that the client chooses."""

    @site.app.post("/notes", status_code=202)
    async def add(text: str, background_tasks: BackgroundTasks) -> Accepted:
        return accepted(background_tasks.add_task(note, text), message=f"{text} will be noted")

    @site.app.post("/others", status_code=202)
    async def add_other(text: str, background_tasks: BackgroundTasks) -> Accepted:
        return accepted(background_tasks.add_task(other, text), message=f"{text} will be done")

    @site.app.post("/chains", status_code=202)
    async def chain(background_tasks: BackgroundTasks) -> list[str]:
        return [background_tasks.add_task(task, text).id for task, text in ((note, "a"), (other, "b"), (note, "c"))]

    @site.app.post("/named/{name}", status_code=202)
    async def named(name: str, text: str, background_tasks: BackgroundTasks) -> Accepted:
        return accepted(background_tasks.add_task(note.options(id=name), text), message=f"{name} is noted")

    return site


def same(one: httpx.Response, two: httpx.Response) -> bool:
    return (one.status_code, one.content, one.headers["location"]) == (
        two.status_code,
        two.content,
        two.headers["location"],
    )


@pytest.mark.parametrize("path", ["/notes?text=milk", "/chains", "/named/mine?text=milk"])
def test_a_repeat_gets_the_same_answer(notes: Site, path: str) -> None:
    """The same body and Location, also where the job has its id from the client; the job exists once."""
    first = notes.post(path, headers=KEY)
    again = notes.post(path, headers=KEY)
    assert first.status_code == 202
    assert same(first, again)
    assert len({chain[0].id for chain in notes.promised()}) == 1


@pytest.mark.parametrize("path", ["/notes?text=milk", "/named/mine?text=milk"])
def test_a_repeat_of_a_job_that_has_begun_sends_nothing(notes: Site, path: str) -> None:
    """Its message has done its work."""
    job_id = notes.post(path, headers=KEY).json()["task_id"]
    stands = notes.backend.records.get(OWNER, job_id)
    assert stands is not None
    notes.backend.records.swap(stands, stands.changed(notes.backend.clock.now(), attempt=1))
    assert notes.post(path, headers=KEY).json()["task_id"] == job_id
    assert len(notes.promised()) == 1


def test_the_key_comes_before_the_conflict(notes: Site) -> None:
    """A chosen id in use is 409, unless it is this very request that has used it."""
    assert notes.post("/named/mine?text=milk", headers=KEY).status_code == 202
    assert notes.post("/named/mine?text=milk").status_code == 409
    assert notes.post("/named/mine?text=milk", headers={"Idempotency-Key": "order-2"}).status_code == 409
    assert notes.post("/named/mine?text=milk", headers=KEY).status_code == 202


def test_a_key_does_not_take_over_somebody_elses_job(notes: Site) -> None:
    """The id was in use before the key was: repeated or not, that is 409."""
    notes.post("/named/mine?text=milk")
    for _ in range(2):
        assert notes.post("/named/mine?text=milk", headers=KEY).status_code == 409


@pytest.mark.parametrize(
    ("first", "second"),
    [("/notes?text=milk", "/notes?text=bread"), ("/named/one?text=milk", "/named/two?text=milk")],
)
def test_another_request_under_the_same_key_is_refused(notes: Site, first: str, second: str) -> None:
    """422, and nothing of it is added."""
    notes.post(first, headers=KEY)
    answer = notes.post(second, headers=KEY)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "Idempotency-Key" in answer.json()["detail"]
    assert len(notes.promised()) == 1


def test_a_key_belongs_to_its_route(notes: Site) -> None:
    """The same key on another route is another request."""
    assert notes.post("/notes?text=milk", headers=KEY).status_code == 202
    assert notes.post("/others?text=milk", headers=KEY).status_code == 202
    assert len(notes.promised()) == 2


def test_a_quoted_key_is_the_same_key(notes: Site) -> None:
    """The draft writes it as a quoted string, most clients do not."""
    quoted = {"Idempotency-Key": '"order-1"'}
    assert same(notes.post("/notes?text=milk", headers=KEY), notes.post("/notes?text=milk", headers=quoted))


def test_a_key_is_kept_for_a_day(notes: Site, clock: ManualClock) -> None:
    """After that the same request is a new one."""
    first = notes.post("/notes?text=milk", headers=KEY).json()
    clock.advance(KEEP - 1)
    assert notes.post("/notes?text=milk", headers=KEY).json() == first
    clock.advance(2)
    assert notes.post("/notes?text=milk", headers=KEY).json() != first


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_malformed_key_is_refused(notes: Site, key: str) -> None:
    """It would not come back the same."""
    assert notes.post("/notes?text=milk", headers={"Idempotency-Key": key}).status_code == 422
    assert notes.promised() == []


def test_requests_without_a_key_are_not_repeats(notes: Site) -> None:
    """Each adds a job of its own."""
    ids = {notes.post("/notes?text=milk").json()["task_id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_refused_request_is_completed_by_its_repeat(notes: Site) -> None:
    """503 promised nothing; with the key again, the job is added once."""
    notes.queues.refusing = True
    assert notes.post("/chains", headers=KEY).status_code == 503
    notes.queues.refusing = False
    ids = notes.post("/chains", headers=KEY).json()
    assert [[one.id for one in chain] for chain in notes.promised()] == [ids]


def test_a_request_that_fails_keeps_no_key(site: Site) -> None:
    """An endpoint that raises has accepted nothing, so the key is still free, for another request too."""

    @site.app.post("/notes")
    async def add(text: str, background_tasks: BackgroundTasks) -> str:
        background_tasks.add_task(note, text)
        if text == "wrong":
            raise HTTPException(400, "wrong")
        return text

    assert site.post("/notes?text=wrong", headers=KEY).status_code == 400
    assert site.post("/notes?text=right", headers=KEY).status_code == 200
    assert site.texts() == [["right"]]


class Blind(MemoryRecords):
    """Finds no key when a request begins, as if the other one had not kept it yet."""

    blind = True

    def recall(self, name: str, now: float) -> RequestKey | None:
        return None if self.blind and not self._lock.locked() else super().recall(name, now)


def test_two_requests_at_one_time_give_one_job(notes: Site) -> None:
    """Both found the key free; the later one is told to ask again, and then gets the first one's answer."""
    records = Blind(notes.backend.clock)
    notes.backend = replace(notes.backend, records=records)
    first = notes.post("/notes?text=milk", headers=KEY)
    second = notes.post("/notes?text=milk", headers=KEY)
    records.blind = False
    assert (first.status_code, second.status_code) == (202, 409)
    assert second.headers["retry-after"] == "1"
    assert notes.post("/notes?text=milk", headers=KEY).json() == first.json()
    assert len({chain[0].id for chain in notes.promised()}) == 1


def test_bodies_tell_requests_apart(site: Site) -> None:
    """JSON and forms, also those with files: a repeat may write them with another boundary."""

    @site.app.post("/json")
    async def add(texts: list[str], background_tasks: BackgroundTasks) -> str:
        return background_tasks.add_task(note, texts[0]).id

    @site.app.post("/form")
    async def upload(name: Annotated[str, Form()], file: UploadFile, background_tasks: BackgroundTasks) -> str:
        content = await file.read()
        return background_tasks.add_task(note, f"{name} {content.decode()}").id

    def repeated(path: str, one: dict[str, Any], two: dict[str, Any]) -> list[int]:
        return [site.post(path, headers=KEY, **content).status_code for content in (one, one, two)]

    def form(name: str, content: str) -> dict[str, Any]:
        return {"data": {"name": name}, "files": {"file": ("a.txt", content.encode())}}

    assert repeated("/json", {"json": ["a"]}, {"json": ["b"]}) == [200, 200, 422]
    assert repeated("/form", form("a", "x"), form("a", "y")) == [200, 200, 422]
    assert site.texts() == [["a"], ["a"], ["a x"], ["a x"]]


class HalfRefusing(Queues):
    """Takes the messages of the first task and refuses those of the second."""

    def send(self, messages: list[Outgoing]) -> None:
        MemoryQueues.send(self, [one for one in messages if one.task == note.name])
        super().send([one for one in messages if one.task != note.name])


@pytest.mark.parametrize("headers", [{}, KEY])
def test_a_half_refused_group_is_completed_by_its_key(site: Site, headers: dict[str, str]) -> None:
    """Some of its jobs may run although the answer is 503; it names the key with which a repeat adds the others."""
    site.backend = _with(site, HalfRefusing(site.backend.clock, refusing=True))

    @site.app.post("/", status_code=202)
    async def add(background_tasks: BackgroundTasks) -> list[str]:
        group = background_tasks.group()
        return [group.add_task(task, text).id for task, text in ((note, "a"), (other, "b"))]

    refused = site.post("/", headers=headers)
    assert refused.status_code == 503
    key = refused.json()["idempotency_key"]
    assert key in refused.json()["detail"]
    assert key == headers.get("Idempotency-Key", key)
    (begun,) = site.promised()
    _claim(site, begun[0].id)
    site.queues.refusing = False
    ids = site.post("/", headers={"Idempotency-Key": key}).json()
    assert ids[0] == begun[0].id
    assert [chain[0].id for chain in site.promised()] == ids
    assert site.promised()[1][0].members == 2


class Forgetful(MemoryRecords):
    """Cannot keep keys."""

    def remember(self, key: RequestKey, now: float) -> RequestKey:  # noqa: ARG002 - whatever it is
        raise Unavailable("DynamoDB did not take the request (Throttled)")


def test_a_key_that_cannot_be_kept_is_not_named(site: Site) -> None:
    """A repeat under it would add everything anew."""
    clock = site.backend.clock
    site.backend = replace(_with(site, HalfRefusing(clock, refusing=True)), records=Forgetful(clock))

    @site.app.post("/", status_code=202)
    async def add(background_tasks: BackgroundTasks) -> list[str]:
        group = background_tasks.group()
        return [group.add_task(task, text).id for task, text in ((note, "a"), (other, "b"))]

    refused = site.post("/")
    assert refused.status_code == 503
    assert "idempotency_key" not in refused.json()


def test_a_websockets_key_counts_for_nothing(site: Site) -> None:
    """What it will say is in no request, so one that connects again with the same key must not lose what it adds."""

    @site.app.websocket("/notes")
    async def notes(websocket: WebSocket, background_tasks: BackgroundTasks) -> None:
        await websocket.accept()
        background_tasks.add_task(note, "milk")
        await background_tasks.publish()
        await websocket.close()

    for _ in range(2):
        connect(site, "/notes", (b"idempotency-key", b"order-1"))
    assert len({chain[0].id for chain in site.promised()}) == 2


def connect(site: Site, path: str, *headers: tuple[bytes, bytes]) -> list[MutableMapping[str, Any]]:
    """Open a WebSocket, and return what the app sends."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": path, "headers": [*headers], "query_string": b"", "subprotocols": []}
    site.loop.run_until_complete(site.app(scope, receive, send))
    return sent


def test_a_websocket_whose_tasks_are_refused_is_closed(site: Site) -> None:
    """With "try again later"; it was accepted long ago, so no HTTP answer can be given."""

    @site.app.websocket("/notes")
    async def notes(websocket: WebSocket, background_tasks: BackgroundTasks) -> None:
        await websocket.accept()
        background_tasks.add_task(note, "milk")
        await background_tasks.publish()

    site.queues.refusing = True
    accepted, closed = connect(site, "/notes")
    assert accepted["type"] == "websocket.accept"
    assert (closed["type"], closed["code"]) == ("websocket.close", 1013)


def test_a_key_belongs_to_its_whole_route(site: Site) -> None:
    """Prefixes of routers and mounts of apps are part of it."""

    def routes(router: FastAPI | APIRouter) -> None:
        @router.post("/items", status_code=202)
        async def add(background_tasks: BackgroundTasks) -> Accepted:
            return accepted(background_tasks.add_task(note, "x"), message="added")

    for prefix in ("/a", "/b"):
        router = APIRouter()
        routes(router)
        site.app.include_router(router, prefix=prefix)
    for path in ("/c", "/d"):
        mounted = FastAPI()
        install(mounted)
        mounted.dependency_overrides = site.app.dependency_overrides
        routes(mounted)
        site.app.mount(path, mounted)
    assert [site.post(f"/{one}/items", headers=KEY).status_code for one in "abcd"] == [202] * 4
    assert len(site.promised()) == 4


def test_a_half_refused_group_answers_503_whatever_became_of_the_body(site: Site) -> None:
    """The endpoint may have read it as a stream, and the key that is named needs none of it."""
    site.backend = _with(site, HalfRefusing(site.backend.clock, refusing=True))

    @site.app.post("/", status_code=202)
    async def add(request: Request, background_tasks: BackgroundTasks) -> list[str]:
        async for _ in request.stream():
            pass
        group = background_tasks.group()
        return [group.add_task(task, text).id for task, text in ((note, "a"), (other, "b"))]

    refused = site.post("/", content=b"abc")
    assert refused.status_code == 503
    site.queues.refusing = False
    again = site.post("/", content=b"abc", headers={"Idempotency-Key": refused.json()["idempotency_key"]})
    assert again.status_code == 202
    assert {chain[0].id for chain in site.promised()} == set(again.json())


def test_a_refused_chain_names_no_key(notes: Site) -> None:
    """Nothing of it can run, so it needs none."""
    notes.queues.refusing = True
    assert "idempotency_key" not in notes.post("/chains").json()


def _with(site: Site, queues: Queues) -> Any:
    return replace(site.backend, queues=queues)


def _claim(site: Site, job_id: str) -> None:
    """Begin the job, making its record, as its worker does."""
    (envelope,) = [chain[0] for chain in site.promised() if chain[0].id == job_id]
    now = site.backend.clock.now()
    fresh = queued(envelope, envelope, limit=3, shards=4, now=now)
    site.backend.records.claim(Claim(fresh=fresh, now=now, lease=now + 10))
