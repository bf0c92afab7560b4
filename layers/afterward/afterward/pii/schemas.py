"""How Pydantic validates and dumps a text with a policy."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import GetCoreSchemaHandler, SecretStr
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    PydanticKnownError,
    SchemaSerializer,
    ValidationError,
)
from pydantic_core import core_schema as cs

from afterward.pii.policy import Treatment

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from afterward.pii.fields import Pii

CLEAR = {"pii": "clear"}
"""The serialisation context in which values are dumped as they are."""

_WRAP = frozenset(cs.WrapValidatorFunctionSchema.__annotations__)
_INNER = {
    "function-before": "schema",
    "function-wrap": "schema",
    "function-after": "schema",
    "nullable": "schema",
    "default": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "lax_schema",
}


def _dumped(value: Any, info: cs.SerializationInfo) -> str:
    clear: str = _clear(value)
    return clear if _reveals(info.context) else value._pii(clear)  # noqa: SLF001 - of the classes below


_BY_ITSELF = SchemaSerializer(
    cs.any_schema(serialization=cs.plain_serializer_function_ser_schema(_dumped, info_arg=True)),
)
"""How Pydantic dumps a value where a field says no more of it than `Any`."""


class Personal(str):
    """A validated text that only `repr` masks, as in a printed model or a traceback; all else is that of its `str`."""

    __slots__ = ("_pii",)
    _pii: "Pii"

    def __new__(cls, value: str, pii: "Pii") -> Self:
        made = super().__new__(cls, value)
        made._pii = pii
        return made

    def __repr__(self) -> str:
        return repr(self._pii(str(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self._pii)

    __pydantic_serializer__ = _BY_ITSELF


class MaskedSecret(SecretStr):
    """A secret that prints what its policy leaves of it, instead of stars."""

    def __init__(self, secret_value: str, pii: "Pii") -> None:
        super().__init__(secret_value)
        self._pii = pii

    def __str__(self) -> str:
        return self._pii(self.get_secret_value())

    def __repr__(self) -> str:
        return f"SecretStr({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and self.get_secret_value() == other.get_secret_value()

    __hash__ = SecretStr.__hash__
    __pydantic_serializer__ = _BY_ITSELF


def treated_schema(pii: "Pii", source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Wrap the schema of a text, so that it prints and dumps as the policy says; refuse what is no text."""
    inner = handler(source)
    if (kind := _leaf(handler.resolve_ref_schema(inner))) != "str":
        raise TypeError(
            f"Pii stands on a str or a SecretStr, not on {source!r} (a schema of type {kind}); "
            "in a container it belongs to what is contained, as in list[Annotated[str, Pii(...)]]"
        )
    printing = pii.printing()

    def validated(value: Any, validate: cs.ValidatorFunctionWrapHandler) -> Any:
        try:
            valid = validate(value)
        except ValidationError as error:
            refusal = _masked(error, value, printing)
        else:
            return _printing(valid, printing)
        raise refusal  # out here, where the error that shows the value is not its context

    def dumped(value: Any, info: cs.SerializationInfo) -> Any:
        clear = _clear(value)
        return clear if clear is None or _reveals(info.context) else pii(str(clear))

    schema = cs.no_info_wrap_validator_function(
        validated,
        inner,
        serialization=cs.plain_serializer_function_ser_schema(dumped, info_arg=True),
    )
    return schema if inner["type"] == "lax-or-strict" else _Open(schema)


class _Open(dict[str, Any]):
    """A wrapped schema that lets a text's constraints in.

    Pydantic applies what stands behind `Pii` to the schema that it has returned. It writes a constraint into a copy
    of a text's schema, but would chain a text's schema to any other, and a chain prints and dumps as its last link:
    clear. So the copy says the first time it is asked that it is a text's, and passes on what is written into it.
    """

    _posing = False

    def copy(self) -> "_Open":
        copied = _Open(self)
        copied._posing = True
        return copied

    def __getitem__(self, key: str) -> Any:
        if key == "type" and self._posing:
            self._posing = False
            return "str"
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key in _WRAP:
            super().__setitem__(key, value)
        else:
            super().__setitem__("schema", _constrained(self["schema"], key, value))


def _constrained(schema: Any, key: str, value: Any) -> Any:
    if schema["type"] == "str":
        return {**schema, key: value}
    if schema["type"] == "nullable":
        return {**schema, "schema": _constrained(schema["schema"], key, value)}
    return cs.chain_schema([schema, cs.str_schema(**{key: value})])


def _leaf(schema: Any) -> str:
    while schema["type"] in {*_INNER, "chain"}:
        schema = schema["steps"][-1] if schema["type"] == "chain" else schema[_INNER[schema["type"]]]
    return str(schema["type"])


def _printing(value: Any, printing: "Pii") -> Any:
    if printing.mask == Treatment.KEEP:
        return value
    if isinstance(value, SecretStr):
        return MaskedSecret(value.get_secret_value(), printing)
    return Personal(value, printing) if isinstance(value, str) else value


def _clear(value: Any) -> Any:
    """Return a plain text, which prints clear: who asks for it by its context is to see it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, str) else value


def _reveals(context: Any) -> bool:
    return isinstance(context, Mapping) and CLEAR.items() <= context.items()


def _masked(error: ValidationError, value: Any, printing: "Pii") -> ValidationError:
    clear = str(_clear(value))
    details = [_detail(one, clear, printing(clear)) for one in error.errors(include_url=False)]
    return ValidationError.from_exception_data(error.title, details)


def _detail(found: "ErrorDetails", clear: str, shown: str) -> InitErrorDetails:
    """Return one error with the mask for its input, and for the value where a validator's own message quotes it."""
    kind, place = found["type"], found["loc"]
    if _is_pydantics(found):
        return {"type": kind, "loc": place, "input": shown, "ctx": found.get("ctx", {})}
    said = found["msg"].replace(clear, shown) if clear else found["msg"]
    return {"type": PydanticCustomError(kind, "{said}", {"said": said}), "loc": place, "input": shown}


def _is_pydantics(found: "ErrorDetails") -> bool:
    if found["type"] in {"value_error", "assertion_error"}:
        return False
    try:
        PydanticKnownError(found["type"], found.get("ctx"))  # type: ignore[arg-type]
    except KeyError:
        return False
    return True
