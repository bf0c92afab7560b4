"""The JWT authorizer of an HTTP API: which tokens it takes, and how it refuses the others.

What is checked, and in which order, is documented, and that only RSA signs:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html

Of the answers AWS documents the body and one `WWW-Authenticate`, that of a wrong audience:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-jwt.html
Four more were seen by others in front of real APIs: that without a token, those of too few segments and of an expired
token, and, in an access log only, what is said of a wrong issuer. What is said otherwise nobody has published: those
texts are ours, in the same form.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from joserfc import jws

from local.user import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joserfc.jwk import RSAKey

    from local.route import JwtAuthorizer

_ALGORITHMS = ("RS256", "RS384", "RS512")

# Documented, or seen by others.
_AUDIENCE = "the token does not have a valid audience"
_EXPIRED = "the token has expired"
_ISSUER = "issuer does not match"
_SEGMENTS = "token contains an invalid number of segments"

# Ours.
_EARLY = "the token is not valid yet"
_KEY = "the token is not signed with a key of its issuer"
_UNREADABLE = "the token cannot be decoded"

# What decoders of base64 leave out of what they are given is no other way to write the same token.
_SEGMENTED = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class _Invalid(Exception):
    """What is wrong with a token."""


class Authorizer:
    """Takes the tokens that one of `keys` has signed, which are public keys by their ids."""

    def __init__(self, keys: Mapping[str, RSAKey], clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._clock = clock

    def authorizer(self, asked: JwtAuthorizer, headers: Mapping[str, str]) -> Mapping[str, Any]:
        """Hand over the claims of a token that may pass."""
        token = _token(headers.get("authorization", ""))
        if not token:
            raise Refused("Bearer")
        try:
            claims = self._signed(token)
            self._check(claims, asked)
        except _Invalid as error:
            challenge = f'Bearer scope="{" ".join(asked.scopes)}" error="invalid_token" error_description="{error}"'
            raise Refused(challenge) from error
        return {"jwt": {"claims": _texts(claims), "scopes": _scopes(claims, asked)}}

    def _signed(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that one of the keys has signed."""
        if token.count(".") != 2:  # noqa: PLR2004 - header, payload and signature (RFC 7515, 3.1)
            raise _Invalid(_SEGMENTS)
        if not _SEGMENTED.fullmatch(token):
            raise _Invalid(_UNREADABLE)
        try:
            read = jws.extract_compact(token.encode())
            name, claims = read.headers().get("kid"), json.loads(read.payload)
        except Exception as error:
            # Whatever it is that a parser stumbles over in a stranger's text, that text is no token.
            raise _Invalid(_UNREADABLE) from error
        if not isinstance(claims, dict):
            raise _Invalid(_UNREADABLE)
        if not self._is_signed(read, name):
            raise _Invalid(_KEY)
        return claims

    def _is_signed(self, read: jws.CompactSignature, name: object) -> bool:
        key = self._keys.get(name) if isinstance(name, str) else None
        try:
            return key is not None and jws.validate_compact(read, key, _ALGORITHMS)
        except Exception:  # noqa: BLE001 - as above: a header may hold anything
            return False

    def _check(self, claims: Mapping[str, Any], asked: JwtAuthorizer) -> None:
        if claims.get("iss") != asked.issuer:
            raise _Invalid(_ISSUER)
        if not _audience(claims) & {*asked.audience}:
            raise _Invalid(_AUDIENCE)
        now = self._clock()
        # A comparison with what is no number of seconds, NaN included, must refuse.
        if not now < _seconds(claims.get("exp")):
            raise _Invalid(_EXPIRED)
        if not all(_seconds(claims[name]) <= now for name in ("nbf", "iat") if name in claims):
            raise _Invalid(_EARLY)


def _token(given: str) -> str:
    """Take the token with or without the word Bearer, which HTTP reads in any case (RFC 9110, 11.1)."""
    scheme, _, token = given.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else given.strip()


def _audience(claims: Mapping[str, Any]) -> set[str]:
    """Read `aud`, and `client_id` only where there is none."""
    value = claims.get("aud", claims.get("client_id"))
    return {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)}


def _seconds(value: object) -> float:
    return value if isinstance(value, int | float) else float("nan")


def _scopes(claims: Mapping[str, Any], asked: JwtAuthorizer) -> list[str] | None:
    """Return the token's scopes where the route asks for one of some, else None: so events have been seen."""
    if not asked.scopes:
        return None
    value = claims.get("scp", claims.get("scope", ""))
    scopes = value if isinstance(value, list) else str(value).split()
    if not {*asked.scopes} & {*map(str, scopes)}:
        raise Refused(f'Bearer scope="{" ".join(asked.scopes)}" error="insufficient_scope"', 403, "Forbidden")
    return scopes


def _texts(claims: Mapping[str, Any]) -> dict[str, str]:
    """Write every claim as a text, as API Gateway does; what is null is left out."""
    return {name: _text(value) for name, value in claims.items() if value is not None}


def _text(value: object) -> str:
    """Write lists as `[a b]`, without anything to tell a space between values from one within: so they were seen."""
    if isinstance(value, list):
        return f"[{' '.join(map(_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
