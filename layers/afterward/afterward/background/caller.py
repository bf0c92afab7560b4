"""Who calls: the owner of the jobs that a request adds or asks for."""

from typing import Any

from fastapi import HTTPException
from fastapi.requests import HTTPConnection

from afterward.digest import owner_digest


async def owner(connection: HTTPConnection) -> str:
    """Return the caller's name in keys: a digest of the issuer and `sub` that API Gateway's JWT authorizer has checked.

    Without such claims it raises 401, never "anonymous". An app with another authorizer overrides it:
    `app.dependency_overrides[owner] = my_owner`.
    """
    claims = _claims(connection.scope.get("aws.event"))
    subject, issuer = claims.get("sub"), claims.get("iss")
    if not isinstance(subject, str) or not isinstance(issuer, str) or not subject or not issuer:
        raise HTTPException(
            401,
            "The request carries no verified identity: no JWT authorizer has checked it.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return owner_digest(issuer, subject)


def _claims(event: Any) -> dict[str, Any]:
    """Read `requestContext.authorizer.jwt.claims` of an HTTP API event (payload format 2.0)."""
    value = event
    for name in ("requestContext", "authorizer", "jwt", "claims"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
