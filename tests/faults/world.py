"""A world of many clients, owners, Lambdas and messages, in which everything goes by one seed.

Only one invocation runs at any time, up to its next pause; the world then decides by chance who goes on, how late it
is, and what breaks. So every interleaving of store operations can happen, and each happens again with the same seed.
"""

import hashlib
import json
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from afterward import Discard, Retry
from afterward.backend import Backend
from afterward.children import child_id
from afterward.dead_letters import DeadLetters
from afterward.digest import KeyedDigests
from afterward.errors import CannotSteer, Unavailable
from afterward.in_process import as_record
from afterward.job import Status
from afterward.memory import DEAD_LETTERS, MemoryBlobs, MemoryQueues, MemoryRecords
from afterward.queues import ATTRIBUTES, MESSAGE_LIMIT, Incoming, Outgoing
from afterward.records import Record
from afterward.steering import cancel, retry
from afterward.testing import START, ManualClock
from tests.faults.ledger import Body, Ledger, Step
from tests.faults.world_invocations import Context, Invocation, Killed, Watch, here
from tests.faults.world_orders import Market, Order
from tests.faults.world_stores import Wire, WorldBlobs, WorldQueues, WorldRecords
from tests.faults.world_surroundings import limited, listening, unlocked
from tests.faults.world_tasks import WORKERS, children_of
from tests.faults.world_verdict import Verdict
from tests.faults.world_weather import Weather

TIMEOUT = 10.0
"""Seconds of every function, as the template has it for most; the queues' visibility is six times as long."""

RECEIVES = 150
"""Receives after which SQS itself makes a dead letter of a message (the template says 1000)."""

SMALL = ATTRIBUTES + 1_200
"""Bytes of a message where SQS takes little: a job alone still fits, and a chain does not."""

BROKEN = "broken"
"""The reason of a job that is not tried again."""

CALM = 40_000
"""Steps after which a world that still is not at rest never will be."""

TOLD = 80
"""Lines of its story that a failure shows."""

ENDLESS = 2.0 * 86_400
LETTERS = DeadLetters()


@dataclass(frozen=True, slots=True)
class Stray:
    """An operation that arrives late: whoever has asked for it has given it up, or is gone."""

    at: float
    what: str
    operation: Callable[[], object]


class World:
    """`skew`: seconds that the clocks of two invocations may differ by. `most`: orders of clients."""

    def __init__(self, seed: int, *, skew: float = 0.0, most: int = 6) -> None:
        self.seed = seed
        self.skew = skew
        self.chance: Final = random.Random(seed)  # noqa: S311 - repeatable
        self.ledger = Ledger()
        self.story: list[str] = []
        self.calm = False
        self.weather = Weather.drawn(self.chance)
        self.violation: BaseException | None = None
        self._clock = ManualClock()
        self._records = MemoryRecords(self._clock)
        self._queues = MemoryQueues(self._clock)
        self._blobs = MemoryBlobs()
        self._alive: list[Invocation] = []
        self._strays: list[Stray] = []
        self._sent: list[tuple[str, str, dict[str, str]]] = []
        self._given_up: set[str] = set()
        self._names: dict[str, str] = {}
        self._chains: list[list[Step]] = []
        self._count = 0
        self.orders = Market(self.chance).fill(most)
        self.verdict = Verdict(self.ledger, self.orders, self._records, self._blobs)
        for order in self.orders:
            self._expect(order)

    # What a test asks for

    def run(self) -> None:
        """Let everything happen, then let it come to rest, and hold what is there against what must be."""
        try:
            self._live()
        except Exception as error:
            raise AssertionError(
                f"{error}\n\nAFTERWARD_SEED={self.seed}, skew {self.skew}, {self.weather}\n{self._told()}"
            ) from error

    def _live(self) -> None:
        size = SMALL if self.chance.random() < self.weather.large else MESSAGE_LIMIT
        with listening(self._unexpected), limited(size), unlocked():
            try:
                self._chaos()
                self._come_to_rest()
                self._check()
                self._redeem()
            finally:
                self._end()

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.story).encode()).hexdigest()

    # What invocations, stores and tasks ask for

    @property
    def now(self) -> float:
        return self._clock.time

    def uniform(self, low: float, high: float) -> float:
        return self.chance.uniform(low, high)

    def tell(self, what: str) -> None:
        self.story.append(f"{self.now - START:10.3f} {what}")

    def name_of(self, job_id: str) -> str:
        return self._names.get(job_id, job_id[:8])

    def fault(self, *, write: bool) -> str:
        if self.calm:
            return ""
        weather, drawn = self.weather, self.chance.random()
        kinds = {"refused": weather.refused, "dies": weather.dies / 2, "dies after": weather.dies / 2}
        if write:
            kinds |= {"lost": weather.lost, "stray": weather.stray}
        for kind, share in kinds.items():
            if drawn < share:
                return kind
            drawn -= share
        return ""

    def stray(self, what: str, operation: Callable[[], object]) -> None:
        self._strays.append(Stray(self.now + self.chance.choice((0.5, 5, 20)) * self.chance.random(), what, operation))

    def split(self, messages: list[Outgoing]) -> list[Outgoing] | None:
        if self.calm or len(messages) < 2 or self.chance.random() >= self.weather.split:
            return None
        return self.chance.sample(messages, self.chance.randrange(len(messages)))

    def sent(self, by: Invocation, messages: Sequence[Outgoing]) -> None:
        self._sent += [(one.task, one.body, {}) for one in messages]
        for order in self.orders if messages else ():
            if by.title.startswith(f"{order.name} asks"):
                order.arrived = True

    def buried(self, message: Incoming, reason: str, error: str) -> None:
        about = {"reason": reason, "error": error, "message": message.id}
        self._sent.append((DEAD_LETTERS, message.body, {name: text for name, text in about.items() if text}))

    def failed(self, record: Record) -> None:
        caused = record.attempt >= record.limit or record.reason == BROKEN or record.id in self._given_up
        assert caused, f"{record.id} failed at attempt {record.attempt} of {record.limit}: {record.reason}"

    def adopt(self, record: Record) -> None:
        if not record.children or record.id in self.verdict.children:
            return
        ids = [child_id(record, number) for number in range(record.children)]
        self.verdict.children[record.id] = ids
        self.tell(f"{self.name_of(record.id)} has children")
        self._names |= {one: f"{self.name_of(record.id)}/{number}" for number, one in enumerate(ids)}
        made = [
            Step(one, even, self._count + 1 if grouped else 0)
            for one, (grouped, even) in zip(ids, children_of(len(ids)), strict=True)
        ]
        self._count += 1
        for chain in self._chains:
            places = [number for number, step in enumerate(chain) if step.id == record.id]
            for place in places:
                chain[place + 1 : place + 1] = made
                self.ledger.promise(chain)

    def witness(self, check: Callable[[], None]) -> None:
        try:
            check()
        except AssertionError as violation:
            self.violation = self.violation or violation
            raise Killed from None

    def begin(self, text: str) -> Body:
        claimed = here().claimed
        assert claimed is not None
        self.tell(f"{here().title}: {self.name_of(claimed.id)} begins, {claimed.run}.{claimed.attempt}")
        self.verdict.ran.add(text)
        self.verdict.did[claimed.id] = text
        began: list[Body] = []
        self.witness(lambda: began.append(self.ledger.began(claimed, self.now)))
        return began[0]

    def end(self, body: Body) -> None:
        body.ended = self.now
        self.tell(f"{here().title}: {self.name_of(body.job)} ends, {body.run}.{body.attempt}")

    def labour(self) -> float:
        return self.chance.uniform(0, self.weather.slow / (4 if self.calm else 1))

    def stumble(self) -> None:
        if not self.calm and self.chance.random() < self.weather.raises:
            raise self.chance.choice(
                (OSError("the line is down"), Discard(BROKEN), Discard(BROKEN), Retry("soon", delay=1))
            )

    # Chaos

    def _chaos(self) -> None:
        for _ in range(self.chance.randint(100, 900)):
            self._go_on(self._choose())

    def _choose(self) -> Callable[[], None]:
        weather = self.weather
        ready = self._ready()
        moves: list[tuple[float, Callable[[], None]]] = [
            (weather.tick, self._tick),
            (weather.leap if ready else 40, self._leap),
        ]
        if ready:
            some = self.chance.choice(ready)
            moves += [
                (100, partial(self._resume, some)),
                (weather.kill, partial(self._kill, some, "is killed")),
                (weather.freeze, partial(self._freeze, some)),
            ]
        if len(self._alive) < 6:
            moves += self._arrivals()
        if self._sent:
            moves.append((weather.twice, self._twice))
        if waiting := self._visible():
            moves.append((weather.undelivered, partial(self._undelivered, self.chance.choice(waiting))))
        if self._queues.names():
            moves.append((weather.again, self._again))
        moves.append((weather.ages, self._age))
        return self.chance.choices([move for _, move in moves], [weight for weight, _ in moves])[0]

    def _arrivals(self) -> Iterator[tuple[float, Callable[[], None]]]:
        if waiting := self._visible():
            yield 40, partial(self._deliver, self.chance.choice(waiting))
        if asking := self._asking():
            yield 15, partial(self._ask, self.chance.choice(asking))
        if records := self.ledger.records:
            every = list(records)
            broken = [job for job in every if records[job].broke] or every
            under_way = [job for job in every if not records[job].status.final] or every
            # Mostly what can be done; at times what must be refused, or is a moment too early.
            retried, cancelled = (broken, under_way) if self.chance.random() < 0.7 else (every, every)
            yield self.weather.retry, partial(self._steer, retry, self.chance.choice(retried))
            yield self.weather.cancel, partial(self._steer, cancel, self.chance.choice(cancelled))

    def _go_on(self, move: Callable[[], object]) -> None:
        move()
        if self.violation is not None:
            raise self.violation

    def _land(self, stray: Stray) -> None:
        self._strays.remove(stray)
        self.tell(f"arrives late: {stray.what}")
        with suppress(Killed, Unavailable):
            stray.operation()

    def _tick(self) -> None:
        self._advance(self.now + self.chance.choice((0.01, 0.3, 2.0)) * self.chance.random())

    def _leap(self) -> None:
        """Move on to the next moment at which something is due, or a little behind it, or somewhere far off."""
        coming = [one.ends for one in self._alive] + [one.wakes for one in self._alive if one.wakes > self.now]
        coming += [one.lease for one in self.ledger.records.values() if one.status is Status.RUNNING]
        visible = self._queues.next_visible()
        coming += [] if visible is None else [visible]
        later = [one for one in coming if one > self.now]
        if later:
            self._advance(min(later) + self.chance.choice((0.0, 0.001, 0.5, 3.0)))

    def _age(self) -> None:
        """An hour or two days pass with nobody awake."""
        self._advance(self.now + self.chance.choice((4_000.0, ENDLESS)))

    def _freeze(self, some: Invocation) -> None:
        some.wakes = self.now + self.chance.uniform(0, some.ends - self.now + 1)
        self.tell(f"{some.title} freezes for {some.wakes - self.now:.3f} s")

    def _twice(self) -> None:
        """Deliver a message once more, up to five times, however long ago it was settled."""
        name, body, about = self.chance.choice(self._sent)
        times = self.chance.randint(1, 5)
        self.tell(f"{times} times again: {self._subject(body)} on {name or 'dead letters'}")
        for _ in range(times):
            self._queues._add(name, body, about, 0)

    def _again(self) -> None:
        """Have a message that is in flight show up too early."""
        name = self.chance.choice(self._queues.names())
        message = self.chance.choice(self._queues._messages[name])
        message.visible = min(message.visible, self.now + self.chance.uniform(0, 3))
        self.tell(f"too early: {self._subject(message.incoming.body)} on {name or 'dead letters'}")

    def _undelivered(self, name: str) -> None:
        """Have SQS give a message up, as after too many receives that nobody settled.

        That takes hours, in which a retry has ended: a message that is ahead of its record stays.
        """
        waiting = [one.incoming for one in self._queues._messages[name] if one.visible <= self.now]
        late = [one for one in waiting if not self._ahead(one)]
        if late and name != DEAD_LETTERS:
            self._give_up(name, self.chance.choice(late))

    def _ahead(self, message: Incoming) -> bool:
        envelope = json.loads(message.body)
        record = self.ledger.records.get(envelope["id"])
        return record is not None and record.run < envelope["run"]

    # What happens in calm, too

    def _resume(self, some: Invocation) -> None:
        some.resume()
        if some.done:
            self._alive.remove(some)

    def _kill(self, some: Invocation, why: str) -> None:
        self.tell(f"{some.title} {why}")
        self._alive.remove(some)
        some.kill()

    def _advance(self, to: float) -> None:
        """Move time on, with what falls due on the way: invocations end, and what is late arrives."""
        while due := self._due(to):
            at, _, happens = min(due, key=lambda one: one[:2])
            self._clock.time = max(self.now, at)
            happens()
        self._clock.time = max(self.now, to)

    def _due(self, to: float) -> list[tuple[float, int, Callable[[], None]]]:
        ends: list[tuple[float, int, Callable[[], None]]] = [
            (one.ends, 0, partial(self._kill, one, "times out")) for one in self._alive if one.ends <= to
        ]
        return ends + [(one.at, 1, partial(self._land, one)) for one in self._strays if one.at <= to]

    def _start(self, title: str, work: Callable[[Invocation], None]) -> Invocation:
        self._count += 1
        skew = self.chance.uniform(-self.skew / 2, self.skew / 2)
        made = Invocation(f"{title} #{self._count}", self, work, self.now + TIMEOUT, skew)
        self._alive.append(made)
        return made

    def _backend(self, by: Invocation) -> Backend:
        wire = Wire(self, by)
        return Backend(
            records=WorldRecords(self._records, wire),
            queues=WorldQueues(self._queues, wire),
            blobs=WorldBlobs(self._blobs, wire),
            digests=KeyedDigests(b"world"),
            clock=Watch(by),
        )

    def _ready(self) -> list[Invocation]:
        return [one for one in self._alive if one.wakes <= self.now]

    def _visible(self) -> list[str]:
        every = self._queues._messages.items()
        return [name for name, messages in every if any(one.visible <= self.now for one in messages)]

    def _receive(self, name: str, most: int) -> list[Incoming]:
        """Receive messages of those that are visible, in any order."""
        self.chance.shuffle(self._queues._messages[name])
        return self._queues.receive(name, most)

    def _deliver(self, name: str) -> None:
        received = self._receive(name, self.chance.choice((1, 1, 1, 3)))
        for message in [one for one in received if name != DEAD_LETTERS and one.receives > RECEIVES]:
            received.remove(message)
            self._give_up(name, message)
        if received:
            what = ", ".join(f"{self._subject(one.body)} ({one.receives})" for one in received)
            started = self._start("letters" if name == DEAD_LETTERS else name, partial(self._handle, name, received))
            self.tell(f"{started.title} gets {what}")

    def _handle(self, name: str, received: list[Incoming], by: Invocation) -> None:
        event = json.loads(json.dumps({"Records": [as_record(one) for one in received]}))
        handler = LETTERS if name == DEAD_LETTERS else WORKERS[name]
        answer = handler.run(event, Context(by), self._backend(by))
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in received:
            if message.id in kept:
                continue
            if not self.calm and self.chance.random() < self.weather.undeleted:
                self.tell(f"{by.title}: {self._subject(message.body)} is not deleted")
            else:
                self._queues.delete(name, [message])

    def _give_up(self, name: str, message: Incoming) -> None:
        self.tell(f"SQS gives up {self._subject(message.body)} after {message.receives} receives")
        self._queues.delete(name, [message])
        self._queues._add(DEAD_LETTERS, message.body, {}, 0)
        self._given_up.add(json.loads(message.body)["id"])
        self._sent.append((DEAD_LETTERS, message.body, {}))

    def _asking(self) -> list[Order]:
        return [one for one in self.orders if one.open(calm=self.calm)]

    def _ask(self, order: Order) -> None:
        order.asking = True
        order.tries += 1
        order.answer = ""
        self._start(f"{order.name} asks", partial(self._request, order))

    def _request(self, order: Order, by: Invocation) -> None:
        order.unanswered, before = True, order.unanswered
        try:
            answer = order.ask(self._backend(by))
            by.pause()
            order.answer, order.unanswered = answer, before
            self.tell(f"{by.title}: {answer}")
            self._leave_to_rival(order)
        finally:
            order.asking = False

    def _leave_to_rival(self, order: Order) -> None:
        """Have the rival come at the worst of moments: refused is what perhaps was sent, and its ids are free again."""
        if order.answer == "503" and order.rival is not None and order.rival.open(calm=self.calm):
            self._ask(order.rival)

    def _steer(self, how: Callable[[Backend, Record], Record], job: str) -> None:
        self._start(f"{how.__name__} {self.name_of(job)}", partial(self._steered, how, self.ledger.records[job]))

    def _steered(self, how: Callable[[Backend, Record], Record], known: Record, by: Invocation) -> None:
        using = self._backend(by)
        try:
            record = using.records.get(known.owner, known.id)
            if record is not None:
                how(using, record)
                self.tell(f"{by.title}: done")
        except (CannotSteer, Unavailable) as refused:
            self.tell(f"{by.title}: {refused}")

    # The end

    def _come_to_rest(self) -> None:
        self.calm = True
        self.tell("calm")
        for _ in range(CALM):
            move = self._next_in_calm()
            if move is None:
                return
            self._go_on(move)
        raise AssertionError(f"the world does not come to rest; messages on {self._queues.names()}")

    def _next_in_calm(self) -> Callable[[], None] | None:
        if ready := self._ready():
            return partial(self._resume, self.chance.choice(ready))
        if asking := self._asking():
            return partial(self._ask, self.chance.choice(asking))
        if (waiting := self._visible()) and len(self._alive) < 4:
            return partial(self._deliver, self.chance.choice(waiting))
        visible = self._queues.next_visible()
        coming = [one.wakes for one in self._alive] + [one.at for one in self._strays] + [visible or 0.0]
        later = [one for one in coming if one > self.now]
        return partial(self._advance, min(later)) if later else None

    def _check(self) -> None:
        self.verdict.pass_on(self.now)
        assert not self._queues.names(), f"messages are left on {self._queues.names()}"
        # An attempt that was cancelled learns so at its next report; a retry does not wait for that.
        at_once = [pair for pair in self.ledger.overlaps() if pair[0].run == pair[1].run]
        assert self.skew > 2 or not at_once, f"attempts ran at once: {at_once}"

    def _redeem(self) -> None:
        """Retry what did not complete until all has: there is no state out of which no retry leads.

        One after the other from the first, or all of them at each turn: that must not matter.
        """
        while broken := self.verdict.unfinished():
            first = list(broken) if self.seed % 2 else list(broken)[:1]
            for jobs in (first, list(broken)):
                if self.verdict.unfinished() == broken:
                    self._retry_all(jobs)
            assert self.verdict.unfinished() != broken, f"no retry helps {[self.name_of(job) for job in broken]}"
            self._check()

    def _retry_all(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            self._steer(retry, job)
            self._come_to_rest()

    def _end(self) -> None:
        for one in self._alive:
            one.kill()
        self._alive = []

    # Words

    def _expect(self, order: Order) -> None:
        """Let the order name its jobs, before anybody asks for them."""
        digests = KeyedDigests(b"world")
        order.fill(
            Backend(records=self._records, queues=self._queues, blobs=self._blobs, digests=digests, clock=self._clock)
        )
        for number, job in enumerate(order.ids):
            self._names.setdefault(job, f"{order.name}.{number}")
        self._chains.append(order.steps())
        self.ledger.promise(self._chains[-1])

    def _subject(self, body: str) -> str:
        envelope = json.loads(body)
        return f"{self.name_of(envelope.get('id', 'stored'))} run {envelope.get('run')}"

    def _unexpected(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, Unavailable):
            self.violation = self.violation or error

    def _told(self) -> str:
        return "\n".join(self.story[-TOLD:])
