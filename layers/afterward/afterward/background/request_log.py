"""One line in the log for each request."""

import logging
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from afterward import log

logger = logging.getLogger(__name__)


class RequestLog:
    """ASGI middleware that logs method, route and status, and never a path, since paths carry addresses and ids.

    `app.add_middleware(RequestLog)`. Behind API Gateway every line that is logged meanwhile has the gateway's id of the
    request, the `requestId` of its access log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()  # what raises is answered outside of this

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with log.context(**_request_of(scope)):
            try:
                await self._app(scope, receive, noted)
            finally:
                _log(scope["method"], route_of(scope), status, time.perf_counter() - began)


def _log(method: str, route: str, status: int, seconds: float) -> None:
    keys = {"method": method, "route": route, "status": status, "duration_ms": round(seconds * 1000, 1)}
    logger.info("%s %s %d", method, route, status, extra=keys)


def route_of(scope: MutableMapping[str, Any]) -> str:
    """Return the template of the route that was taken, as far as FastAPI tells; "-" where none was."""
    within = scope.get("fastapi", {}).get("effective_route_context")  # knows the prefixes of routers
    return getattr(within or scope.get("route"), "path", "-")


def _request_of(scope: Scope) -> dict[str, str]:
    event: Any = scope.get("aws.event", {})
    request_id = event.get("requestContext", {}).get("requestId")
    return {"request_id": request_id} if isinstance(request_id, str) else {}
