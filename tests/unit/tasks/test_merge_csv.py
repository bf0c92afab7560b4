"""merge_csv: one clean file, one of rejects, and a summary."""

import asyncio
import json
from functools import partial

import pytest

import catalog
import merge_csv
import process_csv
import process_csv_chunk
from afterward import Chain, Status
from afterward.background import DurableTasks
from afterward.envelope import Link
from afterward.execution import Execution
from afterward.results import keys_of
from afterward.testing import Attempt, ManualClock, MemoryJobs, Trial
from csv_pipeline import dividing, joining
from csv_pipeline.dividing import spans_of
from csv_pipeline.objects import bucket_objects, parts_of
from csv_pipeline.work import Work
from tests.support.objects import MemoryObjects

CHAIN = Chain("chain-1", owner="ada")
UPLOAD = "uploads/7/orders.csv"
TYPE = "text/csv; charset=utf-8"
REJECTS = "row,column,value,reason\n"
LEAST = 16


def processed(objects: MemoryObjects, text: str, *, chunk: int = 20, chain: Chain = CHAIN) -> MemoryObjects:
    """Return the bucket with a file all of whose chunks were processed."""
    objects.put(UPLOAD, text.encode(), "text/csv")
    trial = Trial(overrides={bucket_objects: lambda: objects}, chain=chain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dividing, "spans_of", partial(spans_of, chunk=chunk))
        trial.run(process_csv.divide, 7, UPLOAD, "any")
    for number in range(len(Work(objects, chain).share().division.chunks)):
        trial.run(process_csv_chunk.process, number)
    return objects


def run(objects: MemoryObjects) -> Attempt:
    return Trial(overrides={bucket_objects: lambda: objects}, chain=CHAIN).run(merge_csv.merge, 7)


TEXT = "id,note\n1,plain\n2,write to ada@example.com\n\n3,too,many\n4,=1+1\n5,to bob@example.com\n"
CLEAN = "id,note\n1,plain\n2,write to [EMAIL]\n4,'=1+1\n5,to [EMAIL]\n"


def results(objects: MemoryObjects) -> tuple[str, str]:
    return objects.get("results/clean.csv").decode(), objects.get("results/rejects.csv").decode()


@pytest.mark.parametrize("chunk", [1, 20, 1_000])
def test_chunks_become_one_file_of_each_kind(chunk: int) -> None:
    """In the order of the rows, with one header."""
    objects = processed(MemoryObjects(), TEXT, chunk=chunk)
    run(objects)
    assert results(objects) == (CLEAN, REJECTS + '5,,"3,too,many","It has 3 cells, and the header has 2"\n')
    assert {objects.files[f"results/{name}.csv"].content_type for name in ("clean", "rejects")} == {TYPE}


@pytest.mark.parametrize("chunk", [1, 20, 1_000])
def test_a_summary_tells_what_became_of_the_rows(chunk: int) -> None:
    """And of the columns in which anything was changed; it is the same however the file was divided."""
    attempt = run(processed(MemoryObjects(), TEXT, chunk=chunk))
    assert attempt.results["summary.json"].content_type == "application/json"
    assert json.loads(attempt.results["summary.json"].body) == {
        "rows": {"total": 6, "clean": 4, "rejected": 1, "blank": 1},
        "columns": {"note": {"masked": 2, "neutralised": 1}, "": {"problems": 1}},
        "schema": "any",
        "delimiter": ",",
        "encoding": "utf-8",
    }


def test_a_header_tells_nobodys_data() -> None:
    """It may be the first row of a file that has none."""
    text = "ada@example.com,note\n1,=1+1\n=2,b\n"
    objects = processed(MemoryObjects(), text)
    attempt = run(objects)
    assert json.loads(attempt.results["summary.json"].body)["columns"] == {
        "note": {"neutralised": 1},
        "[EMAIL]": {"neutralised": 1},
    }
    assert results(objects)[0].startswith("[EMAIL],note\n")


def test_the_user_hears_of_it() -> None:
    """The message says how many rows are clean; the job itself ends with the same words."""
    attempt = run(processed(MemoryObjects(), TEXT))
    said = "4 clean rows, 1 rejected"
    assert attempt.messages == ["Merging", f"Completed: {said}"]
    (told,) = attempt.children
    assert isinstance(told, Link)
    assert (told.task, told.arguments) == (
        "send_notification",
        {"recipient": "7", "message": f"Your CSV file is processed: {said}"},
    )


def test_a_file_without_rows_has_results_too() -> None:
    """Two headers, and a summary of nothing."""
    attempt = run(processed(MemoryObjects(), "id;note\n"))
    found = {name: result.body.decode() for name, result in attempt.results.items()}
    assert (found["clean.csv"], found["rejects.csv"]) == ("id;note\n", REJECTS)
    assert attempt.results["clean.csv"].content_type == TYPE
    assert json.loads(found["summary.json"])["rows"] == {"total": 0, "clean": 0, "rejected": 0, "blank": 0}
    assert attempt.messages[-1] == "Completed: 0 clean rows, 0 rejected"


@pytest.mark.parametrize("more", [-1, 1])
def test_no_row_is_lost_unnoticed(more: int) -> None:
    """Where other rows were processed than the file has, there are no results, and nobody hears that all is well."""
    objects = processed(MemoryObjects(), TEXT)
    work = Work(objects, CHAIN)
    outcome = [*work.outcomes(2)][1]
    outcome.counts["kept"] += more
    work.save_outcome(1, outcome)
    with pytest.raises(RuntimeError, match=f"the file has 6 rows, and {6 + more} were processed"):
        run(objects)
    assert not any(key.startswith("results/") for key in objects.files)


# Results of many parts.

MANY = "id,note\n" + "".join(f"{number},row\n" if number % 3 else f"{number}\n" for number in range(60))
TRUE = [number for number in range(60) if number % 3]
CLEAN_OF_MANY = "id,note\n" + "".join(f"{number},row\n" for number in TRUE)
REJECTS_OF_MANY = REJECTS + "".join(
    f'{number + 2},,{number},"It has 1 cell, and the header has 2"\n' for number in range(60) if number not in TRUE
)


class Slow(MemoryObjects):
    """A bucket in which each part takes a second, and that notes the parts that were written."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(least=LEAST)
        self.clock = clock
        self.written: list[tuple[str, int]] = []

    def put_part(self, key: str, upload: str, number: int, body: bytes) -> None:
        self.clock.advance(1)
        self.written.append((key, number))
        super().put_part(key, upload, number, body)


class Merging:
    """A merge that is under way, in invocations of ten seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(joining, "LEAST_PART", LEAST)
        monkeypatch.setattr(joining, "parts_of", partial(parts_of, least=LEAST, most=64))
        monkeypatch.setattr(joining, "AT_ONCE", 1)
        self.clock = ManualClock()
        self.objects = Slow(self.clock)
        tasks = DurableTasks.in_memory(clock=self.clock)
        self.jobs = MemoryJobs(tasks, seconds=10)
        self.job = tasks.add_task(catalog.merge_csv, 7)
        processed(self.objects, MANY, chain=Chain(self.job.id, owner=tasks.owner))
        worker = merge_csv.lambda_handler
        bucket = {bucket_objects: lambda: self.objects}
        monkeypatch.setattr(worker, "_execution", Execution(worker.implementation, worker.needs, bucket))
        asyncio.run(tasks.publish())

    def step(self) -> Status:
        """Let the next invocation do what it can; return what has become of the job."""
        if not self.jobs.step():
            self.clock.advance(60)
        return self.jobs.record(self.job).status

    def finish(self) -> tuple[str, str]:
        for _ in range(100):
            if self.step().final:
                break
        keys = keys_of(self.jobs.record(self.job))
        return self.objects.get(keys["clean.csv"]).decode(), self.objects.get(keys["rejects.csv"]).decode()


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch) -> Merging:
    return Merging(monkeypatch)


def test_results_that_take_longer_than_an_invocation_go_on_in_the_next(merging: Merging) -> None:
    """They are what they are at once; no part is written twice, and no attempt is used up."""
    began = merging.clock.now()
    assert merging.finish() == (CLEAN_OF_MANY, REJECTS_OF_MANY)
    record = merging.jobs.record(merging.job)
    assert record.status is Status.COMPLETED
    assert record.attempt > 3
    assert record.limit - record.attempt == 4
    assert len(merging.objects.written) == len(set(merging.objects.written)) == merging.clock.now() - began
    assert merging.objects.uploads == {}
    assert sorted(keys_of(record)) == ["clean.csv", "rejects.csv", "summary.json"]


@pytest.mark.parametrize("invocations", [1, 3])
def test_a_result_whose_upload_was_lost_is_begun_anew(merging: Merging, invocations: int) -> None:
    """An attempt is used up, and says why; what was joined before stays."""
    for _ in range(invocations):
        assert merging.step() is Status.QUEUED
    merging.objects.uploads.clear()
    assert merging.step() is Status.QUEUED
    record = merging.jobs.record(merging.job)
    assert record.message is not None
    assert record.message.endswith("is over; it is begun anew")
    assert merging.finish() == (CLEAN_OF_MANY, REJECTS_OF_MANY)
    record = merging.jobs.record(merging.job)
    assert (record.status, record.limit - record.attempt) == (Status.COMPLETED, 3)
