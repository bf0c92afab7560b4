"""Adding jobs to a chain: what a request's tasks and a running task's children have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from afterward.declaration import Task
from afterward.errors import UsageError

if TYPE_CHECKING:
    from afterward.envelope import Json
    from afterward.job import Job

P = ParamSpec("P")


class Additions(ABC):
    """`jobs` are those that were added, in their order."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._groups = 0

    def add_task(self, func: Task[P], /, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """Add a job of a declared task, to run after what was added before it.

        Raises UsageError where `func` is no task or the arguments do not fit its signature: nothing was added then.
        """
        return self._added(func, self._encoded(func, *args, **kwargs))

    def group(self) -> "Group":
        """Return a link of the chain whose jobs run side by side; what the chain gets next waits for them all."""
        self._groups += 1
        return Group(self, self._groups)

    def _encoded(self, func: Task[P], *args: P.args, **kwargs: P.kwargs) -> "dict[str, Json]":
        if not isinstance(func, Task):
            raise UsageError(_undeclared(func))
        self._check(func)
        return func.codec.encode(*args, **kwargs)

    @property
    def _latest(self) -> "Job | None":
        """The job that was added last, while a group that ends with it may still be filled."""
        return self.jobs[-1] if self.jobs else None

    @abstractmethod
    def _check(self, task: Task[...]) -> None:
        """Raise UsageError where this task cannot be added here, or not any more."""

    @abstractmethod
    def _added(self, task: Task[...], arguments: "dict[str, Json]", *, side: int = 0) -> "Job":
        """Add a job; neighbours with the same `side` run side by side."""


class Group:
    """Jobs side by side, as one link of a chain; a failure among them stops the chain when all of them are final."""

    def __init__(self, additions: Additions, number: int) -> None:
        self._additions = additions
        self._number = number
        self._last: Job | None = None

    def add_task(self, func: Task[P], /, *args: P.args, **kwargs: P.kwargs) -> "Job":
        """Add a job to the group, as `add_task` of the chain does to the chain."""
        additions = self._additions
        arguments = additions._encoded(func, *args, **kwargs)  # noqa: SLF001 - one class in two, so that `side` is no argument
        if self._last is not None and additions._latest is not self._last:  # noqa: SLF001 - as above
            raise UsageError(f"{func.name} was added to a group that the chain has left behind; fill a group at once")
        self._last = additions._added(func, arguments, side=self._number)  # noqa: SLF001 - as above
        return self._last


def _undeclared(func: Callable[..., Any] | object) -> str:
    name = getattr(func, "__qualname__", repr(func))
    return f"{name} is not a declared task: put @afterward.task on its declaration, so that another process can find it"
