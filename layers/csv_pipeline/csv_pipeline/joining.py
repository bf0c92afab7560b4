"""One object made of many where they lie, over any number of attempts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from csv_pipeline.objects import LEAST_PART, Gone, Objects, Segment, UploadLost, parts_of
from csv_pipeline.work import AT_ONCE

State = dict[str, Any]


def join(  # noqa: PLR0913, PLR0917 - what is joined, and where an earlier attempt has got to
    objects: Objects,
    key: str,
    content_type: str,
    sources: Sequence[Segment],
    state: State,
    save: Callable[[State], None],
) -> str:
    """Join `sources` into one object, and return its key: `key`, or what an earlier attempt has begun under.

    `state` is what was given to `save` last, which is called between two steps and may end the attempt; empty to begin
    with. Raises UploadLost where what earlier attempts have begun is gone: begin again with an empty state.
    """
    size = sum(one.size for one in sources)
    if size < LEAST_PART:
        objects.put(key, b"".join(_read(objects, sources)), content_type)
        return key
    if not state:
        state = {"key": key, "upload": objects.begin(key, content_type), "done": 0}
        save(state)
    try:
        _join(objects, state, parts_of(sources), save)
    except UploadLost:
        # An attempt that was ended between this and its word for it has completed the upload.
        if not _is_there(objects, state["key"], size):
            raise
    return str(state["key"])


def _join(objects: Objects, state: State, parts: Sequence[Sequence[Segment]], save: Callable[[State], None]) -> None:
    def put(number: int) -> None:
        _put(objects, state["key"], state["upload"], number, parts[number - 1])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in range(state["done"], len(parts), AT_ONCE):
            several = range(done, min(done + AT_ONCE, len(parts)))
            for _ in pool.map(put, (number + 1 for number in several)):
                pass
            save(state | {"done": several.stop})
    objects.complete(state["key"], state["upload"], len(parts))


def _put(objects: Objects, key: str, upload: str, number: int, part: Sequence[Segment]) -> None:
    if len(part) == 1 and part[0].size > LEAST_PART:
        objects.copy_part(key, upload, number, part[0])
    else:
        objects.put_part(key, upload, number, b"".join(_read(objects, part)))


def _read(objects: Objects, segments: Sequence[Segment]) -> list[bytes]:
    """Read segments that are small together, of which there may be thousands."""
    if len(segments) == 1:
        return [*objects.read(segments[0])]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [*pool.map(lambda one: b"".join(objects.read(one)), segments)]


def _is_there(objects: Objects, key: str, size: int) -> bool:
    try:
        return objects.head(key).size == size
    except Gone:
        return False
