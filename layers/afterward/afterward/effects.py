"""DynamoDB writes that a task wants to happen exactly once: committed together with its end, or with its checkpoint."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afterward.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from afterward.writes import Write

LIMIT = 99
"""Items that one commit writes: a transaction of DynamoDB takes 100, and one of them is the job's record."""

SIZE = 3_000_000
"""Bytes that one commit writes: a transaction takes 4 MB, and the job's record and what updates meet count too."""


class Batch(dict[str, "Write"]):
    """Writes by the item that they write; `size` is about how many bytes they are."""

    size = 0


class Batches:
    """What an attempt wants written, until it is committed.

    What is staged is committed with the next checkpoint, which counts its work as done: neither ever without the other.
    What is open waits for the job's end, or for `progress.checkpoint`. What the body of a tracked loop adds belongs to
    the item, and is staged when that is counted: what stands around the loop runs again when the job is resumed.
    """

    def __init__(self) -> None:
        self._staged: list[Batch] = []
        self._open = Batch()
        self._item = Batch()
        self._carried = 0
        self._inside = False
        self._closed = False
        self._lock = threading.RLock()

    def add(self, write: "Write") -> None:
        """Add a write, merged into what its batch has of the same item."""
        from afterward.writes import merged, place_of, size_of  # noqa: PLC0415 - tasks without effects pay nothing

        place = place_of(write)
        with self._lock:
            batch = self._item if self._inside else self._open
            before = batch.get(place)
            new = write if before is None else merged(before, write)
            grown = size_of(new) - (0 if before is None else size_of(before))
            if why := self._refusal(place, grown, batch):
                raise UsageError(f"{place}: {why}")
            batch[place] = new
            batch.size += grown

    def _refusal(self, place: str, grown: int, batch: Batch) -> str | None:
        if self._closed:
            return "the attempt is over, and what it writes is decided"
        if batch is self._item and place in self._open:
            return (
                "written before the loop that progress.track counts, and committed after it; "
                "write it in the loop or behind it, or call progress.checkpoint before the loop"
            )
        full = place not in batch and len(self._open) + len(self._item) == LIMIT
        if full or self._open.size + self._item.size + grown > SIZE:
            return (
                f"one commit takes {LIMIT} items and {SIZE:,} bytes; commit in steps, by progress.track or "
                "progress.checkpoint, or leave the rest to other jobs"
            )
        return None

    def enter(self) -> None:
        """Begin an item of a tracked loop."""
        with self._lock:
            self._inside = True

    def leave(self) -> None:
        """End the loop; the item that it was left in is not counted, so its effects wait for the job's end."""
        with self._lock:
            self._inside = False
            self._open.update(self._item)
            self._open.size += self._item.size
            self._item = Batch()

    def stage(self, *, item: bool = False) -> None:
        """Let the next checkpoint stand for all that was added, or for what the item of a loop added, which is done."""
        with self._lock:
            if item:
                self._inside = False
            else:
                self._append(self._open)
                self._open = Batch()
            self._append(self._item)
            self._item = Batch()

    def _append(self, batch: Batch) -> None:
        """Stage a batch: together with the last one, unless a write has carried that already and may have succeeded."""
        if batch and len(self._staged) > self._carried:
            last = self._staged[-1]
            self._staged[-1] = Batch(_merged([last, batch]))
            self._staged[-1].size = last.size + batch.size
        elif batch:
            self._staged.append(batch)

    def fit(self, *, item: bool = False) -> bool:
        """Say whether one commit can take what is staged and what `stage` would add; if not, the former has to go."""
        with self._lock:
            if not self._staged:
                return True
            every = [*self._staged, *([] if item else [self._open]), self._item]
            if sum(batch.size for batch in every) > SIZE:
                return False
            try:
                return len(_merged(every)) <= LIMIT
            except UsageError:
                return False

    def staged(self) -> "tuple[int, Sequence[Write]]":
        """Return how many batches are staged, and what they come to, for a write to carry: one write per item."""
        with self._lock:
            self._carried = len(self._staged)
            return self._carried, tuple(_merged(self._staged).values()) if self._staged else ()

    def committed(self, count: int) -> None:
        """Forget the first batches that were staged: they are written."""
        with self._lock:
            del self._staged[:count]
            self._carried = max(0, self._carried - count)

    def close(self) -> None:
        """Take nothing more, and stage the rest: the work is done."""
        with self._lock:
            self.stage()
            self._closed = True


def _merged(batches: "Iterable[Batch]") -> "dict[str, Write]":
    from afterward.writes import merged  # noqa: PLC0415 - as above

    every: dict[str, Write] = {}
    for batch in batches:
        for place, write in batch.items():
            every[place] = merged(every[place], write) if place in every else write
    return every


class Effects:
    """Injected by type: `effects: Effects = injected`; into providers too.

    What is written through it happens exactly once, however often the job is delivered: it is committed in one
    transaction with the job's completion, and dropped where the attempt fails. `progress.checkpoint` commits what was
    added before it, and `progress.track` what the body of its loop added for the items that are done, in one
    transaction with the position from which the job would go on.

    Tables are named, keys and values are what boto3's `Table` takes: None, bool, str, int, Decimal, bytes, sets, lists
    and dicts. Several writes of an item come to one. Nothing is read, and nothing shows before it is committed. What no
    table could take, or a hundredth item in one commit, raises UsageError at once; what this table does not take (the
    wrong key, a number added to a text) fails the attempt.
    """

    def __init__(self, batches: Batches | None = None) -> None:
        self._batches = batches or Batches()

    def put(self, table: str, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Replace the item under `key`, or make it."""
        from afterward.writes import put  # noqa: PLC0415 - as above

        self._batches.add(put(table, key, values))

    def update(
        self,
        table: str,
        key: Mapping[str, Any],
        *,
        values: Mapping[str, Any] | None = None,
        add: Mapping[str, Any] | None = None,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        """Change attributes of the item under `key`, or make it.

        `values` are set. `add` adds numbers to what is there, or to 0, and sets to sets. `initial` is set where the
        item has no such attribute yet.
        """
        from afterward.writes import update  # noqa: PLC0415 - as above

        self._batches.add(update(table, key, values, add, initial))

    def delete(self, table: str, key: Mapping[str, Any]) -> None:
        """Delete the item under `key`, if there is one."""
        from afterward.writes import delete  # noqa: PLC0415 - as above

        self._batches.add(delete(table, key))
