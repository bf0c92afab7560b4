"""What the jobs of one file leave for each other comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterward import Chain
from csv_pipeline.layout import Layout
from csv_pipeline.objects import Gone, Segment
from csv_pipeline.scan import Chunk, Division
from csv_pipeline.work import AT_ONCE, Outcome, Plan, Share, Span, Work
from tests.support.objects import MemoryObjects

CHAIN = Chain("chain-1", owner="ada")
SOURCE = Segment("uploads/1/a.csv", 0, 50_000_000_000_000, '"etag"')
LAYOUT = Layout(delimiter=";", header=("id", "Größe", 'a "b"'), start=17, first_row=3, encoding="cp1252")


def outcome(number: int) -> Outcome:
    return Outcome(
        clean=Segment(f"clean-{number}", 0, number, '"a"'),
        rejects=Segment(f"rejects-{number}", 0, 0, '"b"'),
        counts={"kept": number, "rejected": 1},
        columns={"masked": {"Größe": number}, "problems": {}},
    )


def test_a_plan_comes_back_as_it_was() -> None:
    """With all that a job that scans needs."""
    plan = Plan(source=SOURCE, rows="customers", layout=LAYOUT, spans=(Span(17, 40, (17, 30)), Span(40, 50, (40,))))
    work = Work(MemoryObjects(), CHAIN)
    work.save_plan(plan)
    assert work.plan() == plan


@given(st.lists(st.tuples(*[st.integers(0, 50_000_000_000_000)] * 4), max_size=5))
def test_a_share_comes_back_as_it_was(numbers: list[tuple[int, int, int, int]]) -> None:
    """With all chunks of it."""
    division = Division(tuple(Chunk(*four) for four in numbers), 7, "cp1252")
    share = Share(source=SOURCE, rows="any", layout=LAYOUT, division=division)
    work = Work(MemoryObjects(), CHAIN)
    work.save_share(share)
    assert work.share() == share


def test_scans_and_outcomes_come_back_in_their_order() -> None:
    """Whoever was faster, and however many there are."""
    work, count = Work(MemoryObjects(), CHAIN), 3 * AT_ONCE + 1
    for number in reversed(range(count)):
        work.save_scan(number, {"start": number})
        work.save_outcome(number, outcome(number))
    assert work.scans(count) == [{"start": number} for number in range(count)]
    assert [*work.outcomes(count)] == [outcome(number) for number in range(count)]
    assert (work.scans(0), [*work.outcomes(0)]) == ([], [])


def test_what_is_saved_again_replaces_what_was_there() -> None:
    """Another attempt has left other parts."""
    work = Work(MemoryObjects(), CHAIN)
    for one in (1, 2):
        work.save_outcome(0, outcome(one))
    assert [*work.outcomes(1)] == [outcome(2)]


def test_all_of_a_chain_lies_where_its_cleanup_looks() -> None:
    """And nothing of it where that of another chain does, or that of the same name of another owner."""
    objects = MemoryObjects()
    for number, chain in enumerate([CHAIN, Chain("chain-10", owner="ada"), Chain("chain-1", owner="bob")]):
        Work(objects, chain).save_scan(0, {"of": number})
    assert sorted(objects.files) == [
        "scratch/ada/chain-1/csv/scans/00000.json",
        "scratch/ada/chain-10/csv/scans/00000.json",
        "scratch/bob/chain-1/csv/scans/00000.json",
    ]
    assert Work(objects, CHAIN).scans(1) == [{"of": 0}]


def test_what_is_missing_is_said() -> None:
    """A chain that is run again when its scratch files have expired cannot go on."""
    work = Work(MemoryObjects(), CHAIN)
    work.save_outcome(0, outcome(0))
    with pytest.raises(Gone, match=r"scratch/ada/chain-1/csv/chunks/00001\.json is gone"):
        list(work.outcomes(2))
    with pytest.raises(Gone, match=r"scratch/ada/chain-1/csv/plan\.json is gone"):
        work.plan()
