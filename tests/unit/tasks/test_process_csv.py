"""process_csv: what becomes of an upload before its rows are looked at."""

import gzip
from collections.abc import Sequence
from functools import partial

import pytest

import catalog
import process_csv
from afterward import Chain, Discard, Unavailable
from afterward.depends import Node
from afterward.envelope import Entry, Link
from afterward.testing import Attempt, Trial
from csv_pipeline import dividing
from csv_pipeline.dividing import spans_of
from csv_pipeline.objects import Head, Segment, bucket_objects
from csv_pipeline.work import Share, Work
from tests.support.objects import MemoryObjects

CHAIN = Chain("chain-1", owner="ada")
UPLOAD = "uploads/7/orders.csv"
TEXT = "id,name\n1,Ada\n2,Zoë\n\n3,Alan\n"


def divide(objects: MemoryObjects, body: bytes, rows: catalog.RowSchema = "any") -> Attempt:
    objects.put(UPLOAD, body, "text/csv")
    return again(objects, rows)


def again(objects: MemoryObjects, rows: catalog.RowSchema = "any") -> Attempt:
    trial = Trial(overrides={bucket_objects: lambda: objects}, chain=CHAIN)
    return trial.run(process_csv.divide, 7, UPLOAD, rows)


def small_chunks(monkeypatch: pytest.MonkeyPatch, chunk: int = 5, span: int = 10) -> None:
    monkeypatch.setattr(dividing, "spans_of", partial(spans_of, chunk=chunk, span=span))


def told(children: Sequence[Entry]) -> list[object]:
    """Return tasks with their arguments, and those of a group as a list."""
    return [[_told(one) for one in entry] if isinstance(entry, tuple) else _told(entry) for entry in children]


def _told(link: Link) -> tuple[object, ...]:
    return (link.task, *link.arguments.values())


def texts(objects: MemoryObjects, share: Share) -> list[bytes]:
    source = objects.get(share.source.key)
    return [source[one.start : one.end] for one in share.division.chunks]


def test_a_small_file_is_divided_at_once() -> None:
    """Its rows are counted, and one job works on its one chunk."""
    objects = MemoryObjects()
    attempt = divide(objects, TEXT.encode())
    assert told(attempt.children) == [[("process_csv_chunk", 0)]]
    assert attempt.messages == ["Splitting", "Divided into 1 chunk"]
    assert (attempt.writes[-1]["progress"], attempt.writes[-1]["total"]) == (0, 4)
    share = Work(objects, CHAIN).share()
    assert (share.rows, share.source.key, share.layout.header) == ("any", UPLOAD, ("id", "name"))
    assert texts(objects, share) == ["1,Ada\n2,Zoë\n\n3,Alan\n".encode()]


def test_a_larger_file_has_a_job_for_each_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """They run side by side."""
    small_chunks(monkeypatch)
    objects = MemoryObjects()
    attempt = divide(objects, TEXT.encode())
    assert told(attempt.children) == [[("process_csv_chunk", number) for number in range(3)]]
    assert attempt.messages[-1] == "Divided into 3 chunks"
    assert texts(objects, Work(objects, CHAIN).share()) == [b"1,Ada\n", "2,Zoë\n".encode(), b"\n3,Alan\n"]


@pytest.mark.parametrize("at_hand", [0, len(TEXT.encode()) - 1])
def test_a_file_too_large_to_be_scanned_at_once_is_handed_out(monkeypatch: pytest.MonkeyPatch, at_hand: int) -> None:
    """Ranges are scanned side by side, and behind them the file is divided; nothing is said of its rows before."""
    small_chunks(monkeypatch)
    monkeypatch.setattr(process_csv, "AT_HAND", at_hand)
    objects = MemoryObjects()
    attempt = divide(objects, TEXT.encode())
    assert told(attempt.children) == [[("scan_csv", 0), ("scan_csv", 1), ("scan_csv", 2)], ("split_csv",)]
    assert attempt.messages == ["Splitting"]
    assert "total" not in attempt.writes[-1]
    assert [one.start for one in Work(objects, CHAIN).plan().spans] == [8, 18, 28]


def test_a_file_as_large_as_can_be_scanned_at_once_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """To hand it out would take longer."""
    monkeypatch.setattr(process_csv, "AT_HAND", len(TEXT.encode()))
    assert told(divide(MemoryObjects(), TEXT.encode()).children) == [[("process_csv_chunk", 0)]]


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(TEXT.encode()),
        TEXT.encode("utf-16"),
        gzip.compress(TEXT.encode("utf-16-le"), mtime=0),
        TEXT.encode("utf-32"),
    ],
    ids=["gzip", "utf-16", "gzip of utf-16", "utf-32"],
)
def test_a_packed_file_is_unpacked_first(packed: bytes) -> None:
    """Its rows are read from what it is unpacked to, which goes with the chain's scratch files."""
    objects = MemoryObjects()
    attempt = divide(objects, packed)
    assert attempt.messages[-1] == "Divided into 1 chunk"
    share = Work(objects, CHAIN).share()
    head = objects.head("scratch/ada/chain-1/csv/unpacked.csv")
    assert share.source == Segment("scratch/ada/chain-1/csv/unpacked.csv", 0, head.size, head.etag)
    assert (share.division.rows, share.layout.header) == (4, ("id", "name"))
    assert texts(objects, share) == ["1,Ada\n2,Zoë\n\n3,Alan\n".encode()]


def test_a_file_that_cannot_be_unpacked_leaves_nothing() -> None:
    """Neither half of an object nor jobs."""
    objects = MemoryObjects()
    with pytest.raises(Discard, match=r"^The gzip file is incomplete"):
        divide(objects, gzip.compress(TEXT.encode() * 100)[:-10])
    assert (list(objects.files), objects.uploads) == ([UPLOAD], {})


def test_a_file_without_rows_is_none_to_refuse() -> None:
    """There is nothing to process, and so nothing to count."""
    objects = MemoryObjects()
    attempt = divide(objects, b"id,name\n")
    assert attempt.children == ()
    assert attempt.messages[-1] == "Divided into 0 chunks"
    share = Work(objects, CHAIN).share()
    assert (share.division.rows, share.division.chunks, share.layout.header) == (0, (), ("id", "name"))


@pytest.mark.parametrize(
    ("body", "rows", "sentence"),
    [
        (b"", "any", r"^The file is empty\.$"),
        (b"PK\x03\x04...", "any", r"^The file is a ZIP archive; upload the CSV file that is in it\.$"),
        (b'id,name\n1,"Ada\n2,Bob\n', "any", r"^The quote that opens in row 2 is never closed\.$"),
        (b"id,name\n1,Ada\n", "customers", r"^The header has no columns email, country"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(body: bytes, rows: catalog.RowSchema, sentence: str) -> None:
    """In one sentence, before anything of it is processed; no other attempt would help."""
    objects = MemoryObjects()
    with pytest.raises(Discard, match=sentence):
        divide(objects, body, rows)
    assert list(objects.files) == [UPLOAD]


def test_a_file_that_is_gone_is_said() -> None:
    """Its owner knows it as his upload, and by no key."""
    with pytest.raises(Discard, match=r"^the uploaded file is gone$"):
        again(MemoryObjects())


class Replaced(MemoryObjects):
    """A bucket whose upload is replaced behind the first look at it."""

    def head(self, key: str) -> Head:
        found = super().head(key)
        self.put(key, b"id,name\n9,Eve\n", "text/csv")
        return found


def test_a_file_that_is_replaced_meanwhile_is_refused() -> None:
    """Half of one and half of another would be neither."""
    with pytest.raises(Discard, match=r"^the uploaded file was replaced while it was worked on; upload it again$"):
        divide(Replaced(), TEXT.encode())


class Out(MemoryObjects):
    """A bucket that cannot be reached for a while."""

    def head(self, key: str) -> Head:
        raise Unavailable(f"S3 did not take the request for {key}")


def test_a_bucket_that_does_not_answer_is_no_reason_to_refuse_a_file() -> None:
    """Another attempt may find it there."""
    with pytest.raises(Unavailable):
        divide(Out(), TEXT.encode())


def test_another_attempt_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first one has left is replaced by its like."""
    small_chunks(monkeypatch)
    objects = MemoryObjects()
    first = divide(objects, gzip.compress(TEXT.encode()))
    shares = [Work(objects, CHAIN).share()]
    second = again(objects)
    shares.append(Work(objects, CHAIN).share())
    assert first.children == second.children
    assert shares[0].division == shares[1].division
    assert sorted(objects.files) == [
        "scratch/ada/chain-1/csv/division.json",
        "scratch/ada/chain-1/csv/unpacked.csv",
        UPLOAD,
    ]


def test_a_worker_keeps_its_bucket() -> None:
    """Its client belongs to the environment, and is made once for all jobs."""
    need = process_csv.lambda_handler.needs["objects"]
    assert isinstance(need, Node)
    assert (need.provider, need.scope) == (bucket_objects, "environment")
