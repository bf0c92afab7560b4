"""One object made of many, however often the work is interrupted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterward.errors import Continue
from csv_pipeline import joining
from csv_pipeline.joining import State, join
from csv_pipeline.objects import Gone, Segment, UploadLost, parts_of
from tests.support.objects import MemoryObjects

LEAST, MOST = 10, 25
TYPE = "text/csv; charset=utf-8"

SIZES = [3, 0, 4, 30, 1, 70, 12, 2]


@contextmanager
def small_parts(at_once: int = 1) -> Iterator[None]:
    """Let parts of a few bytes be what parts of megabytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joining, "LEAST_PART", LEAST)
        patch.setattr(joining, "parts_of", partial(parts_of, least=LEAST, most=MOST))
        patch.setattr(joining, "AT_ONCE", at_once)
        yield


@pytest.fixture(autouse=True)
def _small_parts() -> Iterator[None]:
    with small_parts():
        yield


class Dead(BaseException):
    """The process was killed."""


class Writing(MemoryObjects):
    """Notes which parts were written; dies behind so many completions."""

    def __init__(self) -> None:
        super().__init__(least=LEAST)
        self.written: list[int] = []
        self.deadly = False

    def put_part(self, key: str, upload: str, number: int, body: bytes) -> None:
        super().put_part(key, upload, number, body)
        self.written.append(number)

    def complete(self, key: str, upload: str, parts: int) -> str:
        etag = super().complete(key, upload, parts)
        if self.deadly:
            raise Dead
        return etag


@dataclass(slots=True)
class Saved:
    """What was saved, in its order; `stop` says which of them end their attempt, as near its deadline."""

    stop: Callable[[int], bool] = lambda _number: False
    states: list[State] = field(default_factory=list)

    @property
    def last(self) -> State:
        return self.states[-1] if self.states else {}

    def __call__(self, state: State) -> None:
        self.states.append(state)
        if self.stop(len(self.states)):
            raise Continue


def sources_of(objects: MemoryObjects, sizes: Sequence[int] = SIZES) -> tuple[list[Segment], bytes]:
    """Put one object of each size, and return the inner bytes of each, and what they are joined to."""
    bodies = [bytes((number + at) % 251 for at in range(size + 2)) for number, size in enumerate(sizes)]
    etags = [objects.put(f"part-{number}", body, "text/csv") for number, body in enumerate(bodies)]
    found = [Segment(f"part-{number}", 1, sizes[number] + 1, etag) for number, etag in enumerate(etags)]
    return found, b"".join(body[1:-1] for body in bodies)


def attempts(objects: MemoryObjects, sources: Sequence[Segment], saved: Saved, limit: int = 100) -> str:
    """Join in as many attempts as it takes, each of which has a key of its own, and return that of the result."""
    for attempt in range(limit):
        try:
            return join(objects, f"result-{attempt}", TYPE, sources, saved.last, saved)
        except Continue:
            continue
    raise AssertionError(f"it was not done in {limit} attempts")


@pytest.mark.parametrize("sizes", [[], [0], [4], [0, 3, 0, 6], [9]])
def test_a_small_result_is_one_request(sizes: list[int]) -> None:
    """Nothing is begun, and nothing has to be kept for another attempt."""
    objects, saved = Writing(), Saved()
    sources, expected = sources_of(objects, sizes)
    assert join(objects, "result", TYPE, sources, {}, saved) == "result"
    assert (objects.get("result"), objects.files["result"].content_type) == (expected, TYPE)
    assert (saved.states, objects.written) == ([], [])


def test_a_large_result_is_made_of_parts() -> None:
    """It has its type, all bytes in their order, and no upload is left open."""
    objects = Writing()
    sources, expected = sources_of(objects)
    assert join(objects, "result", TYPE, sources, {}, Saved()) == "result"
    assert (objects.get("result"), objects.files["result"].content_type) == (expected, TYPE)
    assert objects.uploads == {}


@given(
    st.lists(st.one_of(st.integers(0, 12), st.integers(0, 120)), max_size=20),
    st.integers(1, 4),
    st.sets(st.integers(1, 60)),
)
def test_any_attempts_give_the_same(sizes: list[int], at_once: int, stops: set[int]) -> None:
    """Wherever attempts end: all go on with what the first one has begun, and no part is written twice."""
    objects, saved = Writing(), Saved(stops.__contains__)
    sources, expected = sources_of(objects, sizes)
    with small_parts(at_once):
        key = attempts(objects, sources, saved)
    parts = parts_of(sources, least=LEAST, most=MOST)
    assert objects.get(key) == expected
    assert key == "result-0"
    assert sorted(objects.written) == ([*range(1, len(parts) + 1)] if sum(sizes) >= LEAST else [])


def test_every_step_may_be_the_last_of_its_attempt() -> None:
    """Where each save ends the attempt, there are as many attempts as steps."""
    objects, saved = Writing(), Saved(lambda _number: True)
    sources, expected = sources_of(objects)
    assert objects.get(attempts(objects, sources, saved)) == expected
    assert [state["done"] for state in saved.states] == [*range(len(parts_of(sources, least=LEAST, most=MOST)) + 1)]


def test_an_attempt_killed_behind_its_end_is_made_good() -> None:
    """The upload is over by then, and what it has made is there: that is the result."""
    objects, saved = Writing(), Saved()
    sources, expected = sources_of(objects)
    objects.deadly = True
    with pytest.raises(Dead):
        join(objects, "result-0", TYPE, sources, {}, saved)
    written = len(objects.written)
    assert join(objects, "result-1", TYPE, sources, saved.last, saved) == "result-0"
    assert objects.get("result-0") == expected
    assert len(objects.written) == written
    assert "result-1" not in objects.files


def test_an_attempt_killed_between_two_saves_is_made_good() -> None:
    """What it has written since the last one is written again, over it."""
    objects, saved = Writing(), Saved(lambda number: number == 3)
    sources, expected = sources_of(objects)
    with pytest.raises(Continue):
        join(objects, "result-0", TYPE, sources, {}, saved)
    assert join(objects, "result-1", TYPE, sources, saved.states[-2], saved) == "result-0"
    assert objects.get("result-0") == expected
    assert objects.written.count(2) == 2


@pytest.mark.parametrize("stop", [1, 3])
def test_an_upload_that_was_thrown_away_is_said(stop: int) -> None:
    """It has to be begun anew, which leads to the same."""
    objects, saved = Writing(), Saved(lambda number: number == stop)
    sources, expected = sources_of(objects)
    with pytest.raises(Continue):
        join(objects, "result-0", TYPE, sources, {}, saved)
    objects.uploads.clear()
    with pytest.raises(UploadLost):
        join(objects, "result-1", TYPE, sources, saved.last, saved)
    assert join(objects, "result-2", TYPE, sources, {}, saved) == "result-2"
    assert objects.get("result-2") == expected


def test_what_lies_under_the_key_must_be_the_result() -> None:
    """An upload that is over has made something else, it seems."""
    objects, saved = Writing(), Saved(lambda number: number == 1)
    sources, expected = sources_of(objects)
    with pytest.raises(Continue):
        join(objects, "result-0", TYPE, sources, {}, saved)
    objects.uploads.clear()
    objects.put("result-0", expected[:-1], TYPE)
    with pytest.raises(UploadLost):
        join(objects, "result-1", TYPE, sources, saved.last, saved)


@pytest.mark.parametrize("number", [0, 3, 5])
def test_a_source_that_was_replaced_is_not_joined(number: int) -> None:
    """Small ones are read, large ones copied: both only as they were."""
    objects = Writing()
    sources, _ = sources_of(objects)
    objects.put(f"part-{number}", b"x" * 200, "text/csv")
    with pytest.raises(Gone, match=f"the object part-{number} was replaced"):
        join(objects, "result", TYPE, sources, {}, Saved())


def test_an_object_as_small_as_a_part_may_be_is_read() -> None:
    """S3 copies a range only of an object that is larger than that."""
    objects = Writing()
    body = bytes(range(LEAST))
    source = Segment("part", 0, LEAST, objects.put("part", body, "text/csv"))
    join(objects, "result", TYPE, [source, source], {}, Saved())
    assert objects.get("result") == body + body
