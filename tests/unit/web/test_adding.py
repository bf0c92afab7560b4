"""`BackgroundTasks` in routes, dependencies, streams and WebSockets."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from dataclasses import replace
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi import BackgroundTasks as StarlettesTasks
from fastapi.exceptions import DependencyScopeError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

from afterward import Job, UsageError
from afterward.background import (
    Accepted,
    BackgroundTasks,
    DurableTasks,
    Links,
    accepted,
    accepted_response,
    durable_tasks,
    install,
    links,
    owner,
    store,
)
from afterward.errors import Unavailable
from afterward.memory import MemoryRecords
from afterward.records import Record
from afterward.testing import ManualClock
from afterward.worker import Worker
from tests.support.jobs import run
from tests.support.web_tasks import note, other
from tests.unit.web.conftest import OWNER, Site


def greet(name: str) -> None:
    """Be no task."""


async def add(text: str, background_tasks: BackgroundTasks) -> Accepted:
    return accepted(background_tasks.add_task(note, text), message=f"{text} will be noted")


def add_in_a_thread(text: str, background_tasks: BackgroundTasks) -> Accepted:
    return accepted(background_tasks.add_task(note, text), message=f"{text} will be noted")


@pytest.mark.parametrize("endpoint", [add, add_in_a_thread])
@pytest.mark.parametrize("on_lambda", [True, False])
def test_a_route_adds_a_task(site: Site, endpoint: Any, on_lambda: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint takes BackgroundTasks and adds; the job is durable before the 202 leaves, which says where it is."""
    if on_lambda:
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
    site.app.post("/notes", status_code=202)(endpoint)
    answer = site.post("/notes?text=milk")
    job_id = answer.json()["task_id"]
    assert answer.status_code == 202
    assert answer.json() == {
        "message": "milk will be noted",
        "task_id": job_id,
        "check_progress_url": f"/task-progress/{job_id}",
    }
    assert (answer.headers["location"], answer.headers["retry-after"]) == (f"/tasks/{job_id}", "1")
    assert site.texts() == [["milk"]]
    assert site.promised()[0][0].owner == OWNER
    assert site.known(job_id)


def test_keyword_arguments_are_the_tasks_own(site: Site) -> None:
    """Arguments are passed as to the function itself, by position or by name."""

    @site.app.post("/")
    async def add_two(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(other, text="bread", times=3)

    site.post("/")
    assert site.promised()[0][0].arguments == {"text": "bread", "times": 3}


def test_several_tasks_are_a_chain(site: Site) -> None:
    """What one request adds runs in its order: one message, with the others behind it; the first one is named."""

    @site.app.post("/", status_code=202)
    async def add_all(background_tasks: BackgroundTasks) -> list[str]:
        return [background_tasks.add_task(task, text).id for task, text in ((note, "a"), (other, "b"), (note, "c"))]

    answer = site.post("/")
    assert site.texts() == [["a", "b", "c"]]
    assert [one.id for one in site.promised()[0]] == answer.json()
    assert all(site.known(job_id) for job_id in answer.json())
    assert answer.headers["location"] == f"/tasks/{answer.json()[0]}"


def test_a_group_is_filled_at_once(site: Site) -> None:
    """What is added to a group after the chain has gone on would run in another place than its line says."""
    said: list[str] = []

    @site.app.post("/")
    async def add_all(background_tasks: BackgroundTasks) -> None:
        group = background_tasks.group()
        group.add_task(note, "a")
        group.add_task(note, "b")
        background_tasks.add_task(note, "c")
        with pytest.raises(UsageError, match="web_note was added to a group that the chain has left behind"):
            group.add_task(note, "d")
        await background_tasks.publish()
        with pytest.raises(UsageError, match="left behind"):
            group.add_task(note, "e")
        said.append("refused")

    site.post("/", raises=True)
    assert said == ["refused"]
    assert site.texts() == [["a", "c"], ["b", "c"]]


def test_a_group_takes_declared_tasks_only(site: Site) -> None:
    """As the chain itself does."""

    @site.app.post("/")
    async def add_all(background_tasks: BackgroundTasks) -> None:
        with pytest.raises(UsageError, match="greet is not a declared task"):
            background_tasks.group().add_task(greet, "ada")  # type: ignore[arg-type]

    assert site.post("/", raises=True).status_code == 200
    assert site.promised() == []


def test_a_callback_needs_something_to_tell_of(site: Site) -> None:
    """Tasks first, then the callback."""

    @site.app.post("/")
    async def add_callback(background_tasks: BackgroundTasks) -> None:
        with pytest.raises(UsageError, match="web_note would tell of nothing"):
            background_tasks.add_callback(note, "told")
        background_tasks.add_task(other, "work")
        background_tasks.add_callback(note, "told")

    assert site.post("/", raises=True).status_code == 200
    assert site.texts() == [["work", "told"]]
    assert [one.callback for one in site.promised()[0]] == [False, True]


def test_a_delayed_job_says_when_to_ask(site: Site) -> None:
    """Nothing is to be seen of it before it is due."""

    @site.app.post("/", status_code=202)
    async def add_later(background_tasks: BackgroundTasks) -> Accepted:
        return accepted(background_tasks.add_task(note.options(delay=59.5), "a"), message="later")

    assert site.post("/").headers["retry-after"] == "60"


def test_a_request_without_tasks_promises_nothing(site: Site) -> None:
    """An endpoint that adds nothing answers as if Afterward was not there."""

    @site.app.get("/")
    async def nothing(background_tasks: BackgroundTasks) -> str:
        return "nothing"

    answer = site.get("/")
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert site.promised() == []


def test_nested_dependencies_share_one_instance(site: Site) -> None:
    """Dependencies of the request, of its router and of each other add to the same chain, in the order of calls."""

    async def audit(request: Request, background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(note, f"audit {request.url.path}")

    async def charged(background_tasks: BackgroundTasks, _: Annotated[None, Depends(audit)]) -> DurableTasks:
        background_tasks.add_task(note, "charge")
        return background_tasks

    router = APIRouter(dependencies=[Depends(audit)])

    @router.post("/orders")
    async def order(
        background_tasks: BackgroundTasks,
        charged: Annotated[DurableTasks, Depends(charged)],
        uncached: Annotated[DurableTasks, Depends(durable_tasks, use_cache=False, scope="function")],
    ) -> None:
        assert background_tasks is charged is uncached
        background_tasks.add_task(note, "order")

    site.app.include_router(router)
    assert site.post("/orders").status_code == 200
    assert site.texts() == [["audit /orders", "charge", "order"]]


def test_a_function_scoped_generator_may_add_at_its_end(site: Site) -> None:
    """A dependency of scope "function" ends before the tasks are published, so it may still add."""

    async def timed(background_tasks: BackgroundTasks) -> AsyncIterator[None]:
        yield
        background_tasks.add_task(note, "end")

    @site.app.post("/")
    async def add_one(background_tasks: BackgroundTasks, _: Annotated[None, Depends(timed, scope="function")]) -> None:
        background_tasks.add_task(note, "endpoint")

    assert site.post("/").status_code == 200
    assert site.texts() == [["endpoint", "end"]]


def test_a_request_scoped_generator_is_told(site: Site) -> None:
    """A generator that ends after the response cannot take BackgroundTasks; FastAPI says so at import."""

    async def late(background_tasks: BackgroundTasks) -> AsyncIterator[None]:
        yield

    async def endpoint(_: Annotated[None, Depends(late)]) -> None: ...

    with pytest.raises(DependencyScopeError, match='"late" has a scope of "request"'):
        site.app.get("/")(endpoint)


@pytest.mark.parametrize(
    ("error", "status"), [(HTTPException(409, "taken"), 409), (HTTPException(503), 503), (RuntimeError("boom"), 500)]
)
def test_an_endpoint_that_raises_publishes_nothing(site: Site, error: Exception, status: int) -> None:
    """What was added before an endpoint raised is not promised to anybody."""

    @site.app.post("/")
    async def failing(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(note, "never")
        raise error

    answer = site.post("/")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "location" not in answer.headers
    assert site.promised() == []


def test_an_answer_that_is_not_valid_publishes_nothing(site: Site) -> None:
    """A response that does not fit its model is a 500, and what the endpoint added is not promised."""

    @site.app.post("/", response_model=Accepted)
    async def failing(background_tasks: BackgroundTasks) -> Any:
        background_tasks.add_task(note, "never")
        return {"wrong": True}

    assert site.post("/").status_code == 500
    assert site.promised() == []


def test_a_refused_publish_is_a_503(site: Site) -> None:
    """Where the queue refuses, the client learns when to try again, and no job stays behind."""
    site.app.post("/notes", status_code=202)(add)
    site.queues.refusing = True
    answer = site.post("/notes?text=milk")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "location" not in answer.headers
    assert answer.json() == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The task could not be stored. Please try again.",
    }
    assert site.promised() == []
    assert not site.backend.records.all()  # type: ignore[attr-defined]


def test_a_taken_id_is_a_409(site: Site) -> None:
    """An id that another job of this owner has is refused, and the first job stays as it was."""

    @site.app.post("/{job_id}", status_code=202)
    async def start(job_id: str, text: str, background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(note.options(id=job_id), text)

    assert site.post("/mine?text=first").status_code == 202
    for text in ("first", "second"):
        answer = site.post(f"/mine?text={text}")
        assert answer.status_code == 409
        assert answer.json()["detail"] == "Task with this ID already exists"
        assert answer.headers["content-type"] == "application/problem+json"
    assert {text for chain in site.texts() for text in chain} == {"first"}


class Unremovable(MemoryRecords):
    """Records that cannot be taken back."""

    def remove(self, record: Record) -> bool:  # noqa: ARG002 - it is refused whichever it is
        raise Unavailable("DynamoDB did not take the request (Throttled)")


def test_a_chosen_id_whose_request_was_refused_is_not_in_use(site: Site, clock: ManualClock) -> None:
    """Nothing was promised, whatever is left of it: the repeat is a 202 and runs once, and only then it is a 409."""

    @site.app.post("/{job_id}", status_code=202)
    async def start(job_id: str, background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(note.options(id=job_id), "milk")

    site.backend = replace(site.backend, records=Unremovable(clock))
    site.queues.refusing = True
    assert site.post("/mine").status_code == 503
    assert site.known("mine")
    site.queues.refusing = False
    assert [site.post("/mine").status_code for _ in range(2)] == [202, 409]
    noted: list[str] = []

    def write_down(text: str) -> None:
        noted.append(text)

    while run(Worker(note, write_down), site.backend, batch=10):
        pass
    assert noted == ["milk"]


def test_what_follows_a_chosen_id_is_named_for_it(site: Site) -> None:
    """A repeat of a chain under a key names the same jobs, those behind the first one too."""

    @site.app.post("/", status_code=202)
    async def twice(background_tasks: BackgroundTasks) -> list[str]:
        first = background_tasks.add_task(note.options(key="order-7"), "pay")
        return [first.id, background_tasks.add_task(note, "pack").id, background_tasks.add_task(note, "ship").id]

    first, second = site.post("/"), site.post("/")
    assert first.json() == second.json()
    assert len({*first.json()}) == 3
    assert len(site.backend.records.all()) == 3  # type: ignore[attr-defined]


def test_the_same_key_adds_nothing_twice(site: Site) -> None:
    """A repeat under the same key names the same job."""

    @site.app.post("/", status_code=202)
    async def once(background_tasks: BackgroundTasks) -> str:
        return background_tasks.add_task(note.options(key="order-7"), "pay").id

    first, second = site.post("/"), site.post("/")
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]


def test_a_returned_response_is_made_by_accepted_response(site: Site) -> None:
    """An endpoint that answers with a Response of its own gets the 202, `Location` and extra keys in one call."""

    @site.app.post("/")
    async def add_one(background_tasks: BackgroundTasks) -> Response:
        job = background_tasks.add_task(note, "milk")
        return accepted_response(job, message="Noted", headers={"X-Extra": "yes"}, position=3)

    answer = site.post("/")
    job_id = answer.json()["task_id"]
    assert answer.status_code == 202
    assert answer.json() == {
        "message": "Noted",
        "task_id": job_id,
        "check_progress_url": f"/task-progress/{job_id}",
        "position": 3,
    }
    assert (answer.headers["location"], answer.headers["x-extra"]) == (f"/tasks/{job_id}", "yes")
    assert site.texts() == [["milk"]]


def test_another_response_publishes_too(site: Site) -> None:
    """Whatever the endpoint returns, what it added is durable before the answer leaves."""

    @site.app.post("/")
    async def add_one(background_tasks: BackgroundTasks) -> Response:
        background_tasks.add_task(note, "milk")
        return JSONResponse({"fine": True}, 201)

    assert site.post("/").status_code == 201
    assert site.texts() == [["milk"]]


def test_links_follow_root_path_and_override(site: Site) -> None:
    """Paths carry the root path of a proxy, and an app says where its status routes lie."""
    site.app.post("/notes", status_code=202)(add)
    answer = site.post("/notes?text=milk", root_path="/api/v1")
    job_id = answer.json()["task_id"]
    assert answer.headers["location"] == f"/api/v1/tasks/{job_id}"
    assert answer.json()["check_progress_url"] == f"/api/v1/task-progress/{job_id}"

    site.app.dependency_overrides[links] = lambda: Links("/jobs/{task_id}", "/jobs/{task_id}/progress")
    answer = site.post("/notes?text=milk")
    job_id = answer.json()["task_id"]
    assert answer.headers["location"] == f"/jobs/{job_id}"
    assert answer.json()["check_progress_url"] == f"/jobs/{job_id}/progress"


def test_a_sub_application_has_its_own_tasks(site: Site) -> None:
    """A mounted application publishes under its mount path, and answers problems where it is installed itself."""
    inner = FastAPI()
    install(inner)
    inner.dependency_overrides = site.app.dependency_overrides
    inner.post("/notes", status_code=202)(add)
    site.app.mount("/inner", inner)
    answer = site.post("/inner/notes?text=milk")
    assert answer.headers["location"] == f"/inner/tasks/{answer.json()['task_id']}"
    assert site.texts() == [["milk"]]
    site.queues.refusing = True
    answer = site.post("/inner/notes?text=milk")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


def test_middleware_may_stand_around(site: Site) -> None:
    """A middleware sees the 202 after the job is durable, and the 503 where it is not."""
    seen = []

    class Watching(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            response = await call_next(request)
            seen.append((response.status_code, len(site.promised())))
            return response

    site.app.add_middleware(Watching)
    site.app.post("/notes", status_code=202)(add)
    site.post("/notes?text=milk")
    site.queues.refusing = True
    site.post("/notes?text=milk")
    assert seen == [(202, 1), (503, 1)]


def test_starlettes_own_tasks_still_work_beside(site: Site) -> None:
    """An app may keep FastAPI's BackgroundTasks for what need not be durable; a declaration added there says so."""
    ran: list[int] = []

    @site.app.post("/plain")
    async def plain(background_tasks: StarlettesTasks) -> None:
        background_tasks.add_task(ran.append, 1)

    @site.app.post("/wrong")
    async def wrong(background_tasks: StarlettesTasks) -> None:
        background_tasks.add_task(note, "milk")

    site.post("/plain")
    assert ran == [1]
    with pytest.raises(UsageError, match=r"was fastapi\.BackgroundTasks imported"):
        site.post("/wrong", raises=True)


@pytest.mark.parametrize("function", [greet, print, lambda: None, "web_note", None])
def test_only_declared_tasks_can_be_added(site: Site, function: Any) -> None:
    """A plain function is refused with the way to declare it, and nothing of the request is published."""

    @site.app.post("/")
    async def wrong(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(note, "milk")
        background_tasks.add_task(function)

    with pytest.raises(UsageError, match=r"is not a declared task: put @afterward\.task on its declaration"):
        site.post("/", raises=True)
    assert site.promised() == []


def test_arguments_that_do_not_fit_are_refused_at_the_call(site: Site) -> None:
    """What the task could not take is an error of the endpoint; nothing was added, so a caught one harms nothing."""

    @site.app.post("/")
    async def wrong(background_tasks: BackgroundTasks) -> None:
        with pytest.raises(UsageError, match="task web_note: missing a required argument: 'text'"):
            background_tasks.add_task(note)  # type: ignore[call-arg]
        with pytest.raises(UsageError, match="task web_other: argument `times` would not arrive as it was passed"):
            background_tasks.add_task(other, "a", times="3")  # type: ignore[arg-type]
        background_tasks.add_task(note, "right")

    assert site.post("/").status_code == 200
    assert site.texts() == [["right"]]


def test_nothing_can_be_added_after_the_publish(site: Site) -> None:
    """A stream runs when its request's tasks are published already: adding there is refused, not lost."""
    refusals = []

    @site.app.get("/")
    async def stream(background_tasks: BackgroundTasks) -> StreamingResponse:
        background_tasks.add_task(note, "before")

        def lines() -> Iterator[str]:
            yield f"{len(site.promised())}\n"
            try:
                background_tasks.add_task(note, "late")
            except UsageError as refusal:
                refusals.append(str(refusal))
            yield "end"

        return StreamingResponse(lines())

    assert site.get("/").text == "1\nend"
    assert "web_note was added after the request's tasks were published" in refusals[0]
    assert site.texts() == [["before"]]


def test_a_websocket_publishes_when_it_likes(site: Site) -> None:
    """A WebSocket adds and publishes as messages come; what it added last is published when it ends."""

    @site.app.websocket("/")
    async def talk(websocket: WebSocket, background_tasks: BackgroundTasks) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            job = background_tasks.add_task(note, text)
            await background_tasks.publish()
            await websocket.send_text(job.id)
        background_tasks.add_task(note, "bye")

    said = ["a", "b"]
    heard: list[str] = []

    async def receive() -> dict[str, Any]:
        if not heard:
            heard.append("")
            return {"type": "websocket.connect"}
        return (
            {"type": "websocket.receive", "text": said.pop(0)}
            if said
            else {"type": "websocket.disconnect", "code": 1000}
        )

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.send":
            assert site.known(message["text"])
            heard.append(message["text"])
            assert len(site.promised()) == len(heard) - 1

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b"", "subprotocols": []}
    site.loop.run_until_complete(site.app(scope, receive, send))
    assert len(heard) == 3
    assert site.texts() == [["a"], ["b"], ["bye"]]


def test_what_was_refused_is_not_published_later(site: Site) -> None:
    """An endpoint that handles a refused publish itself does not find its job running afterwards."""

    @site.app.post("/")
    async def patient(background_tasks: BackgroundTasks) -> str:
        from afterward import Unavailable  # noqa: PLC0415

        background_tasks.add_task(note, "refused")
        with pytest.raises(Unavailable):
            await background_tasks.publish()
        site.queues.refusing = False
        background_tasks.add_task(note, "second try")
        return "fine"

    site.queues.refusing = True
    assert site.post("/").status_code == 200
    assert site.texts() == [["second try"]]


def test_an_endpoint_is_tested_without_an_app() -> None:
    """`DurableTasks.in_memory()` stands for BackgroundTasks in a test that calls the endpoint itself."""
    import asyncio  # noqa: PLC0415

    tasks = DurableTasks.in_memory()
    answer = asyncio.run(add("milk", tasks))
    assert tasks.jobs == [Job(answer.task_id, "web_note", tasks.jobs[0].created, *paths(answer.task_id))]


def paths(job_id: str) -> tuple[str, str]:
    return f"/tasks/{job_id}", f"/task-progress/{job_id}"


def test_the_overrides_are_dependencies_of_their_own() -> None:
    """Owner, links and store are plain dependencies, so an app overrides them as any other."""
    assert all(callable(one) for one in (owner, links, store))


@pytest.mark.parametrize("name", ["", "ada lovelace", "ädä", "a" * 129])
def test_an_owner_that_cannot_be_a_message_group_is_refused(name: str) -> None:
    """An overridden owner that SQS would refuse with every message is named as the fault that it is."""
    with pytest.raises(UsageError, match="the owner must be 1 to 128 printable ASCII characters"):
        DurableTasks.in_memory(owner=name)
