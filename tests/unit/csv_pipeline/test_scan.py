"""Parts of a file are scanned by themselves, and put together they say what csv.reader says of the whole."""

import csv
import io
import json
import time
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterward.errors import Discard
from csv_pipeline.scan import Chunk, Division, Scanner, divided
from csv_pipeline.states import TILE, Reader, State

TEXT = st.text(alphabet='a,;"\r\n\té', max_size=60)
CUTS = st.lists(st.integers(0, 120), max_size=12)
QUOTES = st.lists(st.sampled_from(['"', '""', ",", "\r\n", "\n", "\r", "x", '","', ',"', '",', '"\n"']), max_size=40)


def rows_of(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def pieces(data: bytes, cuts: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})))


def scan(
    data: bytes, ranges: Sequence[tuple[int, int]], marks: Sequence[int] = (), feed: int = 7, delimiter: str = ","
) -> list[dict[str, object]]:
    """Scan each range by itself, and send what was found through JSON."""
    scans = []
    for start, end in ranges:
        scanner = Scanner(start, end, [start, *(mark for mark in marks if start < mark < end)], delimiter)
        for at in range(start, end, feed):
            scanner.feed(data[at : min(at + feed, end)])
        scans.append(json.loads(json.dumps(scanner.scanned())))
    return scans


def closed(text: str, delimiter: str) -> bool:
    """Say whether no quote is left open, by the rules of a strict reader: what would follow begins a new row."""
    return rows_of(text + "\nz", delimiter)[-1] == ["z"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@settings(max_examples=400)
@given(text=TEXT | QUOTES.map("".join), cuts=CUTS, marks=CUTS, feed=st.integers(1, 9))
def test_chunks_hold_the_rows_of_the_whole_file(
    delimiter: str, text: str, cuts: list[int], marks: list[int], feed: int
) -> None:
    """Wherever it is cut into ranges, feeds and chunks: between CR and LF, between two quotes, within a character."""
    data = text.encode()
    scans = scan(data, pieces(data, cuts), sorted({mark % (len(data) + 1) for mark in marks}), feed, delimiter)
    if not closed(text, delimiter):
        with pytest.raises(Discard, match="is never closed"):
            divided(scans, 2)
        return
    division = divided(scans, 2)
    expected = rows_of(text, delimiter)
    found: list[list[str]] = []
    for chunk in division.chunks:
        rows = rows_of(data[chunk.start : chunk.end].decode(), delimiter)
        assert (chunk.first_row, chunk.rows) == (2 + len(found), len(rows))
        assert rows
        found += rows
    assert (found, division.rows, division.encoding) == (expected, len(expected), "utf-8")


@given(text=TEXT, cuts=CUTS, feed=st.integers(1, 9), state=st.sampled_from(State))
def test_a_part_is_read_the_same_however_it_is_fed(text: str, cuts: list[int], feed: int, state: State) -> None:
    """The state behind it and the records that end in it do not depend on where it is cut."""
    data, reader = text.encode(), Reader(",")
    after, records = state, 0
    for start, end in pieces(data, cuts):
        after, ended = reader.read(after, data[start:end])
        records += ended
    assert reader.read(state, data) == (after, records)


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("a,b\nc,d\ne,f\n", [Chunk(0, 4, 2, 1), Chunk(4, 8, 3, 1), Chunk(8, 12, 4, 1)]),
        ("a\r\nb\r\n", [Chunk(0, 3, 2, 1), Chunk(3, 6, 3, 1)]),
        ("a\rb\r", [Chunk(0, 2, 2, 1), Chunk(2, 4, 3, 1)]),
        ("a\r\r\nb", [Chunk(0, 2, 2, 1), Chunk(2, 4, 3, 1), Chunk(4, 5, 4, 1)]),
        ('"a\nb"\nc\n', [Chunk(0, 6, 2, 1), Chunk(6, 8, 3, 1)]),
        ('5" pipe\n6" pipe\n', [Chunk(0, 8, 2, 1), Chunk(8, 16, 3, 1)]),
        ('"a"b"\nc"d\n', [Chunk(0, 6, 2, 1), Chunk(6, 10, 3, 1)]),
        ('a,""\n"""\n"\n', [Chunk(0, 5, 2, 1), Chunk(5, 11, 3, 1)]),
        ('"",",",""\n', [Chunk(0, 10, 2, 1)]),
        ('a,",",b"\nc\n', [Chunk(0, 9, 2, 1), Chunk(9, 11, 3, 1)]),
        ("\n\n", [Chunk(0, 1, 2, 1), Chunk(1, 2, 3, 1)]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_records_are_found_where_every_byte_could_begin_a_chunk(text: str, chunks: list[Chunk], size: int) -> None:
    """Each record becomes a chunk of its own, in ranges of any size."""
    data = text.encode()
    ranges = [(at, min(at + size, len(data))) for at in range(0, len(data), size)]
    division = divided(scan(data, ranges, range(len(data))), 2)
    assert division == Division(tuple(chunks), len(chunks), "utf-8")


def test_a_file_without_rows_has_no_chunks() -> None:
    """Nothing behind the header was scanned, or a range of no bytes."""
    empty = Division((), 0, "utf-8")
    assert (divided([], 2), divided(scan(b"", [(0, 0)]), 2)) == (empty, empty)


def test_a_record_longer_than_several_chunks_is_in_one() -> None:
    """The chunks that would begin within it are left out."""
    data = b"a\n" + b'"' + b"x\n" * 1000 + b'"\n' + b"b\n"
    ranges = [(at, min(at + 300, len(data))) for at in range(0, len(data), 300)]
    division = divided(scan(data, ranges, range(0, len(data), 100)), 5)
    # The first chunk goes on to the first record that begins behind the second mark.
    assert division.chunks == (Chunk(0, 2005, 5, 2), Chunk(2005, 2007, 7, 1))


def test_chunks_begin_where_the_file_is_read_from() -> None:
    """Offsets are those of the file, also where a header lies before them."""
    data = b"name\nx\ny\n"
    assert divided(scan(data, [(5, 7), (7, 9)]), 2).chunks == (Chunk(5, 7, 2, 1), Chunk(7, 9, 3, 1))


@pytest.mark.parametrize(
    ("text", "row"), [('"', "2"), ('a\n\nb,"c\nd\n', "4"), ('"a""\n', "2"), ("\n" * 4998 + 'a,"', "5,000")]
)
def test_a_quote_that_is_never_closed_is_refused(text: str, row: str) -> None:
    """The sentence names the row in which it opens, blank rows counted."""
    data = text.encode()
    with pytest.raises(Discard) as refused:
        divided(scan(data, [(0, 1), (1, len(data))]), 2)
    assert str(refused.value) == f"The quote that opens in row {row} is never closed."


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"plain\n", "utf-8"),
        ("é,€,😀\n".encode(), "utf-8"),
        ("é,é\n".encode("cp1252"), "cp1252"),
        ("é\n".encode() + b"\xff\n", "utf-8"),
        ("é\n".encode() + b"\xff\xff\n", "cp1252"),
        ("�\n".encode() + b"\xff\n", "utf-8"),
        (b"a\x80\n", "cp1252"),
        (b"a,\xe2\x82x\n", "cp1252"),
    ],
)
def test_the_whole_file_says_which_encoding_it_is_in(data: bytes, encoding: str) -> None:
    """UTF-8 unless more sequences are invalid than valid; the characters that were written for lost ones are valid."""
    for feed in (1, 2, 100):
        assert divided(scan(data, [(0, len(data))], feed=feed), 2).encoding == encoding


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_characters_that_are_cut_by_a_range_are_not_invalid(size: int) -> None:
    """Not even where all of them are."""
    data = "😀€é".encode() * 10
    scans = scan(data, [(at, min(at + size, len(data))) for at in range(0, len(data), size)], feed=3)
    assert [one["invalid"] for one in scans] == [0] * len(scans)


@given(st.binary(max_size=40), st.integers(1, 5))
def test_sequences_are_counted_as_python_decodes_them(data: bytes, feed: int) -> None:
    """In feeds of any size; what the end cuts off is left aside."""
    body = b"x" + data + b"x"  # nothing is cut off
    (one,) = scan(body, [(0, len(body))], feed=feed)
    ignoring = sum(not character.isascii() for character in body.decode(errors="ignore"))
    replacing = sum(not character.isascii() for character in body.decode(errors="replace"))
    assert (one["valid"], one["invalid"]) == (ignoring, replacing - ignoring)


HARD = {
    "quotes": b'"',
    "openings": b',"\n',
    "pairs": b'""',
    "CRs": b"\r",
    "LFs": b"\n",
    "no line end": b"a,",
    "text in quotes": b'"a",',
    "lone quotes": b'x"\r\n',
    "blank pairs": b'\r""\n',
    "multibyte": "é".encode(),
    "invalid": b"\xff",
}


@pytest.mark.parametrize("pattern", HARD.values(), ids=HARD)
@pytest.mark.parametrize("opening", [b"", b'"'], ids=["outside", "inside"])
def test_no_input_makes_scanning_slow(pattern: bytes, opening: bytes) -> None:
    """Four times as much takes four times as long, give or take what a busy machine adds."""

    def cost(size: int) -> float:
        data = (opening + pattern * (size // len(pattern)))[:size]
        best = float("inf")
        for _ in range(3):
            scanner = Scanner(0, size, range(0, size, size // 8), ",")
            began = time.process_time()
            scanner.feed(data)
            best = min(best, time.process_time() - began)
        return best

    assert cost(16 * TILE) < 10 * cost(4 * TILE) + 0.02


def test_marks_that_wait_for_a_record_are_not_looked_for_again_and_again() -> None:
    """Each tile is read once for each state that is left, however many marks lie within one record."""
    size = 64 * TILE
    scanner = Scanner(0, size, range(0, size, TILE), ",")
    lengths: list[int] = []
    read = scanner._reader.read

    def counted(state: State, data: bytes) -> tuple[State, int]:
        lengths.append(len(data))
        return read(state, data)

    scanner._reader.read = counted  # type: ignore[method-assign]
    scanner.feed(b'"' + b"x" * (size - 2) + b"\n")
    assert sum(lengths) < 3 * size


def test_a_scanner_keeps_nothing_of_what_it_reads() -> None:
    """Its memory is that of a few tiles, also within a field of many MiB."""
    block = b'x\n,"y' * 200_000
    scanner = Scanner(0, 8 * len(block), [0], ",")
    tracemalloc.start()
    for _ in range(8):
        scanner.feed(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * TILE < 4 * len(block)
