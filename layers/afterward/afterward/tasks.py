"""Adding jobs outside a request: from another function, a script, or whatever else makes an event a job.

```
tasks = Tasks(owner)
tasks.add_task(catalog.process_csv.options(id=job_id), user_id, key, "any")
tasks.publish()
```
"""

from dataclasses import replace
from typing import TYPE_CHECKING, ParamSpec

from afterward.additions import Additions
from afterward.backend import Backend, backend
from afterward.clock import timestamp
from afterward.declaration import Task
from afterward.errors import UsageError
from afterward.job import Job, new_id
from afterward.publish import Call, publish
from afterward.queues import GROUP
from afterward.records import derived_id, link_id

if TYPE_CHECKING:
    from afterward.envelope import Json

P = ParamSpec("P")


class NewChain(Additions):
    """Jobs on their way to being one chain: they run in the order of adding, one after the other."""

    def __init__(self, using: Backend, owner: str) -> None:
        if not GROUP.fullmatch(owner):
            raise UsageError("the owner must be 1 to 128 printable ASCII characters without spaces: a digest, say")
        super().__init__()
        self.backend = using
        self.owner = owner
        self._seed = new_id()
        self._repeatable = False
        self._calls: list[Call] = []
        self._callbacks: list[Call] = []

    def add_callback(self, func: Task[P], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Add a job that tells of what was added so far: it runs when all of that is final, however it ended.

        It may have `afterward.Chain` injected, is no part of the chain itself and does not count in its progress.
        """
        arguments = self._encoded(func, *args, **kwargs)
        if not self._calls:
            raise UsageError(f"{func.name} would tell of nothing: add the tasks first, then the callback")
        call = replace(
            self._call(func, arguments),
            id=derived_id(self.owner, self._calls[0].id, f"callback {len(self._callbacks)}"),
        )
        self._callbacks.append(replace(call, chosen=False, callback=True))
        return self._job(call)

    def _next_id(self) -> str:
        return derived_id(self.owner, self._seed, str(len(self.jobs)))

    def _taken(self) -> list[Call]:
        """Return what was added, and begin anew."""
        calls = [*self._calls, *self._callbacks]
        self._calls, self._callbacks = [], []
        return calls

    @property
    def _latest(self) -> Job | None:
        return super()._latest if self._calls else None

    def _check(self, task: Task[...]) -> None:
        """Take any task, at any time."""

    def _added(self, task: Task[...], arguments: "dict[str, Json]", *, side: int = 0) -> Job:
        call = replace(self._call(task, arguments), side=side)
        self._calls.append(call)
        job = self._job(call)
        self.jobs.append(job)
        return job

    def _job(self, call: Call) -> Job:
        return Job(call.id, call.task, call.created)

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
            return derived_id(self.owner, task.name, options.key)
        if self._calls:
            return link_id(self.owner, self._calls[0].id, len(self._calls))
        return self._next_id()


class Tasks(NewChain):
    """What `BackgroundTasks` is to a request, for code that serves none. `using`: other stores than the process's."""

    def __init__(self, owner: str, *, using: Backend | None = None) -> None:
        super().__init__(using or backend(), owner)

    def publish(self) -> None:
        """Make what was added durable, as one chain.

        Raises errors.Unavailable, and nothing of it will run, or errors.IdTaken where a chosen id is in use: also by
        the same chain, added before.
        """
        if calls := self._taken():
            publish(self.backend, self.owner, [calls])
