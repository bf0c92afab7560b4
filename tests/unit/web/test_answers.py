"""What callers see besides the 202: problems, their own jobs, and who they are."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator
from starlette.exceptions import HTTPException as StarletteHTTPException

from afterward import Status
from afterward.background import Found, JobStatus, TaskProgress, install, owner
from afterward.background.problems import ProblemResponse
from afterward.errors import IdTaken, Unavailable
from afterward.testing import START
from tests.support import jobs
from tests.support.gateway import ADA, BOB, Answer
from tests.unit.web.conftest import OWNER, Site


def problem(answer: Answer, status: int) -> Any:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json
    assert (body["type"], body["status"]) == ("about:blank", status)
    return body


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["tea", "coffee"] = "tea"
    count: int = 1
    password: SecretStr = SecretStr("")

    @field_validator("count")
    @classmethod
    def _few(cls, count: int) -> int:
        assert count < 10, "too many"
        return count


routes = APIRouter()


async def refused() -> None:
    raise HTTPException(403, "not for you", headers={"X-Reason": "dependency"})


@routes.get("/refused", dependencies=[Depends(refused)])
async def never() -> None: ...


@routes.get("/raise/{status}")
async def raising(status: int, text: str | None = None) -> None:
    raise HTTPException(status, text, headers={"X-Reason": "endpoint"})


@routes.get("/starlette")
async def starlettes() -> None:
    raise StarletteHTTPException(418)


@routes.get("/structured")
async def structured() -> None:
    raise HTTPException(400, {"code": 7, "field": "name"})


@routes.get("/empty")
async def empty() -> None:
    raise HTTPException(400, [])


@routes.get("/boom")
async def boom() -> None:
    raise RuntimeError("the password is hunter2")


@routes.get("/sync-boom")
def sync_boom() -> None:
    raise KeyError("hunter2")


@routes.get("/invalid-answer")
async def invalid_answer() -> Order:
    return {"count": "hunter2"}  # type: ignore[return-value]


@routes.get("/unavailable")
@routes.post("/unavailable")
async def unavailable() -> None:
    raise Unavailable("DynamoDB did not take the request (Throttling)", retry_after=3)


@routes.post("/taken")
async def taken() -> None:
    raise IdTaken("mine")


@routes.post("/orders/{number}")
async def order(number: int, order: Order, size: Literal["s", "l"] = "s") -> None: ...


@routes.get("/jobs/{task_id}")  # noqa: FAST003 - taken by Found
async def status(job: Found) -> JobStatus:
    return JobStatus.of(job)


@routes.get("/progress/{task_id}")  # noqa: FAST003 - taken by Found
async def progress(job: Found) -> TaskProgress:
    return TaskProgress.of(job)


@pytest.fixture
def answers(site: Site) -> Site:
    site.app.include_router(routes)
    return site


def test_unknown_paths_and_methods_are_problems(answers: Site) -> None:
    """404 and 405 of the router are problem+json as well; 405 names what is allowed."""
    assert problem(answers.gateway.get("/nowhere"), 404) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
    }
    answer = answers.gateway.post("/boom")
    assert problem(answer, 405)["title"] == "Method Not Allowed"
    assert answer.headers["allow"] == "GET"


def test_paths_that_are_no_text_are_problems(answers: Site) -> None:
    """A path with bytes that are no UTF-8 is a path that is not there."""
    assert answers.get("/jobs/%ff").status_code == 404
    assert answers.get("/%ff/%00").headers["content-type"] == "application/problem+json"


def test_an_http_exception_keeps_status_detail_and_headers(answers: Site) -> None:
    """HTTPException of an endpoint, of a dependency and of Starlette is said in the same shape."""
    answer = answers.gateway.get("/refused")
    assert problem(answer, 403)["detail"] == "not for you"
    assert answer.headers["x-reason"] == "dependency"
    answer = answers.gateway.get("/raise/409", text="taken")
    assert problem(answer, 409)["detail"] == "taken"
    assert answer.headers["x-reason"] == "endpoint"
    assert problem(answers.gateway.get("/starlette"), 418)["title"] == "I'm a Teapot"


def test_a_structured_detail_is_kept(answers: Site) -> None:
    """What FastAPI lets an app put into `detail` besides text stands beside it."""
    body = problem(answers.gateway.get("/structured"), 400)
    assert (body["detail"], body["errors"]) == ("Bad Request", {"code": 7, "field": "name"})
    assert problem(answers.gateway.get("/empty"), 400)["errors"] == []


def test_a_status_that_nobody_registered(answers: Site) -> None:
    """An app may answer with a code of its own."""
    assert problem(answers.gateway.get("/raise/499", text="closed"), 499)["title"] == "Status 499"


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(answers: Site, status: int) -> None:
    """No body follows where HTTP allows none; headers stay."""
    answer = answers.get(f"/raise/{status}")
    assert (answer.status_code, answer.content) == (status, b"")
    assert answer.headers["x-reason"] == "endpoint"


@pytest.mark.parametrize("path", ["/boom", "/sync-boom", "/invalid-answer"])
def test_an_unexpected_error_tells_nothing(answers: Site, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Through Mangum an exception is a 500 that gives nothing away; the log has it, and the handler lives on."""
    answer = answers.gateway.get(path)
    assert problem(answer, 500)["detail"] == "The server met an unexpected error; it has been logged."
    assert b"hunter2" not in answer.body
    assert "hunter2" in caplog.text
    assert answers.gateway.get("/nowhere").status == 404


def test_a_refusal_of_a_service_says_when_to_try_again(answers: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Unavailable is 503 with Retry-After; a read speaks of reading, and the service's own words go to the log."""
    for answer, said in (
        (answers.gateway.post("/unavailable"), "The task could not be stored."),
        (answers.gateway.get("/unavailable"), "This cannot be read now."),
    ):
        assert problem(answer, 503)["detail"] == f"{said} Please try again."
        assert answer.headers["retry-after"] == "3"
        assert b"DynamoDB" not in answer.body
    assert "Throttling" in caplog.text


def test_a_taken_id_says_what_fastapis_example_says(answers: Site) -> None:
    """A used id is 409 with the words of FastAPI's own example."""
    assert problem(answers.gateway.post("/taken"), 409)["detail"] == "Task with this ID already exists"


BODIES = [
    ({"count": "hunter2"}, "body.count", "int_parsing"),
    ({"count": 99}, "body.count", "assertion_error"),
    ({"kind": "hunter2"}, "body.kind", "literal_error"),
    ({"password": ["hunter2"]}, "body.password", "string_type"),
    ({"extra": "hunter2"}, "body.extra", "extra_forbidden"),
    ("hunter2", "body", "model_attributes_type"),
    (b'{"password": "hunter2"', "body.22", "json_invalid"),
    (None, "body", "missing"),
]


@pytest.mark.parametrize(("body", "place", "kind"), BODIES)
def test_what_is_not_valid_is_named_and_not_repeated(answers: Site, body: Any, place: str, kind: str) -> None:
    """422 names each place and what is wrong with it, and never the value that was sent."""
    answer = answers.gateway.post("/orders/1", body=body)
    said = problem(answer, 422)
    assert said["title"] in {"Unprocessable Entity", "Unprocessable Content"}
    assert [(".".join(map(str, one["loc"])), one["type"]) for one in said["errors"]] == [(place, kind)]
    assert said["detail"] == f"The request is not valid: {place}: {said['errors'][0]['msg']}"
    assert b"hunter2" not in answer.body
    assert {*said["errors"][0]} == {"loc", "msg", "type"}


def test_a_body_that_is_no_text_is_a_problem(answers: Site) -> None:
    """What FastAPI cannot decode at all is 400, in the same shape."""
    answer = answers.gateway.post("/orders/1", body=b"hunter2 \xff")
    assert problem(answer, 400)["detail"] == "There was an error parsing the body"


def test_every_place_is_listed(answers: Site) -> None:
    """Path, query and body are checked together; the sentence names the first five."""
    answer = answers.gateway.post("/orders/hunter2", body={"kind": "x", "count": "y", "a": 1, "b": 2}, size="xl")
    said = problem(answer, 422)
    assert len(said["errors"]) == 6
    assert said["detail"].count(";") == 4
    assert said["detail"].startswith("The request is not valid: path.number: Input should be a valid integer")
    assert b"hunter2" not in answer.body


def test_a_problem_may_have_members_of_its_own() -> None:
    """Extension members stand beside those of RFC 9457."""
    response = ProblemResponse(409, "taken", headers={"X-A": "b"}, holder="Ada")
    assert (response.status_code, response.headers["x-a"]) == (409, "b")
    assert b'"holder":"Ada"' in response.body


def test_install_adds_handlers_and_nothing_else() -> None:
    """An app keeps its routes and middleware as they are."""
    before, after = FastAPI(), FastAPI()
    install(after)
    assert [route.path for route in before.routes] == [route.path for route in after.routes]  # type: ignore[attr-defined]
    assert before.user_middleware == after.user_middleware == []


def who(site: Site) -> None:
    del site.app.dependency_overrides[owner]

    @site.app.get("/me")
    async def me(owner: Annotated[str, Depends(owner)]) -> str:
        return owner


def test_the_owner_is_a_digest_of_the_verified_identity(site: Site) -> None:
    """Issuer and subject name the owner, stable and not readable; another subject or issuer is somebody else."""
    who(site)
    names = [site.gateway.caller(claims).get("/me").json for claims in (ADA, BOB, ADA | {"iss": "https://other"}, ADA)]
    assert names[0] == names[3]
    assert len({*names}) == 3
    assert all(len(name) == 32 and "ada" not in name for name in names)


@pytest.mark.parametrize("claims", [None, {}, {"sub": "ada"}, {"iss": "https://x"}, {"iss": "", "sub": "ada"}])
def test_without_a_verified_identity_nobody_is_let_in(site: Site, claims: dict[str, str] | None) -> None:
    """No claims, or not both of them, is 401 with a challenge, never "anonymous"."""
    who(site)
    answer = site.gateway.caller(claims).get("/me")
    assert "no verified identity" in problem(answer, 401)["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_identity_is_read_from_the_event_alone(site: Site) -> None:
    """Nothing that the caller sends itself is an identity; outside API Gateway there is none."""
    who(site)
    headers = {"authorization": "Bearer x", "x-amzn-oidc-identity": "ada"}
    assert site.gateway.caller(None).request("GET", "/me", headers=headers).status == 401
    assert site.get("/me").status_code == 401


def test_an_app_overrides_the_owner(site: Site) -> None:
    """An app with another authorizer says itself who calls."""

    async def my_owner(request: Request) -> str:
        return request.headers["x-user"]

    who(site)
    site.app.dependency_overrides[owner] = my_owner
    assert site.get("/me", headers={"x-user": "ada"}).json() == "ada"


def test_a_jobs_owner_sees_all_of_it(answers: Site) -> None:
    """The status shows the whole record, and the progress the keys of FastAPI's example; neither shows arguments."""
    record = jobs.record(
        "mine", status=Status.RUNNING, attempt=2, progress=3, total=10, message="Item 3", reason="slow"
    )
    answers.backend.records.add(replace(record, owner=OWNER))
    assert answers.get("/jobs/mine").json() == {
        "status": "running",
        "progress": 3,
        "total": 10,
        "message": "Item 3",
        "task_id": "mine",
        "task": "core_first",
        "chain_id": "mine",
        "run": 1,
        "attempt": 2,
        "created_at": record.created,
        "updated_at": record.updated,
        "reason": "slow",
        "results": [],
    }
    assert answers.get("/progress/mine").json() == {
        "status": "running",
        "progress": 3,
        "total": 10,
        "message": "Item 3",
    }


@pytest.mark.parametrize(("status", "said"), [(Status.QUEUED, "Waiting to start"), (Status.RUNNING, "Running")])
def test_a_job_that_says_nothing_has_a_message(answers: Site, status: Status, said: str) -> None:
    """Before a task reports anything, its progress has words of its own."""
    answers.backend.records.add(replace(jobs.record("mine", now=START, status=status), owner=OWNER))
    assert answers.get("/progress/mine").json() == {"status": status, "progress": 0, "total": None, "message": said}


@pytest.mark.parametrize("job_id", ["unknown", "-x", "a b", "a%23b", "%", "..", "ä", "a" * 128])
def test_an_unknown_job_is_a_404(answers: Site, job_id: str) -> None:
    """What names no job of the caller is not found, whether or not it could be an id at all."""
    answer = answers.get(f"/jobs/{job_id}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_somebody_elses_job_is_a_404(answers: Site) -> None:
    """A job of another owner is not found either, in the same words."""
    answers.backend.records.add(jobs.record("theirs"))
    assert answers.get("/jobs/theirs").json() == answers.get("/jobs/nobodys").json()
    assert answers.get("/jobs/theirs").json()["detail"] == "Task not found"
