"""Listing an owner's jobs page by page: the contract of `Records.page` over both stores, and its cursors."""

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterward.backend import Backend
from afterward.clock import timestamp
from afterward.errors import Unavailable
from afterward.listing import Cursor, Page, Place
from afterward.records import Record, Records, listing_of
from afterward.testing import START
from tests.support.cloud import Cloud
from tests.support.jobs import OWNER, record

SHARDS = 4


@pytest.fixture
def records(stores: Backend) -> Records:
    return stores.records


def job(job_id: str, seconds: float = 0, owner: str = OWNER, shards: int = SHARDS) -> Record:
    """Return the record of a job that was created so many seconds after the start."""
    listing = listing_of(owner, job_id, shards)
    return replace(record(job_id), owner=owner, created=timestamp(START + seconds), listing=listing)


def added(records: Records, *jobs: Record) -> list[str]:
    records.add_all([*jobs])
    return [one.id for one in jobs]


def pages(records: Records, limit: int, cursor: Cursor | None = None, shards: int = SHARDS) -> Iterator[Page]:
    """Read on until the last page, every cursor through its text as a client sends it back."""
    for _ in range(100):  # or cursors run in a circle
        page = records.page(OWNER, limit, cursor, shards)
        yield page
        if page.next is None:
            return
        cursor = Cursor.parse(str(page.next))
    pytest.fail("the last page never came")


def listed(records: Records, limit: int, cursor: Cursor | None = None, shards: int = SHARDS) -> list[str]:
    return [one.id for page in pages(records, limit, cursor, shards) for one in page.records]


def in_shard(shard: int, count: int, prefix: str = "j") -> list[str]:
    """Return ids that all fall into one shard."""
    ids = (f"{prefix}{number}" for number in range(1_000))
    return [one for one in ids if listing_of(OWNER, one, SHARDS) == f"{OWNER}#{shard}"][:count]


def test_nobody_has_no_jobs(records: Records) -> None:
    """A caller without jobs gets one page, and it is empty."""
    assert records.page(OWNER, 10, None, SHARDS) == Page([], None)


def test_the_newest_come_first(records: Records) -> None:
    """Jobs of all shards are listed in the order of their creation, as they stand."""
    jobs = [job(f"job-{number}", number) for number in range(9)]
    added(records, *jobs)
    assert [one for page in pages(records, 4) for one in page.records] == jobs[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 24, 25, 100])
@pytest.mark.parametrize("times", [1, 2, 5, 25], ids=lambda times: f"{times}-times")
def test_every_job_comes_once(records: Records, times: int, limit: int) -> None:
    """Whatever the size of a page and however many jobs were created at one time: none twice, none left out."""
    ids = added(records, *(job(f"job-{number}", number % times) for number in range(25)))
    found = listed(records, limit)
    assert sorted(found) == sorted(ids)
    created = [int(one.removeprefix("job-")) % times for one in found]
    assert created == sorted(created, reverse=True)


def test_the_last_page_is_known_to_be_the_last(records: Records) -> None:
    """Where the jobs fill their pages exactly, no empty page follows."""
    added(records, *(job(f"job-{number}", number) for number in range(6)))
    assert [len(page.records) for page in pages(records, 3)] == [3, 3]


def test_a_page_of_one_shard_leaves_the_others_for_later(records: Records) -> None:
    """Where one shard has all the newest jobs, the others come behind them, complete."""
    newest = added(records, *(job(one, 100) for one in in_shard(1, 5)))
    older = added(records, *(job(one, 50) for shard in (0, 2, 3) for one in in_shard(shard, 3)))
    found = listed(records, 2)
    assert (sorted(found[:5]), sorted(found[5:])) == (sorted(newest), sorted(older))


def test_owners_see_their_own(records: Records) -> None:
    """Nobody's page holds a job of somebody else."""
    added(records, job("mine"))
    added(records, *(job(f"theirs-{number}", owner="somebody else") for number in range(4)))
    assert listed(records, 10) == ["mine"]


@pytest.mark.parametrize("seconds", [5, 3.5])
@pytest.mark.parametrize("shard", [0, 2, 3])
def test_what_comes_meanwhile_is_no_part_of_the_listing(records: Records, shard: int, seconds: float) -> None:
    """A job that belongs on a page which was shown already is not listed on a later one, among older jobs."""
    ids = added(records, *(job(one, 4 - number) for number, one in enumerate(in_shard(1, 4))))
    first = records.page(OWNER, 2, None, SHARDS)
    added(records, job(in_shard(shard, 1)[0], seconds))
    assert [one.id for one in first.records] + listed(records, 2, first.next) == ids


def test_a_job_that_goes_meanwhile_takes_no_other_with_it(records: Records) -> None:
    """The last job of a page may be gone when the next one is asked for: it still says where that begins."""
    jobs = [job(one) for one in in_shard(2, 6)]
    added(records, *jobs)
    first = records.page(OWNER, 3, None, SHARDS)
    for one in first.records:
        records.remove(one)
    assert sorted([one.id for one in first.records] + listed(records, 3, first.next)) == sorted(one.id for one in jobs)


def test_shards_may_be_added_meanwhile(records: Records) -> None:
    """A cursor from before the listing got more shards goes on in all of them."""
    ids = added(records, *(job(f"job-{number}", number % 3, shards=2) for number in range(12)))
    first = records.page(OWNER, 5, None, 2)
    rest = listed(records, 5, first.next, SHARDS)
    assert sorted([one.id for one in first.records] + rest) == sorted(ids)


def test_an_owner_may_have_any_name(records: Records) -> None:
    """An owner whose name holds the separator of keys lists jobs as any other."""
    owner = "acme#42"
    added(records, *(job(f"job-{number}", owner=owner) for number in range(3)))
    first = records.page(owner, 2, None, SHARDS)
    second = records.page(owner, 2, first.next, SHARDS)
    assert sorted(one.id for one in first.records + second.records) == ["job-0", "job-1", "job-2"]


# What only DynamoDB meets


def test_a_page_is_one_query_per_shard_and_one_read(cloud: Cloud) -> None:
    """However many jobs there are, a page costs as many queries as there are shards, and one batch of reads."""
    added(cloud.backend.records, *(job(f"job-{number}") for number in range(30)))
    first = cloud.backend.records.page(OWNER, 10, None, SHARDS)
    cloud.dynamodb.sent.clear()
    cloud.backend.records.page(OWNER, 10, first.next, SHARDS)
    assert cloud.dynamodb.counts == {"Query": SHARDS, "BatchGetItem": 1}


def test_an_answer_that_is_cut_short_is_no_end(cloud: Cloud) -> None:
    """DynamoDB may answer with less than was asked for and more to come: then the rest is asked for."""
    ids = added(cloud.backend.records, *(job(one, 1) for one in in_shard(1, 4)), job("old", 0))
    cloud.dynamodb.shorten("Query")
    assert sorted(listed(cloud.backend.records, 3)) == sorted(ids)
    assert cloud.dynamodb.counts["Query"] > 2 * SHARDS


def test_a_record_that_expires_between_index_and_read_is_left_out(cloud: Cloud) -> None:
    """What the index still names and the table has no longer is not listed, and the pages go on behind it."""
    jobs = [job(f"job-{number}", number) for number in range(5)]
    added(cloud.backend.records, *jobs)
    cloud.dynamodb.meanwhile("BatchGetItem", lambda: cloud.backend.records.remove(jobs[4]))
    assert listed(cloud.backend.records, 2) == ["job-3", "job-2", "job-1", "job-0"]


@pytest.mark.parametrize("operation", ["Query", "BatchGetItem"])
def test_a_page_that_cannot_be_read_is_unavailable(cloud: Cloud, operation: str) -> None:
    """A service that does not answer is no empty page."""
    added(cloud.backend.records, job("one"), job("two"))
    cloud.dynamodb.refuse(operation, "ThrottlingException")
    with pytest.raises(Unavailable):
        cloud.backend.records.page(OWNER, 10, None, SHARDS)


# Cursors

TIMES = st.integers(0, 10**15).map(lambda micros: timestamp(micros / 1e6))
PLACES = st.builds(Place, TIMES, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}", fullmatch=True))
CURSORS = st.builds(Cursor, TIMES, st.lists(st.none() | PLACES, max_size=64).map(tuple))


@given(cursor=CURSORS)
def test_a_cursor_survives_its_text(cursor: Cursor) -> None:
    """What a client sends back is what it was given, and needs no escaping in a query."""
    assert Cursor.parse(str(cursor)) == cursor
    assert str(cursor).replace("-", "").replace("_", "").isalnum()


def text_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


NOW = timestamp(START)

NO_CURSORS = [
    "",
    "x",
    "====",
    "ä",
    "not base64!",
    "a" * 20_000,
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    *map(
        text_of,
        [
            None,
            5,
            "text",
            {},
            [],
            ["yesterday"],
            [NOW, "x"],
            [NOW, 5],
            [NOW, []],
            [NOW, False],
            [NOW, [NOW]],
            [NOW, [NOW, "a#b"]],
            [NOW, [NOW, "a", "b"]],
            [NOW, [NOW, 7]],
            [NOW, ["later", "job-1"]],
            [NOW, *[None] * 65],
        ],
    ),
]


@pytest.mark.parametrize("text", NO_CURSORS, ids=lambda text: text[:30])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """Anything that this library cannot have given is a ValueError, and never another error."""
    with pytest.raises(ValueError, match=r"."):
        Cursor.parse(text)


@given(text=st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(text_of))
def test_any_text_is_a_cursor_or_is_none(text: str) -> None:
    """Nothing that a client may send ends in an error of another kind."""
    with contextlib.suppress(ValueError):
        assert Cursor.parse(text).valid
