"""What is said of cells by themselves: no more and no less than the model says of rows."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator, model_validator

from afterward.pii import Pii
from csv_pipeline.checks import MISSING, checks
from row_schemas import CustomerRow, PaymentRow

NUMBERS = st.from_regex(r"[-+ ]?[0-9_٣５]{0,14}([.,][0-9]{0,7})?([eE][-+]?[0-9]{1,3})?\n?", fullmatch=True) | st.text(
    alphabet="0123456789.-+_ e\nNaInf", max_size=12
)


class Prices(BaseModel):
    """Decimal numbers with all kinds of limits."""

    free: Decimal
    places: Annotated[Decimal, Field(decimal_places=2)]
    digits: Annotated[Decimal, Field(max_digits=5)]
    both: Annotated[Decimal, Field(max_digits=5, decimal_places=2)]
    positive: Annotated[Decimal, Field(gt=0, max_digits=5, decimal_places=2)]
    above: Annotated[Decimal, Field(gt=3, max_digits=5, decimal_places=2)]
    natural: Annotated[Decimal, Field(ge=0, max_digits=5, decimal_places=0)]
    bounded: Annotated[Decimal, Field(ge=-3, le=9)]
    multiple: Annotated[Decimal, Field(multiple_of=5)]
    small: Annotated[Decimal, Field(max_digits=2, decimal_places=2)]
    maybe: Annotated[Decimal, Field(gt=0, decimal_places=1)] | None = None


def takes(model: type[BaseModel], field: str, value: str) -> bool:
    """Ask the model, by a row of which everything else may be wrong."""
    try:
        model.model_validate({field: value})
    except ValidationError as error:
        return all(one["loc"][0] != field for one in error.errors())
    except ArithmeticError:
        return False
    return True


@pytest.mark.parametrize("field", Prices.model_fields)
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(NUMBERS.filter(bool), max_size=5))
def test_decimals_are_refused_as_the_model_refuses_them(field: str, texts: list[str]) -> None:
    """Also where a pattern says so, which is faster."""
    known, _ = checks(Prices)
    assert {*known[field].refused(texts)} == {text for text in texts if not takes(Prices, field, text)}


def test_plain_prices_are_known_by_a_pattern() -> None:
    """Else they would be no faster; limits that no pattern can say are left to Pydantic."""
    known, _ = checks(Prices)
    quick = {name for name, check in known.items() if check.certain is not None and check.certain("1")}
    assert quick == {"free", "places", "digits", "both", "positive", "natural", "maybe"}


class Size(StrEnum):
    SMALL = "s"


class Kinds(BaseModel):
    """What an empty cell may mean."""

    text: str
    short: Annotated[str, Field(min_length=1)] = "x"
    maybe: Annotated[str, Pii("name")] | None
    count: int
    limit: int = 5
    day: date | None = None
    sizes: Size
    other: Size = Size.SMALL
    choice: Literal["a", "b"] = "a"
    loose: Any = None


def test_an_empty_cell_is_what_its_field_may_be() -> None:
    """None where it may be None, nothing where a default holds, else the empty text."""
    known, plain = checks(Kinds)
    assert plain
    assert {name for name, check in known.items() if check.empty is None} == {"maybe", "day"}
    assert {name for name, check in known.items() if check.empty is MISSING} == {"limit", "other", "choice", "loose"}
    assert {name for name, check in known.items() if check.declared} == {
        "count",
        "limit",
        "day",
        "sizes",
        "other",
        "choice",
    }
    assert {name: [*check.refused(["", "?"])] for name, check in known.items()} == {
        "text": [], "short": [""], "maybe": [], "count": ["", "?"], "limit": ["?"], "day": ["?"], "sizes": ["", "?"],
        "other": ["?"], "choice": ["?"], "loose": [],
    }  # fmt: skip


def test_the_applications_models_are_known_by_their_cells() -> None:
    """Else each of their rows would go through the model."""
    assert checks(CustomerRow)[1]
    assert checks(PaymentRow)[1]


def _first(values: Any) -> Any:
    return values


class Before(BaseModel):
    a: int

    @model_validator(mode="before")
    @classmethod
    def all_of_it(cls, values: Any) -> Any:
        return _first(values)


class Initialised(BaseModel):
    a: int

    def model_post_init(self, _context: Any) -> None:
        if self.a > 5:
            raise ValueError("too much")


class Made(BaseModel):
    a: int

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Defaulted(BaseModel):
    model_config = ConfigDict(validate_default=True)
    a: int = 5


class Depending(BaseModel):
    a: int
    b: Annotated[int, Field(default_factory=lambda data: data["a"])]


@pytest.mark.parametrize("model", [Before, Initialised, Made, Defaulted, Depending])
def test_models_with_code_of_their_own_are_asked_about_rows(model: type[BaseModel]) -> None:
    """Nothing that a cell says by itself is certain there."""
    known, plain = checks(model)
    assert not plain
    assert "a" in known


def test_what_a_validator_may_make_of_a_cell_is_no_number() -> None:
    """A number that is cut out of a sentence leaves the sentence in the cell."""

    class Cut(BaseModel):
        a: Annotated[int, BeforeValidator(lambda text: text[-1])]
        b: Annotated[int, WrapValidator(lambda text, take: take(text[-1]))]
        c: int

    known, _ = checks(Cut)
    assert {name: check.declared for name, check in known.items()} == {"a": False, "b": False, "c": True}
    assert not [*known["a"].refused(["call 5"])]


def test_a_models_configuration_counts() -> None:
    """Where it is strict, no text is a number."""

    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        a: Decimal
        b: int

    known, _ = checks(Strict)
    assert [*known["a"].refused(["1"])] == [] if takes(Strict, "a", "1") else ["1"]
    assert [*known["b"].refused(["1"])] == ["1"]
