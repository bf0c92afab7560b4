"""What the crash points are looked for in: small plays of everything that can become of a job."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from afterward import Backoff, Children, Discard, Effects, Job, Progress, injected, task
from afterward.backend import Backend, in_memory
from afterward.background import DurableTasks
from afterward.background.idempotency import Idempotency
from afterward.clock import timestamp
from afterward.dead_letters import DeadLetters
from afterward.declaration import Task
from afterward.errors import CannotSteer, IdTaken
from afterward.event import Context, Response
from afterward.publish import Call, publish
from afterward.queues import Outgoing, Queues
from afterward.records import Record, RequestKey, derived_id
from afterward.steering import cancel, retry
from afterward.testing import START, ManualClock
from afterward.worker import Worker
from tests.faults.ledger import Step
from tests.faults.scene import CANCELLED, COMPLETED, FAILED, TICK, Scene
from tests.faults.stage import EFFECTS
from tests.support.cloud import DEAD
from tests.support.jobs import OWNER

Build = Callable[[DurableTasks], object]
"""Adds tasks, as an endpoint does."""

BACKOFF = Backoff(base=4, cap=60)
ITEMS = 6
"""Items of a loop that takes two invocations."""


@task(name="faults_first", backoff=BACKOFF)
def first(act: str) -> None:
    """Do the first thing."""


@task(name="faults_second", backoff=BACKOFF)
def second(act: str) -> None:
    """Do the second thing."""


@task(name="faults_third", backoff=BACKOFF)
def third(act: str) -> None:
    """Do the third thing."""


@task(name="faults_once", max_attempts=1)
def once(act: str) -> None:
    """Do what is tried once only."""


TASKS: tuple[Task[[str]], ...] = (first, second, third, once)
NAMES = tuple(one.name for one in TASKS)


@dataclass(frozen=True, slots=True)
class Company:
    """Runs the bodies of all tasks in a scene: `act` says what a body does."""

    scene: Scene

    def work(
        self,
        act: str,
        *,
        job: Job = injected,
        effects: Effects = injected,
        progress: Progress = injected,
        children: Children = injected,
    ) -> None:
        with self.scene.watching():
            record = self.scene.ledger.records[job.id]
            assert record.not_before <= self.scene.now + TICK, f"{job.id} runs before its time"
            body = self.scene.ledger.began(record, self.scene.now)
        self.scene.ran.setdefault(job.id, set()).add(act)
        try:
            self._act(act, job, effects, progress, children)
        finally:
            body.ended = self.scene.now

    def _act(self, act: str, job: Job, effects: Effects, progress: Progress, children: Children) -> None:
        match act.split(maxsplit=1)[0]:
            case "count":
                effects.update(EFFECTS, {"id": job.id}, add={"count": 1})
            case "loop":
                self._loop(job, effects, progress)
            case "discard":
                raise Discard("it cannot be done")
            case "discard-once" if self.scene.ledger.records[job.id].run == 1:
                raise Discard("it cannot be done yet")
            case "stumble":
                _stumbled(self.scene.ledger.records[job.id].attempt, progress)
            case "meet":
                self._met(job, effects)
            case "cancel":
                self._cancelled(job, progress)
            case "fan-out":
                _fan_out(children, *act.split()[1:])
                with self.scene.watching():
                    assert [one.id for one in children.jobs] == _children(job.id, job.created)

    def _loop(self, job: Job, effects: Effects, progress: Progress) -> None:
        for item in progress.track(range(ITEMS)):
            effects.update(EFFECTS, {"id": item_of(job.id, item)}, add={"count": 1})
            self._sleep(2)

    def _cancelled(self, job: Job, progress: Progress) -> None:
        """Have the owner cancel the job while it runs."""
        if job.id not in self.scene.done:
            self.scene.done.add(job.id)
            cancelling(self.scene, job.id)
        progress.report(1, 2)

    def _met(self, job: Job, effects: Effects) -> None:
        """Let the same message come a second time while the first is worked on."""
        effects.update(EFFECTS, {"id": job.id}, add={"count": 1})
        if job.id not in self.scene.done:
            self.scene.done.add(job.id)
            self._sleep(1)
            self.scene.poll(first.name)
            self._sleep(1)

    def _sleep(self, seconds: float) -> None:
        life = self.scene.life
        self.scene.stage.backend(life).clock.sleep(seconds)


def item_of(job: str, number: int) -> str:
    return f"{job}/{number}"


def _stumbled(attempt: int, progress: Progress) -> None:
    """Come further in the first attempt than in those after it."""
    progress.report(2 if attempt == 1 else 1, 3)
    if attempt == 1:
        raise OSError("it does not work yet")


def _fan_out(children: Children, *acts: str) -> None:
    """Let two jobs run side by side, and one behind them."""
    group = children.group()
    for act in acts:
        group.add_task(second, act)
    children.add_task(third, "count")


def _children(parent: str, created: str) -> list[str]:
    return [derived_id(OWNER, parent, created, f"child {number}") for number in range(3)]


@dataclass(frozen=True, slots=True)
class Workload:
    """A play by name: `plot` is what its clients do.

    `only`: whose calls are hit, where a fault in any other process makes the same play as that of another workload. The
    rest is how the functions are set up.
    """

    name: str
    plot: Callable[[Scene], None]
    only: str = ""
    seconds: float = 10.0
    visibility: int = 60
    batch: int = 1
    message_limit: int = 1_048_576

    def __str__(self) -> str:
        return self.name


def populate(scene: Scene) -> None:
    """Give the scene its functions: one for each task, and the one of the dead letters."""
    work = Company(scene).work
    scene.handlers |= {one.name: Worker(one, work) for one in TASKS}
    scene.handlers[DEAD] = DeadLetters()


# What clients do.

_NOWHERE = in_memory(ManualClock())


def calls_of(build: Build, seed: str, *, repeatable: bool = False) -> list[Call]:
    """Return what an endpoint adds, with ids that follow from the seed."""
    tasks = DurableTasks(_NOWHERE, OWNER)
    tasks._seed, tasks._repeatable = seed, repeatable
    build(tasks)
    return [*tasks._calls, *tasks._callbacks]


def add(scene: Scene, build: Build, *, repeat: bool = False) -> list[str]:
    """Ask for jobs, and once more where the client repeats a request that failed; return their ids."""
    calls = calls_of(build, "seed")
    ids = _promised(scene, calls)
    asked = scene.request("api", lambda using: publish(using, OWNER, [calls]))
    assert not isinstance(asked.error, IdTaken), "an id that nobody had was in use"
    if repeat and not asked.accepted:
        asked = scene.request("api", lambda using: publish(using, OWNER, [calls_of(build, "seed-2")]))
        replayable = all(call.replayable for call in calls if call.chosen)
        # Without a key, the client learns by the 409 that the job it wanted is there.
        there = asked.accepted or (not replayable and isinstance(asked.error, IdTaken))
        assert there, f"the repeat of a request was refused: {asked}"
        asked = replace(asked, error=None, silent=False)
    scene.ended(asked, ids)
    return ids


def add_under_key(scene: Scene, build: Build, *, repeat: bool = False) -> list[str]:
    """The same under an Idempotency-Key, from which the repeat has its ids."""
    named: list[str] = []

    def act(using: Backend) -> None:
        key = RequestKey(name=f"{OWNER}#a key", seed=f"seed-{len(scene.points)}", digest="d", expires=0)
        idempotency = Idempotency(using, "a key", key)
        idempotency.look()
        calls = calls_of(build, idempotency.seed, repeatable=True)
        idempotency.keep()
        named[:] = _promised(scene, calls)
        publish(using, OWNER, [calls])

    asked = scene.request("api", act)
    if repeat and not asked.accepted:
        asked = scene.request("api", act)
        assert asked.accepted, f"the repeat of a request was refused: {asked}"
    scene.ended(asked, named)
    return named


def _promised(scene: Scene, calls: Sequence[Call]) -> list[str]:
    for call in calls:
        match str(call.arguments["act"]).split(maxsplit=1)[0]:
            case "count" | "meet":
                scene.items[call.id] = [call.id]
            case "loop":
                scene.items[call.id] = [item_of(call.id, number) for number in range(ITEMS)]
    steps = [Step(one.id, one.even_if_failed or one.callback, one.side) for one in calls]
    scene.ledger.promise(steps)
    return [one.id for one in calls]


def cancelling(scene: Scene, job: str, *behind: str) -> None:
    """Have the owner cancel a job. Once that is answered, it and what is behind it do not complete."""
    asked = scene.request("cancel", lambda using: cancel(using, _standing(using, job)))
    for one in (job, *behind):
        scene.may_end[one] = CANCELLED if asked.accepted else CANCELLED | COMPLETED


def retrying(scene: Scene, job: str, *behind: str, repeat: bool) -> None:
    """Have the owner retry a job that has failed in its first run; where he learns nothing, he may do so again."""
    if job not in scene.accepted:
        scene.may_end |= {job: FAILED} | dict.fromkeys(behind, CANCELLED)
        return
    scene.retried.add((job, 1))
    asked = scene.request("retry", lambda using: retry(using, _standing(using, job)))
    if repeat and not asked.accepted:
        asked = scene.request("retry", lambda using: retry(using, _standing(using, job)))
        assert asked.accepted or isinstance(asked.error, CannotSteer), f"the repeat of a retry was refused: {asked}"
    surely = asked.accepted or repeat
    scene.may_end[job] = COMPLETED if surely else COMPLETED | FAILED
    for one in behind:
        scene.may_end[one] = COMPLETED if surely else COMPLETED | CANCELLED


def _standing(using: Backend, job: str) -> Record:
    record = using.records.get(OWNER, job)
    if record is None:
        raise CannotSteer("there is no such job")
    return record


# The plots. What a job does is its argument.


def _single(scene: Scene) -> None:
    add(scene, lambda tasks: tasks.add_task(first, "count"))


def _chain(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "count")
        tasks.add_task(second, "count")
        tasks.add_task(third.options(even_if_failed=True), "count")
        tasks.add_callback(first, "count")

    add(scene, build)


def _broken_chain(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "count")
        tasks.add_task(second, "discard")
        tasks.add_task(first, "count")
        tasks.add_task(third.options(even_if_failed=True), "count")

    _, broken, stopped, _ = add(scene, build)
    scene.may_end |= {broken: FAILED, stopped: CANCELLED}


def _loop(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "loop")
        tasks.add_task(second, "count")

    add(scene, build)


def _group(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        group = tasks.group()
        for one in (first, first, second):
            group.add_task(one, "count")
        tasks.add_task(third, "count")

    add(scene, build)


def _group_within(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "count")
        group = tasks.group()
        group.add_task(second, "count")
        group.add_task(second, "discard")
        tasks.add_task(first, "count")
        tasks.add_task(third.options(even_if_failed=True), "count")

    _, _, broken, stopped, _ = add(scene, build)
    scene.may_end |= {broken: FAILED, stopped: CANCELLED}


def _fan_out_and_merge(scene: Scene, second_child: str = "count") -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, f"fan-out count {second_child}")
        tasks.add_task(second, "count")
        tasks.add_task(first.options(even_if_failed=True), "count")

    head, stopped, last = add(scene, build)
    one, other, merge = _children(head, timestamp(START))
    behind = [
        Step(head),
        Step(one, side=1),
        Step(other, side=1),
        Step(merge),
        Step(stopped),
        Step(last, even_if_failed=True),
    ]
    scene.ledger.promise(behind)
    scene.items |= {job: [job] for job in (one, other, merge)}
    if head in scene.accepted:
        scene.accepted |= {one, other, merge}
    if second_child == "discard":
        scene.may_end |= {other: FAILED} | dict.fromkeys((merge, stopped), CANCELLED)


def _stumble(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "stumble")
        tasks.add_task(second, "count")

    add(scene, build)


def _once(scene: Scene, act: str) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(once, act)
        tasks.add_task(second, "count")
        tasks.add_task(third.options(even_if_failed=True), "count")

    head, behind, _ = add(scene, build)
    if scene.costly:
        scene.may_end |= {head: COMPLETED | FAILED, behind: COMPLETED | CANCELLED}


def _duplicate(scene: Scene) -> None:
    add(scene, lambda tasks: tasks.add_task(first, "meet"))
    scene.stage.repeat_messages(first.name)


def _overtaken(scene: Scene, build: Build) -> None:
    """Let a worker be faster than the request that has sent its message, and has still to put the record."""
    calls = calls_of(build, "seed")
    ids = _promised(scene, calls)
    scene.ended(scene.request("api", lambda using: publish(_Overtaken.of(using, scene), OWNER, [calls])), ids)


def _two(tasks: DurableTasks) -> None:
    tasks.add_task(first, "count")
    tasks.add_task(first, "count")


@dataclass(frozen=True, slots=True)
class _Overtaken:
    """Queues whose messages are received while they are still being sent."""

    queues: Queues
    scene: Scene

    @classmethod
    def of(cls, using: Backend, scene: Scene) -> Backend:
        return replace(using, queues=cast("Queues", cls(using.queues, scene)))

    def send(self, messages: list[Outgoing]) -> None:
        try:
            self.queues.send(messages)
        finally:
            self.scene.poll(first.name)


class _Broken(Worker):
    """A function whose code does not start, so that none of its messages reaches a claim."""

    def run(self, event: Mapping[str, Any], context: Context, using: Backend) -> Response:  # noqa: ARG002 - a worker's
        return {"batchItemFailures": [{"itemIdentifier": one["messageId"]} for one in event["Records"]]}


def _worn_out(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(once, "count")
        tasks.add_task(second, "count")
        tasks.add_task(third.options(even_if_failed=True), "count")

    scene.handlers[once.name] = _Broken(once, Company(scene).work)
    broken, stopped, _ = add(scene, build)
    scene.may_end |= {broken: FAILED, stopped: CANCELLED}


def _poison(scene: Scene) -> None:
    scene.poison = 1
    scene.stage.put_message(first.name, "no envelope")
    add(scene, lambda tasks: tasks.add_task(first, "count"))


def _large(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "count " + 3_000 * "x")
        tasks.add_task(second, "discard " + 3_000 * "x")

    _, broken = add(scene, build)
    scene.may_end[broken] = FAILED


def _cancel_running(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "cancel")
        tasks.add_task(second, "count")
        tasks.add_task(third.options(even_if_failed=True), "count")

    job, behind, _ = add(scene, build)
    scene.drain()
    if job in scene.may_end:
        scene.may_end[behind] = scene.may_end[job]


def _cancel_queued(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "count")
        tasks.add_task(second, "count")

    cancelling(scene, *add(scene, build))


def _retry(scene: Scene, *, repeat: bool) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "discard-once")
        tasks.add_task(second, "count")

    ids = add(scene, build)
    scene.drain()
    retrying(scene, *ids, repeat=repeat)


def _retry_in_group(scene: Scene) -> None:
    def build(tasks: DurableTasks) -> None:
        group = tasks.group()
        group.add_task(first, "discard-once")
        group.add_task(second, "count")
        tasks.add_task(third, "count")

    failing, _, behind = add(scene, build)
    scene.drain()
    retrying(scene, failing, behind, repeat=True)


def _chosen(scene: Scene, *, repeat: bool) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first.options(id="chosen"), "count")
        tasks.add_task(second, "count")

    add(scene, build, repeat=repeat)


def _delayed(scene: Scene) -> None:
    """Wait longer than a reservation lasts."""
    add(scene, lambda tasks: tasks.add_task(first.options(id="chosen", delay=7_200), "count"))


def _taken(scene: Scene) -> None:
    """Let another request have the id of one that was refused, whose message may have arrived."""

    def old(tasks: DurableTasks) -> None:
        tasks.add_task(first.options(id="chosen"), "count old")
        tasks.add_task(second, "count old")

    calls = calls_of(old, "seed")
    ids = _promised(scene, calls)
    asked = scene.request("api", lambda using: publish(using, OWNER, [calls]))
    scene.ended(asked, ids)
    if asked.accepted:
        return
    others = calls_of(lambda tasks: tasks.add_task(first.options(id="chosen"), "count new"), "seed-2")
    if scene.request("api", lambda using: publish(using, OWNER, [others])).accepted:
        scene.refused.discard("chosen")
        scene.accepted.add("chosen")
        scene.drain()
        assert scene.ran == {"chosen": {"count new"}}, f"jobs of the refused request ran: {scene.ran}"


def _keyed(scene: Scene, *, repeat: bool) -> None:
    def build(tasks: DurableTasks) -> None:
        group = tasks.group()
        group.add_task(first.options(key="order-1"), "count")
        group.add_task(second.options(key="order-1"), "count")
        tasks.add_task(third.options(key="order-1"), "count")

    add(scene, build, repeat=repeat)


def _request_key(scene: Scene, *, repeat: bool) -> None:
    def build(tasks: DurableTasks) -> None:
        tasks.add_task(first, "count")
        tasks.add_task(second, "count")

    add_under_key(scene, build, repeat=repeat)


WORKLOADS = {
    one.name: one
    for one in (
        Workload("single", _single),
        Workload("long-single", _single, seconds=40.0, visibility=240),
        Workload("stumble", _stumble),
        Workload("once", partial(_once, act="count")),
        Workload("loop-once", partial(_once, act="loop")),
        Workload("duplicate", _duplicate),
        Workload("overtaken", partial(_overtaken, build=lambda tasks: tasks.add_task(first, "count"))),
        Workload("overtaken-chain", partial(_overtaken, build=_two)),
        Workload(
            "overtaken-chosen",
            partial(_overtaken, build=lambda tasks: tasks.add_task(first.options(id="chosen"), "count")),
        ),
        Workload("short-visibility", _single, seconds=30.0, visibility=10),
        Workload("worn-out", _worn_out),
        Workload("poison", _poison, batch=10),
        Workload("large", _large, message_limit=2_500),
        Workload("loop", _loop),
        Workload("chain", _chain),
        Workload("broken-chain", _broken_chain),
        Workload("group", _group),
        Workload("group-within", _group_within),
        Workload("fan-out", _fan_out_and_merge),
        Workload("fan-out-broken", partial(_fan_out_and_merge, second_child="discard")),
        Workload("cancel-running", _cancel_running),
        Workload("cancel-queued", _cancel_queued),
        Workload("retry", partial(_retry, repeat=False)),
        Workload("retry-repeated", partial(_retry, repeat=True), only="retry"),
        Workload("retry-in-group", _retry_in_group),
        Workload("chosen", partial(_chosen, repeat=False)),
        Workload("chosen-repeated", partial(_chosen, repeat=True), only="api"),
        Workload("chosen-delayed", _delayed, only="api"),
        Workload("chosen-by-another", _taken, only="api"),
        Workload("keyed", partial(_keyed, repeat=False)),
        Workload("keyed-repeated", partial(_keyed, repeat=True), only="api"),
        Workload("request-key", partial(_request_key, repeat=False)),
        Workload("request-key-repeated", partial(_request_key, repeat=True), only="api"),
    )
}
