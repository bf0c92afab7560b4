"""`Idempotency-Key`: a repeat of a request names the same jobs, gets the same answer and adds only what is missing.

A key belongs to its owner and route and is kept for a day, with a keyed digest of the request: another request under
the same key is refused. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Header
from fastapi.requests import Request
from starlette.datastructures import UploadFile

from afterward.backend import Backend
from afterward.background.request_log import route_of
from afterward.background.threads import off_the_loop
from afterward.envelope import Json
from afterward.errors import KeyInUse, KeyReused
from afterward.job import new_id
from afterward.records import RequestKey

KEEP = 86_400
"""Seconds for which a key is kept."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[ -~]+$",
        description="A text of the client's making, new for each task it wants: repeated within 24 hours, the request "
        "adds nothing and gets the same answer.",
        examples=["5f2f4a38-4b0c-4c8e-9c0e-4f6f9d3f7b61"],
    ),
]


@dataclass(slots=True)
class Idempotency:
    """One request's key on its way: looked at before the endpoint runs, kept before its jobs are accepted."""

    backend: Backend
    given: str
    key: RequestKey
    known: bool = False

    @property
    def seed(self) -> str:
        """What the ids of the request's jobs follow from."""
        return self.key.seed

    def look(self) -> None:
        """Take over what an earlier request has kept; raise KeyReused where that was another request."""
        stands = self.backend.records.recall(self.key.name, self.backend.clock.now())
        if stands is not None:
            self._check(stands)
            self.key, self.known = stands, True

    def keep(self) -> None:
        """Keep the key; raise KeyInUse where another request has just done so, with ids of its own."""
        if self.known:
            return
        now = self.backend.clock.now()
        stands = self.backend.records.remember(replace(self.key, expires=int(now) + KEEP), now)
        self._check(stands)
        if stands.seed != self.seed:
            raise KeyInUse("a request with this Idempotency-Key is being accepted")
        self.known = True

    def _check(self, stands: RequestKey) -> None:
        if stands.digest not in {"", self.key.digest}:
            raise KeyReused("the Idempotency-Key was used for another request")


async def idempotency(request: Request, backend: Backend, owner: str, key: str) -> Idempotency:
    """Return what names this request's jobs under the key that came with it."""
    digest = await off_the_loop(backend.digests.of, await _content(request))
    return Idempotency(
        backend, key, RequestKey(name=_name(request, owner, key), seed=new_id(), digest=digest, expires=0)
    )


def named_afterwards(request: Request, backend: Backend, owner: str, seed: str) -> Idempotency:
    """Return a key of our own making, under which a repeat names the jobs that this request has named by `seed`.

    Only this client will be told of it, so no digest is needed to tell the repeat from another request.
    """
    key = new_id()
    return Idempotency(backend, key, RequestKey(name=_name(request, owner, key), seed=seed, digest="", expires=0))


def _name(request: Request, owner: str, key: str) -> str:
    text = f"{request.method} {request.scope.get('root_path', '')}{route_of(request.scope)}\n{_unquoted(key)}"
    return f"{owner}#{hashlib.sha256(text.encode()).hexdigest()}"


def _unquoted(key: str) -> str:
    """Take the key as the draft writes it, a quoted string (RFC 9651), or as most clients do, bare."""
    return key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key


async def _content(request: Request) -> Json:
    """Return what tells one request from another: its address and its body."""
    address: list[Json] = [request.scope["path"], request.scope["query_string"].decode("latin-1")]
    form = request._form  # noqa: SLF001 - where it is read, the body is consumed, and its boundary differs in each repeat
    if form is not None:
        return [*address, [[name, _field(value)] for name, value in form.multi_items()]]
    return [*address, hashlib.sha256(await request.body()).hexdigest()]


def _field(value: str | UploadFile) -> Json:
    if isinstance(value, str):
        return value
    value.file.seek(0)
    content = hashlib.file_digest(value.file, "sha256").hexdigest()  # type: ignore[arg-type]
    value.file.seek(0)
    return [value.filename, content]
