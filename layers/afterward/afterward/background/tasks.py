"""`BackgroundTasks`: FastAPI's call, `add_task(func, *args, **kwargs)`, made durable.

What an endpoint adds is published when it has returned and before its response leaves (`scope="function"`), so a
publish that fails becomes a 503, and an endpoint that raises publishes nothing.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ParamSpec

from fastapi import Depends, Response
from fastapi.requests import HTTPConnection, Request

from afterward.additions import Additions
from afterward.backend import Backend, in_memory
from afterward.background.caller import owner
from afterward.background.idempotency import Idempotency, IdempotencyKey, idempotency, named_afterwards
from afterward.background.responses import headers_of
from afterward.background.store import store
from afterward.background.threads import off_the_loop
from afterward.clock import Clock, timestamp
from afterward.declaration import Task
from afterward.errors import Unavailable, UsageError
from afterward.job import Job, new_id
from afterward.publish import Call, publish
from afterward.queues import GROUP
from afterward.records import derived_id, link_id

if TYPE_CHECKING:
    from afterward.envelope import Json

logger = logging.getLogger(__name__)

P = ParamSpec("P")

_SCOPE = "afterward.tasks"


@dataclass(frozen=True, slots=True)
class Links:
    """Paths at which this API shows a job; each holds `{task_id}`."""

    status: str = "/tasks/{task_id}"
    progress: str = "/task-progress/{task_id}"

    def job(self, task_id: str, task: str, created: str, root_path: str) -> Job:
        """Return a job with the paths at which this API shows it."""
        paths = (root_path + path.format(task_id=task_id) for path in (self.status, self.progress))
        return Job(task_id, task, created, *paths)


async def links() -> Links:
    """Override where the status routes lie elsewhere: `app.dependency_overrides[links] = lambda: Links(...)`."""
    return Links()


class DurableTasks(Additions):
    """The tasks that one request adds. They run in the order of adding, one after the other, as Starlette's do.

    They are durable once the endpoint has returned.
    """

    def __init__(self, using: Backend, owner: str, links: Links = Links(), root_path: str = "") -> None:
        if not GROUP.fullmatch(owner):
            raise UsageError("the owner must be 1 to 128 printable ASCII characters without spaces: a digest, say")
        super().__init__()
        self.backend = using
        self._owner = owner
        self._links = links
        self._root_path = root_path
        self._seed = new_id()
        self._repeatable = False
        self._calls: list[Call] = []
        self._callbacks: list[Call] = []
        self._closed = False

    @classmethod
    def in_memory(cls, *, owner: str = "test", clock: Clock | None = None) -> "DurableTasks":
        """Return an instance of its own for a test: give it to an endpoint, then look with `afterward.testing`."""
        return cls(in_memory(clock), owner)

    def add_callback(self, func: Task[P], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Add a job that tells of what was added so far: it runs when all of that is final, however it ended.

        It may have `afterward.Chain` injected, is no part of the chain itself and does not count in its progress.
        """
        arguments = self._encoded(func, *args, **kwargs)
        if not self._calls:
            raise UsageError(f"{func.name} would tell of nothing: add the tasks first, then the callback")
        call = replace(
            self._call(func, arguments),
            id=derived_id(self._owner, self._calls[0].id, f"callback {len(self._callbacks)}"),
        )
        self._callbacks.append(replace(call, chosen=False, callback=True))
        return self._job(call)

    async def publish(self) -> None:
        """Make what was added durable now, as one chain.

        Raises errors.Unavailable or errors.IdTaken: what is to be tried again has to be added again, and nothing of it
        will run, except where Unavailable names a `key`.
        """
        calls = [*self._calls, *self._callbacks]
        self._calls, self._callbacks = [], []
        if calls:
            await off_the_loop(publish, self.backend, self._owner, [calls])

    async def close(self) -> None:
        """Publish, and take no more tasks."""
        self._closed = True
        await self.publish()

    async def __call__(self) -> None:
        """Do nothing: Starlette calls what a Response has as its `background`, and by then all of this is published."""

    @property
    def _latest(self) -> Job | None:
        return super()._latest if self._calls else None

    def _check(self, task: Task[...]) -> None:
        if self._closed:
            raise UsageError(
                f"{task.name} was added after the request's tasks were published; "
                "add it before the response begins, or in a WebSocket add it and `await background_tasks.publish()`"
            )

    def _added(self, task: Task[...], arguments: "dict[str, Json]", *, side: int = 0) -> Job:
        call = replace(self._call(task, arguments), side=side)
        self._calls.append(call)
        job = self._job(call)
        self.jobs.append(job)
        return job

    def _job(self, call: Call) -> Job:
        return self._links.job(call.id, call.task, call.created, self._root_path)

    def _call(self, task: Task[...], arguments: "dict[str, Json]") -> Call:
        options = task.call_options
        chosen = options.id is not None or options.key is not None
        # A repeat has the seed again only by its Idempotency-Key; else a chosen id is told apart by its arguments.
        seeded = not chosen or (self._repeatable and options.key is None)
        return Call(
            id=self._id(task),
            task=task.name,
            created=self._calls[0].created if self._calls else timestamp(self.backend.clock.now()),
            version=task.version,
            arguments=arguments,
            max_attempts=task.max_attempts,
            chosen=chosen or (self._repeatable and not self._calls),
            replayable=options.key is not None or self._repeatable,
            digest=self._seed if seeded else "",
            even_if_failed=options.even_if_failed,
            delay=options.delay,
            group=options.fairness,
        )

    def _id(self, task: Task[...]) -> str:
        """Name a job. What is not chosen follows from the chain's first job, and that from the request's seed."""
        options = task.call_options
        if options.id is not None:
            return options.id
        if options.key is not None:
            return derived_id(self._owner, task.name, options.key)
        if self._calls:
            return link_id(self._owner, self._calls[0].id, len(self._calls))
        return derived_id(self._owner, self._seed, str(len(self.jobs)))


async def durable_tasks(  # noqa: PLR0913, PLR0917 - each of them injected
    connection: HTTPConnection,
    response: Response,
    owner: Annotated[str, Depends(owner)],
    links: Annotated[Links, Depends(links)],
    using: Annotated[Backend, Depends(store)],
    idempotency_key: IdempotencyKey = None,
) -> AsyncIterator[DurableTasks]:
    """Give the request its one DurableTasks, and publish what it holds when the endpoint has returned."""
    if _SCOPE in connection.scope:
        yield connection.scope[_SCOPE]
        return
    tasks = _RequestTasks(using, owner, links, connection.scope.get("root_path", ""))
    tasks.connection, tasks.response = connection, response
    if idempotency_key is not None and isinstance(connection, Request):  # what a WebSocket says, no key can know
        await tasks.repeat(connection, idempotency_key)
    connection.scope[_SCOPE] = tasks
    yield tasks
    await tasks.close()


class _RequestTasks(DurableTasks):
    """Says in the response where the first job is and when to ask for it; knows a repeat by its Idempotency-Key."""

    connection: HTTPConnection
    response: Response
    idempotency: Idempotency | None = None

    async def repeat(self, request: Request, key: str) -> None:
        """Name the jobs as an earlier request with this key did, if there was one."""
        self.idempotency = await idempotency(request, self.backend, self._owner, key)
        await off_the_loop(self.idempotency.look)
        self._seed, self._repeatable = self.idempotency.seed, True

    async def publish(self) -> None:
        if not self._calls:
            return
        if self.idempotency is not None:
            await off_the_loop(self.idempotency.keep)
        divided = len(self._calls) > 1 and self._calls[0].side == self._calls[1].side > 0
        try:
            await super().publish()
        except Unavailable as refused:
            if divided:
                refused.key = await self._key_of_repeat()
            raise

    async def _key_of_repeat(self) -> str:
        """Return a key under which a repeat names the same jobs, so that it adds only those that were refused."""
        if self.idempotency is not None:
            return self.idempotency.given
        if not isinstance(self.connection, Request):
            return ""
        made = named_afterwards(self.connection, self.backend, self._owner, self._seed)
        try:
            await off_the_loop(made.keep)
        except Unavailable:
            return ""
        return made.given

    def _added(self, task: Task[...], arguments: "dict[str, Json]", *, side: int = 0) -> Job:
        job = super()._added(task, arguments, side=side)
        if len(self.jobs) == 1:
            self.response.headers.update(headers_of(job, task.call_options.delay))
        return job


BackgroundTasks = Annotated[DurableTasks, Depends(durable_tasks, scope="function")]
"""What an endpoint asks for: `background_tasks: BackgroundTasks`."""
