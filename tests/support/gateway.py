"""A Lambda handler as API Gateway's HTTP API calls it (payload format 2.0)."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

ADA = {"iss": "https://issuer.example.com", "sub": "ada", "aud": "afterward", "scope": "admin"}
BOB = ADA | {"sub": "bob"}
"""Callers who may act for every user; `user` is one who may not."""


def user(subject: str, **claims: str) -> dict[str, str]:
    """Return the claims of somebody's token."""
    return {"iss": ADA["iss"], "sub": subject, "aud": ADA["aud"]} | claims


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Gateway:
    """`claims`: what the JWT authorizer has found in the caller's token; None where it has checked none."""

    handler: Handler
    claims: Mapping[str, str] | None = field(default_factory=lambda: ADA)

    def caller(self, claims: Mapping[str, str] | None) -> "Gateway":
        return replace(self, claims=claims)

    def get(self, path: str, **query: object) -> Answer:
        return self.request("GET", path, query=query)

    def post(self, path: str, *, body: object = None, **query: object) -> Answer:
        return self.request("POST", path, query=query, body=body)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request. A body of bytes goes as it is, any other as JSON."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        event = self._event(method, path, urlencode(query or {}), raw, dict(headers or {}))
        answer = self.handler(event, None)
        content = answer.get("body", "")
        decoded = base64.b64decode(content) if answer.get("isBase64Encoded") else content.encode()
        return Answer(answer["statusCode"], answer.get("headers", {}), decoded)

    def _event(self, method: str, path: str, query: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
        authorizer = {} if self.claims is None else {"authorizer": {"jwt": {"claims": {**self.claims}, "scopes": None}}}
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {"host": "api.example.com", "x-forwarded-proto": "https"} | headers,
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "api-id",
                "domainName": "api.example.com",
                "http": {
                    "method": method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "test",
                },
                "requestId": "request-1",
                "routeKey": "$default",
                "stage": "$default",
                "timeEpoch": 1_795_000_000_000,
                **authorizer,
            },
            "isBase64Encoded": False,
        }
        if body is not None:
            event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
            event["headers"].setdefault("content-type", "application/json")
        return event


@contextmanager
def lambda_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Have an event loop on this thread, as a Lambda environment has one all its life (Mangum asks for it)."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        asyncio.set_event_loop(None)
