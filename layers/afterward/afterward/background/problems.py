"""Errors as problem+json (RFC 9457). `install(app)` adds the handlers, has OpenAPI say so, and does nothing else."""

import http
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.utils import is_body_allowed_for_status_code
from starlette.exceptions import HTTPException

from afterward.errors import CannotSteer, IdTaken, KeyInUse, KeyReused, Unavailable

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

REFERENCE = "#/components/schemas/Problem"

Responses = dict[int | str, dict[str, Any]]

_HEADERS: dict[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {
            "description": "How to say who you are.",
            "required": True,
            "schema": {"type": "string", "examples": ["Bearer"]},
        }
    },
    503: {
        "Retry-After": {
            "description": "Seconds after which to try again.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    },
}
_SAID = {
    400: "The body cannot be read.",
    401: "Nobody has verified who calls.",
    404: "The caller has no such job.",
    500: "Something unexpected happened; it is logged.",
    503: "A service that this needs does not answer.",
}


class ProblemResponse(JSONResponse):
    """A problem details object; `extension` members stand beside RFC 9457's own."""

    media_type = MEDIA_TYPE

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **extension: Any) -> None:
        body = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail} | extension
        super().__init__(body, status, dict(headers) if headers else None)


def problems(*statuses: int) -> Responses:
    """Return what a route says of its problems: `responses=problems(404) | problem(409, "It has ended.")`.

    FastAPI's `model` would cost each route a schema at import; the document has it when it is asked for.
    """
    return {status: _described(status, _SAID.get(status, _title(status))) for status in statuses}


def problem(status: int, said: str) -> Responses:
    """Return the same for one problem, in words of its own."""
    return {status: _described(status, said)}


def _described(status: int, said: str) -> dict[str, Any]:
    described: dict[str, Any] = {"description": said, "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE}}}}
    return described | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def install(app: FastAPI) -> None:
    """Answer every error that reaches the app as problem+json, and have OpenAPI say so."""
    app.openapi = partial(_document, app, app.openapi)  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for error, handler in _OWN.items():
        app.add_exception_handler(error, partial(_own, handler))  # type: ignore[arg-type]  # it serves both kinds
    app.add_exception_handler(Exception, _unexpected)


def _document(app: FastAPI, build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    from afterward.background.openapi import document  # noqa: PLC0415 - models that only the documentation needs

    return document(app, build)


def _title(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:  # an app may have codes of its own
        return f"Status {status}"


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows the type that Starlette's signature leaves open
    if not is_body_allowed_for_status_code(error.status_code):
        return Response(status_code=error.status_code, headers=error.headers)
    detail: object = error.detail  # FastAPI lets it be anything
    if isinstance(detail, str):
        return ProblemResponse(error.status_code, detail, headers=error.headers)
    return ProblemResponse(error.status_code, _title(error.status_code), headers=error.headers, errors=detail)


async def _invalid(_request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    places = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in error.errors()]
    named = "; ".join(f"{'.'.join(str(part) for part in place['loc'])}: {place['msg']}" for place in places[:5])
    return ProblemResponse(422, f"The request is not valid: {named}", errors=places)


async def _unavailable(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, Unavailable)  # noqa: S101 - as above
    logger.error("a service that the request needs did not answer", exc_info=error)
    reading = request.scope.get("method") in {"GET", "HEAD"}
    said = error.said or ("This cannot be read now" if reading else "The task could not be stored")
    headers = {"Retry-After": str(math.ceil(error.retry_after))}
    if error.key:
        again = (
            f"Some of its tasks may run; repeat the request with the header Idempotency-Key: {error.key} for the rest."
        )
        return ProblemResponse(503, f"{said}. {again}", headers=headers, idempotency_key=error.key)
    return ProblemResponse(503, f"{said}. Please try again.", headers=headers)


async def _taken(_request: Request, _error: Exception) -> ProblemResponse:
    return ProblemResponse(409, "Task with this ID already exists")


async def _key_reused(_request: Request, _error: Exception) -> ProblemResponse:
    return ProblemResponse(422, "This Idempotency-Key was used for another request within the last 24 hours")


async def _key_in_use(_request: Request, _error: Exception) -> ProblemResponse:
    detail = "A request with this Idempotency-Key is being accepted at this moment. Please try again."
    return ProblemResponse(409, detail, headers={"Retry-After": "1"})


async def _cannot_steer(_request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, CannotSteer)  # noqa: S101 - as above
    wait = error.retry_after
    return ProblemResponse(409, str(error), headers=None if wait is None else {"Retry-After": str(math.ceil(wait))})


async def _unexpected(_request: Request, _error: Exception) -> ProblemResponse:
    return ProblemResponse(500, "The server met an unexpected error; it has been logged.")


_OWN: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Unavailable: _unavailable,
    IdTaken: _taken,
    KeyReused: _key_reused,
    KeyInUse: _key_in_use,
    CannotSteer: _cannot_steer,
}

TRY_AGAIN, FAILED = 1013, 1011
"""Codes with which a WebSocket is closed (RFC 6455, 7.4.1, and its registry)."""


async def _own(
    handler: Callable[[Request, Exception], Awaitable[Response]], connection: Request | WebSocket, error: Exception
) -> Response | None:
    """Answer a request; a WebSocket, which may have been accepted long ago, is closed."""
    if isinstance(connection, WebSocket):
        logger.error("a WebSocket's tasks were not accepted", exc_info=error)
        await connection.close(TRY_AGAIN if isinstance(error, Unavailable | KeyInUse) else FAILED)
        return None
    return await handler(connection, error)
