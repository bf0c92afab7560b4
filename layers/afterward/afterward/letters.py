"""The archive as an operator reads it: found page by page, and read a few letters at a time.

Listing costs one request for 1,000 letters, reading one request for each. Never more than one page of keys, and as many
letters as are read side by side, are in memory.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from afterward.backend import Backend
from afterward.envelope import loads
from afterward.errors import BadMessage, Unavailable
from afterward.patience import patiently

T = TypeVar("T")

UNREADABLE = "archive/unreadable/"
"""Under which messages lie that are no jobs."""

PAGE = 1_000
"""Keys of one answer (ListObjectsV2)."""

READERS = 8
"""Letters that are read side by side; botocore keeps ten connections open."""

PATIENCE = 10.0
"""Seconds for which a service that does not answer is asked again."""

_LETTER = re.compile(r"archive/(?P<owner>[^/]+)/(?P<job>[^/]+)/(?P<run>[0-9]+)\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is told of one archived run, without what the job was asked to do."""

    owner: str
    job: str
    run: int
    task: str
    archived: str
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A letter that could not be read, and why; `lost` where no repeat will help."""

    job: str
    why: str
    lost: bool


def letters(backend: Backend, owner: str = "", job: str = "") -> Iterator[Letter | Unread]:
    """Read all letters, those of one owner, or those of one job, in the order of their keys.

    Raises Unavailable where the archive cannot be listed.
    """
    prefix = f"archive/{owner}/{job}/" if owner and job else f"archive/{owner}/" if owner else "archive/"
    found = (_LETTER.fullmatch(key) for key in keys(backend, prefix))
    wanted = (one for one in found if one and job in {"", one["job"]})
    with ThreadPoolExecutor(READERS) as readers:
        while batch := list(islice(wanted, READERS)):
            yield from readers.map(lambda one: _read(backend, one), batch)


def keys(backend: Backend, prefix: str) -> Iterator[str]:
    """Find the keys under a prefix; a page that does not come is asked for again."""
    after = ""
    while True:
        page = insist(backend, partial(_page, backend, prefix, after))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]


def _page(backend: Backend, prefix: str, after: str) -> list[str]:
    return list(islice(backend.blobs.keys(prefix, after), PAGE))


def _read(backend: Backend, found: re.Match[str]) -> Letter | Unread:
    try:
        text = insist(backend, lambda: backend.blobs.get(found[0]))
    except Unavailable as unavailable:
        return Unread(found["job"], str(unavailable), lost=False)
    except BadMessage:
        return Unread(found["job"], "its letter is gone", lost=True)
    try:
        return _letter(found, json.loads(text))
    except (BadMessage, ValueError, KeyError, TypeError) as error:
        return Unread(found["job"], f"its letter cannot be read: {error}", lost=True)


def _letter(found: re.Match[str], told: Mapping[str, Any]) -> Letter:
    """Make a letter of what the archive holds; a body that could not be run again is refused."""
    envelope = loads(told["body"])
    return Letter(
        owner=found["owner"],
        job=found["job"],
        run=int(found["run"]),
        task=envelope.task,
        archived=str(told["archived"]),
        reason=str(told["reason"]),
        error=str(told["error"]),
    )


def insist(backend: Backend, call: Callable[[], T]) -> T:
    """Return what `call` returns, called again for a while where a service does not answer; it must be repeatable."""
    return patiently(call, backend.clock, backend.clock.now() + PATIENCE)
