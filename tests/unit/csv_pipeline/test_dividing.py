"""How files are divided: by bytes, and then by records."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from afterward.children import LIMIT
from afterward.errors import Discard
from csv_pipeline import dividing
from csv_pipeline.dividing import CHUNK, MOST_CHUNKS, MOST_SPANS, SPAN, layout_at, planned, scan, shared, spans_of
from csv_pipeline.objects import MOST_PART, Segment
from csv_pipeline.work import Plan
from tests.support.objects import MOST_PARTS, MemoryObjects

LARGEST = 50 * 10**12
"""Bytes of an object at most. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


def sized(**sizes: int) -> dict[str, int]:
    return {"chunk": 10, "span": 35, "chunks": 1_000, "spans": 1_000} | sizes


def all_marks(spans: Any) -> list[int]:
    return [mark for one in spans for mark in one.marks]


SIZES = st.fixed_dictionaries(
    {
        "chunk": st.integers(1, 50),
        "span": st.integers(1, 200),
        "chunks": st.integers(1, 60),
        "spans": st.integers(1, 60),
    }
)


@given(st.integers(0, 100), st.integers(0, 2_000), SIZES)
def test_ranges_tile_what_is_behind_the_header(start: int, length: int, sizes: dict[str, int]) -> None:
    """Each byte is in one of them; chunks begin in their order, the first of each range where that does."""
    spans = spans_of(start, start + length, **sizes)
    assert [one.start for one in spans[:1]] == [start] * bool(length)
    assert [one.end for one in spans[-1:]] == [start + length] * bool(length)
    assert all(one.end == other.start for one, other in pairwise(spans))
    marks = all_marks(spans)
    assert marks == sorted(set(marks))
    assert all(one.marks[0] == one.start and one.marks[-1] < one.end for one in spans)


@given(st.integers(0, 100), st.integers(0, 2_000), SIZES)
def test_sizes_are_the_least_and_counts_the_most(start: int, length: int, sizes: dict[str, int]) -> None:
    """All chunks and ranges but the last have their size, or more where there would be too many of them."""
    spans = spans_of(start, start + length, **sizes)
    marks = all_marks(spans)
    assert all(after - before >= sizes["chunk"] for before, after in pairwise(marks))
    assert all(one.end - one.start >= sizes["span"] for one in spans[:-1])
    assert len(marks) <= sizes["chunks"]
    assert len(spans) <= sizes["spans"]


@given(st.integers(0, 5_000_000), st.one_of(st.integers(0, LARGEST), st.integers(0, 10 * SPAN)))
@example(0, LARGEST)
def test_a_file_of_any_size_can_be_divided_and_joined(start: int, size: int) -> None:
    """Up to the largest that S3 takes: neither jobs nor parts are more than there may be."""
    spans = spans_of(start, max(start, size))
    marks = [*all_marks(spans), max(start, size)]
    largest = max((after - before for before, after in pairwise(marks)), default=0)
    assert len(marks) - 1 <= MOST_CHUNKS <= LIMIT
    assert len(spans) <= MOST_SPANS <= LIMIT
    assert MOST_CHUNKS * -(-largest // MOST_PART) <= MOST_PARTS


def test_chunks_are_small_where_they_can_be() -> None:
    """A file of 10 GiB has ranges of one, and chunks of 64 MiB."""
    spans = spans_of(100, 10 * SPAN + 100)
    assert [one.end - one.start for one in spans] == [SPAN] * 10
    assert {len(one.marks) for one in spans} == {SPAN // CHUNK}


def test_nothing_behind_the_header_is_no_range() -> None:
    """There is nothing to scan then."""
    assert spans_of(100, 100) == ()


# On files.

TEXT = b'id,name\n1,Ada\n2,"Grace\nHopper"\n\n3,Edsger\n'


def put(objects: MemoryObjects, body: bytes) -> Segment:
    etag = objects.put("uploads/1/a.csv", body, "text/csv")
    return Segment("uploads/1/a.csv", 0, len(body), etag)


def cut(plan: Plan, **sizes: int) -> Plan:
    return replace(plan, spans=spans_of(plan.layout.start, plan.source.size, **sized(**sizes)))


def test_a_plan_tells_how_a_file_is_written() -> None:
    """Its delimiter and its header, and where the first row begins; a small file is one range of one chunk."""
    plan = planned(objects := MemoryObjects(), put(objects, TEXT), "any")
    assert (plan.layout.delimiter, plan.layout.header, plan.layout.start) == (",", ("id", "name"), 8)
    assert [(one.start, one.end, one.marks) for one in plan.spans] == [(8, len(TEXT), (8,))]
    assert (plan.rows, plan.source) == ("any", Segment("uploads/1/a.csv", 0, len(TEXT), plan.source.etag))


def test_no_more_of_a_file_is_looked_at_than_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that does not end in it is refused, one that does is enough."""
    objects = MemoryObjects()
    source = put(objects, TEXT)
    monkeypatch.setattr(dividing, "HEAD", 12)
    assert layout_at(objects, source).header == ("id", "name")
    monkeypatch.setattr(dividing, "HEAD", 6)
    with pytest.raises(Discard, match="header does not end"):
        layout_at(objects, source)


@pytest.mark.parametrize("span", range(1, 40))
@pytest.mark.parametrize("chunk", [1, 5, 14])
def test_chunks_are_whole_records_however_a_file_is_cut(chunk: int, span: int) -> None:
    """All rows are in one of them, with the numbers that a spreadsheet gives them."""
    objects = MemoryObjects()
    plan = cut(planned(objects, put(objects, TEXT), "any"), chunk=chunk, span=span)
    share = shared(objects, plan, [scan(objects, plan, number) for number in range(len(plan.spans))])
    chunks = share.division.chunks
    rows = [line for one in chunks for line in _rows(TEXT[one.start : one.end], one.first_row, one.rows)]
    assert rows == [(2, b"1,Ada"), (3, b'2,"Grace\nHopper"'), (4, b""), (5, b"3,Edsger")]
    assert share.division.rows == 4
    assert (share.source, share.rows, share.layout) == (plan.source, plan.rows, plan.layout)


def _rows(text: bytes, first: int, count: int) -> list[tuple[int, bytes]]:
    """Number the records of a chunk, of which only one has a line end in it."""
    lines = text.replace(b"Grace\nHopper", b"Grace Hopper").splitlines()
    assert len(lines) == count
    return [(first + number, line.replace(b"Grace Hopper", b"Grace\nHopper")) for number, line in enumerate(lines)]


def test_a_header_is_read_again_in_the_encoding_of_the_whole_file() -> None:
    """That its rows are in another one shows only when all of them have been looked at."""
    objects = MemoryObjects()
    body = "id,Größe\n".encode("cp1252") + "".join(f"{number},schön\n" for number in range(50)).encode("cp1252")
    plan = planned(objects, put(objects, body), "any")
    share = shared(objects, plan, [scan(objects, plan, number) for number in range(len(plan.spans))])
    assert (share.division.encoding, share.layout.encoding) == ("cp1252", "cp1252")
    assert share.layout.header == ("id", "Größe")
    assert (share.layout.start, share.layout.first_row) == (plan.layout.start, plan.layout.first_row)


def test_a_quote_that_is_never_closed_is_refused() -> None:
    """With the number of its row, when all ranges are known."""
    objects = MemoryObjects()
    plan = cut(planned(objects, put(objects, b'id,name\n1,Ada\n2,"Grace\n3,x\n'), "any"), chunk=5, span=7)
    with pytest.raises(Discard, match="row 3"):
        shared(objects, plan, [scan(objects, plan, number) for number in range(len(plan.spans))])
