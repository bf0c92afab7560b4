"""scan_csv: one range of a large file."""

import json
from collections.abc import Iterator

import pytest

import process_csv
import scan_csv
from afterward import Chain
from afterward.errors import BadMessage
from afterward.testing import Attempt, Trial
from csv_pipeline import dividing
from csv_pipeline.dividing import scan, spans_of
from csv_pipeline.objects import Gone, Segment, bucket_objects
from csv_pipeline.work import Work
from tests.support.objects import MemoryObjects

CHAIN = Chain("chain-1", owner="ada")
UPLOAD = "uploads/7/orders.csv"
TEXT = b'id,name\n1,"Ada\nLovelace"\n2,Alan\n3,Grace\n'


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> MemoryObjects:
    """A bucket with an upload for which the jobs that scan it were added."""
    monkeypatch.setattr(process_csv, "AT_HAND", 0)
    monkeypatch.setattr(dividing, "spans_of", lambda start, size: spans_of(start, size, chunk=5, span=10))
    made = MemoryObjects()
    made.put(UPLOAD, TEXT, "text/csv")
    trial(made).run(process_csv.divide, 7, UPLOAD, "any")
    return made


def trial(objects: MemoryObjects) -> Trial:
    return Trial(overrides={bucket_objects: lambda: objects}, chain=CHAIN)


def run(objects: MemoryObjects, number: int) -> Attempt:
    return trial(objects).run(scan_csv.scan_range, number)


def test_each_range_leaves_what_it_means(objects: MemoryObjects) -> None:
    """Under its number, whichever is done first."""
    work = Work(objects, CHAIN)
    plan = work.plan()
    for number in (3, 1, 0, 2):
        assert run(objects, number).messages == ["Splitting"]
    assert len(plan.spans) == 4
    expected = [scan(objects, plan, number) for number in range(4)]
    assert work.scans(4) == json.loads(json.dumps(expected))


def test_another_attempt_leaves_the_same(objects: MemoryObjects) -> None:
    """Over what the first one has left."""
    left = []
    for _ in range(2):
        run(objects, 1)
        left.append({key: file.body for key, file in objects.files.items()})
    assert left[0] == left[1]


def test_only_the_range_is_read(objects: MemoryObjects) -> None:
    """Of a file of terabytes, each job reads its own part."""
    asked: list[tuple[str, int, int]] = []

    class Watched(MemoryObjects):
        def read(self, segment: Segment) -> Iterator[bytes]:
            asked.append((segment.key, segment.start, segment.end))
            return super().read(segment)

    run(Watched(files=objects.files), 2)
    assert asked == [(UPLOAD, 28, 38)]


def test_a_file_that_was_replaced_is_not_scanned(objects: MemoryObjects) -> None:
    """Its ranges would not fit each other."""
    objects.put(UPLOAD, TEXT, "text/csv")
    with pytest.raises(Gone, match="the uploaded file was replaced"):
        run(objects, 0)


def test_a_number_is_checked_where_it_comes_in() -> None:
    """A message with another one can never run."""
    with pytest.raises(BadMessage):
        scan_csv.lambda_handler.task.arguments(1, {"number": -1})
