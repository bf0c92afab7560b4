"""What breaks in a world, and how often."""

import random
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Weather:
    """How often what happens. Each seed has one of its own, with about half of it switched off, so that faults meet
    each other in every combination and sometimes are alone.

    The first five befall single operations of a store, `raises` a piece of a task's work, `slow` how long that takes at
    most, `large` the share of worlds in which messages are too large for SQS; the others are how often something
    happens to the world, beside 100 for somebody going on.
    """

    refused: float = 0.1
    lost: float = 0.1
    stray: float = 0.06
    dies: float = 0.06
    split: float = 0.3
    raises: float = 0.35
    slow: float = 4.0
    kill: float = 4.0
    freeze: float = 6.0
    tick: float = 40.0
    leap: float = 6.0
    ages: float = 0.3
    twice: float = 8.0
    again: float = 4.0
    undelivered: float = 3.0
    cancel: float = 6.0
    retry: float = 20.0
    undeleted: float = 0.2
    large: float = 0.5

    @classmethod
    def drawn(cls, chance: random.Random) -> "Weather":
        most = asdict(cls())
        always = {"tick": chance.uniform(5, 40), "slow": chance.choice((0.0, 1.0, 4.0))}
        drawn = {name: chance.uniform(0, top) if chance.random() < 0.5 else 0.0 for name, top in most.items()}
        return cls(**drawn | always)
