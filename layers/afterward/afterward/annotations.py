"""Which annotations can travel in a message, decided without building a schema: this runs when a task is declared."""

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import io
import ipaddress
import pathlib
import re
import sys
import types
import typing
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from afterward.errors import UsageError

_VALUES = (
    bool,
    int,
    float,
    str,
    bytes,
    type(None),
    dt.date,
    dt.time,
    dt.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    enum.Enum,
    uuid.UUID,
    pathlib.PurePath,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    re.Pattern,
)

_CONTAINERS = {
    list,
    dict,
    tuple,
    set,
    frozenset,
    collections.deque,
    collections.defaultdict,
    collections.OrderedDict,
    collections.Counter,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Set,
    collections.abc.MutableSet,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
}

_TRANSPARENT = {
    *_CONTAINERS,
    typing.Union,
    types.UnionType,
    typing.Required,
    typing.NotRequired,
    typing.Final,
}
"""What travels when that in its brackets does."""

_INJECTED = {
    "afterward.progress.Progress",
    "afterward.job.Job",
    "afterward.job.Chain",
    "afterward.effects.Effects",
    "afterward.results.Results",
    "afterward.children.Children",
}
"""`builtin.BUILTIN` by name: who only declares tasks need not import it."""

_INSTEAD = {
    "UploadFile": "store the file in S3 and pass its key",
    "Request": "pass the values that the task needs from it",
    "HTTPConnection": "pass the values that the task needs from it",
    "WebSocket": "pass the values that the task needs from it",
    "Response": "a job runs after the response has left",
    "BackgroundTasks": "have afterward.Children injected, or chain them where they are added",
}
"""Classes of the web process by name, so that Starlette need not be imported to know them."""

_NO_SHAPE = {
    Any: "Any says nothing about what travels; name the type, or use pydantic.JsonValue",
    object: "object says nothing about what travels; name the type, or use pydantic.JsonValue",
    typing.Callable: "a function cannot travel; pass its name or an enum",
    Callable: "a function cannot travel; pass its name or an enum",
}


def refusal(annotation: Any) -> str | None:
    """Return why a value of this annotation cannot travel, and what to do instead; None where it can."""
    return next(_refusals(annotation, {}), None)


def _refusals(annotation: Any, seen: dict[int, Any]) -> Iterator[str]:
    """Walk an annotation. `seen` holds what was walked, so that no id is used again meanwhile."""
    if id(annotation) in seen or isinstance(annotation, str | typing.ForwardRef):
        return
    seen[id(annotation)] = annotation
    origin = get_origin(annotation)
    if origin in {Literal, re.Pattern, typing.ClassVar}:
        return
    if origin is Annotated:
        yield from _refusals(get_args(annotation)[0], seen)
    elif reason := _hashable_lookup(origin or annotation):
        yield reason
    elif origin is not None:
        yield from _generic_refusals(origin, annotation, seen)
    elif (named := getattr(annotation, "__value__", None) or getattr(annotation, "__supertype__", None)) is not None:
        yield from _refusals(named, seen)  # a type alias (PEP 695) or a NewType
    elif isinstance(annotation, type):
        yield from _class_refusals(annotation, seen)


def _generic_refusals(origin: Any, annotation: Any, seen: dict[int, Any]) -> Iterator[str]:
    if origin in _CONTAINERS and not hasattr(annotation, "__args__"):
        yield _bare(origin)  # typing.List and the like
    if origin not in _TRANSPARENT:
        yield from _refusals(origin, seen)
    for argument in get_args(annotation):
        if argument is not Ellipsis:
            yield from _refusals(argument, seen)


def _hashable_lookup(annotation: Any) -> str | None:
    try:
        return _NO_SHAPE.get(annotation)
    except TypeError:
        return None


def _class_refusals(cls: type, seen: dict[int, Any]) -> Iterator[str]:
    if cls in _CONTAINERS:
        yield _bare(cls)
    elif issubclass(cls, _VALUES):
        return
    elif (instead := _instead(cls)) is not None:
        yield instead
    elif (nested := _fields(cls)) is not None:
        for name, annotation in nested.items():
            yield from (f"{cls.__name__}.{name}: {reason}" for reason in _refusals(annotation, seen))
    elif not hasattr(cls, "__get_pydantic_core_schema__"):
        yield (
            f"{cls.__name__} cannot travel in a message; pass its id or its data, "
            "and open it inside the task with afterward.Depends"
        )


def _bare(cls: type) -> str:
    return f"a bare {cls.__name__} says nothing about what is in it; write {cls.__name__}[...]"


def _instead(cls: type) -> str | None:
    if f"{cls.__module__}.{cls.__name__}" in _INJECTED:
        return f"{cls.__name__} is injected: put it after a `*`, with the default `injected`"
    if issubclass(cls, typing.IO | io.IOBase):
        return f"{cls.__name__} is an open file, which cannot travel; store the file in S3 and pass its key"
    if typing.is_typeddict(cls) and sys.version_info < (3, 12):
        return f"{cls.__name__}: use typing_extensions.TypedDict, as Pydantic asks for before Python 3.12"
    if (instead := _of_the_web(cls)) is not None:
        return f"{cls.__name__} belongs to the request, which is over when the job runs; {instead}"
    return None


def _of_the_web(cls: type) -> str | None:
    web = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in {"starlette", "fastapi"}]
    return next((_INSTEAD[base.__name__] for base in web if base.__name__ in _INSTEAD), None)


def _fields(cls: type) -> dict[str, Any] | None:
    """Return the annotations of a model, dataclass, TypedDict or NamedTuple; None for any other class."""
    if hasattr(cls, "model_fields"):
        return {name: field.annotation for name, field in cls.model_fields.items()}
    if not (dataclasses.is_dataclass(cls) or hasattr(cls, "__required_keys__") or hasattr(cls, "_fields")):
        return None
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise UsageError(
            f"{cls.__name__}: {error}; annotations must be resolvable where the task is declared"
        ) from None
