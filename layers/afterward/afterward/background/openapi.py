"""What OpenAPI says of this library's answers. Imported when the document is asked for, so no request pays for it."""

import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from afterward.background.problems import MEDIA_TYPE, REFERENCE, problem

Document = dict[str, Any]

_SCHEMAS = REFERENCE.removesuffix("Problem")

_DURABLE = "The task is durable: it will run, or its status will say why not."

_LOCATION = {
    "Location": {
        "description": "Where the task's status is.",
        "required": True,
        "schema": {"type": "string", "examples": ["/tasks/5f2f4a38-4b0c-4c8e-9c0e-4f6f9d3f7b61"]},
    },
    "Retry-After": {
        "description": "Seconds after which it makes sense to ask for it.",
        "schema": {"type": "integer", "minimum": 1},
    },
}

_INVALID = {
    "description": "The request is not valid: `errors` names each place.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}InvalidRequest"}}},
}

_KEY_REUSED = _INVALID | {
    "description": "The request is not valid: `errors` names each place. Or its `Idempotency-Key` is another one's."
}

_KEY_IN_USE = problem(409, "A request with this `Idempotency-Key` is being accepted at this moment.")[409]


class Problem(BaseModel):
    """A problem details object (RFC 9457)."""

    type: str = Field(description="Names the kind of problem; about:blank where the status says it all.")
    title: str = Field(examples=["Not Found"])
    status: int = Field(ge=400, le=599, examples=[404])
    detail: str = Field(description="What is wrong, in a sentence.", examples=["Task not found"])


class InvalidPlace(BaseModel):
    """A part of the request that is not valid. Its value is not repeated."""

    loc: list[str | int] = Field(examples=[["query", "limit"]])
    msg: str = Field(examples=["Input should be less than or equal to 100"])
    type: str = Field(examples=["less_than_equal"])


class InvalidRequest(Problem):
    """A request that is not valid, and each place where it is not."""

    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(
        examples=["The request is not valid: query.limit: Input should be less than or equal to 100"],
    )
    errors: list[InvalidPlace] = Field(default=[])


def document(app: FastAPI, build: Callable[[], Document]) -> Document:
    """Return the app's OpenAPI document with problems where FastAPI expects its own errors."""
    if app.openapi_schema is None:
        app.openapi_schema = completed(build())
    return app.openapi_schema


def completed(document: Document) -> Document:
    """Say of each operation what this library does in it."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    # Accepted, and what an app adds fields to.
    accepted = [name for name, schema in schemas.items() if "check_progress_url" in schema.get("properties", {})]
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            _complete(operation["responses"], operation.get("parameters", []), accepted)
    for unused in ("HTTPValidationError", "ValidationError"):
        if not _refers(document, unused):
            schemas.pop(unused, None)
    schemas |= _schemas()
    return document


def _complete(responses: Document, parameters: list[Document], accepted: list[str]) -> None:
    repeatable = any(parameter["name"] == "Idempotency-Key" for parameter in parameters)
    if _refers(responses.get("422"), "HTTPValidationError"):
        responses["422"] = _KEY_REUSED if repeatable else _INVALID
    if any(_refers(responses.get("202"), name) for name in accepted):
        said = responses["202"]["description"]
        responses["202"] |= {
            "description": _DURABLE if said == "Successful Response" else said,
            "headers": _LOCATION | responses["202"].get("headers", {}),
        }
    if repeatable:
        responses.setdefault("409", _KEY_IN_USE)
    for parameter in parameters:
        _without_null(parameter["schema"])


def _without_null(schema: Document) -> None:
    """Say of a parameter what it is where it is there: in a URL or a header nothing is null."""
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) > 1:
        schema["anyOf"] = kinds
    elif kinds:
        schema |= kinds[0] | schema


def _schemas() -> Document:
    schemas: Document = {}
    for model in (Problem, InvalidRequest):
        made = model.model_json_schema(ref_template=_SCHEMAS + "{model}")
        schemas |= made.pop("$defs", {}) | {model.__name__: made}
    return schemas


def _refers(part: object, name: str) -> bool:
    return f'"{_SCHEMAS}{name}"' in json.dumps(part)
