"""How a CSV file is written: read off its beginning, or refused in one sentence."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from afterward.errors import Discard
from csv_pipeline.sequences import Sequences
from csv_pipeline.signature import refusal
from csv_pipeline.states import Reader, State

HEAD = 4_194_304
"""Bytes of a file's beginning that are looked at; a header must end in them."""

MOST_COLUMNS = 10_000

_DELIMITERS = ",;|\t"
"""From the one that is most common within text to the one that is least."""

_SAMPLE = 100
"""Records behind the header that tell which delimiter it is."""

_SEP = re.compile(rb"(?i)sep=([\t!#-/:-@\[-`{-~])(?:\r\n|\r|\n|\Z)")
"""The first line that Excel reads, and writes: the delimiter, which may be any mark but a quote."""


# The module's own limit, 131,072, is one for all threads: no cell of the beginning may exceed it.
csv.field_size_limit(max(csv.field_size_limit(), HEAD))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`start` is the byte at which the first record behind the header begins, `first_row` the number of that record.

    Rows are numbered as spreadsheets do: every record counts, the header and blank ones too, from 1. A `sep=` line
    is none. `encoding` is "utf-8" or "cp1252".
    """

    delimiter: str
    header: tuple[str, ...]
    start: int
    first_row: int = 2
    encoding: str = "utf-8"


def layout_of(head: bytes, *, whole: bool, encoding: str = "utf-8") -> Layout:
    """Return how the file that begins with `head` (up to HEAD bytes, `whole` where it ends there) is written.

    The header is the first record with a cell that is not blank. Its names lose the blanks around them; one without
    any is named for its place (`column_3`), and one that stood before gets the first number from `_2` on that no other
    column's name has. `encoding` is that of the rows: a BOM overrules it, and the header alone is read as cp1252
    where that is what it is in. Raises errors.Discard, with one sentence for the person who uploaded it, where it is
    no CSV file that can be read.
    """
    bom = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    if reason := refusal(head[bom:]):
        raise Discard(reason)
    sep = _SEP.match(head, bom)
    begin = sep.end() if sep else bom
    text = head[begin:]
    delimiter = sep[1].decode() if sep else _delimiter(text.lstrip(b"\r\n"), whole)
    number, start, end = _header(text, delimiter, whole)
    header = _decoded(text[start:end], "utf-8-sig" if bom else encoding)
    return Layout(
        delimiter=delimiter,
        header=_names(header, delimiter),
        start=begin + end,
        first_row=number + 1,
        encoding="utf-8" if bom else encoding,
    )


def _delimiter(text: bytes, whole: bool) -> str:
    """Return the delimiter that divides the header, and the first records into as many fields.

    Of several, the wrong ones are commas of prose, with a blank behind each, then what divides into fewer fields, then
    what is more common in text.
    """
    fits = {delimiter: fit for delimiter in _DELIMITERS if (fit := _fit(text, delimiter, whole))}
    return max(fits, key=lambda delimiter: fits[delimiter], default=",")


def _fit(text: bytes, delimiter: str, whole: bool) -> tuple[float, bool, int, int] | None:
    records = _complete(text, delimiter, whole)
    header = next(filter(_told, records), [])
    rows = [record for record in islice(records, _SAMPLE) if record]
    share = sum(_likeness(len(row), len(header)) for row in rows) / len(rows) if rows else 1.0
    if len(header) == 1 or not share:
        return None
    prose = all(cell.startswith(" ") for cell in header[1:])
    return share, not prose, len(header), _DELIMITERS.index(delimiter)


def _likeness(fields: int, columns: int) -> float:
    """A row that is divided otherwise, say by one more delimiter at its end, still speaks for the delimiter."""
    return 1.0 if fields == columns else 0.5 * (fields > 1)


def _header(text: bytes, delimiter: str, whole: bool) -> tuple[int, int, int]:
    """Return the number of the header's record, and where it begins and ends."""
    reader = Reader(delimiter)
    rest = text.lstrip(b"\r\n")
    _, blank = reader.read(State.RECORD, text[: len(text) - len(rest)])  # there may be millions
    records = enumerate(_complete(rest, delimiter, whole), blank + 1)
    number = next((number for number, record in records if _told(record)), 0)
    state, ended = reader.read(State.RECORD, text)
    if not number:
        raise Discard(_without_header(text, state, whole))
    if number > ended and state is State.QUOTED:
        raise Discard(f"The quote that opens in the header (row {number:,}) is never closed.")
    start = reader.behind(number - 1, State.RECORD, text) if number > 1 else 0
    end = reader.behind(number, State.RECORD, text) if number <= ended else len(text)
    return number, start, end


def _without_header(text: bytes, state: State, whole: bool) -> str:
    if not text.strip() and whole:
        return "The file is empty."
    if whole:
        return "The file has no header: there is no cell with text in it."
    quote = ": a quote in it is not closed" if state is State.QUOTED else ""
    return f"The header does not end in the first {HEAD // 2**20} MiB of the file{quote}."


def _complete(text: bytes, delimiter: str, whole: bool) -> Iterator[list[str]]:
    """Yield the records, but for the last one where it may be cut. One byte is one character: only ASCII matters."""
    records = csv.reader(io.StringIO(text.decode("latin-1"), newline=""), delimiter=delimiter)
    last: list[str] | None = None
    for record in records:
        if last is not None:
            yield last
        last = record
    if whole and last is not None:
        yield last


def _told(record: Sequence[str]) -> bool:
    return any(cell.strip() for cell in record)


def _decoded(header: bytes, encoding: str) -> str:
    if encoding == "utf-8":
        sequences = Sequences(whole=True)
        sequences.feed(header)
        encoding = "utf-8" if sequences.valid >= sequences.invalid else "cp1252"
    return header.decode(encoding, "replace")


def _names(header: str, delimiter: str) -> tuple[str, ...]:
    cells = next(csv.reader(io.StringIO(header, newline=""), delimiter=delimiter))
    if len(cells) > MOST_COLUMNS:
        raise Discard(f"The file has {len(cells):,} columns; at most {MOST_COLUMNS:,} can be read.")
    wanted = [cell.strip() or f"column_{place}" for place, cell in enumerate(cells, 1)]
    taken, numbers, names = set(wanted), dict[str, Iterator[int]](), list[str]()
    for name in wanted:
        if name in numbers:
            free = (f"{name}_{number}" for number in numbers[name])
            names.append(next(one for one in free if one not in taken))
        else:
            numbers[name] = count(2)
            names.append(name)
    return tuple(names)
