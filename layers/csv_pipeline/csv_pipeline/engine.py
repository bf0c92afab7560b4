"""What becomes of rows: each is validated, sanitised and written to the clean rows, or told of among the rejects."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from afterward.pii import mask
from afterward.pii.sieve import suspects
from csv_pipeline.columns import SHOWN, Column, column_of, quoted
from csv_pipeline.formulas import neutral
from csv_pipeline.layout import Layout
from csv_pipeline.reading import LOOKED_AT, Rows, read
from csv_pipeline.reasons import more, reason
from csv_pipeline.rows import TEXT, Field, Problem, RowCheck
from csv_pipeline.scan import LONGEST_RECORD

if TYPE_CHECKING:
    from pydantic import BaseModel

REJECTS = ("row", "column", "value", "reason")
"""The columns of the file of rejected rows: one line per row, about what is wrong with it first."""

REJECTS_HEADER = ",".join(REJECTS).encode() + b"\n"
"""The first line of that file."""


_SPECIAL = re.compile('[",\n\r]')


@dataclass(frozen=True, slots=True)
class Reject:
    """`place` is that of the column which is wrong, -1 where it is none, and `value` what is told of its cell."""

    number: int
    place: int
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Processed:
    """`clean` and `rejects` are CSV in UTF-8 without a header. `rows` = `kept` + `rejected` + `blank`.

    `masked` counts the cells that were changed for the personal data in them, `neutralised` those that a spreadsheet
    would have run, both by column, named as in the clean file; `problems` the rejected rows by the column that is wrong
    first, under "" where it is the row.
    """

    clean: bytes = b""
    rejects: bytes = b""
    rows: int = 0
    kept: int = 0
    rejected: int = 0
    blank: int = 0
    masked: Counter[str] = field(default_factory=Counter)
    neutralised: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)


class Engine:
    """Processes blocks of records of a file with this layout. `row` is what a row must be; None checks only its shape.

    Its validators must be functions of what they are given: a cell that stands in many rows is checked once. An empty
    cell is None where its field may be None, left out where that has a default and is no text, else an empty text.
    Cells are written as they were, but for personal data in them and for what a spreadsheet would run.
    Raises errors.Discard where the header and `row` do not fit, naming the columns.
    """

    def __init__(self, layout: Layout, row: "type[BaseModel] | None") -> None:
        self._layout = layout
        self._special = re.compile(f'["\n\r{re.escape(layout.delimiter)}]')
        self._names = tuple(neutral(mask(name)) for name in layout.header)
        self._row = None if row is None else RowCheck(layout.header, row)
        self._columns = tuple(self._column(place, name) for place, name in enumerate(layout.header))
        fields = [self._row.field(place) for place in range(len(layout.header))] if self._row else []
        self._private = any(field.pii.kind != TEXT.kind for field in fields)

    @property
    def header(self) -> bytes:
        """The first line of the clean file."""
        return self._lines([[_cell(name, self._special)] for name in self._names])

    def process(self, block: bytes, first_row: int) -> Processed:
        """Process whole records, of which the first has this number."""
        parts = [self._processed(rows) for rows in read(block, self._layout, first_row)]
        return parts[0] if len(parts) == 1 else _together(parts)

    def too_long(self, beginning: bytes, row: int) -> Processed:
        """Reject a record that is too long to be read."""
        text = beginning[:LOOKED_AT].decode(self._layout.encoding, "replace").replace("\0", "\ufffd")
        reason = f"It is longer than {LONGEST_RECORD:,} bytes"
        rejects = [Reject(row, -1, "" if self._private else mask(text)[:SHOWN], reason)]
        return Processed(rejects=self._told(rejects), rows=1, rejected=1, problems=Counter([""]))

    def _processed(self, rows: Rows) -> Processed:
        refused = [column.learn(cells) for column, cells in zip(self._columns, rows.columns, strict=True)]
        wrong = dict(self._rejected(rows, self._suspected(rows, refused)))
        rejects = [*self._misshapen(rows), *wrong.values()]
        kept = rows.only([place not in wrong for place in range(len(rows.numbers))]) if wrong else rows
        written = [column.written(cells) for column, cells in zip(self._columns, kept.columns, strict=True)]
        for column in self._columns:
            column.forget()
        return Processed(
            clean=self._lines([one.cells for one in written]),
            rejects=self._told(rejects),
            rows=len(rows.numbers) + len(rows.misshapen) + rows.blank,
            kept=len(kept.numbers),
            rejected=len(rejects),
            blank=rows.blank,
            masked=self._counted([one.masked for one in written]),
            neutralised=self._counted([one.neutralised for one in written]),
            problems=Counter(self._name(one.place) for one in rejects),
        )

    def _misshapen(self, rows: Rows) -> list[Reject]:
        """Show the beginning of what is no row; nothing where columns have policies, since none can be told apart."""
        if self._private:
            return [Reject(one.number, -1, "", one.reason) for one in rows.misshapen]
        held = {text: mask(text) for text in suspects(one.text for one in rows.misshapen)}
        return [Reject(one.number, -1, held.get(one.text, one.text)[:SHOWN], one.reason) for one in rows.misshapen]

    def _column(self, place: int, name: str) -> Column:
        field = self._row.field(place) if self._row else Field(TEXT)
        return column_of(name, field, delimiter=self._layout.delimiter, share=1 / len(self._layout.header))

    def _suspected(self, rows: Rows, refused: list[Iterable[int]]) -> list[int]:
        """Return the places of the rows that the model has to see, in their order."""
        if self._row is None:
            return []
        return sorted({*chain(*refused)}) if self._row.by_cell else [*range(len(rows.numbers))]

    def _rejected(self, rows: Rows, suspected: list[int]) -> Iterator[tuple[int, Reject]]:
        """Yield the rows that the model refuses, by their places."""
        if self._row is None:
            return
        for place in suspected:
            cells = [column[place] for column in rows.columns]
            problems = self._row.problems(cells)
            if problems:
                yield place, self._reject(rows.numbers[place], cells, problems)

    def _reject(self, number: int, cells: list[str], problems: list[Problem]) -> Reject:
        first = problems[0]
        cell = cells[first.place] if first.place >= 0 else ""
        told = self._columns[first.place].told(cell) if cell else ""
        said = reason(first.error, cell, told, whole=first.place < 0)
        others = more([self._name(one.place) for one in problems[1:]])
        return Reject(number, first.place, told, said + others)

    def _lines(self, columns: Sequence[Sequence[str]]) -> bytes:
        """Return rows as text: their cells are in quotes already where they need them."""
        if len(columns) == 1:  # else a row of an empty cell would be a blank line
            columns = [[cell or '""' for cell in columns[0]]]
        lines = [*map(self._layout.delimiter.join, zip(*columns, strict=True)), ""]
        return "\n".join(lines).encode()

    def _told(self, rejects: list[Reject]) -> bytes:
        rows = [
            (str(one.number), self._name(one.place), one.value, one.reason)
            for one in sorted(rejects, key=attrgetter("number"))
        ]
        lines = [",".join(_cell(text, _SPECIAL) for text in row) for row in rows]
        return "\n".join([*lines, ""]).encode("utf-8", "replace")

    def _name(self, place: int) -> str:
        return self._names[place] if place >= 0 else ""

    def _counted(self, counts: list[int]) -> Counter[str]:
        counted = Counter[str]()
        for name, count in zip(self._names, counts, strict=True):
            if count:
                counted[name] += count
        return counted


def _cell(text: str, special: re.Pattern[str]) -> str:
    """Return one cell as it is written."""
    text = neutral(text)
    return quoted(text) if special.search(text) else text


def _together(parts: list[Processed]) -> Processed:
    return Processed(
        clean=b"".join(one.clean for one in parts),
        rejects=b"".join(one.rejects for one in parts),
        rows=sum(one.rows for one in parts),
        kept=sum(one.kept for one in parts),
        rejected=sum(one.rejected for one in parts),
        blank=sum(one.blank for one in parts),
        masked=sum((one.masked for one in parts), Counter[str]()),
        neutralised=sum((one.neutralised for one in parts), Counter[str]()),
        problems=sum((one.problems for one in parts), Counter[str]()),
    )
