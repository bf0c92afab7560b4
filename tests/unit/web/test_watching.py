"""Conditional requests, waiting ones, and when to ask again."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Response
from pydantic import BaseModel

from afterward import Status
from afterward.background import WATCHING, JobStatus, Shown, TaskProgress, Watched
from afterward.background.watch import versions, wait_of
from afterward.errors import Unavailable
from afterward.records import Record
from afterward.testing import START, ManualClock
from tests.support import jobs
from tests.unit.web.conftest import OWNER, Site

routes = APIRouter()


@routes.get("/progress/{task_id}", response_model=TaskProgress, responses=WATCHING)  # noqa: FAST003 - taken by Watched
async def progress(job: Watched) -> Response:
    return await job.progress()


@routes.get("/jobs/{task_id}", response_model=JobStatus, responses=WATCHING)  # noqa: FAST003 - taken by Watched
async def status(job: Watched) -> Response:
    return await job.status()


class Note(BaseModel):
    text: str


@routes.get("/notes/{task_id}")
async def note(job: Watched, task_id: str) -> Response:
    async def look() -> Shown:
        return Shown(Note(text=f"about {task_id}"), "v1", final=False, retry_after=3)

    return await job.answer(look)


@pytest.fixture
def watched(site: Site) -> Site:
    site.app.include_router(routes)
    return site


def added(site: Site, **changes: Any) -> Record:
    record = replace(jobs.record("mine", now=START, **changes), owner=OWNER)
    site.backend.records.add(record)
    return record


def later(site: Site, clock: ManualClock, seconds: float, record: Record, **changes: Any) -> None:
    """Have the job change after a time."""

    def change() -> None:
        stands = site.backend.records.get(OWNER, record.id)
        assert stands is not None
        site.backend.records.swap(stands, stands.changed(clock.now(), **changes))

    clock.call_later(seconds, change)


def get(site: Site, path: str = "/progress/mine", **headers: str) -> httpx.Response:
    return site.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("path", ["/progress/mine", "/jobs/mine"])
def test_an_answer_names_its_version(watched: Site, path: str) -> None:
    """What is shown has an ETag that stays while the job does, and changes with it; caches have to ask each time."""
    record = added(watched)
    first, again = get(watched, path), get(watched, path)
    assert first.headers["etag"] == again.headers["etag"] == f'"{record.nonce}"'
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["content-type"] == "application/json"
    watched.backend.records.swap(record, record.changed(START, message="news"))
    assert get(watched, path).headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    "known", ['"{0}"', 'W/"{0}"', '"other", "{0}"', 'W/"other" ,W/"{0}"', '"a,b","{0}"', "*", ' * ,"{0}"']
)
def test_what_the_client_has_is_not_sent_again(watched: Site, known: str) -> None:
    """One of the client's versions still stands: 304 without a body, with what the 200 would have said of it."""
    record = added(watched, status=Status.RUNNING)
    answer = get(watched, if_none_match=known.format(record.nonce))
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{record.nonce}"'
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["retry-after"] == "1"
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("known", ['"other"', "", "{0}", '"{0}', "W/{0}", '"{0}x"', "garbage \xff"])
def test_another_version_is_sent(watched: Site, known: str) -> None:
    """What is no version of the client's, or no entity tag at all, keeps nothing back."""
    record = added(watched)
    answer = watched.get("/progress/mine", headers={"if-none-match": known.format(record.nonce).encode("latin-1")})
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")


def test_versions_may_come_in_several_headers(watched: Site) -> None:
    """A list that is spread over several headers is one list."""
    record = added(watched)
    answer = watched.get(
        "/progress/mine", headers=[("if-none-match", '"other"'), ("if-none-match", f'"{record.nonce}"')]
    )
    assert answer.status_code == 304


def test_a_job_that_is_not_there_is_404_for_any_version(watched: Site) -> None:
    """`*` means any version of what there is, and here there is nothing."""
    answer = get(watched, if_none_match="*", prefer="wait=5")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 1),
        ({"status": Status.RUNNING, "attempt": 1}, 1),
        ({"not_before": START + 90}, 90),
        ({"not_before": START + 90.2}, 91),
        ({"not_before": START + 0.2}, 1),
        ({"not_before": START - 90}, 1),
        ({"status": Status.RUNNING, "not_before": START + 90}, 1),
    ],
)
def test_a_job_that_goes_on_says_when_to_ask_again(watched: Site, changes: dict[str, Any], seconds: int) -> None:
    """Retry-After is when a waiting job can begin, else a second: whole seconds, never 0."""
    added(watched, **changes)
    assert get(watched).headers["retry-after"] == str(seconds)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_a_final_job_need_not_be_asked_again(watched: Site, status: Status) -> None:
    """A final job has no Retry-After."""
    added(watched, status=status, not_before=START + 90)
    assert "retry-after" not in get(watched).headers


def test_waiting_ends_with_the_job(watched: Site, clock: ManualClock) -> None:
    """`Prefer: wait` answers in the second in which the job becomes final; news before that are none."""
    record = added(watched)
    later(watched, clock, 0.5, record, status=Status.RUNNING, progress=3)
    later(watched, clock, 2.5, record, status=Status.COMPLETED)
    answer = get(watched, prefer="wait=5")
    assert answer.json()["status"] == "completed"
    assert answer.headers["preference-applied"] == "wait=5"
    assert clock.now() == START + 3


def test_waiting_ends_with_its_time(watched: Site, clock: ManualClock) -> None:
    """A job that takes longer is answered as it is then, with one read a second."""
    record = added(watched)
    later(watched, clock, 3.5, record, progress=7)
    answer = get(watched, prefer="wait=4")
    assert (answer.json()["progress"], answer.headers["retry-after"]) == (7, "1")
    assert clock.now() == START + 4


def test_waiting_for_news_ends_with_the_first(watched: Site, clock: ManualClock) -> None:
    """With If-None-Match, waiting ends with whatever changes."""
    record = added(watched, status=Status.RUNNING)
    later(watched, clock, 1.5, record, progress=3)
    answer = get(watched, prefer="wait=5", if_none_match=f'"{record.nonce}"')
    assert (answer.status_code, answer.json()["progress"], clock.now()) == (200, 3, START + 2)


def test_waiting_for_news_that_do_not_come(watched: Site, clock: ManualClock) -> None:
    """Without any change, waiting for news ends with 304."""
    record = added(watched, status=Status.RUNNING)
    answer = get(watched, prefer="wait=2", if_none_match=f'"{record.nonce}"')
    assert (answer.status_code, answer.headers["preference-applied"]) == (304, "wait=2")
    assert clock.now() == START + 2


def test_a_client_that_is_behind_does_not_wait(watched: Site, clock: ManualClock) -> None:
    """News that are there already are answered at once."""
    added(watched, status=Status.RUNNING)
    assert get(watched, prefer="wait=5", if_none_match='"old"').status_code == 200
    assert clock.now() == START


@pytest.mark.parametrize("known", ['"{0}"', '"old"', "*", ""])
def test_nobody_waits_for_a_final_job(watched: Site, clock: ManualClock, known: str) -> None:
    """A final job changes no more, whatever the client has."""
    record = added(watched, status=Status.FAILED)
    get(watched, prefer="wait=5", if_none_match=known.format(record.nonce))
    assert clock.now() == START


@pytest.mark.parametrize(("asked", "granted"), [("0", 0), ("3", 3), ("5", 5), ("6", 5), ("00002", 2), ("9" * 5000, 5)])
def test_waiting_has_a_limit(watched: Site, clock: ManualClock, asked: str, granted: int) -> None:
    """Nobody waits for more than 5 seconds; the answer says how long it could have been."""
    added(watched)
    assert get(watched, prefer=f"wait={asked}").headers["preference-applied"] == f"wait={granted}"
    assert clock.now() == START + granted


PREFERENCES = [
    ("wait=3", 3),
    ("respond-async, wait=3", 3),
    ("respond-async,WAIT = 3 ; why=because", 3),
    ('wait="3"', 3),
    ('note="a, wait=4", wait=3', 3),
    (r'note="a\", wait=4", wait=3', 3),
    ("wait=3, wait=4", 3),
    ("wait=x, wait=4", None),
    ("wait", None),
    ("wait=", None),
    ("wait=-1", None),
    ("wait=1.5", None),
    ("wait=3s", None),
    ("wait=\xb2", None),
    ("waiting=3", None),
    ("handling=lenient", None),
    ('"', None),
    ("", None),
    (",,;=", None),
]


@pytest.mark.parametrize(("preference", "seconds"), PREFERENCES)
def test_preferences_are_read_as_rfc_7240_writes_them(preference: str, seconds: int | None) -> None:
    """Names in any case, among others, the first one counts; what is malformed counts for nothing."""
    assert wait_of([preference]) == seconds


def test_preferences_may_come_in_several_headers() -> None:
    """Headers of one name are one list."""
    assert wait_of(["respond-async", "wait=2"]) == 2
    assert versions(['"a"', 'W/"b"']) == {"a", "b"}


def test_without_the_preference_nothing_is_applied(watched: Site, clock: ManualClock) -> None:
    """A request that does not ask to wait does not, and is told of no preference."""
    added(watched)
    for headers in ({}, {"prefer": "wait=soon"}, {"prefer": "respond-async"}):
        assert "preference-applied" not in get(watched, **headers).headers
    assert clock.now() == START


def test_a_service_that_fails_ends_the_waiting(watched: Site, clock: ManualClock) -> None:
    """Where the job cannot be read any longer, that is the answer."""
    added(watched)

    def fail(*_: str) -> Record:
        raise Unavailable("DynamoDB did not take the request (Throttling)")

    clock.call_later(1.5, lambda: setattr(watched.backend.records, "get", fail))
    answer = get(watched, prefer="wait=5")
    assert (answer.status_code, clock.now()) == (503, START + 2)


def test_an_app_may_show_something_of_its_own(watched: Site) -> None:
    """What is shown, its version and when to ask again may be the app's."""
    answer = get(watched, "/notes/x")
    assert (answer.json(), answer.headers["etag"], answer.headers["retry-after"]) == ({"text": "about x"}, '"v1"', "3")
    assert get(watched, "/notes/x", if_none_match='"v1"').status_code == 304


def test_habits_pass_through_the_gateway(watched: Site) -> None:
    """Through Mangum headers and the empty 304 are the same."""
    record = added(watched)
    answer = watched.gateway.request("GET", "/progress/mine", headers={"if-none-match": f'"{record.nonce}"'})
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", f'"{record.nonce}"')
    assert watched.gateway.get("/progress/mine").headers["retry-after"] == "1"


def test_openapi_tells_of_the_habits(watched: Site) -> None:
    """The document names the headers of request and answers, and 304."""
    operation = watched.get("/openapi.json").json()["paths"]["/jobs/{task_id}"]["get"]
    assert {one["name"] for one in operation["parameters"]} == {"task_id", "If-None-Match", "Prefer"}
    assert {*operation["responses"]} == {"200", "304", "404", "422"}
    headers = {"ETag", "Cache-Control", "Retry-After", "Preference-Applied"}
    assert {*operation["responses"]["200"]["headers"]} == {*operation["responses"]["304"]["headers"]} == headers
    assert "content" not in operation["responses"]["304"]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/JobStatus")
