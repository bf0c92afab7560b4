"""Who calls the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.route import JwtAuthorizer


class Caller(Protocol):
    """Decides what the event of a request says about who sent it."""

    def authorizer(self, asked: JwtAuthorizer, headers: Mapping[str, str], /) -> Mapping[str, Any]:
        """Give `requestContext.authorizer` of a route that asks for a token."""


class DevelopmentUser:
    """One user who need not log in, and so is the caller of every request."""

    def __init__(self, name: str = "developer") -> None:
        self.name = name

    def authorizer(self, asked: JwtAuthorizer, _headers: Mapping[str, str]) -> Mapping[str, Any]:
        """Make claims as a verified token has them.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
        """
        return {"jwt": {"claims": {"iss": asked.issuer, "sub": self.name, "aud": asked.audience[0]}, "scopes": None}}
