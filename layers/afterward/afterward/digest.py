"""Keyed digests: what may be kept of values that must not be kept.

The digest of a payload says whether a repeat asks for the same thing. Keyed, since arguments are guessable: whoever
reads the table cannot try them out.
"""

import hashlib
import hmac
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from afterward.errors import SettingError

if TYPE_CHECKING:
    from afterward.envelope import Json


class Digests(Protocol):
    """Digests under one key; where that key cannot be had, `errors.Unavailable` is raised."""

    def of(self, value: "Json") -> str: ...


class KeyedDigests:
    """HMAC-SHA-256 under a key that the caller holds."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, value: "Json") -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


class SecretDigests:
    """The same under a key from Secrets Manager, fetched when the first digest is needed and kept."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def of(self, value: "Json") -> str:
        return self._digests.of(value)

    @cached_property
    def _digests(self) -> KeyedDigests:
        if not self._secret:
            raise SettingError("environment variable AFTERWARD_DIGEST_SECRET is not set; ids chosen by clients need it")
        return KeyedDigests(_secret_value(self._secret))


def _secret_value(secret: str) -> bytes:
    from afterward.aws import answering, client  # noqa: PLC0415 - only where a client chooses ids

    with answering("Secrets Manager"):
        answer: dict[str, Any] = client("secretsmanager").get_secret_value(SecretId=secret)
    return str(answer["SecretString"]).encode()


def owner_digest(issuer: str, subject: str) -> str:
    """Return the name under which a caller's jobs are kept: stable, and not the raw `sub` (32 hexadecimal digits)."""
    return hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()[:32]
