"""Who calls the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.route import JwtAuthorizer

ISSUER = "https://issuer.localhost"
AUDIENCE = "afterward-local"
"""Whose tokens the local cloud takes, and for whom they must be."""


class Refused(Exception):
    """The gateway answers by itself; `challenge` is the `WWW-Authenticate` of its answer."""

    def __init__(self, challenge: str, status: int = 401, message: str = "Unauthorized") -> None:
        super().__init__(challenge)
        self.challenge = challenge
        self.status = status
        self.message = message


class Caller(Protocol):
    """Decides what the event of a request says about who sent it."""

    def authorizer(self, asked: JwtAuthorizer, headers: Mapping[str, str], /) -> Mapping[str, Any]:
        """Give `requestContext.authorizer` of a route that asks for a token, or raise Refused."""


class DevelopmentUser:
    """One user who need not log in, and so is the caller of every request; may act for every other user."""

    def __init__(self, name: str = "developer", scope: str = "admin") -> None:
        self.name = name
        self.scope = scope

    def authorizer(self, asked: JwtAuthorizer, _headers: Mapping[str, str]) -> Mapping[str, Any]:
        """Make claims as a verified token has them.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
        """
        claims = {"iss": asked.issuer, "sub": self.name, "aud": asked.audience[0], "scope": self.scope}
        return {"jwt": {"claims": claims, "scopes": None}}
