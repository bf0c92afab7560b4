"""Watching a job: conditional requests (RFC 9110) and `Prefer: wait` (RFC 7240)."""

import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Response
from pydantic import BaseModel, Field

from afterward.backend import Backend
from afterward.background.caller import owner
from afterward.background.problems import Responses, problems
from afterward.background.status import JobStatus, TaskId, TaskProgress, read
from afterward.background.store import store
from afterward.background.threads import off_the_loop
from afterward.chains import speaking_for_chain, with_results_of_chain
from afterward.job import Status
from afterward.records import Record, Records

LONGEST = 5
"""Seconds that a request may wait: every waiting caller holds a Lambda."""

BETWEEN = 1
"""Seconds between two reads of a request that waits."""

_HEADERS = {
    "ETag": {
        "description": "The version that is shown.",
        "required": True,
        "schema": {"type": "string", "examples": ['"0f7c1e6c2b3d4a5f8e9d0c1b2a394857"']},
    },
    "Cache-Control": {
        "description": "May be kept, but is asked for each time.",
        "required": True,
        "schema": {"type": "string", "const": "private, no-cache"},
    },
    "Retry-After": {
        "description": "Seconds after which news can be expected; absent where the job is final.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Preference-Applied": {
        "description": "How long `Prefer: wait` could have kept the answer.",
        "schema": {"type": "string", "examples": ["wait=5"]},
    },
}

WATCHING: Responses = {
    200: {"description": "As the job is now.", "headers": _HEADERS},
    304: {"description": "Nothing has changed since a version that the client has.", "headers": _HEADERS},
    **problems(404),
}
"""What a route that answers by a Watch tells OpenAPI: `responses=WATCHING`."""

# Compiled when first used: a third of a millisecond each that most requests can do without.
_TAG = r'"([\x21\x23-\x7e\x80-\xff]*)"'
_PREFERENCE = r'(?:[^,"]++|"(?:\\.|[^"\\])*+"?)++'  # a quote that is never closed ends with the text: linear


@dataclass(frozen=True, slots=True)
class Shown:
    """What an answer shows. `version` is another one whenever the body is; `retry_after`: when news can be expected."""

    body: BaseModel
    version: str
    final: bool
    retry_after: int = BETWEEN

    @classmethod
    def of(cls, record: Record, body: BaseModel, now: float) -> "Shown":
        """Show one record."""
        return cls(body, record.nonce, record.status.final, due(record, now))

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


def due(record: Record, now: float) -> int:
    """Return the whole seconds after which it makes sense to look at a job again."""
    waits = record.not_before - now if record.status is Status.QUEUED else 0
    return max(BETWEEN, math.ceil(waits))


@dataclass(frozen=True, slots=True)
class Watch:
    """One request's look at a job. `known`: the versions that the client has; `wait`: how long it would wait for news.

    A waiting request ends when the job is final or, where the client has a version, as soon as there is another one.
    """

    task_id: str
    owner: str
    backend: Backend
    known: frozenset[str] = frozenset()
    wait: int | None = None

    async def progress(self) -> Response:
        """Answer with the job's progress, or where it is the first of a chain with the chain's."""
        return await self.record(TaskProgress.of, speaking=speaking_for_chain)

    async def status(self) -> Response:
        """Answer with everything that is known of the job, and where it is the first of a chain with its results."""
        return await self.record(JobStatus.of, speaking=with_results_of_chain)

    async def record(
        self, shown_as: Callable[[Record], BaseModel], *, speaking: Callable[[Records, Record], Record] | None = None
    ) -> Response:
        """Answer with what `shown_as` makes of the job's record, or of the one that is `speaking` for it."""

        async def look() -> Shown:
            record = await read(self.backend, self.owner, self.task_id)
            if speaking is not None:
                record = await off_the_loop(speaking, self.backend.records, record)
            return Shown.of(record, shown_as(record), self.backend.clock.now())

        return await self.answer(look)

    async def answer(self, look: Callable[[], Awaitable[Shown]]) -> Response:
        """Answer with what `look` finds, looking once a second while the request waits; 304 where the client has it."""
        clock = self.backend.clock
        until = clock.now() + (self.wait or 0)
        shown = await look()
        while self._pending(shown) and clock.now() < until:
            await clock.pause(BETWEEN)
            shown = await look()
        return self._response(shown)

    def _pending(self, shown: Shown) -> bool:
        return not shown.final and (self._knows(shown) or not self.known)

    def _knows(self, shown: Shown) -> bool:
        return shown.version in self.known or "*" in self.known

    def _response(self, shown: Shown) -> Response:
        # no-cache: may be kept, but asked for each time, since the next look may show something else.
        headers = {"ETag": shown.etag, "Cache-Control": "private, no-cache"}
        if not shown.final:
            headers["Retry-After"] = str(shown.retry_after)
        if self.wait is not None:
            headers["Preference-Applied"] = f"wait={self.wait}"
        if self._knows(shown):
            return Response(status_code=304, headers=headers)
        return Response(shown.body.model_dump_json(), headers=headers, media_type="application/json")


def versions(values: Iterable[str]) -> frozenset[str]:
    """Read If-None-Match: entity tags, compared weakly, or `*` for any version; what is neither counts for nothing."""
    text = ",".join(values)
    return frozenset(("*",)) if text.strip() == "*" else frozenset(re.findall(_TAG, text))


def wait_of(values: Iterable[str]) -> int | None:
    """Read the preference `wait` as far as it is granted; None where there is none, or none that can be read."""
    for preference in re.findall(_PREFERENCE, ",".join(values)):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":  # the first one counts
            return _granted(value.strip().strip('"'))
    return None


def _granted(seconds: str) -> int | None:
    if not (seconds.isascii() and seconds.isdigit()):
        return None
    return min(LONGEST, int(seconds.lstrip("0")[:2] or 0))


async def watch(
    task_id: TaskId,
    owner: Annotated[str, Depends(owner)],
    using: Annotated[Backend, Depends(store)],
    if_none_match: Annotated[
        list[Annotated[str, Field(max_length=8_192)]] | None,
        Header(
            alias="If-None-Match",
            description="The `ETag`s of what the client has; while it is still the latest, the answer is 304.",
            examples=[['"0f7c1e6c2b3d4a5f8e9d0c1b2a394857"']],
        ),
    ] = None,
    prefer: Annotated[
        list[Annotated[str, Field(max_length=8_192)]] | None,
        Header(
            alias="Prefer",
            description="`wait=N`: answer up to N seconds later (5 at most), as soon as the job is final, or with "
            "`If-None-Match` as soon as it has changed.",
            examples=[["wait=5"]],
        ),
    ] = None,
) -> Watch:
    """Take from a request how its client watches the job of the path."""
    return Watch(task_id, owner, using, versions(if_none_match or ()), wait_of(prefer or ()))


Watched = Annotated[Watch, Depends(watch)]
"""A job by the `task_id` of the path: `async def task_status(job: Watched) -> Response: return await job.status()`."""
