"""Policies for values whose kind is known before they are read: fields of models, and columns of CSV files.

`Annotated[str, Pii("email")]` is a `str` for the code that uses it: what prints or dumps a model is what gets the mask.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args, get_origin, get_type_hints

from afterward.pii.finding import Kind
from afterward.pii.masking import mask
from afterward.pii.policy import Policy, Treatment

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic.fields import FieldInfo
    from pydantic_core import CoreSchema

TEXT = "TEXT"
"""The kind of free text, in which only what `find` finds is treated."""

_KIND = re.compile(r"[^\W\d_]\w*")
_PLACEHOLDER = re.compile(r"\[(\w+)(?::\*\*[^\W_]{4}|:h[0-9a-f]{24})?\]")


@dataclass(frozen=True, slots=True)
class Pii:
    """What becomes of one field or column: in Pydantic's `Annotated`, or called for each cell.

    `kind` is one of `Kind` in any case, any other word for what no rule finds (`"name"` gives `[NAME]`), or `"text"`.
    `key` is for hashes: bytes, or what returns them. It is called for each value, so that a key may change.
    """

    kind: str
    mask: str = Treatment.MASK
    key: bytes | Callable[[], bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        kind: Any = self.kind
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise ValueError(f"a kind of personal data is one word like 'email', 'name' or 'text', got {kind!r}")
        if self.mask not in [*Treatment]:
            raise ValueError(f"a treatment is one of {', '.join(map(repr, map(str, Treatment)))}, got {self.mask!r}")
        if self.key is not None and not isinstance(self.key, bytes) and not callable(self.key):
            raise ValueError(f"a key is bytes, or a function that returns them, got {type(self.key).__name__}")
        object.__setattr__(self, "kind", kind.upper())
        object.__setattr__(self, "mask", Treatment(self.mask))
        if self.mask == Treatment.HASH and not self.key:
            raise ValueError(f"Pii({self.kind.lower()!r}, mask='hash') needs a key")

    def __call__(self, value: str) -> str:
        """Return what stands in the place of a value; an empty one tells nothing and stays."""
        policy = self.policy()
        if self.kind == TEXT:
            return mask(value, policy)
        if policy.default is Treatment.KEEP or not value.strip() or self._is_treated(value, policy.default):
            return value
        kind = Kind(self.kind) if self.kind in Kind.__members__ else cast("Kind", self.kind)
        return policy.replaced(value.strip(), kind)

    def policy(self) -> Policy:
        """Return the policy for what is found in a text; the key is asked for each time."""
        return _policy(Treatment(self.mask), self._key())

    def printing(self) -> "Pii":
        """Return the same without a key: a log line or a traceback must not have to ask for a secret."""
        return Pii(self.kind, Treatment.MASK if self.mask == Treatment.HASH else self.mask)

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from afterward.pii.schemas import treated_schema  # noqa: PLC0415 - columns of CSV files need no Pydantic

        return treated_schema(self, source, handler)

    def _is_treated(self, value: str, treatment: Treatment) -> bool:
        """Say whether it comes out of another dump: the hash of a hash would join nothing."""
        if treatment not in {Treatment.PARTIAL, Treatment.HASH}:
            return False
        placeholder = _PLACEHOLDER.fullmatch(value)
        return placeholder is not None and placeholder[1] == self.kind

    def _key(self) -> bytes:
        if self.mask != Treatment.HASH:
            return b""
        key = self.key() if callable(self.key) else self.key
        if not isinstance(key, bytes) or not key:
            raise ValueError(f"the key for hashes of {self.kind.lower()!r} must be bytes, and not empty")
        return key


def columns(row: type[Any]) -> dict[str, Pii]:
    """Return the policies of a row's fields by the names of their columns, which may be several for one field.

    `row` is a Pydantic model, a dataclass, a TypedDict or a NamedTuple.
    """
    fields: dict[str, FieldInfo] | None = getattr(row, "__pydantic_fields__", None)  # of Pydantic's dataclasses, too
    if fields is None:
        hints = get_type_hints(row, include_extras=True)
        return {name: pii for name, hint in hints.items() if (pii := _only(name, _policies(hint)))}
    by_name = _read_by_name(row)
    return {
        column: pii
        for name, info in fields.items()
        if (pii := _only(name, _declared(info.metadata) or _policies(info.annotation)))
        for column in _columns(name, info, by_name)
    }


def _only(name: str, policies: list[Pii]) -> Pii | None:
    """Return the outermost policy, which comes first; two beside each other leave open which one is meant."""
    if len({*policies}) > 1:
        raise ValueError(f"{name} has more than one policy: {', '.join(map(repr, policies))}")
    return policies[0] if policies else None


def _policies(annotation: Any) -> list[Pii]:
    """Walk an annotation, since `Pii(...) | None` hides it; what is in a list is in one cell of a file."""
    if get_origin(annotation) is Annotated:
        return _declared(annotation.__metadata__) or _policies(annotation.__origin__)
    named = getattr(annotation, "__value__", None) or getattr(annotation, "__supertype__", None)
    if named is not None:
        return _policies(named)
    return [pii for argument in get_args(annotation) for pii in _policies(argument)]


def _declared(metadata: Any) -> list[Pii]:
    """Return the last policy of an `Annotated`: as with Pydantic's other annotations, the outer one counts."""
    return [one for one in metadata if isinstance(one, Pii)][-1:]


def _columns(name: str, info: "FieldInfo", by_name: bool) -> Iterator[str]:
    alias: Any = info.validation_alias or info.alias
    choices = getattr(alias, "choices", [alias])
    aliases = [str(getattr(one, "path", [one])[0]) for one in choices if one]
    yield from dict.fromkeys([*aliases, *([name] if by_name or not aliases else [])])


def _read_by_name(row: type[Any]) -> bool:
    config = getattr(row, "model_config", None) or getattr(row, "__pydantic_config__", None) or {}
    return bool(config.get("populate_by_name") or config.get("validate_by_name"))


@lru_cache(maxsize=32)
def _policy(treatment: Treatment, key: bytes) -> Policy:
    return Policy(treatment, key=key)
