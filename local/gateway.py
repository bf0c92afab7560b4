"""API Gateway: an HTTP request becomes an event of payload format 2.0, and what the function returns a response.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from afterward.pii import mask
from local.account import ACCOUNT
from local.server import Headers, Receive, Scope, Send, body_of, respond
from local.user import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from local.function import Function
    from local.log import Log
    from local.route import Route
    from local.runtime import Outcome
    from local.user import Caller

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
BODY_LIMIT = 10 * 1024 * 1024
TIMEOUT = 30.0
_TEXT = ("application/json", "application/javascript", "application/xml")
# A connection's own; what is between the gateway and the function is no HTTP connection.
_HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"}


@dataclass(frozen=True)
class Response:
    """What the client gets."""

    status: int
    headers: Headers
    body: bytes


def refusal(status: int, message: str) -> Response:
    """Answer as the gateway itself does, which is never problem+json."""
    return Response(status, [(b"content-type", b"application/json")], _said(message))


def challenge(refused: Refused) -> Response:
    """Answer as its authorizer does: with no content type, as AWS shows it.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-jwt.html
    """
    return Response(refused.status, [(b"www-authenticate", refused.challenge.encode())], _said(refused.message))


def _said(message: str) -> bytes:
    return json.dumps({"message": message}, separators=(",", ":")).encode()


NOT_FOUND = refusal(404, "Not Found")
TOO_LARGE = refusal(413, "Request Entity Too Large")
INTERNAL_ERROR = refusal(500, "Internal Server Error")
UNAVAILABLE = refusal(503, "Service Unavailable")


class Gateway:
    """The ASGI application."""

    def __init__(self, routes: Sequence[Route], functions: Mapping[str, Function], caller: Caller, log: Log) -> None:
        self._routes = routes
        self._functions = {function.settings.arn: function for function in functions.values()}
        self._caller = caller
        self._log = log
        self._late: set[asyncio.Task[Outcome]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        body = await body_of(receive, BODY_LIMIT)
        request_id = str(uuid.uuid4())
        response = TOO_LARGE if body is None else await self._answer(scope, body, request_id)
        await respond(
            send, response.status, [*response.headers, (b"apigw-requestid", request_id.encode())], response.body
        )
        milliseconds = (time.perf_counter() - began) * 1000
        # By itself, since a number that stands behind a path could pass for a part of what it ends with.
        self._log.note("http", f"{response.status} {scope['method']} {mask(scope['path'])} {milliseconds:.0f} ms")

    async def _answer(self, scope: Scope, body: bytes, request_id: str) -> Response:
        for route in self._routes:
            variables = route.match(scope["method"], scope["path"])
            if variables is not None:
                return await self._integrate(scope, body, route, variables, request_id)
        return NOT_FOUND

    async def _integrate(
        self, scope: Scope, body: bytes, route: Route, variables: Mapping[str, str], request_id: str
    ) -> Response:
        try:
            event = self._event(scope, body, route, variables, request_id)
        except Refused as refused:
            return challenge(refused)
        outcome = await self._invoke(self._functions[route.function_arn], json.dumps(event).encode())
        return response_of(outcome) if outcome else UNAVAILABLE

    async def _invoke(self, function: Function, payload: bytes) -> Outcome | None:
        """Wait for the function as long as the gateway does; the function goes on all the same."""
        task = asyncio.create_task(function.invoke(payload))
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        done, _ = await asyncio.wait({task}, timeout=TIMEOUT)
        return task.result() if done else None

    def _event(
        self, scope: Scope, body: bytes, route: Route, variables: Mapping[str, str], request_id: str
    ) -> dict[str, Any]:
        headers = _headers(scope)
        cookies = headers.pop("cookie", "")
        query = scope["query_string"].decode("latin-1")
        context = _context(scope, headers, route, request_id)
        if route.authorizer:
            context["authorizer"] = self._caller.authorizer(route.authorizer, headers)
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": route.key,
            # Decoded, unlike the query string: a %2F in a path cannot be told from a slash.
            "rawPath": scope["path"],
            "rawQueryString": query,
            "headers": headers,
            "requestContext": context,
            "isBase64Encoded": False,
        }
        if cookies:
            event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
        if query:
            event["queryStringParameters"] = _joined(parse_qsl(query, keep_blank_values=True))
        if variables:
            event["pathParameters"] = variables
        return event | _body(body, headers.get("content-type", ""))


def _headers(scope: Scope) -> dict[str, str]:
    headers = _joined((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    client, port = scope["client"][0], scope["server"][1]
    forwarded = headers.get("x-forwarded-for")
    return {
        **{name: value for name, value in headers.items() if name not in _HOP_BY_HOP - {"content-length"}},
        "x-amzn-trace-id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}",
        "x-forwarded-for": f"{forwarded}, {client}" if forwarded else client,
        "x-forwarded-port": str(port),
        "x-forwarded-proto": "http",
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Combine what occurs several times with commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _context(scope: Scope, headers: Mapping[str, str], route: Route, request_id: str) -> dict[str, Any]:
    domain = headers.get("host", "localhost")
    now = time.time()
    return {
        "accountId": ACCOUNT,
        "apiId": "local",
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": scope["method"],
            "path": scope["path"],
            "protocol": f"HTTP/{scope['http_version']}",
            "sourceIp": scope["client"][0],
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": route.key,
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    """Give text as it is and everything else in base64, by the content type alone, as the gateway does."""
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        return {}
    if kind.startswith("text/") or kind in _TEXT or kind.endswith(("+json", "+xml")):
        return {"body": body.decode(errors="replace")}
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def response_of(outcome: Outcome) -> Response:
    """Make the response; an error of the function, or a result that is no response, is a 500."""
    try:
        returned = json.loads(outcome.payload)
        if outcome.failed:
            return INTERNAL_ERROR
        if not isinstance(returned, dict) or "statusCode" not in returned:
            # The gateway infers the rest: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
            return Response(200, [(b"content-type", b"application/json")], json.dumps(returned).encode())
        return _given(returned)
    except (AttributeError, TypeError, ValueError, binascii.Error):
        return INTERNAL_ERROR


def _given(returned: Mapping[str, Any]) -> Response:
    headers = {str(name).lower(): _text(value) for name, value in (returned.get("headers") or {}).items()}
    pairs = [(name, value) for name, value in headers.items() if name not in _HOP_BY_HOP]
    if "content-type" not in headers:
        pairs.append(("content-type", "text/plain;charset=UTF-8"))
    pairs += [("set-cookie", cookie) for cookie in returned.get("cookies") or []]
    body = str(returned.get("body") or "").encode()
    if returned.get("isBase64Encoded"):
        body = base64.b64decode(body, validate=True)
    return Response(
        int(returned["statusCode"]), [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs], body
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
