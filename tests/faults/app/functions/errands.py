"""What the kills are to hit: jobs that count what they do, so that a second time shows, and a worker for each."""

import os
import time

from afterward import Backoff, Discard, Effects, Progress, injected, task
from afterward.aws import client

SOON = Backoff(base=0.5, cap=1)


@task(max_attempts=10, backoff=SOON)
def tally(name: str, *, effects: Effects = injected) -> None:
    """Count once."""
    time.sleep(0.3)
    _count(effects, name)


@task(max_attempts=10, backoff=SOON)
def link(name: str, place: int, *, effects: Effects = injected) -> None:
    """Count behind the links before it; out of its turn, fail."""
    counted = _counted(name)
    if counted != place:
        raise Discard(f"link {place} of {name} runs when {counted} are done")
    time.sleep(0.2)
    _count(effects, name)


@task(max_attempts=10, backoff=SOON)
def march(name: str, steps: int, *, effects: Effects = injected, progress: Progress = injected) -> None:
    """Count each step, over more invocations than one."""
    for _ in progress.track(range(steps)):
        time.sleep(0.15)
        _count(effects, name)


@task
def doomed(name: str) -> None:
    """Fail for good."""
    time.sleep(0.2)
    raise Discard(f"{name} is doomed")


def _count(effects: Effects, name: str) -> None:
    effects.update(os.environ["COUNTS_TABLE"], {"id": name}, add={"count": 1})


def _counted(name: str) -> int:
    """Return what is counted under a name, as the links before this one have left it."""
    answer = client("dynamodb").get_item(
        TableName=os.environ["COUNTS_TABLE"], Key={"id": {"S": name}}, ConsistentRead=True
    )
    return int(answer["Item"]["count"]["N"]) if "Item" in answer else 0


tally_handler = tally.worker()
link_handler = link.worker()
march_handler = march.worker()
doomed_handler = doomed.worker()
