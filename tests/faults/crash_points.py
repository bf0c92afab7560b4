"""Every crash point: each call that a workload makes to AWS, with everything that can go wrong with it."""

from dataclasses import dataclass

import pytest

from afterward import parcel
from tests.faults.scene import Scene
from tests.faults.stage import Stage, staged
from tests.faults.strikes import Point, Strike
from tests.faults.workloads import NAMES, WORKLOADS, Workload, populate


@dataclass(frozen=True, slots=True)
class Case:
    """A workload and what goes wrong in it."""

    workload: Workload
    strike: Strike

    def __str__(self) -> str:
        return f"{self.workload}-{self.strike}"


def play(stage: Stage, workload: Workload, strike: Strike | None = None) -> Scene:
    """Play a workload to its end, and check what must hold whatever goes wrong."""
    scene = Scene(stage, strike, seconds=workload.seconds, visibility=workload.visibility, batch=workload.batch)
    populate(scene)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parcel, "MESSAGE_LIMIT", workload.message_limit)
        workload.plot(scene)
        scene.settle()
    return scene


def cases(*names: str) -> list[Case]:
    """Return every case of these workloads: each call that one makes without a fault, with each fault."""
    workloads = [WORKLOADS[name] for name in names]
    with staged(NAMES) as stage:
        hit = [(one, point) for one in workloads for point in points(stage, one)]
    return [Case(one, Strike(point, fault)) for one, point in hit for fault in point.faults]


def points(stage: Stage, workload: Workload) -> list[Point]:
    """List the calls of a workload that are hit, by playing it."""
    return [point for point in play(stage, workload).points if workload.only in {"", point.actor}]
