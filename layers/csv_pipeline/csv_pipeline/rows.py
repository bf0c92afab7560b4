"""What a model says of rows: of each column by itself, and of rows as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from afterward.pii import Pii, columns
from csv_pipeline.binding import bound, is_simple
from csv_pipeline.checks import MISSING, Check, checks

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

TEXT = Pii("text")

_OUT_OF_RANGE: "ErrorDetails" = {
    "type": "out_of_range",
    "loc": (),
    "msg": "It has a number that is too large or too small",
    "input": None,
}


@dataclass(frozen=True, slots=True)
class Field:
    """What a column is. `check` is None where the model has no such field, or must see whole rows."""

    pii: Pii
    check: Check | None = None
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, and the place of the column that it is about, -1 where that is none."""

    place: int
    error: "ErrorDetails"


class RowCheck:
    """Raises errors.Discard where the header does not fit the model."""

    def __init__(self, header: Sequence[str], model: "type[BaseModel]") -> None:
        self._header = header
        self._model = model
        self._bound = bound(header, model)
        self._policies = columns(model)
        self._checks, plain = checks(model)
        self.by_cell = plain and all(map(is_simple, model.model_fields.values()))
        self._places = {name: place for place, names in self._bound.items() for name in names}
        self._given = [(name, place, self._checks[field].empty) for place, (field, name) in self._bound.items()]

    def field(self, place: int) -> Field:
        """Return what stands in a column."""
        name = self._header[place]
        if place not in self._bound:
            return Field(self._policies.get(name, TEXT))
        field, taken = self._bound[place]
        check = self._checks[field]
        return Field(self._policies.get(taken, TEXT), check if self.by_cell else None, check.declared)

    def problems(self, cells: Sequence[str]) -> list[Problem]:
        """Return what is wrong with a row; nothing where the model takes it."""
        given = {name: cells[place] or empty for name, place, empty in self._given}
        try:
            self._model.model_validate({name: value for name, value in given.items() if value is not MISSING})
        except ValidationError as error:
            return [Problem(self._place(one), one) for one in error.errors(include_url=False)]
        except ArithmeticError:  # where Pydantic divides what is too large
            return [Problem(-1, _OUT_OF_RANGE)]
        return []

    def _place(self, error: "ErrorDetails") -> int:
        place = error["loc"][0] if error["loc"] else ""
        return self._places.get(place, -1) if isinstance(place, str) else -1
