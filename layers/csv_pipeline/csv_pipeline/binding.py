"""Which column of a file is which field of a model, by their names."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from afterward.errors import Discard
from afterward.pii import mask

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_NAMED = 20
_LONGEST_NAME = 40


def bound(header: Sequence[str], model: "type[BaseModel]") -> dict[int, tuple[str, str]]:
    """Return for columns the field, and the name by which the model takes it.

    A column has exactly a field's name or alias; else the only one that differs in case, blanks and hyphens alone.
    Raises errors.Discard where a field that must be given has no column, or the model takes no other columns.
    """
    names = {field: tuple(_names(field, info, model)) for field, info in model.model_fields.items()}
    places = _exact(header, names)
    places |= _alike(header, names, places)
    missing = [field for field, info in model.model_fields.items() if info.is_required() and field not in places]
    if missing:
        told = [next(iter(names[field]), field) for field in missing]
        raise Discard(f"The header has no {_columns(told)}, which every row needs; it has {_told(header)}")
    taken = {place: (field, name) for field, (place, name) in places.items()}
    others = [name for place, name in enumerate(header) if place not in taken]
    if others and model.model_config.get("extra") == "forbid":
        raise Discard(f"The header has the {_columns(others)}, which rows must not have; they may have {_told(names)}")
    return taken


def is_simple(info: "FieldInfo") -> bool:
    """Say whether a field is read from one place only, whatever else stands in a row."""
    return all(not hasattr(one, "path") for one in _aliases(info))


Places = dict[str, tuple[int, str]]


def _exact(header: Sequence[str], names: dict[str, tuple[str, ...]]) -> Places:
    place = {name: index for index, name in reversed([*enumerate(header)])}
    found = {field: [name for name in own if name in place] for field, own in names.items()}
    return {field: (place[own[0]], own[0]) for field, own in found.items() if own}


def _alike(header: Sequence[str], names: dict[str, tuple[str, ...]], exact: Places) -> Places:
    taken = {place for place, _ in exact.values()}
    spelt = [(index, _plain(name)) for index, name in enumerate(header) if index not in taken]
    wanted = {field: {*map(_plain, own)} for field, own in names.items() if field not in exact}
    claims = Counter(name for own in wanted.values() for name in own)
    found = {
        field: [index for index, name in spelt if name in own and claims[name] == 1] for field, own in wanted.items()
    }
    return {field: (places[0], names[field][0]) for field, places in found.items() if len(places) == 1}


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _aliases(info: "FieldInfo") -> list[object]:
    alias = info.validation_alias or info.alias
    return [one for one in getattr(alias, "choices", [alias]) if one]


def _names(field: str, info: "FieldInfo", model: "type[BaseModel]") -> Iterator[str]:
    """Yield the names under which a model takes a field, as `afterward.pii.columns` does."""
    aliases = [str(getattr(one, "path", [one])[0]) for one in _aliases(info)]
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    yield from dict.fromkeys([*aliases, *([field] if by_name or not aliases else [])])


def _columns(names: Sequence[str]) -> str:
    return f"column {_told(names)}" if len(names) == 1 else f"columns {_told(names)}"


def _told(names: Iterable[str]) -> str:
    """Return names for a sentence: a header may be a row of somebody's data, and as long as a file."""
    all_names = [*names]
    told = ", ".join(mask(name)[:_LONGEST_NAME] or "''" for name in all_names[:_NAMED])
    return told + (f" and {len(all_names) - _NAMED:,} more" if len(all_names) > _NAMED else "")
