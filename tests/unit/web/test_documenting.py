"""What OpenAPI says of an app that has Afterward installed."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from afterward.background import Accepted, BackgroundTasks, accepted, install, problem, problems
from tests.support.web_tasks import note
from tests.unit.web.conftest import Site


class Order(BaseModel):
    kind: str


@pytest.fixture
def described(site: Site) -> Site:
    @site.app.post("/orders/{number}", responses=problems(404) | problem(409, "It is on its way."))
    async def order(number: int, order: Order) -> Order:
        return order

    @site.app.post("/notes", status_code=202)
    async def add(text: str, background_tasks: BackgroundTasks) -> Accepted:
        return accepted(background_tasks.add_task(note, text), message="noted")

    @site.app.get("/health")
    async def health() -> str:
        return "well"

    return site


def document(site: Site) -> Any:
    return site.get("/openapi.json").json()


def answers(site: Site, path: str) -> Any:
    (operation,) = document(site)["paths"][path].values()
    return operation["responses"]


def schema_of(answer: Any) -> str:
    ((media, content),) = answer["content"].items()
    assert media == "application/problem+json"
    return str(content["schema"]["$ref"]).rpartition("/")[2]


def test_problems_are_described_as_they_are(described: Site) -> None:
    """What a route names is a Problem in its media type, in words of its own where it has some."""
    said = answers(described, "/orders/{number}")
    assert {status: schema_of(said[status]) for status in ("404", "409")} == {"404": "Problem", "409": "Problem"}
    assert said["409"]["description"] == "It is on its way."
    assert said["404"]["description"]


def test_invalid_requests_are_described_as_they_are_answered(described: Site) -> None:
    """Every route that takes something says how it refuses it; FastAPI's own shape is nowhere."""
    assert schema_of(answers(described, "/orders/{number}")["422"]) == "InvalidRequest"
    assert "422" not in answers(described, "/health")
    assert "HTTPValidationError" not in json.dumps(document(described))
    assert {"Problem", "InvalidRequest", "InvalidPlace"} <= {*document(described)["components"]["schemas"]}


def test_an_answer_fits_its_description(described: Site) -> None:
    """A real 422 has what the document says, and nothing that it does not."""
    body = described.post("/orders/x", json={}).json()
    schemas = document(described)["components"]["schemas"]
    assert {*body} == {*schemas["InvalidRequest"]["properties"]}
    assert {*body["errors"][0]} == {*schemas["InvalidPlace"]["properties"]}


def test_a_202_names_its_location(described: Site) -> None:
    """Wherever a job is accepted, the document tells of the header."""
    assert "Location" in answers(described, "/notes")["202"]["headers"]


def test_a_task_may_be_asked_for_again(described: Site) -> None:
    """Wherever a request may carry an Idempotency-Key, the document tells what becomes of two with the same."""
    said = answers(described, "/notes")
    assert schema_of(said["409"]) == "Problem"
    assert "Idempotency-Key" in said["422"]["description"]
    assert "409" not in answers(described, "/health")


def test_a_parameter_is_never_null(described: Site) -> None:
    """What may be left out is described as what it is when it is there."""

    @described.app.get("/found")
    async def found(name: str | None = None, number: int | str | None = None) -> None: ...

    parameters = document(described)["paths"]["/found"]["get"]["parameters"]
    kinds = {one["name"]: one["schema"] for one in parameters}
    assert kinds["name"]["type"] == "string"
    assert kinds["number"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]


def test_every_reference_leads_somewhere(described: Site) -> None:
    """No schema is named that is not there."""
    text = json.dumps(document(described))
    named = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= {*document(described)["components"]["schemas"]}


def test_a_problem_says_when_to_try_again(described: Site) -> None:
    """503 has Retry-After, 401 its challenge."""
    described.app.get("/later", responses=problems(401, 503))(lambda: None)
    said = answers(described, "/later")
    assert ({*said["503"]["headers"]}, {*said["401"]["headers"]}) == ({"Retry-After"}, {"WWW-Authenticate"})


def test_the_document_is_made_once(described: Site) -> None:
    """Asking again gives the same document, and an app's own one stays."""
    assert document(described) == document(described)
    app = FastAPI()
    app.openapi_schema = {"openapi": "3.1.0", "mine": True}
    install(app)
    assert app.openapi() == {"openapi": "3.1.0", "mine": True}
