"""What is wrong with a row, for the person who uploaded it."""

import re
from typing import TYPE_CHECKING

from afterward.pii import mask
from csv_pipeline.reading import LOOKED_AT

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

EMPTY = "It is empty, and has to be given"

_WHOLE = "It should be a whole number"
_NUMBER = "It should be a number"
_DATE = "It should be a date, like 2026-11-22"
_MOMENT = "It should be a date and a time, like 2026-11-22T09:30:00Z"
_TIME = "It should be a time of day, like 09:30:00"
_SENTENCES = {
    "missing": EMPTY,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "It should be a whole number of fewer digits",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "finite_number": "It should be a finite number",
    "decimal_max_digits": "It should have at most {max_digits} digits",
    "decimal_max_places": "It should have at most {decimal_places} digits behind the decimal point",
    "decimal_whole_digits": "It should have at most {whole_digits} digits before the decimal point",
    "greater_than": "It should be greater than {gt}",
    "greater_than_equal": "It should be at least {ge}",
    "less_than": "It should be less than {lt}",
    "less_than_equal": "It should be at most {le}",
    "multiple_of": "It should be a multiple of {multiple_of}",
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": "It should be a date without a time, like 2026-11-22",
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "time_type": _TIME,
    "time_parsing": _TIME,
    "bool_type": "It should be true or false",
    "bool_parsing": "It should be true or false",
    "string_too_short": "It should have at least {min_length} characters",
    "string_too_long": "It should have at most {max_length} characters",
    "string_pattern_mismatch": "It should be of the form {pattern}",
    "literal_error": "It should be {expected}",
    "enum": "It should be {expected}",
    "uuid_type": "It should be a UUID",
    "uuid_parsing": "It should be a UUID",
}
"""By Pydantic's types of errors: https://docs.pydantic.dev/latest/errors/validation_errors/"""

_SAID_FIRST = re.compile(r"(?:Value error|Assertion failed), ")
_ONE = re.compile(r"\b(at (?:least|most) 1 (?:digit|character))s\b")
_NAMED = 5
_PIECE = 4
"""Letters and digits; no value of anybody is shorter."""


def reason(error: "ErrorDetails", cell: str, told: str, *, whole: bool) -> str:
    """Return one sentence; `told` stands where a validator's own message shows the cell. `whole`: it is about a row."""
    if not cell and not whole:
        return EMPTY
    sentence = _SENTENCES.get(error["type"])
    if sentence is not None:
        return _ONE.sub(r"\1", sentence.format_map(error.get("ctx", {})))
    said = _SAID_FIRST.sub("", error["msg"], count=1)
    if whole or _shows(said, cell):
        return mask(said.replace(cell, told) if len(cell) >= _PIECE else said)
    return said


def _shows(said: str, cell: str) -> bool:
    """Say whether a message may have a piece of the cell in it; an example in it is no personal data."""
    told, value = _letters(said), _letters(cell[:LOOKED_AT])
    return any(value[start : start + _PIECE] in told for start in range(len(value) - _PIECE + 1))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def more(columns: list[str]) -> str:
    """Return what is added to a reason where other columns have problems, too."""
    if not columns:
        return ""
    names = list(dict.fromkeys(columns))
    named = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
    return f" (and {len(columns)} more {'problem' if len(columns) == 1 else 'problems'}: {named})"
