"""What clients ask for, and how they ask again: with a chosen id, a key, or an `Idempotency-Key`."""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count

from afterward.backend import Backend
from afterward.background import DurableTasks
from afterward.background.idempotency import Idempotency
from afterward.digest import owner_digest
from afterward.errors import KeyInUse, Refused, Unavailable
from afterward.publish import publish
from afterward.records import RequestKey
from tests.faults.ledger import Step
from tests.faults.world_tasks import TASKS, parent

OWNERS = tuple(owner_digest("world", name) for name in ("ada", "ben", "cleo"))

TRIES = 6
"""How often a client asks at most while there is chaos; in the calm behind it, until there is an answer."""


CALLBACK = -1
"""Where a callback stands: beside every chain, so that it can have no children."""


class Naming(StrEnum):
    """How the jobs of a request get their ids."""

    OURS = "ours"
    ID = "id"
    KEY = "key"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Wish:
    """One job that a client wants; neighbours with the same `side` are a group."""

    task: str
    text: str
    even_if_failed: bool = False
    delay: float = 0.0
    side: int = 0
    callback: bool = False
    id: str | None = None


@dataclass(slots=True)
class Order:
    """One chain that a client asks for until it has an answer.

    `arrived`: some message of it may have; `ids` and `steps` are what the ledger holds it to.
    """

    name: str
    owner: str
    naming: Naming
    wishes: Sequence[Wish]
    persistent: bool = True
    ids: list[str] = field(default_factory=list)
    seed: str = ""
    answer: str = ""
    arrived: bool = False
    unanswered: bool = False
    asking: bool = False
    tries: int = 0
    rival: "Order | None" = None

    @property
    def accepted(self) -> bool:
        return self.answer == "202"

    @property
    def refused(self) -> bool:
        """Whether the client knows that nothing of it will run."""
        return not self.accepted and not self.arrived and not self.unanswered and self.tries > 0

    def open(self, *, calm: bool) -> bool:
        """Whether its client will ask (again)."""
        if self.asking or self.answer in {"202", "409"}:
            return False
        again = self.naming is not Naming.OURS and self.persistent
        return self.tries == 0 or (again and (calm or self.tries < TRIES))

    def steps(self) -> list[Step]:
        made = zip(self.ids, self.wishes, strict=True)
        return [Step(job, wish.even_if_failed or wish.callback, wish.side) for job, wish in made]

    def fill(self, using: Backend) -> DurableTasks:
        """Add all that is wished for, as an endpoint would."""
        tasks = DurableTasks(using, self.owner)
        tasks._seed = self.seed = self.seed or f"{self.name} {self.tries}"
        tasks._repeatable = self.naming is Naming.HEADER
        sides = {wish.side: tasks.group() for wish in self.wishes if wish.side}
        ids = []
        for wish in self.wishes:
            task = TASKS[wish.task].options(
                id=wish.id if self.naming is Naming.ID else None,
                key=wish.id if self.naming is Naming.KEY else None,
                delay=wish.delay,
                even_if_failed=wish.even_if_failed,
            )
            add = tasks.add_callback if wish.callback else sides[wish.side].add_task if wish.side else tasks.add_task
            ids.append(add(task, wish.text).id)
        self.ids = ids
        return tasks

    def ask(self, using: Backend) -> str:
        """Send one request; return the status of its answer."""
        tasks = self.fill(using)
        try:
            if self.naming is Naming.HEADER:
                self._remember(using)
            publish(using, self.owner, [[*tasks._calls, *tasks._callbacks]])
        except Unavailable:
            self._divide(using)
            return "503"
        except KeyInUse:
            return "409, ask again"
        except Refused:
            return "409"
        return "202"

    def _remember(self, using: Backend) -> None:
        """Do what a request does with its Idempotency-Key, whose seed is the order's own in every repeat."""
        idempotency = self._idempotency(using, self.name)
        idempotency.look()
        idempotency.keep()

    def _divide(self, using: Backend) -> None:
        """Where a group that a request begins with is refused, its 503 names a key for the repeat, if that is kept."""
        divided = len(self.wishes) > 1 and self.wishes[0].side == self.wishes[1].side > 0
        if divided and self.naming is Naming.OURS:
            with suppress(Unavailable):
                self._idempotency(using, "").keep()
                self.naming = Naming.HEADER

    def _idempotency(self, using: Backend, digest: str) -> Idempotency:
        key = RequestKey(name=f"{self.owner}#{self.seed}", seed=self.seed, digest=digest, expires=0)
        return Idempotency(using, self.name, key)


@dataclass(slots=True)
class Market:
    """Makes orders by chance."""

    chance: random.Random
    orders: list[Order] = field(default_factory=list)

    def fill(self, most: int) -> list[Order]:
        for number in range(self.chance.randint(1, most)):
            order = self._order(f"o{number}")
            self.orders.append(order)
            if order.naming is not Naming.OURS and self._happens(0.5):
                order.rival = _rival(order)
                self.orders.append(order.rival)
        return self.orders

    def _order(self, name: str) -> Order:
        naming = self.chance.choice(list(Naming))
        wishes = self._wishes(name)
        if naming in {Naming.ID, Naming.KEY}:
            wishes = [
                replace(one, id=f"{name}-chosen-{n}") if n == 0 or self._happens(0.2) else one
                for n, one in enumerate(wishes)
            ]
        return Order(name, self.chance.choice(OWNERS), naming, wishes, persistent=self._happens(0.8))

    def _wishes(self, name: str) -> list[Wish]:
        numbers = count()
        made: list[Wish] = []
        for side in range(1, self.chance.choice((1, 1, 2, 3, 4)) + 1):
            grouped = self._happens(0.35)
            size = self.chance.randint(1, 3) if grouped else 1
            made += [self._wish(f"{name}.{next(numbers)}", side if grouped else 0) for _ in range(size)]
        if self._happens(0.2):
            made.append(replace(self._wish(f"{name}.{next(numbers)}", CALLBACK), side=0, callback=True))
        return made

    def _wish(self, text: str, side: int) -> Wish:
        task = self.chance.choice([name for name in TASKS if name != parent.name or not side])
        delay = self.chance.choice((0.0, 0.0, 0.0, 5.0, 30.0))
        # Children of a job that runs although its chain is broken are cancelled, and no retry brings them back.
        return Wish(task, text, self._happens(0.3) and task != parent.name, delay, side)

    def _happens(self, share: float) -> bool:
        return self.chance.random() < share


def _rival(order: Order) -> Order:
    """Return another client's request for other work under the same ids."""
    wishes = [replace(one, text=f"{one.text} of a rival") for one in order.wishes]
    return Order(f"{order.name} rival", order.owner, order.naming, wishes, seed=order.seed)
