"""split_csv: the ranges of a large file, put together."""

from functools import partial

import pytest

import catalog
import process_csv
import scan_csv
import split_csv
from afterward import Chain, Discard
from afterward.testing import Attempt, Trial
from csv_pipeline import dividing
from csv_pipeline.dividing import spans_of
from csv_pipeline.objects import Gone, bucket_objects
from csv_pipeline.work import Work
from tests.support.objects import MemoryObjects

AT_ONCE = Chain("at-once", owner="ada")
SCANNED = Chain("scanned", owner="ada")
UPLOAD = "uploads/7/orders.csv"
TEXT = b'id,name\n1,"Ada\nLovelace"\n2,Alan\n\n3,Grace\n'


def trial(objects: MemoryObjects, chain: Chain) -> Trial:
    return Trial(overrides={bucket_objects: lambda: objects}, chain=chain)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dividing, "spans_of", partial(spans_of, chunk=5, span=10))


def at_once(objects: MemoryObjects) -> Attempt:
    return trial(objects, AT_ONCE).run(process_csv.divide, 7, UPLOAD, "any")


def scanned(objects: MemoryObjects, monkeypatch: pytest.MonkeyPatch, rows: catalog.RowSchema = "any") -> None:
    """Let the file be planned, and each of its ranges be scanned."""
    monkeypatch.setattr(process_csv, "AT_HAND", 0)
    trial(objects, SCANNED).run(process_csv.divide, 7, UPLOAD, rows)
    for number in range(len(Work(objects, SCANNED).plan().spans)):
        trial(objects, SCANNED).run(scan_csv.scan_range, number)


def split(objects: MemoryObjects) -> Attempt:
    return trial(objects, SCANNED).run(split_csv.split)


def test_a_file_that_many_have_scanned_is_divided_as_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunks are the same, the same jobs work on them, and the same is said of it."""
    objects = MemoryObjects()
    objects.put(UPLOAD, TEXT, "text/csv")
    by_one = at_once(objects)
    scanned(objects, monkeypatch)
    by_many = split(objects)
    assert Work(objects, SCANNED).share() == Work(objects, AT_ONCE).share()
    assert by_many.children == by_one.children
    assert by_many.messages == by_one.messages == ["Splitting", "Divided into 4 chunks"]
    assert by_many.writes[-1]["total"] == 4


def test_a_quote_that_is_never_closed_shows_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No range by itself can tell; the sentence names the row."""
    objects = MemoryObjects()
    objects.put(UPLOAD, TEXT + b'4,"Edsger\n', "text/csv")
    scanned(objects, monkeypatch)
    with pytest.raises(Discard, match=r"^The quote that opens in row 6 is never closed\.$"):
        split(objects)


def test_a_header_that_does_not_fit_is_refused_before_rows_are_processed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left for jobs that would find out one by one."""
    objects = MemoryObjects()
    objects.put(UPLOAD, TEXT, "text/csv")
    scanned(objects, monkeypatch, "customers")
    with pytest.raises(Discard, match="The header has no columns email"):
        split(objects)
    assert "scratch/ada/scanned/csv/division.json" not in objects.files


def test_a_scan_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that is run again when its scratch files have expired cannot go on."""
    objects = MemoryObjects()
    objects.put(UPLOAD, TEXT, "text/csv")
    scanned(objects, monkeypatch)
    del objects.files["scratch/ada/scanned/csv/scans/00001.json"]
    with pytest.raises(Gone, match=r"scans/00001\.json is gone"):
        split(objects)
