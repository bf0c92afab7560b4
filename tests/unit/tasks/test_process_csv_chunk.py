"""process_csv_chunk: the rows of one chunk."""

import csv
import io
from functools import partial

import pytest

import catalog
import process_csv
import process_csv_chunk
from afterward import Chain
from afterward.testing import Attempt, ManualClock, Trial
from csv_pipeline import dividing
from csv_pipeline.dividing import spans_of
from csv_pipeline.objects import Gone, Writer, bucket_objects
from csv_pipeline.scan import records
from csv_pipeline.work import Outcome, Work
from tests.support.objects import MemoryObjects

CHAIN = Chain("chain-1", owner="ada")
UPLOAD = "uploads/7/orders.csv"
TEXT = "id,note\n1,plain\n2,write to ada@example.com\n\n3,too,many\n4,=1+1\n"
REJECTS = "row,column,value,reason\n"


def trial(objects: MemoryObjects) -> Trial:
    return Trial(overrides={bucket_objects: lambda: objects}, chain=CHAIN)


def divided(text: str, rows: catalog.RowSchema = "any") -> MemoryObjects:
    """Return a bucket with a file for which the jobs of its chunks were added."""
    objects = MemoryObjects(least=10)
    objects.put(UPLOAD, text.encode(), "text/csv")
    trial(objects).run(process_csv.divide, 7, UPLOAD, rows)
    return objects


def run(objects: MemoryObjects, number: int = 0) -> Attempt:
    return trial(objects).run(process_csv_chunk.process, number)


def outcomes(objects: MemoryObjects) -> list[Outcome]:
    work = Work(objects, CHAIN)
    return [*work.outcomes(len(work.share().division.chunks))]


def cleaned(objects: MemoryObjects, number: int = 0) -> tuple[str, str]:
    """Return the clean and the rejected rows of a chunk."""
    outcome = outcomes(objects)[number]
    return objects.get(outcome.clean.key).decode(), objects.get(outcome.rejects.key).decode()


def test_rows_are_kept_or_rejected() -> None:
    """Each is in one of two objects, without personal data and without formulas; the counts tell what was done."""
    objects = divided(TEXT)
    attempt = run(objects)
    assert cleaned(objects) == (
        "id,note\n1,plain\n2,write to [EMAIL]\n4,'=1+1\n",
        REJECTS + '5,,"3,too,many","It has 3 cells, and the header has 2"\n',
    )
    (outcome,) = outcomes(objects)
    assert outcome.counts == {"kept": 3, "rejected": 1, "blank": 1}
    assert outcome.columns == {"masked": {"note": 1}, "neutralised": {"note": 1}, "problems": {"": 1}}
    assert (outcome.clean.size, outcome.rejects.size) == tuple(len(text.encode()) for text in cleaned(objects))
    assert attempt.writes == [{"progress": 5, "total": 5, "message": "5 of 5 rows"}]


def test_only_the_first_chunk_has_the_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined, the chunks are one file; rows have the numbers that they have in it."""
    monkeypatch.setattr(dividing, "spans_of", partial(spans_of, chunk=1))
    objects = divided(TEXT)
    for number in (4, 0, 3, 2, 1):
        run(objects, number)
    texts = [cleaned(objects, number) for number in range(5)]
    assert [clean for clean, _ in texts] == [
        "id,note\n1,plain\n",
        "2,write to [EMAIL]\n",
        "",
        "",
        "4,'=1+1\n",
    ]
    assert [rejects for _, rejects in texts] == [
        REJECTS,
        "",
        "",
        '5,,"3,too,many","It has 3 cells, and the header has 2"\n',
        "",
    ]


def test_rows_are_held_against_what_they_must_be() -> None:
    """The schema that the upload has chosen says which are rejected, and why."""
    header = "payment_id,paid_at,amount,currency"
    rows = ["A-1,2026-11-22T14:00:00,10.50,EUR", "A-2,2026-11-22T14:00:00,-1,EUR", "A-3,yesterday,1,CHF"]
    objects = divided("\n".join([header, *rows]), "payments")
    run(objects)
    clean, rejects = cleaned(objects)
    assert clean == f"{header}\n{rows[0]}\n"
    told = [*csv.DictReader(io.StringIO(rejects))]
    assert [(one["row"], one["column"], one["value"]) for one in told] == [
        ("3", "amount", "-1"),
        ("4", "paid_at", "yesterday"),
    ]


def test_a_chunk_of_any_size_is_worked_on_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done is written and told of while the rest is still to be read."""
    monkeypatch.setattr(process_csv_chunk, "records", partial(records, block=50))
    monkeypatch.setattr(process_csv_chunk, "Writer", partial(Writer, part=64))
    lines = "".join(f"{number},row\n" for number in range(200))
    objects = divided("id,note\n" + lines)
    written: list[int] = []
    clock = ManualClock()

    class Watched(MemoryObjects):
        def put_part(self, key: str, upload: str, number: int, body: bytes) -> None:
            clock.advance(1)
            written.append(len(body))
            super().put_part(key, upload, number, body)

    watched = Watched(least=10, files=objects.files)
    bucket = {bucket_objects: lambda: watched}
    attempt = Trial(overrides=bucket, chain=CHAIN, clock=clock).run(process_csv_chunk.process, 0)
    assert cleaned(watched) == ("id,note\n" + lines, REJECTS)
    assert max(written) == 64
    reported = [one["progress"] for one in attempt.writes]
    assert len(reported) > 10
    assert reported == sorted(reported)
    assert attempt.messages[-1] == "200 of 200 rows"


def test_a_record_too_long_to_be_read_is_a_reject(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs its own row, and none behind it."""
    monkeypatch.setattr(process_csv_chunk, "records", partial(records, block=30, longest=60))
    objects = divided(f"id,note\n1,a\n2,{'x' * 100}\n3,c\n")
    run(objects)
    clean, rejects = cleaned(objects)
    assert clean == "id,note\n1,a\n3,c\n"
    assert rejects.startswith(REJECTS + '3,,"2,xxx')
    assert "It is longer than" in rejects
    assert outcomes(objects)[0].counts == {"kept": 2, "rejected": 1, "blank": 0}


def test_each_attempt_writes_parts_of_its_own() -> None:
    """One that is late cannot spoil what another has left; the outcome names those of the last one."""
    objects = divided(TEXT)
    run(objects)
    first = outcomes(objects)[0]
    run(objects)
    second = outcomes(objects)[0]
    assert first.clean.key != second.clean.key
    assert objects.get(first.clean.key) == objects.get(second.clean.key)
    assert (first.counts, first.columns) == (second.counts, second.columns)


def test_an_attempt_that_fails_leaves_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor uploads that nobody will end."""
    monkeypatch.setattr(process_csv_chunk, "Writer", partial(Writer, part=10))
    objects = divided(TEXT)

    def broken(*_: object) -> object:
        yield from [b"1,plain and simple\n"]
        raise OSError("the network is gone")

    monkeypatch.setattr(process_csv_chunk, "records", broken)
    with pytest.raises(OSError, match="the network is gone"):
        run(objects)
    assert objects.uploads == {}
    assert sorted(objects.files) == ["scratch/ada/chain-1/csv/division.json", UPLOAD]


def test_a_file_that_was_replaced_is_not_processed() -> None:
    """Its chunks would begin anywhere."""
    objects = divided(TEXT)
    objects.put(UPLOAD, TEXT.encode(), "text/csv")
    with pytest.raises(Gone, match="the uploaded file was replaced"):
        run(objects)
