"""One play of a workload: its requests and its invocations, at most one fault, and what must hold in the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from afterward.backend import Backend
from afterward.dead_letters import DeadLetters
from afterward.errors import AfterwardError
from afterward.job import Status
from afterward.records import Record
from afterward.steering import BY_OWNER
from afterward.worker import Worker
from tests.faults.ledger import Ledger
from tests.faults.lives import Call, Killed, Life
from tests.faults.stage import Stage
from tests.faults.strikes import COSTLY, S3, SENDS, WRITES, Fault, Point, Strike
from tests.support.faults import Sent
from tests.support.jobs import deliver

COMPLETED, FAILED, CANCELLED = (frozenset({one}) for one in (Status.COMPLETED, Status.FAILED, Status.CANCELLED))

GATEWAY = 29.0
"""Seconds that a request has."""

TICK = 0.001
"""moto shows a message only after its time has come."""

LIMIT = 400
"""Rounds of polling, more than any play needs: a message that comes for ever is a failure."""

LONG = 2 * 3_600
"""Seconds after which nothing waits any more: leases, visibility, reservations."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client learns of its request: 202, or `error`, or nothing (`silent`), since the process died.

    `arrived`: whether a message of it has reached its queue.
    """

    arrived: bool
    error: AfterwardError | None = None
    silent: bool = False

    @property
    def accepted(self) -> bool:
        return self.error is None and not self.silent


@dataclass(slots=True)
class Scene:
    """`handlers` by queue. `seconds` is what an invocation has, `visibility` what a queue gives it, `batch` how much.

    `points` lists the calls that were made; `lives` the processes at work, each started by the one before it.
    """

    stage: Stage
    strike: Strike | None = None
    seconds: float = 10.0
    visibility: int = 60
    batch: int = 1
    handlers: dict[str, Worker | DeadLetters] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    struck: Life | None = None
    ledger: Ledger = field(default_factory=Ledger)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    may_end: dict[str, frozenset[Status]] = field(default_factory=dict)
    """How jobs end that do not just complete."""
    items: dict[str, list[str]] = field(default_factory=dict)
    """The items to which a job's effects add 1 each."""
    retried: set[tuple[str, int]] = field(default_factory=set)
    """Jobs and runs that were archived before a retry, by the play's own making."""
    poison: int = 0
    ran: dict[str, set[str]] = field(default_factory=dict)
    """What the bodies of each job were asked to do."""
    seen: list[AssertionError] = field(default_factory=list)
    """What must not be, and was seen while the library was at work, which takes it for an error of the task."""
    done: set[str] = field(default_factory=set)
    """What bodies do once only, however often they run."""

    def __post_init__(self) -> None:
        self.stage.clear(self.visibility)
        self.stage.judged_by(self._judge)

    @property
    def now(self) -> float:
        return self.stage.time.now()

    @property
    def costly(self) -> bool:
        """Whether the play's fault may take a job an attempt."""
        return self.strike is not None and self.strike.fault in COSTLY

    @property
    def life(self) -> Life:
        """The process at work."""
        return self.lives[-1]

    def request(self, name: str, act: Callable[[Backend], object]) -> Asked:
        """Do something in a process of its own, as the API does, and say what its client learns."""
        life = self._born(name, GATEWAY)
        try:
            act(self.stage.backend(life))
        except Killed as killed:
            if killed.life is not life:
                raise
            return Asked(life.sent, silent=True)
        except AfterwardError as error:
            return Asked(life.sent, error)
        finally:
            self.lives.remove(life)
        return Asked(life.sent)

    def ended(self, asked: Asked, ids: Sequence[str]) -> None:
        """Note what the client was told of its jobs. A refusal counts only where none of their messages has arrived."""
        if asked.accepted:
            self.accepted.update(ids)
        elif asked.error is not None and not asked.arrived:
            self.refused.update(ids)
            left = self.ledger.records.keys() & set(ids)
            out = self.strike is not None and self.strike.fault is Fault.OUT
            assert not left or out, f"a refused request has left records: {left}"

    def drain(self) -> None:
        """Deliver until no queue holds a message, moving time on to whatever is to come next."""
        for _ in range(LIMIT):
            if self.seen:
                raise self.seen[0]
            if sum(self.poll(name) for name in self.handlers):
                continue
            visible = self.stage.next_visible()
            if visible is None:
                return
            self.stage.time.advance(max(0.0, visible - self.now) + TICK)
            self._check_visible()
        raise AssertionError(f"messages were left after {LIMIT} rounds")

    def settle(self) -> None:
        """Let all time pass that anything might wait for, and check what must hold in the end."""
        self.drain()
        self.stage.time.advance(LONG)
        self.drain()
        if self.seen:
            raise self.seen[0]
        self._forget_expired()
        letters = self.stage.objects("archive/").values()
        archived = {(one["job"], one["run"]) for one in letters if "job" in one}
        self.ledger.settled(self.accepted, refused=self.refused, effects=self._effects(), archived=archived)
        self._check_ends()
        together = self.ledger.overlaps()
        assert not together, f"attempts of one job ran at the same time: {together}"
        self._check_letters(archived, sum("job" not in one for one in letters))
        assert self.strike is None or self.struck is not None, f"nothing was hit: {self.strike}"

    def _check_visible(self) -> None:
        """Look whether an accepted job is there for its owner to see, for as long as it waits."""
        for job in self.accepted & self.ledger.records.keys():
            record = self.ledger.records[job]
            assert record.status.final or not _expired(record, self.now), f"{job} was accepted, and its record expired"

    def _effects(self) -> dict[str, int]:
        """Return how often each job's effect took place: once if all of its items show it once.

        Of a job that ended otherwise than well, what was committed under its checkpoints stays.
        """
        stands = self.stage.effects()
        twice = {item: count for item, count in stands.items() if count != 1}
        assert not twice, f"effects took place more than once: {twice}"
        counts = {job: sum(map(stands.get, items, [0] * len(items))) // len(items) for job, items in self.items.items()}
        records = self.ledger.records
        whole = {job for job, items in self.items.items() if len(items) == 1}
        due = {job for job, one in records.items() if job in whole or one.status is Status.COMPLETED}
        return {job: count for job, count in counts.items() if job in due}

    def _check_ends(self) -> None:
        for job, record in self.ledger.records.items():
            expected = self.may_end.get(job, COMPLETED)
            assert record.status in expected, f"{job} is {record.status} ({record.reason}), not {sorted(expected)}"

    def _check_letters(self, archived: set[tuple[str, int]], unreadable: int) -> None:
        records = self.ledger.records.values()
        due = {(one.id, one.run) for one in records if one.status is Status.FAILED or one.reason == BY_OWNER}
        assert archived == due | self.retried, f"{sorted(archived)} is archived, not {sorted(due | self.retried)}"
        assert unreadable == self.poison, f"{unreadable} messages are archived as unreadable, not {self.poison}"

    def poll(self, name: str) -> bool:
        """Deliver what a queue shows now, and delete what is settled, as Lambda does; say whether there was any."""
        messages = self.stage.receive(name, self.batch)
        if not messages:
            return False
        life = self._born(name, self.seconds)
        try:
            kept = set(deliver(self.handlers[name], self.stage.backend(life), *messages, seconds=self.seconds))
        except Killed as killed:
            if killed.life is not life:
                raise
            kept = {message.id for message in messages}
        finally:
            self.lives.remove(life)
        for message in messages:
            if message.id not in kept:
                self.stage.delete(name, message)
        return True

    def _born(self, name: str, seconds: float) -> Life:
        life = Life(name, self.stage.time, self.now + seconds)
        self.lives.append(life)
        return life

    def _judge(
        self, call: Call, request: AWSPreparedRequest, sent: Sent, pass_on: Callable[[], AWSResponse]
    ) -> AWSResponse:
        """Carry out what a process asks for, unless the strike hits it."""

        def carry_out() -> AWSResponse:
            answer = pass_on()
            self._note(call.life, sent, answer)
            return answer

        call.tries += 1
        if call.number == 0:
            call.number = len(self.points) + 1
            self.points.append(Point(call.number, _service(sent), sent.operation, call.life.name))
        if self.strike is None or not self._hits(self.strike, call):
            return carry_out()
        return self.strike.hit(call, request, sent, carry_out)

    def _hits(self, strike: Strike, call: Call) -> bool:
        point = self.points[call.number - 1]
        if call.number == strike.point.number:
            assert point == strike.point, f"the play took another way before its fault: {point}, not {strike.point}"
            self.struck = call.life
            return True
        out = strike.fault is Fault.OUT and call.life is self.struck
        return out and point.service == strike.point.service

    def _note(self, life: Life, sent: Sent, answer: AWSResponse) -> None:
        """Tell the ledger what stands after a write that was carried out."""
        if sent.operation in SENDS and answer.status_code < 300:
            life.sent = True
        if sent.operation in WRITES:
            with self.watching():
                stands = self.stage.records()
                for record in stands.values():
                    self.ledger.saw(record)
                for job in self.ledger.records.keys() - stands.keys():
                    self.ledger.removed(job)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep what the ledger says for the end of the play: nothing in between may swallow it."""
        try:
            yield
        except AssertionError as error:
            self.seen.append(error)
            raise

    def _forget_expired(self) -> None:
        """Drop the records whose time to live is over, as DynamoDB does."""
        over = [job for job, record in self.ledger.records.items() if _expired(record, self.now)]
        for job in over:
            self.ledger.removed(job)


def _expired(record: Record, now: float) -> bool:
    return record.expires <= now


def _service(sent: Sent) -> str:
    host = sent.url.split("/")[2]
    return next((name for name in ("dynamodb", "sqs") if host.startswith(name)), S3)
