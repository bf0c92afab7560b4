"""CSV files, whatever goes wrong on their way: each row is in one of the results, once."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterward import Status
from tests.faults.csv_scene import LEAST, UPLOAD, Fault, Point, Scene, Sizes, Strike, divided_by, play

HEADER = ["key", "text"]

TEXT = (
    'key,text\nr2,plain\nr3,"two\nlines, and a ""quote"""\n\nr5,too,many\nr6,wörter\nr7\nr8,5" pipe\nr9,the last one\n'
)


@dataclass(frozen=True, slots=True)
class Play:
    """A file, and how it is divided. `only`: whose calls are hit, where all others are as in another play."""

    name: str
    sizes: Sizes
    only: tuple[str, ...] = ()
    body: bytes = field(repr=False, default=TEXT.encode())

    def __str__(self) -> str:
        return self.name

    def hits(self, point: Point) -> bool:
        return not self.only or point.actor in self.only


PLAYS = (
    Play("at-hand", Sizes(chunk=25)),
    Play("scanned", Sizes(chunk=25, span=50, at_hand=0), ("process_csv", "scan_csv", "split_csv", "process_csv_chunk")),
    Play("packed", Sizes(chunk=200, block=1_000, part=64), ("process_csv",), gzip.compress(TEXT.encode(), mtime=0)),
    Play("slow", Sizes(chunk=25, seconds=2.5), ("merge_csv",)),
)


REFUSED = Play("refused", Sizes(chunk=25), (), b"PK\x03\x04...")


@cache
def undisturbed(one: Play) -> Scene:
    return play(one.body, one.sizes)


@dataclass(frozen=True, slots=True)
class Case:
    play: Play
    strike: Strike

    def __str__(self) -> str:
        return f"{self.play}-{self.strike}"


def cases(*plays: Play) -> list[Case]:
    """Return each call that a play makes without a fault, with each fault."""
    hit = [(one, point) for one in plays for point in undisturbed(one).points if one.hits(point)]
    return [Case(one, Strike(point, fault)) for one, point in hit for fault in faults(point)]


def faults(point: Point) -> Sequence[Fault]:
    """What S3 refuses is new here; that the library stands what its own stores refuse has tests of its own."""
    return list(Fault) if point.call.startswith("objects") else (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)


# What the results must be.


@dataclass(frozen=True, slots=True)
class Expected:
    """The rows of a file: those that are kept, the numbers of those that are rejected, and how many are blank."""

    kept: list[list[str]]
    rejected: list[int]
    blank: int


def expected(text: str) -> Expected:
    """Read a file in one go, as Python does."""
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    shaped = [(number, len(row) == len(header), row) for number, row in enumerate(rows, 2)]
    return Expected(
        kept=[row for _, fits, row in shaped if fits],
        rejected=[number for number, fits, row in shaped if row and not fits],
        blank=sum(1 for _, _, row in shaped if not row),
    )


def check(scene: Scene, text: str) -> None:
    """Hold what has become of a file against what it says."""
    results, wanted = scene.results(), expected(text)
    header, *kept = csv.reader(io.StringIO(results["clean.csv"].decode(), newline=""))
    assert (header, kept) == (next(csv.reader(io.StringIO(text, newline=""))), wanted.kept)
    rejects = [*csv.DictReader(io.StringIO(results["rejects.csv"].decode(), newline=""))]
    assert [int(one["row"]) for one in rejects] == wanted.rejected
    counts = {"clean": len(wanted.kept), "rejected": len(wanted.rejected), "blank": wanted.blank}
    assert json.loads(results["summary.json"])["rows"] == {"total": sum(counts.values())} | counts
    check_end(scene, f"{len(kept):,} clean rows, {len(rejects):,} rejected")


def check_end(scene: Scene, said: str) -> None:
    """All jobs have completed, the user has heard of it, and nothing that was only needed meanwhile is left."""
    assert {one.status for one in scene.records.all()} == {Status.COMPLETED}
    assert [*scene.inbox.lines.values()] == [f"notification for 7: Your CSV file is processed: {said}"]
    assert [key for key in scene.objects.files if key.startswith("scratch/")] == []
    assert scene.job("merge_csv").message == f"Completed: {said}"


# The crash points.


@pytest.mark.parametrize("one", PLAYS, ids=str)
def test_a_file_that_nothing_happens_to(one: Play) -> None:
    """Its rows are in the results; the plays are what their names say."""
    scene = undisturbed(one)
    check(scene, TEXT)
    assert scene.inbox.delivered == 1
    assert scene.objects.uploads == {}
    jobs = Counter(record.task for record in scene.records.all())
    assert (jobs["process_csv_chunk"] > 2) is (one.name != "packed")
    assert jobs["scan_csv"] == (2 if one.name == "scanned" else 0)
    assert (scene.job("merge_csv").attempt > 1) is (one.name == "slow")
    calls = Counter(point.call for point in scene.points)
    assert calls["objects.put_part"] + calls["objects.copy_part"] > 3
    assert calls["objects.copy_part"]


@pytest.mark.parametrize("case", cases(*PLAYS), ids=str)
def test_each_row_is_there_once_whatever_goes_wrong(case: Case) -> None:
    """The results are, byte for byte, those of a file that nothing happens to, and the user hears of them."""
    scene = play(case.play.body, case.play.sizes, case.strike)
    assert scene.struck, "nothing was hit"
    assert scene.results() == undisturbed(case.play).results()
    check(scene, TEXT)
    assert scene.inbox.delivered <= 2


@pytest.mark.parametrize("case", cases(REFUSED), ids=str)
def test_a_refused_file_is_told_of_whatever_goes_wrong(case: Case) -> None:
    """Its jobs end, and the user hears why, once."""
    scene = play(case.play.body, case.play.sizes, case.strike)
    assert scene.struck, "nothing was hit"
    assert scene.statuses() == {
        "process_csv": {Status.FAILED},
        "merge_csv": {Status.CANCELLED},
        "notify_of_failure": {Status.COMPLETED},
        "send_notification": {Status.COMPLETED},
        "cleanup": {Status.CANCELLED},
    }
    assert told(scene) == ["The file is a ZIP archive; upload the CSV file that is in it."]


def told(scene: Scene) -> list[str]:
    """Return the reasons that the user has heard."""
    beginning = "notification for 7: Your CSV file could not be processed: "
    assert all(line.startswith(beginning) for line in scene.inbox.lines.values())
    return [line.removeprefix(beginning) for line in scene.inbox.lines.values()]


def test_a_file_that_is_replaced_on_its_way_is_told_of_once() -> None:
    """All of its chunks find out, and the user hears of it once."""
    sizes = Sizes(chunk=25)
    scene = Scene()
    with divided_by(sizes):
        scene.upload(TEXT.encode())
        scene.step()
        scene.objects.put(UPLOAD.key, TEXT.encode(), "text/csv")
        scene.settle()
    assert scene.statuses()["process_csv_chunk"] == {Status.FAILED}
    assert scene.statuses()["merge_csv"] == {Status.CANCELLED}
    assert told(scene) == ["the uploaded file was replaced while it was worked on; upload it again"]


# Any file, divided in any way.

LETTERS = st.sampled_from("abcö")
CELLS = st.one_of(
    st.just(""),
    st.builds("{}{}".format, LETTERS, st.text(st.sampled_from('abcö ,"\n\r'), max_size=12)),
)
ROWS = st.one_of(
    st.tuples(CELLS, CELLS),
    st.tuples(LETTERS, CELLS),
    st.tuples(),
    st.tuples(LETTERS),
    st.tuples(LETTERS, CELLS, CELLS),
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Write rows, of which some have too few or too many cells; each cell in quotes, or where it can be without."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    rows = [HEADER, *draw(st.lists(ROWS, max_size=25))]
    lines = [",".join(_written(cell, quoted=draw(st.booleans())) for cell in row) for row in rows]
    return end.join(lines) + end * draw(st.integers(0, 2))


def _written(cell: str, *, quoted: bool) -> str:
    if quoted or any(char in cell for char in ",\r\n") or cell.startswith('"'):
        return '"' + cell.replace('"', '""') + '"'
    return cell


@settings(max_examples=40, deadline=None)
@given(texts(), st.integers(1, 200), st.integers(1, 300), st.booleans(), st.integers(LEAST, 100), st.integers(1, 100))
def test_any_file_is_what_python_reads(  # noqa: PLR0913, PLR0917 - what is drawn
    text: str, chunk: int, span: int, scanned: bool, part: int, block: int
) -> None:
    """However it is divided: what Python's csv module reads in one go is what the results hold."""
    sizes = Sizes(chunk=chunk, span=span, at_hand=0 if scanned else 10_000, part=part, block=block)
    check(play(text.encode(), sizes), text)
