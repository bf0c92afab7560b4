"""`@task`: what may be asked for, by name and typed signature, apart from how it is done."""

import copy
import hashlib
import inspect
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, overload

from afterward.codec import Codec, travelling_signature
from afterward.depends import injected, needs_of
from afterward.errors import BadMessage, NewerMessage, UsageError
from afterward.job import checked_id
from afterward.pii import find
from afterward.queues import GROUP
from afterward.retry import Backoff, Delays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from afterward.envelope import Json
    from afterward.worker import Worker

P = ParamSpec("P")
Body = Callable[P, Awaitable[None] | None]
Upcaster = Callable[[dict[str, "Json"]], dict[str, "Json"]]

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""A task's name stands in an environment variable and, in camel case, in the template."""

REGISTRY: dict[str, "Task[...]"] = {}
"""Every task that this process has declared, by name and by alias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one call asks for beyond its arguments; see `Task.options`."""

    id: str | None = None
    delay: float = 0.0
    key: str | None = None
    even_if_failed: bool = False
    fairness: str = ""


class Task(Generic[P]):
    """A declared unit of background work. Made by `@task`; added with `BackgroundTasks.add_task`."""

    def __init__(  # noqa: PLR0913 - what the decorator takes
        self, declaration: Body[P], *, name: str, max_attempts: int, backoff: Delays, version: int, unit: str
    ) -> None:
        self.name = name
        self.unit = unit
        self.max_attempts = max_attempts
        self.backoff = backoff
        self.version = version
        self.signature = travelling_signature(f"task {name}", declaration, injected)
        self.codec = Codec(f"task {name}", self.signature)
        self.body = None if _is_empty(declaration) else declaration
        if self.body is not None:
            self._check_body(self.body)
        self.call_options = Options()
        self.__doc__ = declaration.__doc__
        self.__module__ = declaration.__module__
        self.__name__ = self.__qualname__ = declaration.__name__
        self._upcasters: dict[int, Upcaster] = {}
        self._workers: list[Worker] = []

    def __call__(self, *_args: P.args, **_kwargs: P.kwargs) -> NoReturn:
        raise UsageError(
            f"{self.name} is a declaration; add it with afterward.background.BackgroundTasks "
            "(was fastapi.BackgroundTasks imported?)"
        )

    def __repr__(self) -> str:
        return f"<task {self.name}{self.signature}>"

    def options(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the word of the job's own field
        delay: float = 0.0,
        key: str | None = None,
        even_if_failed: bool = False,
        fairness: str = "",
    ) -> "Task[P]":
        """Return this task for one call with options, so that every argument of add_task stays the task's own.

        `id`: the job's id, chosen by the caller; in use is `errors.IdTaken`. `key`: the same key names the same job, so
        a repeat adds nothing. `delay`: seconds before it may run, in a chain from the end of the job before.
        `even_if_failed`: runs although an earlier job of the chain failed. `fairness`: the SQS message group, instead
        of the owner; of one that is personal data, its digest.
        """
        if id is not None and key is not None:
            raise UsageError(f"task {self.name}: give id= or key=, not both")
        if key == "":
            raise UsageError(f"task {self.name}: key must not be empty; every call without one would be the same job")
        if not 0 <= delay < math.inf:
            raise UsageError(f"task {self.name}: delay must be seconds from 0 up, got {delay}")
        if fairness and not GROUP.fullmatch(fairness):
            raise UsageError(f"task {self.name}: fairness must be 1 to 128 printable ASCII characters without spaces")
        if id is not None:
            checked_id(id)
        chosen = copy.copy(self)
        group = _impersonal(fairness)
        chosen.call_options = Options(id=id, delay=delay, key=key, even_if_failed=even_if_failed, fairness=group)
        return chosen

    def worker(self, implementation: Body[P] | None = None, /) -> "Worker":
        """Return the Lambda handler that runs this task's jobs with `implementation`, or with the body in place.

        A method of the task, so that a type checker holds the implementation against the declared signature. Raises
        UsageError, naming the parameter, for what a checker cannot see.
        """
        from afterward.worker import Worker  # noqa: PLC0415 - whoever only adds tasks needs no worker

        function = implementation or self.body
        if function is None or isinstance(function, Task):
            raise UsageError(f"task {self.name} has no body in place; give worker() its implementation")
        if implementation is not None and self.body is not None:
            raise UsageError(f"task {self.name} has its body in place already, so {_named(function)} would never run")
        if self._workers and self._workers[0].implementation is function:
            return self._workers[0]
        if self._workers:
            raise UsageError(
                f"task {self.name} has two implementations: {self._workers[0].label} and {_named(function)}"
            )
        made = Worker(self, function)
        self._workers.append(made)
        return made

    @property
    def implemented(self) -> "Worker | None":
        """The worker of this process, if it has one: made by `worker`, or at once where the body is in place."""
        if not self._workers and self.body is not None:
            return self.worker()
        return self._workers[0] if self._workers else None

    def _check_body(self, body: Body[P]) -> None:
        """Refuse now what could not be injected: nobody may call `worker` before the first job is there."""
        from afterward.builtin import BUILTIN  # noqa: PLC0415 - a declaration without a body needs none

        needs_of(f"task {self.name}", body, self.signature, BUILTIN)

    def upcast(self, from_version: int) -> Callable[[Upcaster], Upcaster]:
        """Register how the arguments of version n become those of version n + 1, for jobs queued before a deploy."""
        if not 1 <= from_version < self.version:
            raise UsageError(
                f"task {self.name} has version {self.version}, so there is nothing to upcast from {from_version}"
            )

        def register(upcaster: Upcaster) -> Upcaster:
            self._upcasters[from_version] = upcaster
            return upcaster

        return register

    def arguments(self, version: int, arguments: "Mapping[str, Json]") -> inspect.BoundArguments:
        """Return a message's arguments for this version of the task, or raise BadMessage."""
        if version > self.version:
            raise NewerMessage(
                f"the job was made for version {version} of {self.name}, and this code is version {self.version}"
            )
        current = dict(arguments)
        for step in range(version, self.version):
            if step not in self._upcasters:
                raise BadMessage(f"{self.name} has no upcast from version {step}, which this job was made for")
            current = self._upcasters[step](current)
        return self.codec.decode(current)


@overload
def task(declaration: Body[P], /) -> Task[P]: ...
@overload
def task(
    *,
    name: str | None = None,
    max_attempts: int = 3,
    backoff: Delays = ...,
    version: int = 1,
    aliases: tuple[str, ...] = (),
    unit: str = "",
) -> Callable[[Body[P]], Task[P]]: ...
def task(  # noqa: PLR0913 - every one a keyword with a default
    declaration: Body[P] | None = None,
    /,
    *,
    name: str | None = None,
    max_attempts: int = 3,
    backoff: Delays = Backoff(),  # noqa: B008 - frozen
    version: int = 1,
    aliases: tuple[str, ...] = (),
    unit: str = "",
) -> Task[P] | Callable[[Body[P]], Task[P]]:
    """Declare a task: a function with annotated parameters that returns None, with or without its body.

    `name` (default: the function's) and `aliases` (earlier names) travel in messages. `max_attempts` counts every
    delivery that began; `backoff` spreads them. `unit` names what a chain that begins with this task counts in its
    progress, instead of jobs: see `chains.speaking_for_chain`. Raises UsageError for what could not travel or be found
    again.
    """

    def declare(function: Body[P]) -> Task[P]:
        _check_function(function)
        declared = Task(
            function,
            name=name or function.__name__,
            max_attempts=max_attempts,
            backoff=backoff,
            version=version,
            unit=unit,
        )
        _register(declared, aliases)
        return declared

    if max_attempts < 1 or version < 1:
        raise UsageError(f"a task needs max_attempts and version from 1 up, got {max_attempts} and {version}")
    return declare if declaration is None else declare(declaration)


def _impersonal(group: str) -> str:
    """Return what tells nobody's data and is the same for the same group, which is all that a queue asks of it."""
    return hashlib.sha256(group.encode()).hexdigest()[:32] if find(group) else group


def _register(declared: Task[...], aliases: tuple[str, ...]) -> None:
    for name in (declared.name, *aliases):
        if not NAME.fullmatch(name):
            raise UsageError(f"task name {name!r} must be a lower-case Python name of up to 64 characters")
        other = REGISTRY.get(name)
        if other is not None and (other.__module__, other.__qualname__) != (declared.__module__, declared.__qualname__):
            raise UsageError(
                f"task name {name!r} is declared twice: in {other.__module__} and in {declared.__module__}"
            )
    REGISTRY.update(dict.fromkeys((declared.name, *aliases), declared))


def _check_function(function: Callable[..., Any]) -> None:
    if not inspect.isfunction(function):
        raise UsageError(f"@task declares a plain function, not {_named(function)}")
    if function.__name__ == "<lambda>":
        raise UsageError("a lambda cannot be a task: another process could not find it again; declare a function")
    if "." in function.__qualname__:
        raise UsageError(
            f"{function.__qualname__} is a method or a nested function, which another process could not find again; "
            "declare the task at the top of a module"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"task {function.__name__} yields; a task returns None")
    if function.__annotations__.get("return", None) not in {None, "None"}:
        raise UsageError(
            f"task {function.__name__} must return None: results are effects, or objects whose key it reports"
        )


def _named(function: object) -> str:
    return str(getattr(function, "__qualname__", repr(function)))


def _docstring() -> None:
    """Nothing but this."""


def _nothing() -> None: ...


async def _docstring_async() -> None:
    """Nothing but this."""


async def _nothing_async() -> None: ...


_EMPTY = {function.__code__.co_code for function in (_docstring, _nothing, _docstring_async, _nothing_async)}


def _is_empty(function: Callable[..., Any]) -> bool:
    """Whether a function has no body but a docstring, `...` or `pass`: then it only declares."""
    code = function.__code__
    return code.co_code in _EMPTY and {*code.co_consts} <= {function.__doc__, None}
