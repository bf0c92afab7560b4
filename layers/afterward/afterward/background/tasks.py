"""`BackgroundTasks`: FastAPI's call, `add_task(func, *args, **kwargs)`, made durable.

What an endpoint adds is published when it has returned and before its response leaves (`scope="function"`), so a
publish that fails becomes a 503, and an endpoint that raises publishes nothing.
"""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, ParamSpec

from fastapi import Depends, Response
from fastapi.requests import HTTPConnection

from afterward.backend import Backend, in_memory
from afterward.background.caller import owner
from afterward.background.store import store
from afterward.background.threads import off_the_loop
from afterward.clock import Clock, timestamp
from afterward.declaration import Task
from afterward.errors import UsageError
from afterward.job import Job, new_id
from afterward.publish import Call, derived_id, publish
from afterward.queues import GROUP

logger = logging.getLogger(__name__)

P = ParamSpec("P")

_SCOPE = "afterward.tasks"


@dataclass(frozen=True, slots=True)
class Links:
    """Paths at which this API shows a job; each holds `{task_id}`."""

    status: str = "/tasks/{task_id}"
    progress: str = "/task-progress/{task_id}"


async def links() -> Links:
    """Override where the status routes lie elsewhere: `app.dependency_overrides[links] = lambda: Links(...)`."""
    return Links()


class DurableTasks:
    """The tasks that one request adds. They run in the order of adding, one after the other, as Starlette's do."""

    def __init__(self, using: Backend, owner: str, links: Links = Links(), root_path: str = "") -> None:
        if not GROUP.fullmatch(owner):
            raise UsageError("the owner must be 1 to 128 printable ASCII characters without spaces: a digest, say")
        self.backend = using
        self.jobs: list[Job] = []
        self._owner = owner
        self._links = links
        self._root_path = root_path
        self._calls: list[Call] = []
        self._closed = False

    @classmethod
    def in_memory(cls, *, owner: str = "test", clock: Clock | None = None) -> "DurableTasks":
        """Return an instance of its own for a test: give it to an endpoint, then look with `afterward.testing`."""
        return cls(in_memory(clock), owner)

    def add_task(self, func: Task[P], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Add a job of a declared task; it is durable once the endpoint has returned.

        Raises UsageError where `func` is no task or the arguments do not fit its signature: nothing was added then.
        """
        if not isinstance(func, Task):
            raise UsageError(_undeclared(func))
        if self._closed:
            raise UsageError(
                f"{func.name} was added after the request's tasks were published; "
                "add it before the response begins, or in a WebSocket add it and `await background_tasks.publish()`"
            )
        call = self._call(func, func.codec.encode(*args, **kwargs))
        self._calls.append(call)
        paths = [self._root_path + path.format(task_id=call.id) for path in (self._links.status, self._links.progress)]
        job = Job(call.id, call.task, call.created, *paths)
        self.jobs.append(job)
        return job

    async def publish(self) -> None:
        """Make what was added durable now, as one chain.

        Raises errors.Unavailable or errors.IdTaken: nothing of it will run then, and what is to be tried again has to
        be added again.
        """
        calls, self._calls = self._calls, []
        if calls:
            await off_the_loop(publish, self.backend, self._owner, [calls])

    async def close(self) -> None:
        """Publish, and take no more tasks."""
        self._closed = True
        await self.publish()

    def _call(self, task: Task[...], arguments: dict[str, Any]) -> Call:
        options = task.call_options
        return Call(
            id=self._id(task),
            task=task.name,
            created=self._calls[0].created if self._calls else timestamp(self.backend.clock.now()),
            version=task.version,
            arguments=arguments,
            max_attempts=task.max_attempts,
            chosen=options.id is not None or options.key is not None or self._follows_chosen,
            replayable=options.key is not None,
            even_if_failed=options.even_if_failed,
            delay=options.delay,
            group=options.fairness,
        )

    @property
    def _follows_chosen(self) -> bool:
        return bool(self._calls) and self._calls[0].chosen

    def _id(self, task: Task[...]) -> str:
        """Name a job; what follows a chosen id is derived from it, since a repeat must name the same jobs."""
        options = task.call_options
        if options.id is not None:
            return options.id
        if options.key is not None:
            return derived_id(self._owner, task.name, options.key)
        if self._follows_chosen:
            return derived_id(self._owner, self._calls[0].id, str(len(self._calls)))
        return new_id()


async def durable_tasks(
    connection: HTTPConnection,
    response: Response,
    owner: Annotated[str, Depends(owner)],
    links: Annotated[Links, Depends(links)],
    using: Annotated[Backend, Depends(store)],
) -> AsyncIterator[DurableTasks]:
    """Give the request its one DurableTasks, and publish what it holds when the endpoint has returned."""
    if _SCOPE in connection.scope:
        yield connection.scope[_SCOPE]
        return
    tasks = connection.scope[_SCOPE] = _Located(using, owner, links, connection.scope.get("root_path", ""))
    tasks.response = response
    yield tasks
    await tasks.close()


class _Located(DurableTasks):
    """Names the first job that the endpoint adds in the response's `Location`."""

    response: Response

    def add_task(self, func: Task[P], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        job = super().add_task(func, *args, **kwargs)
        if len(self.jobs) == 1:
            self.response.headers["Location"] = job.status_url
        return job


def _undeclared(func: Callable[..., Any] | object) -> str:
    name = getattr(func, "__qualname__", repr(func))
    return f"{name} is not a declared task: put @afterward.task on its declaration, so that another process can find it"


BackgroundTasks = Annotated[DurableTasks, Depends(durable_tasks, scope="function")]
"""What an endpoint asks for: `background_tasks: BackgroundTasks`."""
