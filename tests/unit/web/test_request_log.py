"""The line that each request leaves in the log."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, HTTPException

from afterward import log
from afterward.background import RequestLog
from tests.support.logs import configured
from tests.unit.web.conftest import Site

routes = APIRouter(prefix="/v1")


def refused() -> None:
    raise HTTPException(403)


@routes.get("/mails/{address}")
async def read(address: str, number: int = 1) -> str:
    logging.getLogger("app").warning("looking")
    return f"{address} {number}"


@routes.post("/mails/{address}", status_code=202)
async def send(address: str) -> None: ...


@routes.get("/boom/{address}")
async def boom(address: str) -> None:
    raise RuntimeError("boom")


@routes.get("/refused/{address}")
async def never(address: str, _refused: Annotated[None, Depends(refused)]) -> None: ...


@pytest.fixture
def logged(site: Site, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    site.app.add_middleware(RequestLog)
    site.app.include_router(routes, prefix="/api")
    with caplog.at_level(logging.INFO, "afterward"):
        yield site


def line(caplog: pytest.LogCaptureFixture) -> Any:
    (record,) = [one for one in caplog.records if one.name.endswith("request_log")]
    assert record.levelno == logging.INFO
    assert "ada" not in str(vars(record))
    return record


CALLS = [
    ("GET", "/api/v1/mails/ada@example.com?number=2", 200, "/api/v1/mails/{address}"),
    ("POST", "/api/v1/mails/ada@example.com", 202, "/api/v1/mails/{address}"),
    ("GET", "/api/v1/mails/ada@example.com?number=ada", 422, "/api/v1/mails/{address}"),
    ("GET", "/api/v1/refused/ada@example.com", 403, "/api/v1/refused/{address}"),
    ("GET", "/api/v1/boom/ada@example.com", 500, "/api/v1/boom/{address}"),
    ("PUT", "/api/v1/refused/ada@example.com", 405, "/api/v1/refused/{address}"),
    ("GET", "/ada@example.com", 404, "-"),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_request_leaves_one_line(
    logged: Site, caplog: pytest.LogCaptureFixture, call: tuple[str, str, int, str]
) -> None:
    """Method, route, status and duration of each request are logged, and never what stood in its path or query."""
    method, path, status, route = call
    assert logged.request(method, path).status_code == status
    said = line(caplog)
    assert said.getMessage() == f"{method} {route} {status}"
    assert (said.method, said.route, said.status) == (method, route, status)
    assert 0 <= said.duration_ms < 10_000


def test_lines_of_a_request_share_the_gateways_id(logged: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Behind API Gateway whatever is logged during a request has the id that its access log has, and only then."""
    caplog.handler.addFilter(log._add_context)
    logged.gateway.get("/api/v1/mails/ada@example.com")
    logging.getLogger("app").warning("afterwards")
    ids = [(one.name.rpartition(".")[2], getattr(one, "request_id", None)) for one in caplog.records]
    assert ids == [("app", "request-1"), ("request_log", "request-1"), ("app", None)]


def test_elsewhere_there_is_no_id(logged: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Without a gateway a line has none."""
    caplog.handler.addFilter(log._add_context)
    logged.get("/api/v1/mails/ada@example.com")
    assert not hasattr(line(caplog), "request_id")


def test_lines_are_json_on_lambda(logged: Site) -> None:
    """As Powertools writes it, the line has its keys beside its message."""
    output = io.StringIO()
    with configured(output):
        logged.gateway.get("/api/v1/mails/ada@example.com")
    *_, last = output.getvalue().splitlines()
    said = json.loads(last)
    assert {name: said[name] for name in ("level", "message", "method", "route", "status", "request_id")} == {
        "level": "INFO",
        "message": "GET /api/v1/mails/{address} 200",
        "method": "GET",
        "route": "/api/v1/mails/{address}",
        "status": 200,
        "request_id": "request-1",
    }
    assert "ada" not in last


def test_what_is_no_http_passes(logged: Site) -> None:
    """The lifespan of an app is none of a request's log."""
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    logged.loop.run_until_complete(RequestLog(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
