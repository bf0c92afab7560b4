"""Lets a function do what its role allows it, and refuses the rest as AWS does.

Who asks says the access key: a function's is its name. Nobody else is held back: not the tools, not what polls queues.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from local.account import ACCOUNT
from local.actions import Environ, UnknownRequest, asked_by, bucket_of, reads_an_object
from local.policies import Right, Role
from local.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Response = tuple[int, list[tuple[bytes, bytes]], bytes]

SAYS_REFUSED = "Refused: "
"""What a line of the log begins with that tells of a refusal."""

_SIGNER = re.compile(r"Credential=([^/,&%]+)(?:/|%2F)")
_NOT_FOUND = 404


class Guard:
    """`record`: a file that gets a line, `[function, action, resource]` as granted, when a right is used first."""

    def __init__(self, record: Path | None = None) -> None:
        self._record = record
        self._roles: dict[str, Role] = {}
        self._used: set[tuple[str, Right]] = set()

    def restrict(self, roles: Mapping[str, Any]) -> None:
        """Take over what functions may do, by their access keys, as `told` gives it."""
        self._roles = {
            key: Role(function, tuple(Right(*right) for right in rights)) for key, (function, rights) in roles.items()
        }

    def refusal(self, environ: Environ, body: bytes) -> Response | None:
        """Answer a request that may not be made."""
        key = _signer(environ)
        if key not in self._roles:
            return None
        try:
            refused = next((asked for asked in asked_by(environ, body) if not self._allows(key, asked)), None)
        except UnknownRequest as unknown:
            refused = Right(f"what is not known here: {unknown}", "")
        return None if refused is None else self._refused(key, refused).answer(environ)

    def looked_up(self, environ: Environ, response: Response) -> Response:
        """Keep from somebody who may not list a bucket which objects are not there.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        """
        if response[0] != _NOT_FOUND or "HTTP_X_AMZ_TARGET" in environ or not reads_an_object(environ):
            return response
        key, asked = _signer(environ), Right("s3:ListBucket", bucket_of(environ))
        return response if self._allows(key, asked) else self._refused(key, asked).answer(environ)

    def posting(self, key: str, asked: Right) -> Refusal | None:
        """Refuse a form that was signed by somebody who may not do what it does."""
        return None if self._allows(key, asked) else self._refused(key, asked)

    def _allows(self, key: str, asked: Right) -> bool:
        role = self._roles.get(key)
        if role is None:
            return True
        granting = role.granting(asked)
        for right in granting:
            self._note(role.function, right)
        return bool(granting)

    def _note(self, function: str, right: Right) -> None:
        if self._record is None or (function, right) in self._used:
            return
        self._used.add((function, right))
        with self._record.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps([function, right.action, right.resource]) + "\n")

    def _refused(self, key: str, asked: Right) -> Refusal:
        print(f"{SAYS_REFUSED}{self._roles[key].function} may not {asked.action} on {asked.resource}", flush=True)
        return Refusal(f"arn:aws:sts::{ACCOUNT}:assumed-role/{self._roles[key].function}Role/{key}", asked)


def told(roles: Mapping[str, Role]) -> dict[str, Any]:
    """Write roles, by access key, as JSON takes them."""
    return {
        key: [role.function, [[right.action, right.resource] for right in role.rights]] for key, role in roles.items()
    }


def _signer(environ: Environ) -> str:
    """Return the access key of a request's signature, which may stand in its query."""
    found = _SIGNER.search(environ.get("HTTP_AUTHORIZATION") or environ["QUERY_STRING"])
    return found[1] if found else ""
