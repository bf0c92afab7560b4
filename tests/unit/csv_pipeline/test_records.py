"""A chunk's bytes are regrouped into whole records, in pieces of a bounded size."""

import csv
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from csv_pipeline.scan import BEGINNING, TooLong, records
from csv_pipeline.states import TILE

TEXT = st.text(alphabet='a,"\r\né', max_size=80)


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def feeds(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def expected_records(text: str) -> list[bytes]:
    """Cut a text into the lines that csv.reader takes for each of its rows."""
    lines = [*io.StringIO(text, newline="")]
    reader, found, at = csv.reader(lines), list[bytes](), 0
    for _ in reader:
        found.append("".join(lines[at : reader.line_num]).encode())
        at = reader.line_num
    return found


@settings(max_examples=500)
@given(text=TEXT, feed=st.integers(1, 30), block=st.integers(1, 30))
@example(text="a\r\nb\r\n", feed=2, block=2)
@example(text="a\r\n\r\nb", feed=1, block=2)
@example(text='a,"\n"\na,a\naaaaaa\n"a\n', feed=30, block=16)  # in quotes at the last line end
@example(text='aaaa\n"a\na"\naaaa\n', feed=30, block=9)  # a record that goes on behind a block
@example(text='a"\na"a\n"a"a"\na\n', feed=30, block=12)  # quotes that are text
@example(text='"a\n","a\n"\na\n', feed=30, block=13)  # two lines, each with an even number of quotes
@example(text='a"\ra\n"a\r\n"\r\na\n', feed=30, block=14)
@example(text='"a"\r"\na\n', feed=30, block=8)
def test_pieces_are_whole_records_of_the_same_bytes(text: str, feed: int, block: int) -> None:
    """However the bytes come: each piece is rows of its own, and together they are those of the whole."""
    data = text.encode()
    pieces = [*records(feeds(data, feed), ",", block=block, longest=1000)]
    assert all(isinstance(piece, bytes) and piece for piece in pieces)
    assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == data
    rows = [row for piece in pieces if isinstance(piece, bytes) for row in rows_of(piece.decode())]
    assert rows == rows_of(text)


@settings(max_examples=500)
@given(text=TEXT, feed=st.integers(1, 30), block=st.integers(1, 12))
@example(text="aaaaaaaa\n" + "a" * 14 + "\n", feed=30, block=12)
def test_records_that_are_too_long_are_named_where_they_stand(text: str, feed: int, block: int) -> None:
    """Exactly those of more bytes than allowed, whatever the feeds and blocks; the others are left as they are."""
    longest = 14
    found: list[bytes | TooLong] = []
    for piece in records(feeds(text.encode(), feed), ",", block=block, longest=longest):
        found += [piece] if isinstance(piece, TooLong) else [one.encode() for one in _cut(piece)]
    expected = [one if len(one) <= longest else TooLong(one) for one in expected_records(text)]
    assert found == expected


def _cut(piece: bytes) -> list[str]:
    return [one.decode() for one in expected_records(piece.decode())]


def test_pieces_are_about_as_large_as_a_block() -> None:
    """Neither row by row nor all at once."""
    row = b"some,row\r\n"
    pieces = [*records(feeds(row * 10_000, 777), ",", block=10_000)]
    assert {len(piece) for piece in pieces[:-1] if isinstance(piece, bytes)} == {10_000}
    assert len(pieces) == 10


def test_a_record_that_is_too_long_is_skipped_and_what_follows_is_read() -> None:
    """Its first bytes are kept, to tell of it."""
    text = b'1,a\r\n2,"' + b"x\n" * 50_000 + b'"\r\n\r\n3,b'
    found = [*records(feeds(text, 1000), ",", block=4096, longest=65_536)]
    assert found == [b"1,a\r\n", TooLong((b'2,"' + b"x\n" * 50_000)[:BEGINNING]), b"\r\n", b"3,b"]


@pytest.mark.parametrize(("end", "too_long"), [(b"", False), (b"\n", True), (b"\r\n", True)])
def test_a_line_end_counts_as_part_of_a_record(end: bytes, *, too_long: bool) -> None:
    """A record of as many bytes as are allowed is read."""
    record = b"x" * 1000 + end
    expected = TooLong(record[:BEGINNING]) if too_long else record
    assert [*records([record], ",", block=100, longest=1000)] == [expected]


def test_a_line_end_is_whole_where_bytes_are_read_in_parts() -> None:
    """An LF belongs to the CR before it, which is the last byte that is read at once."""
    record = b"x" * (TILE - 1) + b"\r\n"
    assert [*records([record + b"y" * 100], ",")] == [record, b"y" * 100]


def test_only_the_record_that_is_too_long_is_skipped() -> None:
    """Not those that end in the same block."""
    rows = b"a,b\n" * TILE
    found = [*records([b"x" * 4 * TILE + b"\n" + rows], ",", block=3 * TILE, longest=4 * TILE)]
    assert found[0] == TooLong(b"x" * BEGINNING)
    assert b"".join(piece for piece in found if isinstance(piece, bytes)) == rows


@settings(max_examples=300)
@given(
    lines=st.lists(
        st.sampled_from(["a,b", '"a",b', 'a,"b', 'b"', 'a"b', '"a""b"', "", '"', ".", "a\rb", '"\r"']), max_size=40
    )
)
def test_lines_of_every_kind_are_cut_where_records_end(lines: list[str]) -> None:
    """Also where a look at the lines with quotes is enough to see it."""
    text = "".join(f"{line}\n" for line in lines)
    pieces = [*records([text.encode()], ",", block=64, longest=1000)]
    assert [row for piece in pieces if isinstance(piece, bytes) for row in rows_of(piece.decode())] == rows_of(text)


def test_nothing_has_no_records() -> None:
    """Nor have empty blocks."""
    assert ([*records([], ",")], [*records([b"", b""], ",")]) == ([], [])


def test_the_delimiter_decides_what_a_quote_is() -> None:
    """Behind a comma it is text where fields are divided by semicolons."""
    text = b'a,"b\nc;"d\ne"\n'
    assert [*records([text], ";", block=6)] == [b'a,"b\n', b'c;"d\ne"\n']


def test_a_field_of_60_mib_takes_the_memory_of_a_few_blocks() -> None:
    """It is skipped without being kept."""
    block = b"x,\n" * 349_525
    tracemalloc.start()
    found = [*records([b'"', *[block] * 60, b'"\n', b"a,b\n"], ",", block=1_048_576, longest=4_194_304)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [TooLong((b'"' + block)[:BEGINNING]), b"a,b\n"]
    assert peak < 16_777_216
