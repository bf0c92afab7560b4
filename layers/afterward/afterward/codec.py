"""A task's arguments on their way into a message and out of it again.

One schema for a task's whole signature, built by Pydantic on first use. What is added is read back at once
(`decode(encode(x)) == x`), so what the task gets is what the caller passed, or the caller is told.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NotRequired, get_type_hints

from afterward.annotations import refusal
from afterward.depends import marker
from afterward.errors import BadMessage, UsageError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

    from afterward.envelope import Json

REVEAL = {"afterward": "envelope", "pii": "clear"}
"""The serialisation context in which masked types show their clear value: a mail must not go to a mask."""


class Codec:
    """Reads and writes the arguments of one signature. `label` names the task in errors."""

    def __init__(self, label: str, signature: inspect.Signature) -> None:
        self._label = label
        self._signature = signature

    def encode(self, *args: Any, **kwargs: Any) -> dict[str, "Json"]:
        """Return the arguments as JSON values by name, defaults included; raise UsageError where they do not fit."""
        bound = self._bind(*args, **kwargs)
        encoded = self._dump(bound.arguments)
        if self._changed(encoded, bound.arguments):
            # Pydantic's secrets write a mask; what is behind it has to travel.
            encoded = self._reveal(bound.arguments)
            if changed := self._changed(encoded, bound.arguments):
                raise UsageError(f"{self._label}: {changed}")
        return encoded

    def decode(self, arguments: Mapping[str, "Json"]) -> inspect.BoundArguments:
        """Validate what a message carries; raise BadMessage with the places that do not fit, without their values."""
        bound = inspect.BoundArguments(self._signature, self._load(arguments))
        bound.apply_defaults()
        return bound

    def _changed(self, encoded: Mapping[str, "Json"], arguments: Mapping[str, Any]) -> str | None:
        """Say what the task would get that is not what the caller passed; None where it gets the same."""
        try:
            decoded = self._load(encoded)
        except BadMessage as error:
            return str(error)
        for name, value in arguments.items():
            if decoded[name] != value:
                return (
                    f"argument `{name}` would not arrive as it was passed: "
                    f"{type(value).__name__} comes back as {type(decoded[name]).__name__}, or with another value"
                )
        return None

    def _bind(self, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UsageError(f"{self._label}: {error}") from None
        bound.apply_defaults()
        return bound

    def _dump(self, arguments: Mapping[str, Any]) -> dict[str, "Json"]:
        from pydantic_core import PydanticSerializationError  # noqa: PLC0415 - built on first use, see the module

        try:
            text = self._adapter.dump_json([dict(arguments)], context=REVEAL, warnings="none", round_trip=True)
        except PydanticSerializationError as error:
            raise UsageError(f"{self._label}: an argument cannot be written as JSON: {_first_line(error)}") from None
        encoded: dict[str, Json] = json.loads(text)[0]
        return encoded

    def _reveal(self, arguments: Mapping[str, Any]) -> dict[str, "Json"]:
        from pydantic_core import to_json  # noqa: PLC0415 - built on first use, see the module

        plain = self._adapter.dump_python([dict(arguments)], context=REVEAL, warnings="none", round_trip=True)
        text = to_json(_unmasked(plain), bytes_mode="base64", inf_nan_mode="null", fallback=str)
        revealed: dict[str, Json] = json.loads(text)[0]
        return revealed

    def _load(self, arguments: Mapping[str, "Json"]) -> dict[str, Any]:
        from pydantic import ValidationError  # noqa: PLC0415 - built on first use, see the module

        try:
            # Through JSON text, since Pydantic reads tuples, bytes and dates from JSON where it would not from Python.
            return dict(self._adapter.validate_json(json.dumps([arguments]), by_alias=False, by_name=True)[0])
        except ValidationError as error:
            raise BadMessage(f"invalid arguments: {_places(error)}") from None

    @cached_property
    def _adapter(self) -> "TypeAdapter[list[dict[str, Any]]]":
        from pydantic import ConfigDict, PydanticUserError, TypeAdapter  # noqa: PLC0415 - see the module
        from typing_extensions import TypedDict  # noqa: PLC0415 - the one that Pydantic takes before Python 3.12

        shape: Any = TypedDict("Arguments", {p.name: _travelling(p) for p in self._signature.parameters.values()})  # type: ignore[misc]
        config = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")
        try:
            # In a list, since the configuration of a TypedDict alone says nothing about how its bytes are written.
            adapter: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(list[shape], config=config)
            if not adapter.pydantic_complete:
                adapter.rebuild()
        except (PydanticUserError, NameError) as error:
            raise UsageError(f"{self._label}: {_first_line(error)}") from None
        return adapter


def travelling_signature(label: str, function: Callable[..., Any], injected: object) -> inspect.Signature:
    """Return the part of a function's signature that travels, annotations resolved; refuse what cannot."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise UsageError(f"{label}: {error}; annotations must be resolvable where the task is declared") from None
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is injected:
            continue
        if parameter.name not in hints:
            raise UsageError(
                f"{label}: parameter `{parameter.name}` needs an annotation: it says how the value travels"
            )
        if marker(hints[parameter.name], parameter.default):
            raise UsageError(f"{label}: parameter `{parameter.name}` is injected, so its default must be `injected`")
        if reason := refusal(hints[parameter.name]):
            raise UsageError(f"{label}: parameter `{parameter.name}`: {reason}")
        parameters.append(parameter.replace(annotation=hints[parameter.name]))
    return inspect.Signature(parameters)


def _travelling(parameter: inspect.Parameter) -> Any:
    annotation = parameter.annotation
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return tuple[annotation, ...]  # type: ignore[valid-type]
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return dict[str, annotation]  # type: ignore[valid-type]
    # A parameter that was added with a default must not fail the jobs that were queued before.
    return annotation if parameter.default is inspect.Parameter.empty else NotRequired[annotation]


def _unmasked(value: Any) -> Any:
    if (reveal := getattr(value, "get_secret_value", None)) is not None:
        return _unmasked(reveal())
    if isinstance(value, dict):
        return {key: _unmasked(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_unmasked(one) for one in value]
    return value


def _places(error: "ValidationError") -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"`{'.'.join(str(part) for part in one['loc'][1:])}`: {one['msg']}" for one in found[:5])


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
