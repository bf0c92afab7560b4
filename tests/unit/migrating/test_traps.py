"""What goes wrong when FastAPI's background tasks become jobs, and what to write instead."""

import asyncio
import logging
import warnings
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.exceptions import DependencyScopeError
from fastapi.responses import StreamingResponse
from starlette.exceptions import StarletteDeprecationWarning
from starlette.websockets import WebSocket

from afterward import Status, Unavailable, UsageError
from afterward.backend import Backend, in_memory
from afterward.background import DurableTasks, owner
from afterward.declaration import REGISTRY
from afterward.in_process import Consumer
from afterward.memory import MemoryQueues, MemoryRecords
from afterward.queues import Outgoing
from afterward.testing import ManualClock
from tests.unit.migrating.conftest import OWNER, Durable, Load, Site

Rows = Callable[[str], list[Any]]


@pytest.fixture
def trap(load: Load) -> Callable[[str], Durable]:
    """A trap's routes in an app with Afterward."""

    def site(name: str) -> Durable:
        return Durable(load("after/app").create_app(load(f"traps/{name}").router))

    return site


Trap = Callable[[str], Durable]


def waiting(site: Durable) -> int:
    """How many messages lie in the queues."""
    queues = site.tasks.backend.queues
    assert isinstance(queues, MemoryQueues)
    return sum(len(queues.waiting(name)) for name in queues.names())


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if one.name.startswith("shown_")]


def test_a_generator_of_the_request_cannot_add(load: Load, words: str) -> None:
    """FastAPI refuses it when the route is declared; the guide prints what it says."""
    with pytest.raises(DependencyScopeError) as refused:
        load("traps/request_scope")
    assert f"DependencyScopeError: {refused.value}" in words


def test_a_generator_of_the_function_can(trap: Trap) -> None:
    """It ends before the tasks are published, so what it adds is published, too."""
    site = trap("function_scope")
    assert site.get("/report").status_code == 200
    assert [(one.task, one.status) for one in site.run()] == [("keep_duration", Status.COMPLETED)]


@dataclass(slots=True)
class Immediate(MemoryQueues):
    """Queues whose worker is faster than the request that sends."""

    backend: Backend | None = None

    def send(self, messages: list[Outgoing]) -> None:
        super(Immediate, self).send(messages)
        assert self.backend
        Consumer(self.backend).step()


def hurried(site: Durable) -> Durable:
    """The same app with a worker that takes each job at once."""
    queues = Immediate(ManualClock())
    queues.backend = replace(in_memory(queues.clock), queues=queues)
    return Durable(site.app, DurableTasks(queues.backend, OWNER))


def test_a_job_may_be_faster_than_a_commit(trap: Trap, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """A row that is committed after the response is not there yet; the next attempt finds it."""
    site = hurried(trap("row_too_late"))
    answer = site.post("/orders/7")
    assert answer.status_code == 202
    reason = site.record(answer.json()["task_id"]).reason
    assert reason == "LookupError: there is no order 7"
    assert reason in words
    assert [(one.status, one.attempt) for one in site.run()] == [(Status.COMPLETED, 2)]
    assert said(caplog) == ["order 7 packed"]


def test_a_row_that_is_committed_by_the_endpoint_is_there(trap: Trap) -> None:
    """The first attempt finds it, however fast it is."""
    site = hurried(trap("row_in_time"))
    site.post("/orders/7")
    assert [(one.status, one.attempt) for one in site.jobs.records()] == [(Status.COMPLETED, 1)]


@dataclass(slots=True)
class Refusing(MemoryQueues):
    """Queues that refuse the first send."""

    refusals: int = 1

    def send(self, messages: list[Outgoing]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("SQS did not take the request (Throttled)")
        super(Refusing, self).send(messages)


def test_a_row_without_its_job_gets_it_by_the_repeat(trap: Trap, database: Rows) -> None:
    """Committed, and then not published: 503, and the caller's second try completes it, once."""
    app, clock = trap("row_in_time").app, ManualClock()
    site = Durable(app, DurableTasks(replace(in_memory(clock), queues=Refusing(clock)), OWNER))
    assert [site.post("/orders/7").status_code for _ in range(3)] == [503, 202, 202]
    assert database("SELECT id FROM orders") == [("7",)]
    assert [(one.status, one.attempt) for one in site.run()] == [(Status.COMPLETED, 1)]


def test_scope_function_commits_by_chance(trap: Trap) -> None:
    """FastAPI leaves last what it enters first: a commit that stands before BackgroundTasks still comes too late."""
    site = hurried(trap("row_by_chance"))
    site.post("/orders/7")
    assert [one.attempt for one in site.run()] == [2]


def test_fastapis_own_tasks_have_the_same_trap(load: Load, database: Rows) -> None:
    """Its dependencies end after its background tasks, too."""
    example = load("traps/row_too_late")
    app = FastAPI()

    @app.post("/orders/{order_id}")
    async def order(
        order_id: str,
        connection: example.Annotated[Any, example.Depends(example.database)],  # type: ignore[name-defined]
        background_tasks: BackgroundTasks,
    ) -> None:
        connection.execute("INSERT INTO orders (id) VALUES (?)", (order_id,))
        background_tasks.add_task(example.pack.body, order_id)

    with pytest.raises(LookupError, match="there is no order 7"):
        Site(app).post("/orders/7")


def test_a_returned_response_has_no_location(trap: Trap) -> None:
    """The job is there; the caller is not told where."""
    site = trap("responses")
    answer = site.post("/without-location")
    assert (answer.status_code, answer.json()) == (202, {"message": "Noted"})
    assert "location" not in answer.headers
    assert waiting(site) == 1


def test_accepted_response_has_it(trap: Trap) -> None:
    """It is the whole 202, with headers and keys of the author's."""
    answer = trap("responses").post("/with-location")
    job_id = answer.json()["task_id"]
    assert answer.json() == {
        "message": "Noted",
        "task_id": job_id,
        "check_progress_url": f"/task-progress/{job_id}",
        "position": 3,
    }
    assert (answer.headers["location"], answer.headers["x-list"]) == (f"/tasks/{job_id}", "groceries")


def test_jobs_may_be_the_background_of_a_response(trap: Trap) -> None:
    """They are published by then, so that changes nothing."""
    site = trap("responses")
    site.post("/as-background")
    assert waiting(site) == 1


def test_a_stream_cannot_add(trap: Trap) -> None:
    """It begins when the request's tasks are published: the stream breaks off, in words."""
    site = trap("streams")
    with pytest.raises(UsageError, match="write_down was added after the request's tasks were published"):
        site.get("/refused")
    assert waiting(site) == 0


@pytest.mark.parametrize("path", ["/at-the-start", "/at-the-end", "/yielding"])
def test_a_stream_has_its_job(trap: Trap, path: str) -> None:
    """Added before the stream begins, or by tasks of the stream's own."""
    site = trap("streams")
    assert "one line" in site.get(path).text
    assert [one.status for one in site.run()] == [Status.COMPLETED]


def test_fastapis_tasks_run_behind_a_stream() -> None:
    """So an author may have added them in it."""
    app, ran = FastAPI(), list[int]()

    @app.get("/")
    async def stream(background_tasks: BackgroundTasks) -> StreamingResponse:
        async def lines() -> Any:
            yield "one line\n"
            background_tasks.add_task(ran.append, 1)

        return StreamingResponse(lines())

    Site(app).get("/")
    assert ran == [1]


def talk(app: FastAPI, *texts: str, hear: Callable[[str], object] = print) -> list[str]:
    """Say these texts over a WebSocket; return what was answered, of which `hear` is told at once."""
    messages: list[dict[str, Any]] = [
        {"type": "websocket.connect"},
        *({"type": "websocket.receive", "text": text} for text in texts),
        {"type": "websocket.disconnect", "code": 1000},
    ]
    heard: list[str] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.send":
            hear(message["text"])
            heard.append(message["text"])

    scope = {"type": "websocket", "path": "/notes", "headers": [], "query_string": b"", "subprotocols": []}
    asyncio.run(app(scope, receive, send))
    return heard


def test_a_websocket_publishes_as_it_goes(trap: Trap) -> None:
    """Each answer names a job that is durable."""
    site = trap("websocket")
    heard = talk(site.app, "milk", "bread", hear=site.record)
    assert [one.id for one in site.run()] == heard
    assert len(heard) == 2


def test_fastapis_tasks_never_run_behind_a_websocket() -> None:
    """There is no response for them to follow."""
    app, ran = FastAPI(), list[int]()

    @app.websocket("/notes")
    async def notes(websocket: WebSocket, background_tasks: BackgroundTasks) -> None:
        await websocket.accept()
        background_tasks.add_task(ran.append, 1)

    talk(app)
    assert ran == []


@pytest.mark.parametrize(("path", "jobs"), [("/orders/tea", 0), ("/published/tea", 1)])
def test_what_an_endpoint_that_raises_has_added(trap: Trap, path: str, jobs: int) -> None:
    """It is dropped, as FastAPI's is; what was published stays."""
    site = trap("raising")
    assert site.post(path).status_code == 409
    assert waiting(site) == jobs


def test_a_job_has_not_the_requests_context(trap: Trap, caplog: pytest.LogCaptureFixture) -> None:
    """Only what is passed as an argument arrives."""
    site = trap("context")
    site.post("/bills", headers={"x-tenant": "ada"})
    site.run()
    assert said(caplog) == ["bill for nobody", "bill for ada"]


def test_fastapis_tasks_have_it(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """They run inside the request, so an author may rely on it without knowing."""
    example, app = load("traps/context"), FastAPI()

    @app.post("/bills", dependencies=[example.Depends(example.current_tenant)])
    async def bills(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(example.bill_of_the_request.body)

    Site(app).post("/bills", headers={"x-tenant": "ada"})
    assert said(caplog) == ["bill for ada"]


def test_jobs_side_by_side(after: Callable[[str], Durable]) -> None:
    """All of a group may run at once, and the next link waits for them all."""
    site = after("side_by_side")
    site.post("/pictures/cat")
    assert waiting(site) == 3
    records = site.run()
    assert [one.task for one in records] == ["resize", "resize", "resize", "publish_picture"]
    assert {one.status for one in records} == {Status.COMPLETED}


REFUSED = {
    "file: UploadFile": "store the file in S3 and pass its key",
    "request: Request": "pass the values that the task needs from it",
    "session: sqlite3.Connection": "pass its id or its data, and open it inside the task with afterward.Depends",
    "log: TextIO": "which cannot travel; store the file in S3 and pass its key",
    "then: Callable[[], None]": "a function cannot travel; pass its name or an enum",
    "data: Any": "Any says nothing about what travels; name the type, or use pydantic.JsonValue",
    "data: dict": "a bare dict says nothing about what is in it; write dict[...]",
    "data": "parameter `data` needs an annotation: it says how the value travels",
}

IMPORTS = """
import sqlite3
from collections.abc import Callable
from typing import Any, TextIO
from fastapi import Request, UploadFile
from afterward import task
"""


def declare(tmp_path: Path, code: str) -> None:
    """Run a module as an author's."""
    path = tmp_path / "declared.py"
    path.write_text(IMPORTS + code)
    exec(compile(path.read_text(), path, "exec"), {"__name__": "declared"})  # noqa: S102 - a module of the test's own


@pytest.mark.parametrize(("parameter", "told"), REFUSED.items())
def test_what_cannot_travel_is_refused(load: Load, tmp_path: Path, guide: str, parameter: str, told: str) -> None:
    """When the task is declared, and with what to do instead; the guide prints the words."""
    with pytest.raises(UsageError) as refused:
        declare(tmp_path, f"@task\ndef work({parameter}) -> None: ...\n")
    assert told in str(refused.value)
    assert f"| `{parameter}` | {told} |\n" in guide


CANNOT_BE_FOUND = {
    "task(lambda: None)": "a lambda cannot be a task: another process could not find it again; declare a function",
    "class Service:\n    @task\n    def work(self) -> None: ...": "is a method or a nested function",
    "def endpoint():\n    @task\n    def work() -> None: ...\nendpoint()": "is a method or a nested function",
    "@task\ndef work() -> int: ...": "must return None: results are effects, or objects whose key it reports",
}


@pytest.mark.parametrize(("code", "told"), CANNOT_BE_FOUND.items())
def test_what_is_no_task_is_refused(load: Load, tmp_path: Path, words: str, code: str, told: str) -> None:
    """Lambdas, methods, closures, and what returns a value."""
    with pytest.raises(UsageError) as refused:
        declare(tmp_path, code)
    assert told in str(refused.value)
    assert told in words


def test_a_plain_function_is_refused(load: Load, words: str) -> None:
    """add_task says how to declare it."""
    with pytest.raises(UsageError) as refused:
        DurableTasks.in_memory().add_task(load("before/send_notification").write_notification, "ada", "hello")
    assert str(refused.value) in words


def test_a_declared_task_in_fastapis_own_class_says_so(load: Load, words: str) -> None:
    """Where the import was forgotten, the task says which one."""
    tasks = BackgroundTasks()
    tasks.add_task(load("after/send_notification").write_notification, "ada", "hello")
    with pytest.raises(UsageError) as refused:
        asyncio.run(tasks())
    assert str(refused.value) in words


def test_arguments_are_checked_at_the_call(load: Load, words: str) -> None:
    """A text is no number, and the endpoint learns it."""
    with pytest.raises(UsageError) as refused:
        DurableTasks.in_memory().add_task(load("after/safe_task").process_data, "7")
    assert str(refused.value) in words


class Dying(MemoryRecords):
    """The worker's process dies once, with its work done and nothing said of it."""

    dying = True

    def swap(self, *writes: Any, **more: Any) -> Any:
        if self.dying:
            self.dying = False
            raise KeyboardInterrupt
        return super().swap(*writes, **more)


def killed(load: Load, name: str) -> Durable:
    """A job of traps/twice.py whose first attempt does its work and dies before that is recorded."""
    clock, tasks = ManualClock(), load("traps/twice")
    site = Durable(FastAPI(), DurableTasks(replace(in_memory(clock), records=Dying(clock)), OWNER))
    site.tasks.add_task(getattr(tasks, name), "ada", 5)
    asyncio.run(site.tasks.publish())
    with pytest.raises(KeyboardInterrupt):
        site.run()
    assert [(one.status, one.attempt) for one in site.run()] == [(Status.COMPLETED, 2)]
    return site


def test_a_job_may_run_twice(load: Load, database: Rows) -> None:
    """What is added is then added twice."""
    killed(load, "add_points")
    assert database("SELECT points FROM points") == [(10,)]


def test_what_is_named_for_its_job_is_there_once(load: Load, database: Rows) -> None:
    """The second attempt writes the same row."""
    killed(load, "add_points_once")
    assert database("SELECT user_id, sum(points) FROM bookings") == [("ada", 5)]


def test_effects_are_there_once(load: Load) -> None:
    """They are written together with the job's end, or not at all."""
    records = killed(load, "add_points_with_effects").tasks.backend.records
    assert isinstance(records, MemoryRecords)
    (item,) = records.tables["points"].values()
    assert item["points"] == 5


def test_a_job_may_meet_newer_code(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """A job that waited during a deploy is run by what was deployed, with the arguments that it was made for."""
    site = Durable(FastAPI())
    site.tasks.add_task(load("traps/before_the_deploy").welcome, "ada@example.com")
    asyncio.run(site.tasks.publish())
    REGISTRY.clear()
    load("traps/after_the_deploy")
    assert [one.status for one in site.run()] == [Status.COMPLETED]
    assert said(caplog) == ["welcome ada@example.com in English"]


def test_an_apps_own_tests(load: Load, before: Callable[[str], Site], after: Callable[[str], Durable]) -> None:
    """With FastAPI the tasks ran inside the call; with Afterward the test runs them when it likes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StarletteDeprecationWarning)  # of the HTTP client's name, not of TestClient
        shown = load("traps/testing")
    shown.test_as_before(before("send_notification").app)
    Path("log.txt").unlink()
    shown.test_with_afterward(after("send_notification").app)


def test_an_endpoint_without_its_app(load: Load) -> None:
    """It is a function, and its jobs can be looked at."""
    tasks = DurableTasks.in_memory()
    answer = asyncio.run(load("after/send_notification").send_notification("ada@example.com", tasks))
    assert [job.id for job in tasks.jobs] == [answer.task_id]


def test_nothing_is_written_before_the_jobs_run(
    load: Load, after: Callable[[str], Durable], caplog: pytest.LogCaptureFixture
) -> None:
    """The test of old finds no file: the job waits."""
    caplog.set_level(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StarletteDeprecationWarning)
        shown = load("traps/testing")
    with pytest.raises(FileNotFoundError):
        shown.test_as_before(after("send_notification").app)


def test_a_job_belongs_to_its_caller(load: Load, words: str) -> None:
    """Without an authorizer nobody is let in; with the app's own, jobs are their caller's alone."""
    app = load("after/app").create_app(load("after/send_notification").router)
    site = Durable(app)
    del app.dependency_overrides[owner]
    answer = site.post("/send-notification/ada@example.com")
    assert (answer.status_code, answer.json()["detail"] in words) == (401, True)

    load("after/caller").use_api_keys(app)
    assert site.post("/send-notification/ada@example.com", headers={"x-api-key": "guess"}).status_code == 401
    answer = site.post("/send-notification/ada@example.com", headers={"x-api-key": "key-of-ada"})
    url = answer.headers["location"]
    assert site.get(url, headers={"x-api-key": "key-of-ada"}).json()["status"] == "queued"
    assert site.get(url, headers={"x-api-key": "key-of-bob"}).status_code == 404
