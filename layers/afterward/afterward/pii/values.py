"""Personal data in values of any shape: in fields of a log line, in what is posted, in exceptions.

A value is looked at together with its name, since `{"password": "swordfish"}` is a secret and `"swordfish"` is none.
"""

import traceback
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

from afterward.pii.masking import mask
from afterward.pii.policy import Policy

DEPTH = 16
"""Levels of values within values; what lies deeper is told as text."""

LENGTH = 200_000
"""Characters of one text; no log line is longer, and what is behind them is left out."""

_DIGITS = 7
"""Fewer are no number of anybody."""

_DEFAULT = Policy()


def sanitised(value: Any, policy: Policy = _DEFAULT, *, name: str = "") -> Any:
    """Return a value without the personal data in it, of the same shape: what holds none is returned as it is.

    Mappings and sequences become dicts, lists and tuples; objects of other types are kept where their text holds
    nothing, and are their masked text where it does.
    """
    return _sanitised(value, policy, name, 0)


def _sanitised(value: Any, policy: Policy, name: str, depth: int) -> Any:
    match value:
        case None | bool() | float():
            return value
        case str():
            return _text(value, policy, name)
        case int():
            return _number(value, policy, name)
        case bytes() | bytearray() | memoryview():
            return _bytes(bytes(value), policy, name)
        case BaseException():
            return sanitised_error(value, policy)
    return _text(_told(value), policy, name) if depth >= DEPTH else _nested(value, policy, name, depth + 1)


def _nested(value: Any, policy: Policy, name: str, depth: int) -> Any:
    match value:
        case Mapping():
            return {
                _sanitised(key, policy, "", depth): _sanitised(one, policy, key if isinstance(key, str) else "", depth)
                for key, one in value.items()
            }
        case tuple():
            return tuple(_sanitised(one, policy, name, depth) for one in value)
        case list() | AbstractSet():
            return [_sanitised(one, policy, name, depth) for one in value]
    if not is_dataclass(value) or isinstance(value, type):
        text = _told(value)
        masked = _text(text, policy, name)
        return value if masked == text else masked
    told = {field.name: getattr(value, field.name, None) for field in fields(value)}
    clean = _sanitised(told, policy, name, depth)
    return value if clean == told else clean


def _text(text: str, policy: Policy, name: str) -> str:
    if len(text) > LENGTH:
        text = f"{text[:LENGTH]} … ({len(text) - LENGTH} characters more)"
    masked = mask(text, policy)
    if masked != text or not name:
        return masked
    # Where the value alone says nothing, its name may.
    masked = mask(f"{name}: {text}", policy)
    return masked.removeprefix(f"{name}: ") if masked.startswith(f"{name}: ") else text


def _number(number: int, policy: Policy, name: str) -> int | str:
    if abs(number) < 10 ** (_DIGITS - 1):
        return number
    text = str(number)
    masked = _text(text, policy, name)
    return number if masked == text else masked


def _bytes(data: bytes, policy: Policy, name: str) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    masked = _text(text, policy, name)
    return data if masked == text else masked.encode("utf-8", "surrogateescape")


def _told(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - whatever an object's own code raises
        return f"<{type(value).__name__}>"


def sanitised_error(error: BaseException, policy: Policy = _DEFAULT) -> BaseException:
    """Return an exception that is printed as this one without the personal data in it, with its causes and notes.

    Itself, where it holds none. Else a copy for printing only: a class of the same name that is no subclass of it.
    """
    printed = "".join(traceback.format_exception(error))
    return error if mask(printed, policy) == printed else _copied(error, policy, {})


def _copied(error: BaseException, policy: Policy, copies: dict[int, BaseException]) -> BaseException:
    if id(error) in copies:
        return copies[id(error)]
    kind = type(error)
    text = mask(error.message if isinstance(error, BaseExceptionGroup) else _told(error), policy)
    copy: BaseException
    if isinstance(error, BaseExceptionGroup):
        copy = BaseExceptionGroup(text, [_copied(one, policy, copies) for one in error.exceptions])
    else:
        about = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__str__": lambda _self: text}
        copy = type(kind.__name__, (Exception,), about)()
    copies[id(error)] = copy
    copy.__traceback__ = error.__traceback__
    copy.__cause__ = error.__cause__ and _copied(error.__cause__, policy, copies)
    copy.__context__ = error.__context__ and _copied(error.__context__, policy, copies)
    copy.__suppress_context__ = error.__suppress_context__
    for note in getattr(error, "__notes__", ()):
        copy.add_note(mask(_told(note), policy))
    return copy
