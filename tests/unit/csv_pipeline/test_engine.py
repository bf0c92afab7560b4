"""What becomes of rows: the same as where one after the other goes through csv, Pydantic and the masks."""

# ruff: noqa: E501, RUF001 - rows of cells, in many scripts

import csv
import io
import resource
import sys
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from afterward import Discard
from afterward.pii import Pii, columns, mask
from csv_pipeline import reading
from csv_pipeline.engine import Engine, Processed
from csv_pipeline.formulas import neutral
from csv_pipeline.layout import Layout
from row_schemas import CustomerRow, PaymentRow

CUSTOMERS = ("id", "name", "email", "phone", "country", "signed_up", "balance", "note")
ADA = ("7", "Ada", "ada@example.com", "+49 30 1234567", "GB", "2024-02-29", "12.50", "likes tea")
Rows = list[list[str]]


def layout(*header: str, delimiter: str = ",", encoding: str = "utf-8") -> Layout:
    return Layout(delimiter=delimiter, header=header, start=0, encoding=encoding)


def engine(row: type[BaseModel] | None, *header: str, delimiter: str = ",") -> Engine:
    return Engine(layout(*header, delimiter=delimiter), row)


def read(data: bytes) -> Rows:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def line(cells: tuple[str, ...] | list[str], delimiter: str = ",") -> str:
    """One record as csv.writer has it; by its ends of lines it quotes each kind of them in every version of Python."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def process(row: type[BaseModel] | None, header: tuple[str, ...], *rows: tuple[str, ...]) -> Processed:
    return engine(row, *header).process("".join(map(line, rows)).encode(), 2)


def customer(**changes: str) -> tuple[str, ...]:
    return tuple((dict(zip(CUSTOMERS, ADA, strict=True)) | changes).values())


def test_a_row_is_written_as_it_was_but_for_personal_data() -> None:
    """Cells are not said in another way: only what has to go is replaced."""
    done = process(CustomerRow, CUSTOMERS, customer(balance="012.5"))
    assert done.clean == b"7,[NAME],[EMAIL],[PHONE:**4567],GB,2024-02-29,012.5,likes tea\n"
    assert done.masked == {"name": 1, "email": 1, "phone": 1}
    assert (done.rows, done.kept, done.rejected, done.blank) == (1, 1, 0, 0)


def test_blank_cells_stay_among_masked_ones() -> None:
    """They are quoted or neutralised where they must be; a placeholder is no masked cell."""

    class Person(BaseModel):
        name: Annotated[str, Pii("name")] = ""
        n: int

    names = ("Ada", "", " ", "\t", "\n", "[NAME]", "Bob", "=1")
    done = process(Person, ("name", "n"), *((name, str(n)) for n, name in enumerate(names)))
    assert read(done.clean) == [
        [name, str(n)] for n, name in enumerate(("[NAME]", "", " ", "'\t", "'\n", "[NAME]", "[NAME]", "[NAME]"))
    ]
    assert (done.masked, done.neutralised) == ({"name": 3}, {"name": 2})
    assert process(Person, ("name", "n"), ("Ada", "1"), ("[NAME]", "2")).masked == {"name": 1}


@pytest.mark.parametrize("different", [False, True])
def test_cells_that_differ_are_treated_as_those_that_recur(*, different: bool) -> None:
    """The file says the same, however often a cell stands in a column; what is wrong is found at its place."""
    rows = [
        (f"{n}", f"Ada {n}" if different else "Ada", f"a{n}@example.com" if different else "a@example.com")
        for n in range(1, 200)
    ]
    rows[50], rows[120], rows[121] = ("0", "Ada", "a@example.com"), ("121", "", "a@example.com"), ("122", "B", "nobody")
    header, rest = (*CUSTOMERS[:3], *CUSTOMERS[4:7]), ("GB", "2024-02-29", "1")
    done = engine(CustomerRow, *header)
    for first in (2, 1002):  # what is remembered of one block changes nothing in the next
        block = done.process("".join(line([*row, *rest]) for row in rows).encode(), first)
        assert [row[:3] for row in read(block.rejects)] == [
            [str(first + 50), "id", "0"], [str(first + 120), "name", ""], [str(first + 121), "email", "[EMAIL]"]
        ]  # fmt: skip
        kept = [row[0] for n, row in enumerate(rows) if n not in {50, 120, 121}]
        assert read(block.clean) == [[number, "[NAME]", "[EMAIL]", *rest] for number in kept]


@pytest.mark.parametrize(
    ("changes", "column", "value", "reason"),
    [
        ({"id": "seven"}, "id", "seven", "It should be a whole number"),
        ({"id": "0"}, "id", "0", "It should be at least 1"),
        ({"id": ""}, "id", "", "It is empty, and has to be given"),
        ({"name": ""}, "name", "", "It is empty, and has to be given"),
        ({"name": "x" * 201}, "name", "[NAME]", "It should have at most 200 characters"),
        ({"email": "nobody"}, "email", "[EMAIL]", "It should be an e-mail address, like ada@example.com"),
        ({"country": "Britain"}, "country", "Britain", "It should be of the form ^[A-Z]{2}$"),
        ({"signed_up": "2023-02-29"}, "signed_up", "2023-02-29", "It should be a date, like 2026-11-22"),
        ({"balance": "1,50"}, "balance", "1,50", "It should be a number"),
        ({"balance": "1.505"}, "balance", "1.505", "It should have at most 2 digits behind the decimal point"),
        ({"id": "x", "name": "", "balance": "?"}, "id", "x", "It should be a whole number (and 2 more problems: name, balance)"),
        ({"id": "x", "country": "?"}, "id", "x", "It should be a whole number (and 1 more problem: country)"),
    ],
)  # fmt: skip
def test_a_rejected_row_is_told_of_in_one_line(changes: dict[str, str], column: str, value: str, reason: str) -> None:
    """It has the row's number, the column, its masked value and one sentence; the rows around it are kept."""
    done = process(CustomerRow, CUSTOMERS, ADA, customer(**changes), ADA)
    assert read(done.rejects) == [["3", column, value, reason]]
    assert (done.kept, done.rejected, done.problems) == (2, 1, {column: 1})


def test_choices_are_listed() -> None:
    """What a column may say is in the reason."""
    header = ("payment_id", "paid_at", "amount", "currency")
    done = process(PaymentRow, header, ("A-1", "2024-05-01T10:00:00Z", "5", "GOLD"), ("A-2", "soon", "0", "CHF"))
    assert read(done.rejects) == [
        ["2", "currency", "GOLD", "It should be 'CHF', 'EUR', 'GBP' or 'USD'"],
        ["3", "paid_at", "soon", "It should be a date and a time, like 2026-11-22T09:30:00Z (and 1 more problem: amount)"],
    ]  # fmt: skip


def test_a_number_that_cannot_be_divided_costs_only_its_row() -> None:
    """Pydantic raises what is no error of validation there."""

    class Divided(BaseModel):
        a: Annotated[Decimal, Field(multiple_of=5)]

    done = process(Divided, ("a",), ("5",), ("1E30",), ("10",))
    assert done.clean == b"5\n10\n"
    assert read(done.rejects) == [["3", "", "", "It has a number that is too large or too small"]]


def test_a_value_that_is_rejected_is_masked_then_cut() -> None:
    """A wrong cell may hold what belongs elsewhere; half a value is one, too."""
    text = "x" * 190 + " ada.lovelace@example.com"
    done = process(CustomerRow, CUSTOMERS, customer(id="ada@example.com"), customer(country=text))
    assert [row[2] for row in read(done.rejects)] == ["[EMAIL]", ("x" * 190 + " [EMAIL]")[:200]]


def test_a_validators_own_sentence_shows_no_value() -> None:
    """Nothing keeps a validator from repeating what it was given."""

    def refuse(value: str) -> str:
        raise ValueError(f"unknown person {value.lower()}, not like bob@example.com")

    class Own(BaseModel):
        who: Annotated[str, AfterValidator(refuse)]

    done = process(Own, ("who",), ("Ada@Example.org",))
    assert b"example.org" not in done.rejects
    assert b"Example.org" not in done.rejects


def test_records_of_another_width_are_rejected() -> None:
    """The row says how many cells it has; blank lines are no rows, but count for the numbers of those behind them."""
    done = engine(None, "a", "b").process(b'1,2\n\n1\n"1,2",3,4\n\n5,6\n', 10)
    assert done.clean == b"1,2\n5,6\n"
    assert read(done.rejects) == [
        ["12", "", "1", "It has 1 cell, and the header has 2"],
        ["13", "", "1,2,3,4", "It has 3 cells, and the header has 2"],
    ]
    assert (done.rows, done.kept, done.rejected, done.blank, done.problems) == (6, 2, 2, 2, {"": 2})


@pytest.mark.parametrize(
    ("encoding", "bad", "said"),
    [
        ("utf-8", b"caf\xe9", "It holds bytes that are not valid UTF-8"),
        ("cp1252", b"caf\x81", "It holds bytes that are not valid Windows-1252"),
        ("utf-8", b"a\0b", "It holds a NUL character"),
    ],
)
def test_bytes_that_cannot_be_read_cost_only_their_row(encoding: str, bad: bytes, said: str) -> None:
    """The rest of the block goes on."""
    done = Engine(layout("a", "b", encoding=encoding), None).process(b"1,2\n3," + bad + b"\n5,6\n", 2)
    assert done.clean == b"1,2\n5,6\n"
    shown = "3," + bad[:3].decode().rstrip("\0b") + "\ufffd" + ("b" if bad.endswith(b"b") else "")
    assert read(done.rejects) == [["3", "", shown, said]]


def test_what_is_not_utf8_comes_out_as_utf8() -> None:
    """Both files are UTF-8, whatever the upload was."""
    done = Engine(layout("a", "b", encoding="cp1252"), None).process("café,5 €\n".encode("cp1252"), 2)
    assert done.clean.decode() == "café,5 €\n"


def test_formulas_are_text_in_both_files() -> None:
    """No spreadsheet runs what a stranger has written into a cell, a header or a rejected value."""
    done = process(None, ("a", "=b"), ("=1+1", "-5"), ("x",), ("=cmd|' /C calc'!A0",))
    assert done.clean == b"'=1+1,-5\n"
    assert read(done.rejects)[1][2] == "'=cmd|' /C calc'!A0"
    assert done.neutralised == {"a": 1}
    assert engine(None, "a", "=b", "x@example.com").header == b"a,'=b,[EMAIL]\n"


def test_the_columns_name_is_part_of_what_a_cell_says() -> None:
    """`swordfish` is a word, and a secret in a column of passwords."""
    done = process(None, ("password", "ssn", "word"), ("swordfish", "123456788", "swordfish"))
    assert done.clean == b"[SECRET],[US_SSN],swordfish\n"


def test_a_column_that_is_declared_a_number_is_not_read_as_text() -> None:
    """An id may have the digits of a card; a column of text may not."""
    done = process(CustomerRow, CUSTOMERS, customer(id="4111111111111111", note="4111111111111111"))
    assert done.clean.startswith(b"4111111111111111,[NAME],")
    assert done.clean.endswith(b",[CREDIT_CARD]\n")


def test_a_column_of_one_cell_has_no_blank_lines() -> None:
    """An empty cell is written in quotes where it is all there is."""
    done = engine(None, "a").process(b'x\n""\n\ny\n', 2)
    assert (done.clean, done.blank) == (b'x\n""\ny\n', 1)


def test_a_record_that_is_too_long_is_one_rejected_row() -> None:
    """Its beginning is shown, without what is personal in it."""
    done = engine(None, "a").too_long(b"ada@example.com " + b"x" * 9_000 + b"\xff", 9)
    assert read(done.rejects) == [["9", "", "[EMAIL] " + "x" * 192, "It is longer than 4,194,304 bytes"]]
    assert (done.rows, done.rejected) == (1, 1)


def test_a_header_without_a_required_column_is_refused() -> None:
    """The sentence names what is missing and what there is, without personal data."""
    with pytest.raises(Discard) as refused:
        engine(CustomerRow, "id", "Name", "ada@example.com", *(f"c{number}" for number in range(40)))
    told = str(refused.value)
    assert told.startswith(
        "The header has no columns email, country, signed_up, balance, which every row needs; it has "
    )
    assert "[EMAIL]" in told
    assert len(told) < 300


def test_names_of_columns_may_be_written_in_another_way() -> None:
    """Case, blanks and hyphens are nothing; a column that is spelt right is taken before one that is not."""
    header = ("ID", " Name", "e-mail", "Email", "PHONE", "country", "signed up", "Signed-Up", "signed_up", "balance")
    cells = ("7", "Ada", "x", "ada@example.com", "", "GB", "?", "?", "2024-01-01", "1")
    assert process(CustomerRow, header, cells).kept == 1


def test_a_column_that_may_be_either_of_two_fields_is_neither() -> None:
    """To guess would put one thing in the place of another."""

    class Alike(BaseModel):
        total: int = Field(alias="Sub Total")
        sub_total: int

    with pytest.raises(Discard, match="no columns Sub Total, sub_total, which every row needs; it has sub-total"):
        engine(Alike, "sub-total")


def test_a_model_that_forbids_other_columns_is_kept_to() -> None:
    """They are named before a row is read."""

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        a: int

    with pytest.raises(Discard, match="The header has the column b, which rows must not have; they may have a"):
        engine(Strict, "a", "b")


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Kinds(BaseModel):
    """One field of each kind."""

    number: Annotated[int, Field(ge=-5, lt=100)]
    share: float
    price: Annotated[Decimal, Field(gt=0, max_digits=6, decimal_places=2)]
    day: date | None
    moment: datetime
    flag: bool = False
    word: Literal["yes", "no"]
    colour: Colour
    key: UUID | None = None
    code: Annotated[str, Field(pattern="^[a-z]+$", max_length=5), Pii("code", "partial")] = "abc"


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("It should be even")
    return value


class Looking(BaseModel):
    """Its fields look at each other."""

    low: Annotated[int, AfterValidator(_even)]
    high: int
    note: str = ""

    @field_validator("high")
    @classmethod
    def above(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("low", 0):
            raise ValueError("It should not be below low")
        return value


class Whole(BaseModel):
    """It is looked at as a whole."""

    low: int
    high: Annotated[int, Field(alias="top")]

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("It should be in order")
        return self


CELLS = st.sampled_from(
    ["", " ", "1", "0", "-1", "+5", " 5 ", "1_000", "1e5", "1.5", "01.50", "NaN", "-Infinity", "٣", "５", "2024-02-29",
     "2024-02-30", "2024-01-01T10:00:00Z", "1700000000", "true", "off", "yes", "no", "red", "abc", "abcdefg", "ABC",
     "5f2b5c7e-3a7c-4a53-9b5e-0f5b2a1c9d10", "ada@example.com", "GB", "=1+1", "-5", "+49 30 1234567", "\t=x", "ＡＢ＝", "＝x",
     'say "hi"', "a,b", "two\nlines", "cr\rlf\r\n", "password: hunter22", "4111 1111 1111 1111", "[EMAIL]", "[CODE:**abcd]",
     "123-45-6788", "Zoë", "\u200b", "\\u0040", "&#64;", "'", '"', "a@b", "@", "1\n", "\n1", "2024-02-29\n", "x" * 5_000],
)  # fmt: skip
MODELS: dict[type[BaseModel] | None, tuple[str, ...]] = {
    CustomerRow: CUSTOMERS,
    PaymentRow: ("payment_id", "paid_at", "amount", "currency", "card", "iban", "reference", "other"),
    Kinds: ("number", "share", "price", "day", "moment", "flag", "word", "colour", "key", "code"),
    Looking: ("low", "high", "note"),
    Whole: ("low", "top"),
    None: ("a", "password"),
}
GOOD: dict[type[BaseModel] | None, tuple[str, ...]] = {
    CustomerRow: ADA,
    PaymentRow: ("A-1", "2024-01-01T10:00:00Z", "12.50", "CHF", "4111 1111 1111 1111", "", "call me", "x"),
    Kinds: ("5", "1e5", "12.50", "", "2024-01-01T10:00:00Z", "true", "yes", "red", "", "abc"),
    Looking: ("2", "3", "x"),
    Whole: ("2", "3"),
    None: ("x", "y"),
}
TYPED = {
    "id", "signed_up", "balance", "paid_at", "amount", "currency", "number", "share", "price", "day", "moment", "flag",
    "word", "colour", "key", "low", "high", "top",
}  # fmt: skip
NONES, DEFAULTS = {"phone", "card", "iban", "day", "key"}, {"flag"}


def given_cells(header: tuple[str, ...], cells: list[str]) -> dict[str, Any]:
    pairs = zip(header, cells, strict=True)
    return {name: cell or (None if name in NONES else "") for name, cell in pairs if cell or name not in DEFAULTS}


def treated(name: str, cell: str, policies: dict[str, Pii]) -> str:
    if name in policies and policies[name].kind != "TEXT":
        return policies[name](cell)
    if name in TYPED or mask(cell) != cell or not cell:
        return cell if name in TYPED else mask(cell)
    told = mask(f"{name}: {cell}")
    return told.removeprefix(f"{name}: ") if told.startswith(f"{name}: ") else cell


def one_by_one(row: type[BaseModel] | None, header: tuple[str, ...], text: str, delimiter: str) -> tuple[str, Rows]:
    """Return the clean rows, and number and column of the rejected ones, by the slow way."""
    clean, rejects = "", list[list[str]]()
    policies = columns(row) if row else {}
    for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 2):
        if not cells:
            continue
        if len(cells) != len(header):
            rejects.append([str(number), ""])
            continue
        try:
            if row:
                row.model_validate(given_cells(header, cells))
        except ValidationError as error:
            place = error.errors()[0]["loc"]
            rejects.append([str(number), str(place[0]) if place else ""])
            continue
        written = [neutral(treated(name, cell, policies)) for name, cell in zip(header, cells, strict=True)]
        clean += line(written, delimiter)
    return clean, rejects


@st.composite
def files(draw: st.DrawFn) -> tuple[type[BaseModel] | None, tuple[str, ...], str, str]:
    """A model, its header, and rows that are good but for a cell or two, in some spelling of CSV."""
    row = draw(st.sampled_from(list(MODELS)))
    delimiter, end = draw(st.sampled_from(",;\t")), draw(st.sampled_from(["\n", "\r\n"]))
    records = []
    for _ in range(draw(st.integers(0, 8))):
        cells = list(GOOD[row])
        for _ in range(draw(st.integers(0, 2))):
            cells[draw(st.integers(0, len(cells) - 1))] = draw(
                CELLS | st.text(max_size=12).map(lambda text: text.replace("\0", ""))
            )
        cells = draw(st.sampled_from([cells] * 12 + [cells[:-1], [*cells, "more"], []]))
        records.append(line(cells, delimiter).removesuffix("\n") + end if cells else end)
    text = "".join(records).encode("utf-8", "replace").decode()
    return row, MODELS[row], text, delimiter


@settings(max_examples=400, deadline=None)
@given(files())
def test_blocks_say_what_rows_one_by_one_say(file: tuple[type[BaseModel] | None, tuple[str, ...], str, str]) -> None:
    """The same clean bytes, and the same rows rejected for the same column, however the block is worked on."""
    row, header, text, delimiter = file
    clean, rejects = one_by_one(row, header, text, delimiter)
    made = engine(row, *header, delimiter=delimiter)
    for at_once in (reading._AT_ONCE, 2):  # what was learnt from the first block changes nothing
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(reading, "_AT_ONCE", at_once)
            done = made.process(text.encode(), 2)
        assert done.clean.decode() == clean
        assert [one[:2] for one in read(done.rejects)] == rejects
        assert done.rows == done.kept + done.rejected + done.blank


@pytest.mark.parametrize("width", [1, 2, 10_000])
def test_wide_rows_and_long_cells_take_bounded_time(width: int) -> None:
    """A row of ten thousand columns and one of two megabytes are rows like others."""
    names = tuple(f"c{number}" for number in range(width))
    cells = tuple("ab c" * (500_000 // width) for _ in names)
    done = process(None, names, cells, cells)
    assert (done.kept, done.clean) == (2, (",".join(cells) + "\n").encode() * 2)


def test_memory_is_bounded() -> None:
    """Blocks of four megabytes, one after the other, leave nothing behind that grows."""
    made, block = (
        engine(CustomerRow, *CUSTOMERS),
        "".join(
            line(customer(id=str(number), email=f"a{number}@example.com", note=f"order of {number} " * 9))
            for number in range(1, 20_000)
        ).encode(),
    )
    made.process(block, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(4):
        made.process(block, 2)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 * 1024 * (1 if sys.platform == "linux" else 1024)
