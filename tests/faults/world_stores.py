"""The stores as one invocation reaches them: before every operation others may go on, and any operation may fail."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from afterward.errors import Unavailable
from afterward.job import Status
from afterward.listing import Cursor, Page
from afterward.memory import DEAD_LETTERS, MemoryBlobs, MemoryQueues, MemoryRecords
from afterward.queues import Incoming, Outgoing
from afterward.records import Break, Claim, Held, Joined, Record, RequestKey, Seat, Swap, Written
from afterward.writes import Write
from tests.faults.ledger import Ledger
from tests.faults.world_invocations import Invocation, Scenery

T = TypeVar("T")


class Sky(Scenery, Protocol):
    """What the stores need of their world."""

    ledger: Ledger

    def fault(self, *, write: bool) -> str:
        """Return what befalls the next operation: refused, dies, stray, lost or dies after; empty for nothing."""

    def stray(self, what: str, operation: Callable[[], object]) -> None:
        """Have an operation arrive later, whatever becomes of who has asked for it."""

    def split(self, messages: list[Outgoing]) -> list[Outgoing] | None:
        """Return the messages that arrive where some are refused; None where all arrive."""

    def name_of(self, job_id: str) -> str: ...
    def sent(self, by: Invocation, messages: Sequence[Outgoing]) -> None: ...
    def buried(self, message: Incoming, reason: str, error: str) -> None: ...
    def failed(self, record: Record) -> None:
        """Ask for what a job has failed of."""

    def adopt(self, record: Record) -> None:
        """Take in the children of a job that has completed."""

    def witness(self, check: Callable[[], None]) -> None:
        """Run a check whose AssertionError must reach the test past all the code that is under it."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What lies between an invocation and any store."""

    sky: Sky
    by: Invocation

    def read(self, what: str, operation: Callable[[], T]) -> T:
        return self.carry(what, operation, write=False)

    def carry(self, what: str, operation: Callable[[], T], *, write: bool = True) -> T:
        """Let others go on, then do the operation, or what befalls it instead."""
        self.by.pause(what)
        fault = self.sky.fault(write=write)
        if fault == "dies":
            self.by.die(f"before {what}")
        if fault == "stray":
            self.sky.stray(f"{what} of {self.by.title}", operation)
        if fault in {"refused", "stray"}:
            self._tell(f"{what}: {fault}")
            raise Unavailable(f"the world did not take it ({fault})")
        outcome = operation()
        if fault == "dies after":
            self.by.die(f"after {what}")
        self._tell(f"{what}{_outcome(outcome)}{f': {fault}' * bool(fault)}")
        if fault == "lost":
            raise Unavailable("the world's answer was lost")
        return outcome

    def _tell(self, what: str) -> None:
        self.sky.tell(f"{self.by.title}: {what}")


def _outcome(outcome: object) -> str:
    if isinstance(outcome, Held):
        return f" → held by {outcome.record.status if outcome.record else 'nobody'}"
    return f" → {outcome}" if isinstance(outcome, bool) else ""


@dataclass(frozen=True, slots=True)
class WorldRecords:
    """Records in memory; each version that is written goes into the ledger."""

    base: MemoryRecords
    wire: Wire

    @property
    def sky(self) -> Sky:
        return self.wire.sky

    def get(self, owner: str, job_id: str) -> Record | None:
        return self.wire.read(f"get {self.sky.name_of(job_id)}", partial(self.base.get, owner, job_id))

    def get_all(self, owner: str, job_ids: Sequence[str]) -> dict[str, Record]:
        """Read one by one, each at its own moment: what BatchGetItem returns was never one state of the table."""
        found = {job_id: self.get(owner, job_id) for job_id in job_ids}
        return {job_id: record for job_id, record in found.items() if record is not None}

    def page(self, owner: str, limit: int, cursor: Cursor | None, shards: int) -> Page:
        return self.wire.read("page", partial(self.base.page, owner, limit, cursor, shards))

    def add(self, record: Record) -> Written | Held:
        return self._write(f"add {self._told(record)}", [record], partial(self.base.add, record))

    def add_all(self, records: list[Record]) -> None:
        for record in records:
            self.add(record)

    def claim(self, claim: Claim) -> Written | Held:
        def claimed() -> Written | Held:
            before = self.base.get(claim.fresh.owner, claim.fresh.id)
            outcome = self.base.claim(claim)
            if before is not None and isinstance(outcome, Written) and outcome.record.attempt > before.attempt:
                self.sky.witness(partial(_due, before, claim.fresh, self.wire.by.world.now + self.wire.by.skew))
            return outcome

        outcome = self._write(f"claim {self._told(claim.fresh)}", [claim.fresh], claimed)
        if isinstance(outcome, Written):
            self.wire.by.claimed = outcome.record
            self.wire.by.claims[outcome.record.id] = (outcome.record.run, outcome.record.attempt)
        return outcome

    def swap(self, old: Record, new: Record, effects: Sequence[Write] = ()) -> Written | Held:
        fence = Fence(self.wire.by.claims.get(old.id), self.wire.by.world.now + self.wire.by.skew, new, bool(effects))

        def swapped() -> Written | Held:
            before = self.base.get(old.owner, old.id)
            outcome = self.base.swap(old, new, effects)
            if before is not None and before.nonce != new.nonce and isinstance(outcome, Written):
                self.sky.witness(partial(fence.check, before))
            return outcome

        what = f"swap {self._told(old)} → {self._told(new)}{' with effects' * bool(effects)}"
        return self._write(what, [new], swapped)

    def swap_all(self, swaps: Sequence[Swap], leaving: Sequence[Seat] = ()) -> bool:
        what = f"swap all: {', '.join(self._told(one.new) for one in swaps)}"
        return self._write(what, [one.new for one in swaps], partial(self.base.swap_all, swaps, leaving))

    def remove(self, record: Record) -> bool:
        return self._write(f"remove {self._told(record)}", [record], partial(self.base.remove, record))

    def join(self, key: str, slot: int, broken: Break | None, now: float, *, run: int = 0) -> Joined:
        what = f"join {self.sky.name_of(key.split('#')[1])}'s group at {slot}, run {run}"
        return self.wire.carry(what, partial(self.base.join, key, slot, broken, now, run=run))

    def next_run(self, owner: str, chain: str, least: int, now: float) -> int:
        return self.wire.carry("next run", partial(self.base.next_run, owner, chain, least, now))

    def recall(self, name: str, now: float) -> RequestKey | None:
        return self.wire.read("recall", partial(self.base.recall, name, now))

    def remember(self, key: RequestKey, now: float) -> RequestKey:
        return self.wire.carry("remember", partial(self.base.remember, key, now))

    def _write(self, what: str, touched: Sequence[Record], operation: Callable[[], T]) -> T:
        def written() -> T:
            outcome = operation()
            for one in touched:
                self.sky.witness(partial(self._note, one))
            return outcome

        return self.wire.carry(what, written)

    def _note(self, touched: Record) -> None:
        stands = self.base.get(touched.owner, touched.id)
        if stands is not None:
            self.sky.ledger.saw(stands)
            if stands.status is Status.FAILED:
                self.sky.failed(stands)
            self.sky.adopt(stands)
        elif touched.id in self.sky.ledger.records:
            self.sky.ledger.removed(touched.id)

    def _told(self, record: Record) -> str:
        return f"{self.sky.name_of(record.id)} {record.status} {record.run}.{record.attempt}"


def _due(before: Record, asked: Record, now: float) -> None:
    """An attempt begins when it is due and the one before has ended or lost its lease, and no more than there are.

    It is made for the run and the request of its message, and no other.
    """
    told = f"{before.id} was claimed at {now:.1f}, and was {before.status}"
    assert before.run == asked.run, f"{told} in run {before.run}, by a message of run {asked.run}"
    assert before.digest in {"", asked.digest} or not asked.digest, f"{told} as the job of another request"
    assert before.not_before <= now, f"{told} until {before.not_before:.1f}"
    assert not before.held(now), f"{told} until {before.lease:.1f}"
    assert before.attempt < before.limit, f"{told} for the last time"


@dataclass(frozen=True, slots=True)
class Fence:
    """Who may write over a running attempt: itself, its owner's cancel, and at the end of its lease whoever fails it.

    `mine` is the run and attempt under which the writer has claimed the job, if it has, `now` its own time.
    """

    mine: tuple[int, int] | None
    now: float
    new: Record
    effects: bool

    def check(self, before: Record) -> None:
        new, own = self.new, (before.run, before.attempt) == self.mine
        told = f"{new.id}: {self.mine} wrote {new.status} over {before.status} {before.run}.{before.attempt}"
        if before.status is new.status is Status.COMPLETED:
            # A last word whose reply was lost is said again, and how much is handed over is noted.
            assert not self.effects, told
        elif self.effects or new.status in {Status.RUNNING, Status.COMPLETED}:
            assert own, told
            assert before.status is Status.RUNNING, told
        elif before.status is Status.RUNNING and new.status is not Status.CANCELLED:
            assert own or (new.status is Status.FAILED and not before.held(self.now)), told


@dataclass(frozen=True, slots=True)
class WorldQueues:
    """Queues in memory; of several messages some may arrive and others not."""

    base: MemoryQueues
    wire: Wire

    def send(self, messages: list[Outgoing]) -> None:
        self.wire.carry(f"send {len(messages)} to {_queues(messages)}", partial(self._send, messages))

    def _send(self, messages: list[Outgoing]) -> None:
        arriving = self.wire.sky.split(messages)
        self.base.send(messages if arriving is None else arriving)
        self.wire.sky.sent(self.wire.by, messages if arriving is None else arriving)
        if arriving is not None:
            raise Unavailable(f"the world took {len(arriving)} of {len(messages)} messages")

    def bury(self, message: Incoming, reason: str, error: str) -> None:
        self.wire.carry("bury", partial(self._bury, message, reason, error))

    def _bury(self, message: Incoming, reason: str, error: str) -> None:
        self.base.bury(message, reason, error)
        self.wire.sky.buried(message, reason, error)

    def put_off(self, task: str, message: Incoming, seconds: float) -> None:
        self.wire.carry(f"put off by {seconds:.1f} s", partial(self.base.put_off, task, message, seconds))

    def put_off_dead_letter(self, message: Incoming, seconds: float) -> None:
        self.put_off(DEAD_LETTERS, message, seconds)


def _queues(messages: Sequence[Outgoing]) -> str:
    return ", ".join(dict.fromkeys(one.task for one in messages))


@dataclass(frozen=True, slots=True)
class WorldBlobs:
    """Objects in memory."""

    base: MemoryBlobs
    wire: Wire

    def put(self, key: str, text: str) -> None:
        self.wire.carry(f"put {key.partition('/')[0]}", partial(self.base.put, key, text))

    def put_once(self, key: str, text: str) -> None:
        self.wire.carry(f"put {key.partition('/')[0]} once", partial(self.base.put_once, key, text))

    def get(self, key: str) -> str:
        return self.wire.read("get an object", partial(self.base.get, key))

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return self.wire.read("list objects", partial(self.base.keys, prefix, after))

    def put_bytes(self, key: str, body: bytes, content_type: str) -> None:
        self.wire.carry("put a file", partial(self.base.put_bytes, key, body, content_type))

    def link(self, key: str, seconds: int, filename: str) -> str:
        return self.base.link(key, seconds, filename)
