"""`BackgroundTasks`: FastAPI's call, `add_task(func, *args, **kwargs)`, made durable.

What an endpoint adds is published when it has returned and before its response leaves (`scope="function"`), so a
publish that fails becomes a 503, and an endpoint that raises publishes nothing.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Response
from fastapi.requests import HTTPConnection, Request

from afterward.backend import Backend, in_memory
from afterward.background.caller import owner
from afterward.background.idempotency import Idempotency, IdempotencyKey, idempotency, named_afterwards
from afterward.background.responses import headers_of
from afterward.background.store import store
from afterward.background.threads import off_the_loop
from afterward.clock import Clock
from afterward.declaration import Task
from afterward.errors import Unavailable, UsageError
from afterward.job import Job
from afterward.publish import Call, announce, publish
from afterward.tasks import NewChain

if TYPE_CHECKING:
    from afterward.envelope import Json

logger = logging.getLogger(__name__)

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


class DurableTasks(NewChain):
    """The tasks that one request adds. They run in the order of adding, one after the other, as Starlette's do.

    They are durable once the endpoint has returned.
    """

    def __init__(self, using: Backend, owner: str, links: Links = Links(), root_path: str = "") -> None:
        super().__init__(using, owner)
        self._links = links
        self._root_path = root_path
        self._closed = False

    @classmethod
    def in_memory(cls, *, owner: str = "test", clock: Clock | None = None) -> "DurableTasks":
        """Return an instance of its own for a test: give it to an endpoint, then look with `afterward.testing`."""
        return cls(in_memory(clock), owner)

    async def publish(self) -> None:
        """Make what was added durable now, as one chain.

        Raises errors.Unavailable or errors.IdTaken: what is to be tried again has to be added again, and nothing of it
        will run, except where Unavailable names a `key`.
        """
        if calls := self._taken():
            await off_the_loop(publish, self.backend, self.owner, [calls])

    async def new_id(self) -> str:
        """Return an id for the job that is added next, by `options(id=)`: for whoever needs it before.

        A repeat of the request with the same Idempotency-Key gets the same.
        """
        return self._next_id()

    async def announce(self, message: str, *, required: bool = True) -> None:
        """Put the record of the first job that was added, saying `message`, and start nothing.

        So it can be watched while it waits for an event from elsewhere, an upload, for up to six hours. Whoever learns
        of that adds the same chain under the same id, which `options(id=)` has chosen, and so starts it. Raises
        errors.IdTaken, or errors.Unavailable where it is `required`: a job that is started has a record in any case.
        """
        calls = self._taken()
        try:
            await off_the_loop(announce, self.backend, self.owner, calls, message)
        except Unavailable:
            if required:
                raise
            logger.warning("the job's record is left to be made when it starts", exc_info=True)

    async def close(self) -> None:
        """Publish, and take no more tasks."""
        self._closed = True
        await self.publish()

    async def __call__(self) -> None:
        """Do nothing: Starlette calls what a Response has as its `background`, and by then all of this is published."""

    def _check(self, task: Task[...]) -> None:
        if self._closed:
            raise UsageError(
                f"{task.name} was added after the request's tasks were published; "
                "add it before the response begins, or in a WebSocket add it and `await background_tasks.publish()`"
            )

    def _job(self, call: Call) -> Job:
        return self._links.job(call.id, call.task, call.created, self._root_path)


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
        self.idempotency = await idempotency(request, self.backend, self.owner, key)
        await off_the_loop(self.idempotency.look)
        self._seed, self._repeatable = self.idempotency.seed, True

    async def new_id(self) -> str:
        if self.idempotency is not None:
            await off_the_loop(self.idempotency.keep)
        return await super().new_id()

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
        made = named_afterwards(self.connection, self.backend, self.owner, self._seed)
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
