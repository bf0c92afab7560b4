"""The crash points themselves: nothing is left out, each fault does what its name says, and the dead stay dead."""

import ast
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from afterward import Depends, Progress, injected
from afterward.job import Status
from afterward.worker import Worker
from tests.faults.crash_points import cases, play, points
from tests.faults.ledger import Step
from tests.faults.lives import Killed, LifeClient
from tests.faults.scene import CANCELLED, Scene
from tests.faults.stage import EFFECTS, Stage
from tests.faults.strikes import DYNAMODB, WRITES, Fault, Point, Strike
from tests.faults.workloads import WORKLOADS, add, first, populate, second
from tests.support.cloud import DEAD, TABLE


def _tested() -> list[str]:
    """Return the workloads that the files beside this one name in `cases(...)`."""
    trees = [ast.parse(path.read_text("utf-8")) for path in Path(__file__).parent.glob("test_crash_*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    asked = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "cases"]
    return [str(arg.value) for call in asked for arg in call.args if isinstance(arg, ast.Constant)]


def test_every_workload_is_tested_once() -> None:
    """Each is named by one of the test files."""
    assert Counter(_tested()) == Counter(list(WORKLOADS))


CASES = cases(*WORKLOADS)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_call_is_hit_by_every_fault(stage: Stage, name: str) -> None:
    """The cases are the calls of another listing, each with all its faults; only writes of items can conflict."""
    hit = Counter(case.strike.point for case in CASES if case.workload.name == name)
    assert hit == {point: len(Fault) - (point.operation not in WRITES) for point in points(stage, WORKLOADS[name])}
    assert hit


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_listing_leaves_out_no_call(stage: Stage, name: str) -> None:
    """What a play lists is what the wires have sent, one request for each call."""
    scene = play(stage, WORKLOADS[name])
    sent = Counter(one.operation for wire in stage.wires.values() for one in wire.sent)
    assert Counter(point.operation for point in scene.points) == sent
    assert [point.number for point in scene.points] == list(range(1, len(scene.points) + 1))


# What each fault does.

ITEM = {"id": {"S": "x"}, "count": {"N": "1"}}


class _Struck:
    """A process whose first call is a write that is struck by a fault."""

    def __init__(self, stage: Stage, fault: Fault) -> None:
        self.stage = stage
        point = Point(1, DYNAMODB, "UpdateItem", "tester")
        self.scene = Scene(stage, Strike(point, fault))
        self.life = self.scene._born("tester", 10)
        self.client = LifeClient(stage.wires[DYNAMODB].client, self.life)

    def add_one(self) -> None:
        self.client.update_item(
            TableName=EFFECTS,
            Key={"id": {"S": "x"}},
            UpdateExpression="ADD #count :one",
            ExpressionAttributeNames={"#count": "count"},
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    @property
    def count(self) -> int:
        return self.stage.effects().get("x", 0)

    @property
    def tries(self) -> int:
        return len(self.stage.wires[DYNAMODB].sent)


@pytest.mark.parametrize(
    ("fault", "error", "tries", "count"),
    [
        (Fault.REFUSED, ClientError, 1, 0),
        (Fault.THROTTLED, ClientError, 3, 0),
        (Fault.CONFLICT, ClientError, 1, 0),
        (Fault.OUT, EndpointConnectionError, 3, 0),
        (Fault.REPLIES_LOST, ReadTimeoutError, 3, 3),
        (Fault.KILLED_BEFORE, Killed, 1, 0),
        (Fault.KILLED_AFTER, Killed, 1, 1),
    ],
)
def test_a_fault_does_what_it_says(
    stage: Stage, fault: Fault, error: type[BaseException], tries: int, count: int
) -> None:
    """The caller gets the error, after so many requests, of which so many were carried out."""
    struck = _Struck(stage, fault)
    with pytest.raises(error):
        struck.add_one()
    assert (struck.tries, struck.count) == (tries, count)


def test_a_lost_reply_is_asked_for_again(stage: Stage) -> None:
    """botocore repeats the request, which is carried out twice, and the caller notices nothing."""
    struck = _Struck(stage, Fault.REPLY_LOST)
    struck.add_one()
    assert (struck.tries, struck.count) == (2, 2)


def test_a_service_that_is_out_comes_back_for_the_next_process(stage: Stage) -> None:
    """It stays away from the process that it was hit in."""
    struck = _Struck(stage, Fault.OUT)
    for _ in range(2):
        with pytest.raises(EndpointConnectionError):
            struck.add_one()
    struck.client = LifeClient(stage.wires[DYNAMODB].client, struck.scene._born("another", 10))
    struck.add_one()
    assert struck.count == 1


# A kill is a kill.


class _Tenacious:
    """A task that would write to AWS after its end in every way in which a process might."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.left = self.leave("closed later")
        self.heard: list[str] = []

    def worker(self) -> Worker:
        def holding() -> Iterator[str]:
            yield from self.leave("provider")

        def work(act: str, *, progress: Progress = injected, held: Annotated[str, Depends(holding)] = injected) -> None:
            self.life = self.scene.life
            next(self.left)
            progress.report(1, 3)
            progress.report(2, 3)  # waits for a timer
            try:
                self.write("killed over this")
            finally:
                self.write("finally")

        return Worker(first, work)

    def leave(self, name: str) -> Iterator[str]:
        try:
            yield name
        finally:
            self.write(name)

    def write(self, name: str) -> None:
        client = LifeClient(self.scene.stage.wires[DYNAMODB].client, self.life)
        client.put_item(TableName=EFFECTS, Item={"id": {"S": name}, "count": {"N": "1"}})
        self.heard.append(name)

    def later(self) -> None:
        """Go on in a thread, and close what was left open."""
        thread = threading.Thread(target=self._beside)
        thread.start()
        thread.join()
        with pytest.raises(Killed):
            cast("Generator[str]", self.left).close()

    def _beside(self) -> None:
        with suppress(Killed):
            self.write("thread")


@pytest.mark.parametrize("fault", [Fault.KILLED_BEFORE, Fault.KILLED_AFTER])
def test_the_dead_are_not_heard(stage: Stage, fault: Fault) -> None:
    """Nothing of a killed process reaches AWS: its `finally`, its providers, its timers, its threads and its rest."""
    scene = Scene(stage, Strike(Point(5, DYNAMODB, "PutItem", first.name), fault))
    tenacious = _Tenacious(scene)
    scene.handlers[first.name] = tenacious.worker()
    (job,) = add(scene, lambda tasks: tasks.add_task(first, "count"))
    assert scene.poll(first.name)
    life = tenacious.life
    assert life is scene.struck
    assert life.unheard[:2] == ["put_item", "put_item"]
    sent = len(stage.wires[DYNAMODB].sent)

    another = scene._born("another", 100)  # is under way when the rest of the dead one wakes up
    stage.time.advance(5)
    tenacious.later()
    assert life.unheard[-2:] == ["put_item", "put_item"]
    assert len(stage.wires[DYNAMODB].sent) == sent
    assert tenacious.heard == []
    assert stage.effects() == ({"killed over this": 1} if fault is Fault.KILLED_AFTER else {})
    record = stage.records()[job]
    assert (record.status, record.attempt, record.progress) == (Status.RUNNING, 1, 1)
    assert another.alive


def test_a_timer_of_the_living_is_heard(stage: Stage) -> None:
    """What the test before this one misses is there if nobody is killed."""
    scene = Scene(stage)
    told: list[str] = []
    life = scene._born("living", 10)
    stage.backend(life).clock.call_later(1, lambda: told.append("tick"))
    stage.time.advance(5)
    assert told == ["tick"]


def test_a_process_ends_at_its_deadline(stage: Stage) -> None:
    """A sleep past it does not return, and time has stopped there."""
    scene = Scene(stage)
    life = scene._born("late", 10)
    began = scene.now
    with pytest.raises(Killed):
        stage.backend(life).clock.sleep(30)
    assert scene.now == began + 10
    with pytest.raises(Killed):
        LifeClient(stage.wires[DYNAMODB].client, life).get_item(TableName=TABLE, Key={"pk": {"S": "x"}})


def test_the_message_of_a_killed_worker_comes_again(stage: Stage) -> None:
    """It is not deleted, shows when its visibility ends, and has then been received twice."""
    scene = Scene(stage, Strike(Point(3, DYNAMODB, "UpdateItem", first.name), Fault.KILLED_BEFORE))
    populate(scene)
    add(scene, lambda tasks: tasks.add_task(first, "count"))
    began = scene.now
    assert scene.poll(first.name)
    assert not scene.poll(first.name)
    assert stage.next_visible() == began + scene.visibility
    stage.time.advance(scene.visibility + 0.001)
    (message,) = stage.receive(first.name, 1)
    assert message.receives == 2


# The checks at the end can fail.


def _played(stage: Stage, name: str = "single") -> Scene:
    scene = Scene(stage)
    populate(scene)
    WORKLOADS[name].plot(scene)
    return scene


def test_a_lost_message_is_noticed(stage: Stage) -> None:
    """A job that was accepted is queued for ever."""
    scene = _played(stage)
    (message,) = stage.receive(first.name, 1)
    stage.delete(first.name, message)
    with pytest.raises(AssertionError, match="accepted and is queued"):
        scene.settle()


def test_an_effect_too_many_is_noticed(stage: Stage) -> None:
    """It is there twice."""
    scene = _played(stage)
    (job,) = scene.accepted
    _count(stage, job)
    with pytest.raises(AssertionError, match="more than once"):
        scene.settle()


def test_an_effect_without_its_job_is_noticed(stage: Stage) -> None:
    """The job has failed, and its effect is there."""
    scene = _played(stage, "broken-chain")
    (stopped,) = (job for job, ends in scene.may_end.items() if ends == CANCELLED)
    _count(stage, stopped)
    with pytest.raises(AssertionError, match="is cancelled, and its effect is there 1 times"):
        scene.settle()


def _count(stage: Stage, job: str) -> None:
    stage.wires[DYNAMODB].client.put_item(TableName=EFFECTS, Item={"id": {"S": job}, "count": {"N": "1"}})


def test_a_lost_letter_is_noticed(stage: Stage) -> None:
    """A job has failed, and nothing is archived of it."""
    scene = _played(stage, "broken-chain")
    while not stage.receive(DEAD, 1):
        scene.poll(first.name)
        scene.poll(second.name)
    stage._queue(DEAD)._messages.clear()
    with pytest.raises(AssertionError, match="still owes"):
        scene.settle()


def test_a_job_of_a_refused_request_is_noticed(stage: Stage) -> None:
    """Its client was told that nothing of it will run, and it runs."""
    scene = _played(stage)
    scene.refused, scene.accepted = scene.accepted, set()
    with pytest.raises(AssertionError, match="was refused and ran"):
        scene.settle()


def test_what_is_seen_in_between_is_not_forgotten(stage: Stage) -> None:
    """The ledger speaks inside of an attempt, where the library takes its word for a failure of the task."""
    scene = _played(stage)
    (job,) = scene.accepted
    scene.ledger.promise([Step("before"), Step(job)])
    with pytest.raises(AssertionError, match="runs, and before before it is None"):
        scene.settle()


def test_a_strike_that_hits_nothing_is_noticed(stage: Stage) -> None:
    """A case that does not happen proves nothing."""
    strike = Strike(Point(99, DYNAMODB, "UpdateItem", first.name), Fault.REFUSED)
    with pytest.raises(AssertionError, match="nothing was hit"):
        play(stage, WORKLOADS["single"], strike)


def test_a_message_that_comes_for_ever_is_noticed(stage: Stage) -> None:
    """Draining ends, as a failure."""
    scene = _played(stage)
    del scene.handlers[first.name]
    with pytest.raises(AssertionError, match="messages were left"):
        scene.drain()
