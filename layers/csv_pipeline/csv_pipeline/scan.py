"""Where records begin: found for each part of a file by itself, though what a part means depends on those before it.

A quote opens a field only where the field begins, as in Python's csv module and unlike mere parity of quotes: `5" pipe`
is a field like any other.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

from afterward.errors import Discard
from csv_pipeline.sequences import Sequences
from csv_pipeline.states import TILE, Reader, State

BLOCK = 2_097_152
"""Bytes that are worked on at once."""

LONGEST_RECORD = 4_194_304
"""Bytes of one record, its line end included; a longer one is rejected."""

_CARRIED = 4
"""What is left of a block is read again with the next one if it is not more than this part of it."""

BEGINNING = 200
"""Bytes that are kept of a longer one."""


@dataclass(slots=True)
class _Track:
    """What a range means if it begins in one state: the state reached, the records ended, where records begin."""

    state: State
    records: int = 0
    begins: list[tuple[int, int]] = field(default_factory=list)


class Scanner:
    """Reads the range `start` to `end` of a file for every state in which it may begin.

    `marks` are the offsets in it, `start` among them, at which chunks should begin. States that have led to the same
    one are read as one from there on: behind the first few bytes that is in quotes, or not.
    """

    def __init__(self, start: int, end: int, marks: Sequence[int], delimiter: str) -> None:
        self._start = self._at = start
        self._end = end
        self._marks = sorted(marks)
        self._passed = 0
        self._reader = Reader(delimiter)
        self._tracks = {state: _Track(state) for state in State}
        self._sequences = Sequences()

    def feed(self, block: bytes) -> None:
        """Read the next bytes of the range, in pieces of any size."""
        at = 0
        while at < len(block):
            tile = block[at : at + self._reach()]
            self._sequences.feed(tile)
            self._read(tile)
            at += len(tile)
            self._at += len(tile)

    def scanned(self) -> dict[str, Any]:
        """Return what `divided` needs to know of the range, as JSON.

        `from` has for each state in which the range may begin the one in which it `ends`, how many `records` end in it,
        and for each mark the offset of the first record that begins there or later with how many end before it, or None
        where none begins in the range. `valid` and `invalid` count sequences of UTF-8.
        """
        return {
            "start": self._start,
            "end": self._end,
            "from": {state.value: self._told(track) for state, track in self._tracks.items()},
            "valid": self._sequences.valid,
            "invalid": self._sequences.invalid,
        }

    def _told(self, track: _Track) -> dict[str, Any]:
        begins = [*map(list, track.begins), *[None] * (len(self._marks) - len(track.begins))]
        return {"ends": track.state.value, "records": track.records, "begins": begins}

    def _reach(self) -> int:
        """Return how many bytes to read at once: not beyond the next mark."""
        while self._passed < len(self._marks) and self._marks[self._passed] <= self._at:
            self._passed += 1
        return min([TILE, *(mark - self._at for mark in self._marks[self._passed : self._passed + 1])])

    def _read(self, tile: bytes) -> None:
        states = {track.state for track in self._tracks.values()}
        reads = {state: self._reader.read(state, tile) for state in states}
        for track in self._tracks.values():
            after, ended = reads[track.state]
            self._settle(track, tile, ended)
            track.state, track.records = after, track.records + ended

    def _settle(self, track: _Track, tile: bytes, ended: int) -> None:
        """Note the first record that begins in `tile` for all marks that are waiting for one."""
        waiting = self._passed - len(track.begins)
        if not waiting:
            return
        if track.state in {State.RECORD, State.RETURN}:
            offset, before = int(track.state is State.RETURN and tile.startswith(b"\n")), 0
        elif ended:
            offset, before = self._reader.behind(1, track.state, tile), 1
        else:
            return
        if offset < len(tile):
            track.begins += [(self._at + offset, track.records + before)] * waiting


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole records: the bytes from `start` to `end`, the number of the first row, and how many rows there are."""

    start: int
    end: int
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True)
class Division:
    """`rows` counts all records behind the header, blank ones too. `encoding` is what the whole file says it is."""

    chunks: tuple[Chunk, ...]
    rows: int
    encoding: str


def divided(scans: Sequence[dict[str, Any]], first_row: int) -> Division:
    """Put the scans of a file's ranges together, in their order: each begins in the state in which the last one ended.

    Chunks without records are left out. Raises errors.Discard where a quote is never closed, naming its row.
    """
    state, rows, begins = State.RECORD, 0, dict[int, int]()
    for scan in scans:
        told = scan["from"][state]
        begins |= {begin[0]: rows + begin[1] for begin in told["begins"] if begin}
        state, rows = State(told["ends"]), rows + told["records"]
    if state is State.QUOTED:
        raise Discard(f"The quote that opens in row {first_row + rows:,} is never closed.")
    if state not in {State.RECORD, State.RETURN}:
        rows += 1
    ends = [*begins.items(), *((scan["end"], rows) for scan in scans[-1:])]
    chunks = (Chunk(start, end, first_row + before, upto - before) for (start, before), (end, upto) in pairwise(ends))
    return Division(tuple(chunks), rows, _encoding(scans))


def _encoding(scans: Sequence[dict[str, Any]]) -> str:
    valid, invalid = (sum(scan[kind] for scan in scans) for kind in ("valid", "invalid"))
    return "utf-8" if valid >= invalid else "cp1252"


@dataclass(frozen=True, slots=True)
class TooLong:
    """One record of more than LONGEST_RECORD bytes, of which only the beginning is kept."""

    beginning: bytes


def records(
    blocks: Iterable[bytes], delimiter: str, *, block: int = BLOCK, longest: int = LONGEST_RECORD
) -> Iterator[bytes | TooLong]:
    """Regroup a chunk's bytes so that each piece holds whole records, about BLOCK bytes of them at a time.

    `longest` must be larger than `block`: it is looked for where a record goes beyond one.
    """
    reader = Reader(delimiter)
    state, begun, size = State.RECORD, list[bytes](), 0
    for data in _regrouped(blocks, block):
        if size <= block // _CARRIED:
            data, state, begun, size = b"".join([*begun, data]), State.RECORD, [], 0  # noqa: PLW2901 - from a record's beginning
            last = _certain_end(data, delimiter) if len(data) <= longest else 0
            if last and len(data) - last <= block // _CARRIED:
                yield data[:last]
                begun, size = [data[last:]], len(data) - last
                continue
        first, last, after = _ends(reader, state, data)
        done = 0
        if last and size + first > longest:
            yield TooLong(b"".join([*begun, data[:first]])[:BEGINNING])
            begun, done = [], first
        if last > done:
            yield b"".join([*begun, data[done:last]])
        if last:
            begun, size = [], 0
        begun, size, state = [*begun, data[last:]], size + len(data) - last, after
        if size > longest:
            begun = [b"".join(begun)[:BEGINNING]]
    if size:
        yield TooLong(begun[0]) if size > longest else b"".join(begun)


def _certain_end(data: bytes, delimiter: str) -> int:
    """Return where the last line ends, if a record certainly ends there, else 0. Records begin where `data` does.

    Lines without a quote change nothing: what is in quotes before one is so behind it. Only the others are read, which
    takes a fraction of the time of reading all of it.
    """
    end = data.rfind(b"\n") + 1
    try:
        (last,) = deque(csv.reader(chain(_quoted_lines(data, end), ["."]), delimiter=delimiter), maxlen=1)
    except csv.Error:  # a CR in a field, or one longer than it allows
        return 0
    return end if last == ["."] else 0


def _quoted_lines(data: bytes, end: int) -> Iterator[str]:
    at = data.find(b'"', 0, end)
    while at >= 0:
        begin, at = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1
        yield data[begin:at].decode("latin-1")
        at = data.find(b'"', at, end)


def _regrouped(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in blocks of this size, with one more where a CR would be cut from its LF."""
    held = bytearray()
    for block in blocks:
        held += block
        while len(held) > size:
            cut = size + (held[size - 1 : size + 1] == b"\r\n")
            yield bytes(held[:cut])
            del held[:cut]
    if held:
        yield bytes(held)


def _ends(reader: Reader, state: State, data: bytes) -> tuple[int, int, State]:
    """Return where the first and the last record that end in `data` have ended, 0 for none, and the state behind it."""
    ends: list[tuple[int, State, int]] = []
    for at in range(0, len(data), TILE):
        after, ended = reader.read(state, data[at : at + TILE])
        if ended:
            ends = [*ends[:1], (at, state, ended)]
        state = after
    if not ends:
        return 0, 0, state
    # One byte more than was read: the LF of a CR at the end.
    first, last = (
        at + reader.behind(record, before, data[at : at + TILE + 1])
        for (at, before, ended), record in ((ends[0], 1), (ends[-1], ends[-1][2]))
    )
    return first, last, state
