"""The rows of a block, by columns.

Lines without a quote are split all at once, and those with one by `csv.reader`: where each of them is a record by
itself, no record is on two lines. What is not that simple is read by `csv.reader` from its beginning to its end.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice, repeat

from csv_pipeline.layout import Layout
from csv_pipeline.scan import LONGEST_RECORD

csv.field_size_limit(max(csv.field_size_limit(), LONGEST_RECORD))

_AT_ONCE = 65_536
"""Rows; a block of short ones has many more, and each that is rejected takes memory of its own."""

_SPOILT = re.compile("[\0\udc80-\udcff]")
_NAMES = {"utf-8": "UTF-8", "cp1252": "Windows-1252"}
LOOKED_AT = 10_000
"""Characters of what is told of; the rest is not read for personal data, and never shown."""


@dataclass(frozen=True, slots=True)
class Misshapen:
    """A record that is no row of its file."""

    number: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rows:
    """`columns` has the cells of whole rows, and `numbers` the numbers of those rows."""

    numbers: Sequence[int]
    columns: list[Sequence[str]]
    misshapen: list[Misshapen] = field(default_factory=list)
    blank: int = 0

    def only(self, kept: Sequence[bool]) -> "Rows":
        """Return the rows for which this is true."""
        columns: list[Sequence[str]] = [list(compress(column, kept)) for column in self.columns]
        return Rows(list(compress(self.numbers, kept)), columns, self.misshapen, self.blank)


def read(block: bytes, layout: Layout, first_row: int) -> Iterator[Rows]:
    """Yield the records of a block, of which the first has this number, so many at a time that memory is bounded."""
    try:
        text = block.decode(layout.encoding)
    except UnicodeDecodeError:
        text = block.decode(layout.encoding, "surrogateescape")
        return _one_by_one(text, layout, first_row)
    return _at_once(text, layout, first_row) or _one_by_one(text, layout, first_row)


def _at_once(text: str, layout: Layout, first_row: int) -> Iterator[Rows] | None:
    """Return the rows where each line is a record; None where that is not certain."""
    ended = text.replace("\r\n", "\n").removesuffix("\n") if "\r" in text else text.removesuffix("\n")
    if not text or "\r" in ended or "\0" in ended:
        return None
    lines = ended.split("\n")
    quoted = [index for index, line in enumerate(lines) if '"' in line] if '"' in ended else []
    records = _alone([lines[index] for index in quoted], layout.delimiter)
    return None if records is None else _groups(lines, dict(zip(quoted, records, strict=True)), layout, first_row)


def _groups(lines: list[str], quoted: dict[int, list[str]], layout: Layout, first_row: int) -> Iterator[Rows]:
    for start in range(0, len(lines), _AT_ONCE):
        group = lines[start : start + _AT_ONCE]
        within = range(start, start + len(group))
        own = {index - start: cells for index, cells in quoted.items() if index in within}
        yield _rows(group, own, layout, first_row + start)


def _alone(lines: list[str], delimiter: str) -> list[list[str]] | None:
    """Return the cells of lines each of which is a record; None where one of them goes on in the next."""
    records = list(csv.reader([*(f"{line}\n" for line in lines), "."], delimiter=delimiter))
    return records[:-1] if len(records) == len(lines) + 1 and records[-1] == ["."] else None


def _rows(lines: list[str], quoted: dict[int, list[str]], layout: Layout, first_row: int) -> Rows:
    """Split what has no quotes all at once; first, a row of empty cells takes the place of every other line."""
    width, delimiter = len(layout.header), layout.delimiter
    room = delimiter * (width - 1)
    for index in quoted:
        lines[index] = room or "."
    numbers = range(first_row, first_row + len(lines))
    wrong = _wrong(lines, quoted, layout)
    misshapen = [_ragged(numbers[index], cells, layout) for index, cells in wrong.items() if cells]
    for index in wrong:
        lines[index] = room
    flat = delimiter.join(lines).split(delimiter)
    columns: list[Sequence[str]] = [flat[place::width] for place in range(width)]
    for index in quoted.keys() - wrong.keys():
        for column, cell in zip(columns, quoted[index], strict=True):
            column[index] = cell  # type: ignore[index]  # lists, until they are given out
    rows = Rows(numbers, columns, misshapen, len(wrong) - len(misshapen))
    return rows.only([index not in wrong for index in range(len(lines))]) if wrong else rows


def _wrong(lines: list[str], quoted: dict[int, list[str]], layout: Layout) -> dict[int, list[str]]:
    """Return the cells of each line that is no row, in their order; none for a blank one."""
    last = len(layout.header) - 1
    counts = list(map(str.count, lines, repeat(layout.delimiter)))
    wrong = {index: cells for index, cells in quoted.items() if len(cells) != last + 1}
    if counts.count(last) != len(lines) or (last == 0 and "" in lines):
        wrong |= {
            index: line.split(layout.delimiter) if line else []
            for index, (line, count) in enumerate(zip(lines, counts, strict=True))
            if count != last or not line
        }
    return wrong


def _one_by_one(text: str, layout: Layout, first_row: int) -> Iterator[Rows]:
    records = enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter), first_row)
    while group := [*islice(records, _AT_ONCE)]:
        yield _sorted_out(group, layout)


def _sorted_out(records: list[tuple[int, list[str]]], layout: Layout) -> Rows:
    numbers, rows, misshapen = list[int](), list[list[str]](), list[Misshapen]()
    width = len(layout.header)
    for number, record in records:
        if _SPOILT.search("".join(record)):
            misshapen.append(_spoilt(number, record, layout))
        elif len(record) == width:
            numbers.append(number)
            rows.append(record)
        elif record:
            misshapen.append(_ragged(number, record, layout))
    columns: list[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [() for _ in range(width)]
    return Rows(numbers, columns, misshapen, len(records) - len(rows) - len(misshapen))


def _spoilt(number: int, record: list[str], layout: Layout) -> Misshapen:
    if "\0" in "".join(record):
        return Misshapen(number, _beginning(record, layout).replace("\0", "\ufffd"), "It holds a NUL character")
    return Misshapen(number, _beginning(record, layout), f"It holds bytes that are not valid {_NAMES[layout.encoding]}")


def _ragged(number: int, record: list[str], layout: Layout) -> Misshapen:
    cells = "1 cell" if len(record) == 1 else f"{len(record):,} cells"
    reason = f"It has {cells}, and the header has {len(layout.header):,}"
    return Misshapen(number, _beginning(record, layout), reason)


def _beginning(record: list[str], layout: Layout) -> str:
    """Return the beginning of a record as one text, with U+FFFD for what is no character."""
    text = layout.delimiter.join(record)[:LOOKED_AT]
    return text.encode(layout.encoding, "surrogateescape").decode(layout.encoding, "replace")
