"""What a task is given besides its arguments: `Depends`, as FastAPI means it, without FastAPI.

Providers nest, are cached for one attempt, and generators are closed in reverse with the exception that ended it.
`scope="environment"` keeps what a provider gave for as long as the Lambda environment lives (clients, pools).
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeGuard, cast, get_args, get_origin, get_type_hints

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

    Stands in the annotation: `mailer: Annotated[Mailer, Depends(smtp_mailer)] = injected`.
    """

    dependency: Provider
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
        own = inspect.iscoroutinefunction(self.provider) or inspect.isasyncgenfunction(self.provider)
        return own or any(isinstance(need, Node) and need.asynchronous for need in self.needs.values())


Needs = Mapping[str, Node | type]


def needs_of(label: str, implementation: Provider, declared: inspect.Signature, builtin: tuple[type, ...]) -> Needs:
    """Return what must be injected into `implementation`; refuse, by name, what it asks for and cannot get."""
    hints = _hints(label, implementation)
    needs: dict[str, Node | type] = {}
    for name, parameter in inspect.signature(implementation).parameters.items():
        if parameter.default is not injected:
            _check_declared(label, parameter, hints.get(name), declared)
            continue
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise UsageError(f"{label}: injected parameter `{name}` must be keyword-only: put it after a `*`")
        needs[name] = _need(f"{label}: parameter `{name}`", hints.get(name), builtin, ())
    missing = [name for name in declared.parameters if name not in inspect.signature(implementation).parameters]
    if missing:
        raise UsageError(f"{label}: the implementation lacks the declared parameter `{missing[0]}`")
    return needs


def _check_declared(label: str, parameter: inspect.Parameter, hint: Any, declared: inspect.Signature) -> None:
    wanted = declared.parameters.get(parameter.name)
    if _marker(hint) is not None:
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
    marker = _marker(hint)
    if marker is not None:
        return _node(label, marker, builtin, path)
    if hint in builtin:
        return cast("type", hint)
    known = ", ".join(one.__name__ for one in builtin)
    raise UsageError(f"{label} cannot be injected: annotate it with Annotated[..., Depends(...)] or as one of {known}")


def _node(label: str, marker: Depends, builtin: tuple[type, ...], path: tuple[Provider, ...]) -> Node:
    provider = marker.dependency
    if not callable(provider):
        raise UsageError(f"{label}: Depends needs a callable, got {provider!r}")
    if provider in path:
        raise UsageError(f"{label}: {_name(provider)} depends on itself")
    label = f"{label} → {_name(provider)}"
    hints = _hints(label, provider)
    needs: dict[str, Node | type] = {}
    for name, parameter in inspect.signature(provider).parameters.items():
        hint = hints.get(name)
        if _of_the_request(hint):
            raise UsageError(
                f"{label} needs the {hint.__name__}, which is over when the job runs; pass its values as arguments"
            )
        marked = _marker(parameter.default) or _marker(hint)
        if marked is not None:
            needs[name] = _node(label, marked, builtin, (*path, provider))
        elif hint in builtin:
            needs[name] = hint
        elif parameter.default is inspect.Parameter.empty and parameter.kind not in {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }:
            raise UsageError(f"{label} needs `{name}`, which nothing provides: give it a default or a Depends")
    scope: Scope = "environment" if marker.scope == "environment" else "attempt"
    if scope == "environment" and any(not isinstance(need, Node) or need.scope == "attempt" for need in needs.values()):
        raise UsageError(f"{label} outlives the attempt, so it cannot depend on what ends with it")
    return Node(provider, marker.use_cache, scope, needs)


def _marker(value: Any) -> Depends | None:
    """Find Afterward's or FastAPI's Depends in an annotation or a default."""
    candidates = get_args(value)[1:] if get_origin(value) is Annotated else (value,)
    for candidate in candidates:
        if isinstance(candidate, Depends):
            return candidate
        if type(candidate).__name__ == "Depends" and type(candidate).__module__ == "fastapi.params":
            return Depends(candidate.dependency, use_cache=candidate.use_cache)
    return None


def _of_the_request(hint: Any) -> TypeGuard[type]:
    return isinstance(hint, type) and hint.__module__.partition(".")[0] in {"starlette", "fastapi"}


def _hints(label: str, function: Provider) -> dict[str, Any]:
    target = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    try:
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError) as error:
        if isinstance(error, TypeError) or not hasattr(function, "__annotations__"):
            return {}
        raise UsageError(f"{label}: {error}; annotations must be resolvable at import") from None


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
        return any(isinstance(need, Node) and self._overridden(need).asynchronous for need in needs.values())

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
        if inspect.isgeneratorfunction(node.provider):
            value = life.stack.enter_context(contextmanager(node.provider)(**arguments))
        else:
            value = node.provider(**arguments)
        life.cache[need.provider] = value
        return value

    async def _async_value(self, need: Node | type) -> Any:
        if not isinstance(need, Node):
            return self.given[need]
        node, life = self._overridden(need), self._lifetime(need)
        if need.use_cache and need.provider in life.cache:
            return life.cache[need.provider]
        arguments = await self.async_values(node.needs)
        if inspect.isasyncgenfunction(node.provider):
            value = await life.async_stack.enter_async_context(asynccontextmanager(node.provider)(**arguments))
        elif inspect.isgeneratorfunction(node.provider):
            value = life.async_stack.enter_context(contextmanager(node.provider)(**arguments))
        else:
            value = node.provider(**arguments)
            value = await value if inspect.isawaitable(value) else value
        life.cache[need.provider] = value
        return value

    def _overridden(self, node: Node) -> Node:
        provider = self.overrides.get(node.provider)
        if provider is None:
            return node
        return _node(f"override of {_name(node.provider)}", Depends(provider), tuple(self.given), ())

    def _lifetime(self, node: Node) -> Lifetime:
        return self.environment if node.scope == "environment" and node.provider not in self.overrides else self.attempt
