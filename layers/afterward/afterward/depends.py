"""What a task is given besides its arguments: `Depends`, as FastAPI means it, without FastAPI.

Providers nest, are cached for one attempt, and generators are closed in reverse with the exception that ended it.
`scope="environment"` keeps what a provider gave for as long as the Lambda environment lives (clients, pools).
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from afterward.errors import UsageError

Scope = Literal["attempt", "environment"]
Provider = Callable[..., Any]
Overrides = Mapping[Provider, Provider]


class _Injected:
    """The default of a parameter that Afterward fills in."""

    def __repr__(self) -> str:
        return "injected"


injected: Any = _Injected()


@dataclass(frozen=True, slots=True)
class Depends:
    """Marks a parameter that is filled by calling `dependency`; FastAPI's own Depends object means the same here.

    Stands in the annotation: `mailer: Annotated[Mailer, Depends(smtp_mailer)] = injected`. Without a `dependency` the
    annotated class is called.
    """

    dependency: Provider | None = None
    use_cache: bool = field(default=True, kw_only=True)
    scope: Scope = field(default="attempt", kw_only=True)


@dataclass(frozen=True, slots=True)
class Node:
    """A provider with what it needs itself, worked out once when the task's worker is made."""

    provider: Provider
    use_cache: bool
    scope: Scope
    needs: Mapping[str, "Node | type"]

    @property
    def asynchronous(self) -> bool:
        return inspect.iscoroutinefunction(_called(self.provider)) or self.yields_async

    @property
    def yields(self) -> bool:
        return inspect.isgeneratorfunction(_called(self.provider))

    @property
    def yields_async(self) -> bool:
        return inspect.isasyncgenfunction(_called(self.provider))


Needs = Mapping[str, Node | type]


def needs_of(label: str, implementation: Provider, declared: inspect.Signature, builtin: tuple[type, ...]) -> Needs:
    """Return what must be injected into `implementation`; refuse, by name, what it asks for and cannot get."""
    hints = _hints(label, implementation)
    needs: dict[str, Node | type] = {}
    parameters = inspect.signature(implementation).parameters
    for name, parameter in parameters.items():
        if parameter.default is not injected:
            _check_declared(label, parameter, hints.get(name), declared)
            continue
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise UsageError(f"{label}: injected parameter `{name}` must be keyword-only: put it after a `*`")
        needs[name] = _need(f"{label}: parameter `{name}`", hints.get(name), builtin, ())
    _check_complete(label, [name for name in parameters if name not in needs], declared)
    if needs and any(one.kind is inspect.Parameter.VAR_KEYWORD for one in declared.parameters.values()):
        raise UsageError(f"{label}: a task with **keywords gets nothing injected: a caller may use the same name")
    return needs


def _check_complete(label: str, names: list[str], declared: inspect.Signature) -> None:
    for name in declared.parameters:
        if name not in names:
            raise UsageError(f"{label}: the implementation lacks the declared parameter `{name}`")
    kinds = {name: parameter.kind for name, parameter in declared.parameters.items()}
    positional = [name for name in names if kinds[name] is not inspect.Parameter.KEYWORD_ONLY]
    if positional != [name for name in kinds if kinds[name] is not inspect.Parameter.KEYWORD_ONLY]:
        raise UsageError(f"{label}: the implementation has the parameters in another order than declared")


def _check_declared(label: str, parameter: inspect.Parameter, hint: Any, declared: inspect.Signature) -> None:
    wanted = declared.parameters.get(parameter.name)
    if marker(hint, parameter.default) is not None:
        raise UsageError(f"{label}: parameter `{parameter.name}` is injected, so its default must be `injected`")
    if wanted is None:
        raise UsageError(
            f"{label}: parameter `{parameter.name}` is not declared by the task; "
            "declare it there, or mark it with Annotated[..., Depends(...)] = injected"
        )
    if wanted.kind is not parameter.kind:
        raise UsageError(
            f"{label}: parameter `{parameter.name}` is {parameter.kind.description}, "
            f"but declared as {wanted.kind.description}"
        )
    if parameter.default is not inspect.Parameter.empty and parameter.default != wanted.default:
        raise UsageError(f"{label}: parameter `{parameter.name}` has another default than the task's declaration")


def _need(label: str, hint: Any, builtin: tuple[type, ...], path: tuple[Provider, ...]) -> Node | type:
    marked = marker(hint)
    if marked is not None:
        return _node(label, marked, builtin, path)
    if hint in builtin:
        return cast("type", hint)
    known = ", ".join(one.__name__ for one in builtin)
    raise UsageError(f"{label} cannot be injected: annotate it with Annotated[..., Depends(...)] or as one of {known}")


def _node(label: str, marked: Depends, builtin: tuple[type, ...], path: tuple[Provider, ...]) -> Node:
    provider = marked.dependency
    if not callable(provider):
        raise UsageError(f"{label}: Depends needs a callable, got {provider!r}")
    if provider in path:
        raise UsageError(f"{label}: {_name(provider)} depends on itself")
    label = f"{label} → {_name(provider)}"
    hints = _hints(label, provider)
    needs: dict[str, Node | type] = {}
    for name, parameter in _parameters(provider).items():
        hint = hints.get(name)
        if (request := _of_the_request(hint, parameter.default)) is not None:
            raise UsageError(
                f"{label} needs the {request}, which is over when the job runs; pass its values as arguments"
            )
        nested = marker(hint, parameter.default)
        if nested is not None:
            needs[name] = _node(label, nested, builtin, (*path, provider))
        elif hint in builtin:
            needs[name] = hint
        elif parameter.default is inspect.Parameter.empty and parameter.kind not in {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }:
            raise UsageError(f"{label} needs `{name}`, which nothing provides: give it a default or a Depends")
    if marked.scope == "environment" and not marked.use_cache:
        raise UsageError(f"{label} is made once for the environment, so it cannot have use_cache=False")
    if marked.scope == "environment" and any(_ends_with_attempt(need) for need in needs.values()):
        raise UsageError(f"{label} outlives the attempt, so it cannot depend on what ends with it")
    return Node(provider, marked.use_cache, marked.scope, needs)


def _ends_with_attempt(need: Node | type) -> bool:
    return not isinstance(need, Node) or need.scope == "attempt"


def marker(hint: Any, default: Any = None) -> Depends | None:
    """Find Afterward's or FastAPI's Depends in an annotation or a default."""
    annotated, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    for candidate in (default, *metadata):
        if isinstance(candidate, Depends):
            return replace(candidate, dependency=candidate.dependency or annotated)
        if "Depends" in _fastapi_names(candidate):
            return Depends(candidate.dependency or annotated, use_cache=candidate.use_cache)
    return None


def _of_the_request(hint: Any, default: Any) -> str | None:
    """Name what a provider wants of the request: the Request itself, or a parameter of it (Header, Query, …)."""
    if isinstance(hint, type) and hint.__module__.partition(".")[0] in {"starlette", "fastapi"}:
        return hint.__name__
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    names = [names for one in (default, *metadata) if (names := _fastapi_names(one)) and "Depends" not in names]
    return names[0][0] if names else None


def _fastapi_names(value: Any) -> list[str]:
    """Return the names of FastAPI's parameter classes that a value is of; FastAPI itself need not be there."""
    return [cls.__name__ for cls in type(value).__mro__ if cls.__module__ == "fastapi.params"]


def _called(provider: Provider) -> Provider:
    """Return the function behind a partial or a callable object; a class stays what it is."""
    while isinstance(provider, partial):
        provider = provider.func
    return provider if isinstance(provider, type) or inspect.isroutine(provider) else type(provider).__call__


def _parameters(provider: Provider) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(provider).parameters
    except ValueError:  # built in, without a signature
        return {}


def _hints(label: str, function: Provider) -> dict[str, Any]:
    target = _called(function)
    try:
        return get_type_hints(target.__init__ if isinstance(target, type) else target, include_extras=True)  # type: ignore[misc]
    except NameError as error:
        raise UsageError(f"{label}: {error}; annotations must be resolvable at import") from None
    except TypeError:
        return {}


def lasting_nodes(needs: Needs) -> Iterator[Node]:
    """Yield the providers whose values outlive an attempt, also those that others need."""
    for need in needs.values():
        if isinstance(need, Node):
            yield from (need,) if need.scope == "environment" else lasting_nodes(need.needs)


def _name(provider: Provider) -> str:
    return getattr(provider, "__qualname__", repr(provider))


@dataclass(slots=True)
class Lifetime:
    """What was provided for one attempt, or for one environment, and is closed at its end."""

    cache: dict[Provider, Any] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)
    async_stack: AsyncExitStack = field(default_factory=AsyncExitStack)


@dataclass(frozen=True, slots=True)
class Resolver:
    """Calls providers. `given` holds the values of the built-in types, `overrides` stands in for providers in tests."""

    attempt: Lifetime
    environment: Lifetime
    given: Mapping[type, Any]
    overrides: Overrides = field(default_factory=dict)

    def asynchronous(self, needs: Needs) -> bool:
        nodes = [self._overridden(need) for need in needs.values() if isinstance(need, Node)]
        return any(node.asynchronous or self.asynchronous(node.needs) for node in nodes)

    def values(self, needs: Needs) -> dict[str, Any]:
        return {name: self._value(need) for name, need in needs.items()}

    async def async_values(self, needs: Needs) -> dict[str, Any]:
        return {name: await self._async_value(need) for name, need in needs.items()}

    def _value(self, need: Node | type) -> Any:
        if not isinstance(need, Node):
            return self.given[need]
        node, life = self._overridden(need), self._lifetime(need)
        if need.use_cache and need.provider in life.cache:
            return life.cache[need.provider]
        arguments = self.values(node.needs)
        if node.yields:
            value = life.stack.enter_context(contextmanager(node.provider)(**arguments))
        else:
            value = node.provider(**arguments)
        life.cache.setdefault(need.provider, value)
        return value

    async def _async_value(self, need: Node | type) -> Any:
        if not isinstance(need, Node):
            return self.given[need]
        node, life = self._overridden(need), self._lifetime(need)
        if need.use_cache and need.provider in life.cache:
            return life.cache[need.provider]
        arguments = await self.async_values(node.needs)
        if node.yields_async:
            value = await life.async_stack.enter_async_context(asynccontextmanager(node.provider)(**arguments))
        elif node.yields:
            value = life.async_stack.enter_context(contextmanager(node.provider)(**arguments))
        else:
            value = node.provider(**arguments)
            value = await value if inspect.isawaitable(value) else value
        life.cache.setdefault(need.provider, value)
        return value

    def _overridden(self, node: Node) -> Node:
        provider = self.overrides.get(node.provider)
        if provider is None:
            return node
        return _node(f"override of {_name(node.provider)}", Depends(provider), tuple(self.given), ())

    def _lifetime(self, node: Node) -> Lifetime:
        return self.environment if node.scope == "environment" and node.provider not in self.overrides else self.attempt
