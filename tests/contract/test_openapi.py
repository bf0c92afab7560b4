"""docs/openapi.json is what the API says of itself, and it is complete."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.openapi import DOCUMENT, current

WRITTEN: dict[str, Any] = json.loads(DOCUMENT.read_text())

OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, operations in WRITTEN["paths"].items()
    for method, operation in operations.items()
}

NEVER_CALLING_BACK = ("/retry", "/upload-csv/{user_id}", "/upload-csv/{user_id}/url")
"""How operations end that add no webhook: a chain that is run again has its own, an upload's is added by S3's word."""

SELF_EXPLAINING = {"message"}
"""What FastAPI's own example calls it."""


def test_the_document_is_as_the_api_is(root: Path) -> None:
    """A change to what the API says of itself is a change to docs/openapi.json, for everybody to see."""
    assert DOCUMENT.is_relative_to(root)
    assert DOCUMENT.read_text() == current(), "the API has changed: `make openapi` writes docs/openapi.json anew"


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described(name: str) -> None:
    """Each operation says what it does, each of its parameters what it is, each of its answers what it means."""
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    for parameter in operation.get("parameters", []):
        assert parameter["description"], parameter["name"]
        assert exemplified(parameter) or exemplified(parameter["schema"]), parameter["name"]
    for status, answer in operation["responses"].items():
        assert answer["description"] not in {"", "Successful Response"}, status
        assert all(header["description"] for header in answer.get("headers", {}).values())


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_names_its_problems(name: str) -> None:
    """Each operation may be refused without a token and by services that fail, and every refusal is problem+json."""
    answers = OPERATIONS[name]["responses"]
    assert {"401", "500", "503"} <= {*answers}
    assert ("404" in answers) == ("{task_id}" in name and "/start-task" not in name)
    refusals = [answer for status, answer in answers.items() if status >= "400"]
    assert all([*answer["content"]] == ["application/problem+json"] for answer in refusals)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.startswith("POST")])
def test_every_task_that_is_accepted_can_be_followed(name: str) -> None:
    """Whatever answers with 202 names the status, may be repeated safely, and most of it be asked to tell its end."""
    operation = OPERATIONS[name]
    if name.endswith("/cancel"):
        assert "202" not in operation["responses"]
        return
    assert operation["responses"]["202"]["headers"]["Location"]["required"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert "Idempotency-Key" in names or name.endswith("/retry")
    assert "callback_url" in names or name.endswith(NEVER_CALLING_BACK)


def test_operations_have_names_of_their_own() -> None:
    """Generated clients call an operation by its id; each belongs to a tag that is described."""
    operations = OPERATIONS.values()
    assert len({one["operationId"] for one in operations}) == len(operations)
    tags = {tag["name"]: tag["description"] for tag in WRITTEN["tags"]}
    assert {tag for one in operations for tag in one["tags"]} == {*tags}
    assert all(tags.values())


@pytest.mark.parametrize("name", WRITTEN["components"]["schemas"])
def test_every_field_is_described(name: str) -> None:
    """Each schema and each of its fields is described, or shown by an example."""
    schema = WRITTEN["components"]["schemas"][name]
    assert schema["description"]
    for field, about in schema.get("properties", {}).items():
        assert field in SELF_EXPLAINING or about.get("description") or exemplified(about), field


def test_every_reference_leads_somewhere() -> None:
    """No schema is named that is not there, and none is there that nobody names."""
    named = {text.rpartition("/")[2] for text in references(WRITTEN)}
    assert named == {*WRITTEN["components"]["schemas"]}


def test_callers_need_a_token() -> None:
    """The document says how callers identify themselves, for all operations alike."""
    assert [*WRITTEN["security"][0]] == [*WRITTEN["components"]["securitySchemes"]]


def exemplified(about: dict[str, Any]) -> bool:
    return bool({"$ref", "enum", "const", "default", "example", "examples"} & {*about}) or about.get("type") == "array"


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        part = [*part.values()]
    if isinstance(part, list):
        for one in part:
            yield from references(one)
