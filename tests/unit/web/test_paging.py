"""The caller's jobs as a list."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from afterward import Status
from afterward.background import LISTING, JobStatus, Listed, TaskList
from afterward.clock import timestamp
from afterward.records import Record, listing_of
from afterward.testing import START
from tests.support import jobs
from tests.unit.web.conftest import OWNER, Site


@pytest.fixture
def listing(site: Site) -> Site:
    @site.app.get("/tasks", responses=LISTING)
    async def tasks(page: Listed) -> TaskList:
        return page

    return site


def added(site: Site, number: int, owner: str = OWNER, **changes: Any) -> Record:
    job_id = f"job-{number}"
    made = jobs.record(job_id, now=START, **changes)
    listed = listing_of(owner, job_id, site.backend.shards)
    record = replace(made, owner=owner, listing=listed, created=timestamp(START + number))
    site.backend.records.add(record)
    return record


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [task["task_id"] for task in answer.json()["tasks"]]


def test_a_list_shows_what_the_status_shows(listing: Site) -> None:
    """Each job stands in the list as its status shows it, newest first; there is nothing behind the last."""
    records = [added(listing, number, status=Status.FAILED, reason="no") for number in range(3)]
    answer = listing.get("/tasks")
    assert answer.json() == {"tasks": [JobStatus.of(one).model_dump() for one in records[::-1]], "next": None}
    assert "link" not in answer.headers
    assert answer.headers["cache-control"] == "private, no-cache"


def test_a_caller_without_jobs_has_an_empty_list(listing: Site) -> None:
    """Other people's jobs are nobody else's business."""
    added(listing, 1, owner="somebody else")
    assert listing.get("/tasks").json() == {"tasks": [], "next": None}


def test_pages_lead_from_one_to_the_next(listing: Site) -> None:
    """`next`, given as `cursor`, is the next page; all pages together are the whole list."""
    for number in range(10):
        added(listing, number)
    answers = [listing.get("/tasks?limit=4")]
    while cursor := answers[-1].json()["next"]:
        answers.append(listing.get(f"/tasks?limit=4&cursor={cursor}"))
    assert [len(ids(answer)) for answer in answers] == [4, 4, 2]
    assert [one for answer in answers for one in ids(answer)] == [f"job-{number}" for number in reversed(range(10))]


@pytest.mark.parametrize("root_path", ["", "/v1"])
def test_a_link_leads_to_the_next_page(listing: Site, root_path: str) -> None:
    """The Link header names the next page where the API is, in pages of the same size."""
    for number in range(5):
        added(listing, number)
    first = listing.get(f"{root_path}/tasks?limit=2", root_path=root_path)
    link = first.links["next"]["url"]
    assert link.startswith(f"{root_path}/tasks?limit=2&cursor=")
    second = listing.get(link, root_path=root_path)
    assert ids(second) == ["job-2", "job-1"]
    assert "next" in second.links


def test_a_page_holds_fifty_unless_asked(listing: Site) -> None:
    """Without a limit a page holds 50 jobs."""
    for number in range(51):
        added(listing, number)
    assert len(ids(listing.get("/tasks"))) == 50
    assert len(ids(listing.get("/tasks?limit=100"))) == 51


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=few", "cursor=", "cursor=x", "cursor=%00", "cursor=ä"]
)
def test_a_page_that_cannot_be_is_refused(listing: Site, query: str) -> None:
    """A limit out of bounds and a cursor that nobody gave are 422, named and not repeated."""
    answer = listing.get(f"/tasks?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [one["loc"] for one in answer.json()["errors"]] == [["query", query.partition("=")[0]]]


def test_somebody_elses_cursor_shows_nothing_of_theirs(listing: Site) -> None:
    """A cursor is a place and no permission: with another caller's, one still sees one's own jobs only."""
    for number in range(4):
        added(listing, number, owner="somebody else" if number % 2 else OWNER)
    page = listing.backend.records.page("somebody else", 1, None, listing.backend.shards)
    assert {*ids(listing.get(f"/tasks?cursor={page.next}"))} <= {"job-0", "job-2"}
