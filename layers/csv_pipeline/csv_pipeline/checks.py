"""Which cells a model certainly takes, each by itself.

A field's own part of a model's core schema is what Pydantic holds a value against. Where a model has nothing beside its
fields that may object, and no field looks at another, a row is valid if each of its cells is. That is found out once
for each different cell; only rows that hold one that is not go through the model, which says what is wrong with them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import SchemaValidator

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import CoreConfig, CoreSchema

_INNER = {
    "default": "schema",
    "nullable": "schema",
    "function-after": "schema",
    "function-before": "schema",
    "function-wrap": "schema",
    "lax-or-strict": "lax_schema",
    "json-or-python": "python_schema",
}
_DECLARED = frozenset(
    {"int", "float", "decimal", "date", "time", "datetime", "timedelta", "bool", "literal", "enum", "uuid"}
)
_CHANGES = frozenset({"function-before", "function-wrap"})
"""What may make something else of a cell before it is looked at."""

_OF_POLICIES = "afterward.pii.schemas"
"""Where the validators are from that `Pii` adds: they take what the text itself takes."""

_TEXT = frozenset({"type", "min_length", "max_length", "ref", "metadata"})
_DECIMAL = frozenset({"type", "max_digits", "decimal_places", "allow_inf_nan", "ge", "gt", "ref", "metadata"})
_DIGITS = 15
"""Of a number without limits: enough for most, and few enough for every kind of number."""

MISSING: Any = object()

Schema = dict[str, Any]
Definitions = dict[str, Schema]


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of a field.

    `empty` is what the model gets for an empty cell: None where the field may be None, MISSING where it has a default
    and is no text, else the empty text. `declared`: it is a number, a date or one of a few words, in which nobody
    writes anything personal. `certain` says of a text, faster than `accepts`, that it is taken.
    """

    empty: Any
    declared: bool
    accepts: Callable[[Any], bool]
    certain: Callable[[str], object] | None = None

    def refused(self, cells: Iterable[str]) -> Iterator[str]:
        """Yield the cells that the field does not take."""
        return filter(self._refuses, filterfalse(self.certain, cells) if self.certain else cells)

    def refusing(self, cells: Sequence[str]) -> list[int]:
        """Return the places of those cells."""
        certain = self.certain
        doubtful = [place for place, cell in enumerate(cells) if not certain(cell)] if certain else range(len(cells))
        return [place for place in doubtful if self._refuses(cells[place])]

    def _refuses(self, cell: str) -> bool:
        value = cell or self.empty
        return value is not MISSING and not self._takes(value)

    def _takes(self, value: Any) -> bool:
        try:
            return self.accepts(value)
        except ArithmeticError:  # where Pydantic divides what is too large
            return False


def checks(model: "type[BaseModel]") -> tuple[dict[str, Check], bool]:
    """Return what is known of each field, and whether rows are valid where each of their cells is."""
    model.model_rebuild()
    schema, definitions = _parted(dict(model.__pydantic_core_schema__))
    plain, config = True, Schema()
    while schema["type"] != "model-fields":
        plain = plain and schema["type"] == "model" and not _has_own_code(schema)
        config = schema.get("config") or config
        schema = schema["schema"]
    plain = plain and not config.get("validate_default") and not _looks_around([schema, *definitions.values()])
    fields: dict[str, Schema] = schema["fields"]
    return {name: _check(dict(one["schema"]), definitions, config) for name, one in fields.items()}, plain


def _parted(schema: Schema) -> tuple[Schema, Definitions]:
    if schema["type"] != "definitions":
        return schema, {}
    definitions = {one["ref"]: one for one in schema["definitions"]}
    return _resolved(schema["schema"], definitions), definitions


def _resolved(schema: Schema, definitions: Definitions) -> Schema:
    return definitions[schema["schema_ref"]] if schema["type"] == "definition-ref" else schema


def _has_own_code(schema: Schema) -> bool:
    return any(schema.get(name) for name in ("custom_init", "post_init", "root_model"))


def _looks_around(schema: Any) -> bool:
    """Say whether a validator is told of more than its value, or a default is validated, too."""
    if isinstance(schema, list):
        return any(map(_looks_around, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "with-info" or schema.get("default_factory_takes_data") or schema.get("validate_default"):
        return True
    return any(_looks_around(inner) for name, inner in schema.items() if name not in {"serialization", "metadata"})


def _check(schema: Schema, definitions: Definitions, config: Schema) -> Check:
    bare = _bare(schema)
    nodes = list(_nodes(bare, definitions))
    types = [node["type"] for node in nodes]
    defaulted = types[0] == "default" and types[-1] != "str"
    whole = {"type": "definitions", "schema": bare, "definitions": [*definitions.values()]} if definitions else bare
    accepts = SchemaValidator(cast("CoreSchema", whole), cast("CoreConfig", config)).isinstance_python
    return Check(
        None if "nullable" in types else MISSING if defaulted else "",
        types[-1] in _DECLARED and _CHANGES.isdisjoint(types),
        accepts,
        _certain(nodes, accepts, config),
    )


def _certain(nodes: list[Schema], accepts: Callable[[Any], bool], config: Schema) -> Callable[[str], object] | None:
    """Return what is asked of each text first: the field itself where that cannot raise, else what is known of it."""
    *around, last = (node for node in nodes if node["type"] not in {"default", "nullable"})
    if not around and last["type"] == "decimal":
        return None if config.get("strict") else _decimal(last)
    if not around and "multiple_of" not in last:
        return accepts
    patterns = [getattr(node["function"]["function"], "pattern", None) for node in around if "function" in node]
    return _spelt(last, patterns[0]) if len(around) == len(patterns) == 1 else None


def _spelt(schema: Schema, pattern: str | None) -> Callable[[str], object] | None:
    """Return what a text certainly is that a validator takes which only holds it against a pattern."""
    if pattern is None or schema["type"] != "str" or schema.keys() - _TEXT:
        return None
    length = f"{schema.get('min_length', 0)},{schema.get('max_length', '')}"
    return re.compile(rf"(?=(?s:.{{{length}}})\Z)(?:{pattern})").fullmatch


def _bare(schema: Schema) -> Schema:
    """Return the schema without what `Pii` has put around it, which takes nothing else and takes its time."""
    schema = dict(schema)
    if schema["type"] == "function-wrap" and schema["function"]["function"].__module__ == _OF_POLICIES:
        return _bare(schema["schema"])
    inner = _INNER.get(schema["type"])
    return {**schema, inner: _bare(schema[inner])} if inner else schema


def _nodes(schema: Schema, definitions: Definitions) -> Iterator[Schema]:
    """Yield a schema and what it is around, down to the type of the value."""
    schema = _resolved(schema, definitions)
    yield schema
    if schema["type"] in _INNER:
        yield from _nodes(schema[_INNER[schema["type"]]], definitions)


def _decimal(schema: Schema) -> Callable[[str], object] | None:
    """Return what certainly is such a decimal number, since Python's objects for them take long to make."""
    if schema["type"] != "decimal" or schema.keys() - _DECIMAL or schema.get("ge", 0) or schema.get("gt", 0):
        return None
    places = schema.get("decimal_places", 0 if "max_digits" in schema else _DIGITS)
    whole = schema.get("max_digits", _DIGITS + places) - places
    if whole < 1:
        return None
    sign = "-?" if not {"ge", "gt"} & schema.keys() else "(?=[0-9.]*[1-9])" if "gt" in schema else ""
    fraction = rf"(?:\.[0-9]{{1,{places}}})?" if places else ""
    return re.compile(rf"{sign}[0-9]{{1,{whole}}}{fraction}").fullmatch
