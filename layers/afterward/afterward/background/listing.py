"""The caller's jobs, newest first, page by page."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from afterward.backend import Backend
from afterward.background.caller import owner
from afterward.background.problems import Responses
from afterward.background.status import JobStatus
from afterward.background.store import store
from afterward.background.threads import off_the_loop
from afterward.listing import Cursor

_CURSOR = "WyIyMDI2LTExLTIyVDE0OjAwOjAwLjAwMDAwMFoiLG51bGwsbnVsbCxudWxsLG51bGxd"

LISTING: Responses = {
    200: {
        "description": "Some of the caller's jobs.",
        "headers": {
            "Link": {
                "description": "Where the next page is; absent on the last.",
                "schema": {"type": "string", "examples": [f'</tasks?limit=50&cursor={_CURSOR}>; rel="next"']},
            }
        },
    }
}
"""What a route that answers with a page tells OpenAPI: `responses=LISTING`."""


class TaskList(BaseModel):
    """One page of the caller's jobs."""

    tasks: list[JobStatus]
    next: str | None = Field(
        description="What `cursor` is for the page behind this one; null on the last.",
        examples=[_CURSOR],
    )


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is asked for."""

    limit: int
    cursor: Cursor | None


async def paging(
    limit: Annotated[int, Query(ge=1, le=100, description="The most that a page may hold.")] = 50,
    cursor: Annotated[
        str | None,
        Query(
            max_length=16_384,
            description="`next` of the page before; without it, the first page.",
            examples=[_CURSOR],
        ),
    ] = None,
) -> Paging:
    """Take from a request which page it wants."""
    return Paging(limit, _parsed(cursor))


async def listed(
    request: Request,
    response: Response,
    paging: Annotated[Paging, Depends(paging)],
    owner: Annotated[str, Depends(owner)],
    using: Annotated[Backend, Depends(store)],
) -> TaskList:
    """Return a page of the caller's jobs, and set its `Link`."""
    page = await off_the_loop(using.records.page, owner, paging.limit, paging.cursor, using.shards)
    behind = str(page.next) if page.next else None
    response.headers["Cache-Control"] = "private, no-cache"
    if behind:
        query = urlencode({"limit": paging.limit, "cursor": behind})
        response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return TaskList(tasks=[JobStatus.of(record) for record in page.records], next=behind)


def _parsed(cursor: str | None) -> Cursor | None:
    try:
        return None if cursor is None else Cursor.parse(cursor)
    except ValueError:
        place: dict[str, Any] = {
            "type": "cursor",
            "loc": ("query", "cursor"),
            "msg": "Value should be `next` of an earlier page, as it was given",
        }
        raise RequestValidationError([place]) from None


Listed = Annotated[TaskList, Depends(listed)]
"""A page of the caller's jobs, by `limit` and `cursor` of the query: `async def tasks(page: Listed) -> TaskList`."""
