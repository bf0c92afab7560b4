"""Who calls: the owner of the jobs that a request adds or asks for."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection

from afterward.digest import owner_digest


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has sent a request, as API Gateway's JWT authorizer has found in the token.

    `subject` names a person: it is there to be compared, and belongs in no key and no log.
    """

    issuer: str
    subject: str = field(repr=False)
    scopes: frozenset[str] = frozenset()


async def caller(connection: HTTPConnection) -> Caller:
    """Return who calls.

    Without claims that were checked it raises 401, never "anonymous". An app with another authorizer overrides it:
    `app.dependency_overrides[caller] = my_caller`.
    """
    claims = _claims(connection.scope.get("aws.event"))
    subject, issuer = claims.get("sub"), claims.get("iss")
    if not isinstance(subject, str) or not isinstance(issuer, str) or not subject or not issuer:
        raise HTTPException(
            401,
            "The request carries no verified identity: no JWT authorizer has checked it.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return Caller(issuer, subject, _scopes(claims))


async def owner(caller: Annotated[Caller, Depends(caller)]) -> str:
    """Return the caller's name in keys: a digest of the issuer and `sub`.

    It may be overridden alone, where nothing asks who calls: `app.dependency_overrides[owner] = my_owner`.
    """
    return owner_digest(caller.issuer, caller.subject)


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Read `scope`, a text (RFC 8693, 4.2; Cognito, Auth0), and `scp`, a text (Entra) or a list (Okta).

    Of a list API Gateway makes the text `[a b]`. What else issuers have (Auth0's `permissions`, Cognito's groups) is
    not looked at.
    """
    scope, scp = (value if isinstance(value := claims.get(name), str) else "" for name in ("scope", "scp"))
    listed = scp[1:-1] if scp.startswith("[") and scp.endswith("]") else scp
    return frozenset(word for word in f"{scope} {listed}".split(" ") if word)


def _claims(event: Any) -> dict[str, Any]:
    """Read `requestContext.authorizer.jwt.claims` of an HTTP API event (payload format 2.0)."""
    value = event
    for name in ("requestContext", "authorizer", "jwt", "claims"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
