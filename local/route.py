"""The routes of an HTTP API, read from the OpenAPI definition that SAM makes of the template.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from local.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ANY = "x-amazon-apigateway-any-method"
_DEFAULT = "$default"
_FUNCTION = re.compile(r"functions/(arn:[^/]+)/invocations")
_VARIABLE = re.compile(r"\\{(\w+)(\\\+)?\\}")


@dataclass(frozen=True)
class JwtAuthorizer:
    """Which tokens a route asks for."""

    issuer: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    """Of which a token needs one, where there are any."""


@dataclass(frozen=True)
class Route:
    """Where requests of one kind go."""

    key: str
    method: str | None
    """None stands for any."""
    pattern: re.Pattern[str]
    function_arn: str
    authorizer: JwtAuthorizer | None

    @property
    def precedence(self) -> tuple[bool, bool, int, bool]:
        """A full match comes first, then a greedy variable, then $default; a named method before any."""
        greedy = "+}" in self.key
        return self.key == _DEFAULT, greedy, self.key.count("{"), self.method is None

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """Give the path's variables if this is a request of the route."""
        if self.method not in (None, method):
            return None
        found = self.pattern.fullmatch(path)
        return {name: unquote(value) for name, value in found.groupdict().items()} if found else None


def routes_of(apis: Sequence[Mapping[str, Any]]) -> list[Route]:
    """Collect the routes of all APIs, those that are looked at first in front."""
    return sorted((route for api in apis for route in _routes(api)), key=lambda route: route.precedence)


def _routes(api: Mapping[str, Any]) -> Iterator[Route]:
    for path, methods in api.get("paths", {}).items():
        for method, operation in methods.items():
            if "x-amazon-apigateway-integration" in operation:
                yield _route(api, path, None if method == _ANY else method.upper(), operation)


def _route(api: Mapping[str, Any], path: str, method: str | None, operation: Mapping[str, Any]) -> Route:
    integration = operation["x-amazon-apigateway-integration"]
    key = path if path == _DEFAULT else f"{method or 'ANY'} {path}"
    function = _FUNCTION.search(str(integration.get("uri")))
    if not function or integration.get("payloadFormatVersion") != "2.0":
        raise CannotStart(f"The route {key} does not lead to a function with payload format 2.0.")
    pattern = re.compile(".*" if path == _DEFAULT else _VARIABLE.sub(_group, re.escape(path)), re.DOTALL)
    return Route(key, method, pattern, function[1], _authorizer(api, operation))


def _group(variable: re.Match[str]) -> str:
    return f"(?P<{variable[1]}>{'.+' if variable[2] else '[^/]+'})"


def _authorizer(api: Mapping[str, Any], operation: Mapping[str, Any]) -> JwtAuthorizer | None:
    schemes = api.get("components", {}).get("securitySchemes", {})
    for requirement in operation.get("security", []):
        for name, scopes in requirement.items():
            jwt = schemes.get(name, {}).get("x-amazon-apigateway-authorizer", {}).get("jwtConfiguration")
            if jwt:
                return JwtAuthorizer(jwt["issuer"], tuple(jwt["audience"]), tuple(scopes))
    return None
