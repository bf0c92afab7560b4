"""Errors as problem+json (RFC 9457). `install(app)` adds the handlers and nothing else."""

import http
import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.utils import is_body_allowed_for_status_code
from starlette.exceptions import HTTPException

from afterward.errors import IdTaken, Unavailable

logger = logging.getLogger(__name__)


class ProblemResponse(JSONResponse):
    """A problem details object; `extension` members stand beside RFC 9457's own."""

    media_type = "application/problem+json"

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **extension: Any) -> None:
        body = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail} | extension
        super().__init__(body, status, dict(headers) if headers else None)


def install(app: FastAPI) -> None:
    """Answer every error that reaches the app as problem+json."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(IdTaken, _taken)
    app.add_exception_handler(Exception, _unexpected)


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
    said = "This cannot be read now" if reading else "The task could not be stored"
    headers = {"Retry-After": str(math.ceil(error.retry_after))}
    return ProblemResponse(503, f"{said}. Please try again.", headers=headers)


async def _taken(_request: Request, _error: Exception) -> ProblemResponse:
    return ProblemResponse(409, "Task with this ID already exists")


async def _unexpected(_request: Request, _error: Exception) -> ProblemResponse:
    return ProblemResponse(500, "The server met an unexpected error; it has been logged.")
