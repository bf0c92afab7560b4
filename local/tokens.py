"""Tokens for the local cloud: `python -m local.tokens 7` prints one that `python -m local --auth` takes.

Their issuer is nowhere to be found: the gateway knows its key, as API Gateway knows those that an issuer publishes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from local.errors import CannotStart
from local.user import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Issuer:
    """Signs tokens with one key."""

    def __init__(self, key: RSAKey) -> None:
        self.key = key

    @classmethod
    def kept(cls, folder: Path) -> Issuer:
        """Return the issuer whose private key lies in a folder; make it where there is none."""
        path = folder / "issuer.json"
        if not path.exists():
            _keep(RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True), path)
        try:
            return cls(RSAKey.import_key(json.loads(path.read_text())))
        except (AttributeError, JoseError, TypeError, ValueError) as error:
            raise CannotStart(f"{path} holds no key ({error}). Delete it, and another will be made.") from error

    @property
    def keys(self) -> Mapping[str, RSAKey]:
        """What an issuer publishes: its public keys by their ids."""
        return {str(self.key.kid): RSAKey.import_key(self.key.as_dict(private=False))}

    def token(self, user: str, *, scope: str = "", seconds: int = 3600) -> str:
        """Make a token for a user, which expires after so many seconds."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + seconds}
        return self.sign({**claims, "jti": str(uuid.uuid4()), **({"scope": scope} if scope else {})})

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Make a token with these claims and no others."""
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, {**claims}, self.key)


def _keep(key: RSAKey, path: Path) -> None:
    """Write a key that nobody else can read; of several that are made at the same time the first stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:  # of mode 0600
        file.write(json.dumps(key.as_dict(private=True)))
        file.flush()
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)


def main() -> int:
    """Print a token; the result is the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m local.tokens", description="Print a token that `python -m local --auth` takes."
    )
    parser.add_argument("user", help="its `sub`; routes that name a user's number ask for the same")
    parser.add_argument("--scope", default="", help="admin may act for every user")
    parser.add_argument("--seconds", type=int, default=3600, help="after which it expires; default: 3600")
    options = parser.parse_args()
    try:
        issuer = Issuer.kept(Path(".local"))
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    print(issuer.token(options.user, scope=options.scope, seconds=options.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
