"""How far a job is, and where it goes on when its invocation ends before the work does."""

import json
import logging
import operator
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from typing import Any, TypeVar

from afterward.clock import Clock, SystemClock, Timer
from afterward.effects import Batches
from afterward.errors import BadEffects, Continue, Stopped, Unavailable, UsageError
from afterward.pii import mask

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two writes of progress; the last report is always written, at the latest with the job's end."""

CHECKPOINT_LIMIT = 262_144
"""Bytes of a checkpoint: it shares DynamoDB's 400 KB with the rest of the record."""

MESSAGE_LIMIT = 1_000
"""Characters of a message that are kept, for the same reason."""

T = TypeVar("T")
Write = Callable[[dict[str, Any]], None]
"""Writes fields of the record; raises `errors.Stopped` where it no longer belongs to this attempt, or Unavailable."""


class Progress:
    """Injected by type: `progress: Progress = injected`.

    `write` takes what is to be stored, `deadline` (seconds since the epoch) is when the invocation ends, `floor` what
    an earlier attempt has reported already, and `saved` its checkpoint. `batches` are the effects that each checkpoint
    stands for: `write` commits those that are staged together with a checkpoint. `beside` returns what else is written
    with a checkpoint, or refuses it by UsageError.
    """

    def __init__(  # noqa: PLR0913 - every one with a default
        self,
        write: Write = lambda _changes: None,
        *,
        clock: Clock | None = None,
        deadline: float = float("inf"),
        floor: int = 0,
        saved: str | None = None,
        batches: Batches | None = None,
        beside: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._write = write
        self._clock = clock or SystemClock()
        self._started = self._clock.now()
        self._marked: float | None = None
        self._deadline = deadline
        self._batches = batches or Batches()
        self._beside = beside
        self._done = floor
        self._message: str | None = None
        self._pending: dict[str, Any] = {}
        self._written_at = float("-inf")
        self._timer: Timer | None = None
        self._stopped: Stopped | BadEffects | None = None
        self._lock = threading.RLock()
        restored: dict[str, Any] = json.loads(saved) if saved else {}
        self._state: Any = restored.get("state")
        self._tracks: list[int] = restored.get("tracks", [])
        self._began_at: str | None = restored.get("began")
        self._restored = _mark(_text(self._state, self._tracks)) if saved else None
        self._first: str | None = None
        self._last: str | None = None
        self._floor = floor
        self._opened = 0
        self._tracking = 0
        self._longest = 0.0

    @property
    def state(self) -> Any:
        """What `checkpoint` saved last, in this attempt or an earlier one; None where nothing was saved."""
        return self._state

    @property
    def message(self) -> str | None:
        """What this attempt reported last; None where it reported no message."""
        return self._message and _masked(self._message)

    @property
    def stalled(self) -> bool:
        """Whether this attempt has begun where the one before did, and not where that one stopped.

        Its first checkpoint was the same as that one's, it reported no more, and it did not go on from there: where the
        one before saved nothing else, to begin with the same is right.
        """
        resumed = self._first == self._restored and self._last != self._restored
        again = self._first is not None and self._first == self._began_at and self._done == self._floor
        return again and not resumed

    @property
    def done(self) -> int:
        """How much was reported so far, earlier attempts included."""
        return self._done

    def report(self, done: int, total: int | None = None, message: str | None = None) -> None:
        """Say that `done` of `total` units are finished, and what is happening.

        Written about once a second, and the last report always; never goes backwards, so a second attempt that starts
        anew shows what the first one reached until it gets there itself. Ends the attempt of a cancelled job. What
        cannot be stored now is stored later: that is no reason to end the work.
        """
        # The table takes whole numbers only; what NumPy calls one is one.
        done, total = operator.index(done), None if total is None else operator.index(total)
        if done < 0 or (total is not None and (total < 0 or done > total)):
            raise ValueError(f"progress needs 0 <= done <= total, got done={done}, total={total}")
        if message is not None and not isinstance(message, str):
            raise TypeError(f"a progress message is text, got {type(message).__name__}")
        with self._lock:
            self._done = max(self._done, done)
            self._message = self._message if message is None else message  # masked where it leaves: most never do
            changes = {"progress": self._done, "total": total, "message": message}
            self._pending |= {name: value for name, value in changes.items() if value is not None}
            self._flush_when_due()

    def track(self, iterable: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Yield the items, count those that are done, and resume behind them when the job goes on elsewhere.

        The iterable must give the same items in the same order each time. Without `total` its length is taken, if any.
        Loops may follow each other, but not lie inside each other: track the outer one, or the pairs of both.
        """
        if self._tracking:
            raise UsageError("progress.track cannot be used inside a loop that it counts already")
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        track, self._opened = self._opened, self._opened + 1
        self._tracks += [0] * (self._opened - len(self._tracks))
        return self._counted(islice(iterable, self._tracks[track], None), track, total)

    def checkpoint(self, state: Any) -> None:
        """Store `state` (anything that JSON can say) now: the next attempt finds it in `progress.state`.

        When too little of the invocation's time is left for as much work as lay between two checkpoints so far, this
        ends it, and the job goes on in another one.
        """
        with self._lock:
            now = self._clock.now()
            self._longest = max(self._longest, now - (self._marked or now))
            self._marked = now
            self._stage(self._checkpoint(state), item=False)
            self._state = json.loads(self._pending["checkpoint"])["state"]
            self._flush()
        self._continue_when_late()

    def pending(self) -> dict[str, Any]:
        """Return what is not written yet, and write nothing any more: it is stored together with the attempt's end."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._write = _closed
            pending, self._pending = self._pending, {}
            return _outgoing(pending)

    def _counted(self, items: Iterator[T], track: int, total: int | None) -> Iterator[T]:
        self._tracking += 1
        try:
            for item in items:
                began = self._clock.now()
                self._batches.enter()
                yield item
                self._longest = max(self._longest, self._clock.now() - began)
                self._count(track, total)
        finally:
            self._batches.leave()
            self._tracking -= 1

    def _count(self, track: int, total: int | None) -> None:
        with self._lock:
            self._tracks[track] += 1
            self._stage(self._checkpoint(self._state), item=True)
            self.report(self._tracks[track], total)
        if total is None or self._tracks[track] < total:
            self._continue_when_late()

    def _continue_when_late(self) -> None:
        """Stop in time for another item like the longest so far, and for the writes that end an attempt."""
        reserve = min(2.0, 0.2 * (self._deadline - self._started))
        if self._clock.now() + self._longest + reserve > self._deadline:
            raise Continue

    def _stage(self, checkpoint: str, *, item: bool) -> None:
        """Have `checkpoint` written next, and the effects that it stands for with it."""
        beside = self._beside()  # first of all: where it refuses the checkpoint, nothing may be staged
        if not self._batches.fit(item=item):
            self._flush()  # under the checkpoint before this one
        self._batches.stage(item=item)
        self._pending |= {"checkpoint": checkpoint} | beside

    def _checkpoint(self, state: Any) -> str:
        try:
            text = _text(state, self._tracks)
        except (TypeError, ValueError) as error:
            raise ValueError(f"a checkpoint must be JSON: {error}") from None
        if len(text.encode()) > CHECKPOINT_LIMIT:
            raise ValueError(
                f"a checkpoint holds at most {CHECKPOINT_LIMIT} bytes; keep the rest in S3 and its key here"
            )
        if state is None:
            return text
        self._last = _mark(text)
        self._first = self._first or self._last
        return f'{text[:-1]},"began":"{self._first}"}}'

    def _flush_when_due(self) -> None:
        wait = self._written_at + INTERVAL - self._clock.now()
        if wait <= 0:
            self._try_to_flush()
        elif self._stopped is not None:
            raise self._stopped
        elif self._timer is None:
            self._timer = self._clock.call_later(wait, self._flush_late)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopped is not None:
            raise self._stopped
        self._written_at = self._clock.now()
        changes, self._pending = self._pending, {}
        try:
            self._write(_outgoing(changes))
        except (Unavailable, BadEffects):
            self._pending = changes | self._pending
            raise

    def _try_to_flush(self) -> None:
        try:
            self._flush()
        except Unavailable:
            logger.warning("progress is not stored yet", exc_info=True)

    def _flush_late(self) -> None:
        """Write from the timer's thread what was reported since; a task that is stopped learns so at its next."""
        with self._lock:
            self._timer = None
            try:
                if self._pending:
                    self._try_to_flush()
            except (Stopped, BadEffects) as stopped:
                self._stopped = stopped


def _text(state: Any, tracks: list[int]) -> str:
    return json.dumps({"state": state, "tracks": tracks}, separators=(",", ":"), allow_nan=False)


def _mark(text: str) -> str:
    return f"{zlib.crc32(text.encode()):x}"


def _outgoing(changes: dict[str, Any]) -> dict[str, Any]:
    return changes | {"message": _masked(changes["message"])} if "message" in changes else changes


def _masked(message: str) -> str:
    # Before it is cut: half a value is one, too.
    return mask(message[: 10 * MESSAGE_LIMIT])[:MESSAGE_LIMIT]


def _closed(_changes: dict[str, Any]) -> None:
    raise Stopped("the attempt is over")
