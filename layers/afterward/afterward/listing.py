"""An owner's jobs, newest first, page by page.

The listing of one owner is spread over shards, and each shard gives its jobs in an order of its own where several were
created at the same time. So a cursor holds a place in each shard, not one for all: nothing comes twice, and nothing is
left out.
"""

import base64
import heapq
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from afterward.job import JOB_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from afterward.records import Record

MOST_SHARDS = 64
"""What `afterward.settings` allows; a cursor with more is none of ours."""

_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job stands in the listing of its shard."""

    created: str
    id: str

    @property
    def valid(self) -> bool:
        return _fits(_TIME, self.created) and _fits(JOB_ID, self.id)


def _fits(pattern: str | re.Pattern[str], text: Any) -> bool:
    return isinstance(text, str) and bool(re.fullmatch(pattern, text))


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the last page ended: behind which job of each shard.

    In a shard that it has shown nothing of, what was created after `until` came later and is no part of this listing.
    """

    until: str
    behind: tuple[Place | None, ...]

    def place(self, shard: int) -> Place | None:
        """Return the last job of a shard that was shown; the cursor may be older than the shard."""
        return self.behind[shard] if shard < len(self.behind) else None

    def __str__(self) -> str:
        places = [place and [place.created, place.id] for place in self.behind]
        text = json.dumps([self.until, *places], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what a client sends back; raise ValueError for what is no cursor."""
        try:
            until, *behind = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
            places = tuple(None if place is None else Place(*place) for place in behind)
        except (TypeError, RecursionError):
            raise ValueError("this is no cursor") from None
        cursor = cls(until, places)
        if not cursor.valid:
            raise ValueError("this is no cursor")
        return cursor

    @property
    def valid(self) -> bool:
        return len(self.behind) <= MOST_SHARDS and _fits(_TIME, self.until) and all(p.valid for p in self.behind if p)


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is None on the last page."""

    records: "list[Record]"
    next: Cursor | None


class Listing(Protocol):
    """What a store does for a page: `(shard, cursor, most) -> places`, at most so many and the newest first."""

    def __call__(self, shard: int, cursor: Cursor | None, most: int, /) -> list[Place]: ...


def read_page(
    listing: Listing,
    get_all: "Callable[[list[str]], Mapping[str, Record]]",
    shards: int,
    limit: int,
    cursor: Cursor | None,
) -> Page:
    """Return a page, by what a store has in its listing and by what it reads of the jobs that stand there."""
    found, behind = _places(listing, shards, limit, cursor)
    records = get_all([place.id for place in found])
    return Page([records[place.id] for place in found if place.id in records], behind)


def _places(listing: Listing, shards: int, limit: int, cursor: Cursor | None) -> tuple[list[Place], Cursor | None]:
    """Return the places of one page, and where it ends if there are more.

    One more than the page holds is asked of each shard, so that the last page is known to be the last.
    """
    found = [[(shard, place) for place in listing(shard, cursor, limit + 1)] for shard in range(shards)]
    merged = list(heapq.merge(*found, key=_created, reverse=True))
    shown = merged[:limit]
    if len(merged) == len(shown):
        return [place for _, place in shown], None
    last = dict(shown)  # of each shard the one that comes last
    behind = tuple(last.get(shard) or (cursor.place(shard) if cursor else None) for shard in range(shards))
    return [place for _, place in shown], Cursor(shown[-1][1].created, behind)


def _created(found: tuple[int, Place]) -> str:
    return found[1].created
