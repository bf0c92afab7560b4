"""Effects over the way of a job: whatever happens to attempts, messages and replies, each one happens once."""

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread
from typing import Annotated, Any

import pytest

from afterward import Depends, Discard, Effects, Progress, Retry, injected
from afterward.backend import Backend
from afterward.effects import LIMIT
from afterward.errors import Continue
from afterward.in_process import Invocation, as_record
from afterward.job import Status
from afterward.memory import MemoryRecords
from afterward.parcel import pack
from afterward.queues import Incoming
from afterward.steering import cancel, retry
from afterward.testing import START, ManualClock, Trial
from afterward.writes import Put, Update
from tests.support.cloud import Cloud
from tests.support.faults import Wire
from tests.support.jobs import FIRST, deliver, envelope, run, send, standing, worker
from tests.support.line import LETTERS, drain

SUM = {"id": "sum"}


def count(effects: Effects, name: str = "sum", by: int = 1) -> None:
    effects.update("things", {"id": name}, add={"n": by})


def counted(using: Backend) -> dict[str, int]:
    """Return the counters of a store in memory."""
    assert isinstance(using.records, MemoryRecords)
    return {item["id"]: int(item["n"]) for item in using.records.tables.get("things", {}).values()}


def counted_by(wire: Wire) -> dict[str, int]:
    found = wire.client.scan(TableName="things")["Items"]
    return {item["id"]["S"]: int(item["n"]["N"]) for item in found}


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """The stores of AWS with a table of the tasks' own."""
    cloud.dynamodb.client.create_table(
        TableName="things",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    cloud.dynamodb.sent.clear()
    return cloud


def counting(text: str, *, effects: Effects = injected) -> None:
    count(effects)


def message(using: Backend) -> Incoming:
    """Return the job's message as it comes from the queue, without a queue."""
    return Incoming("m-1", "r-1", pack(envelope(), using.blobs).body, 1, using.clock.now(), {})


# One attempt


def test_effects_are_there_when_the_job_is_completed(memory: Backend) -> None:
    """And not before."""
    seen: list[dict[str, int]] = []

    def work(text: str, *, effects: Effects = injected) -> None:
        count(effects)
        seen.append(counted(memory))

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert (seen, counted(memory), standing(memory).status) == ([{}], {"sum": 1}, Status.COMPLETED)


@pytest.mark.parametrize("error", [ValueError("no"), Retry("later"), Discard("never"), SystemExit()])
def test_effects_of_an_attempt_that_failed_are_dropped(memory: Backend, error: BaseException) -> None:
    """Whatever it raised."""

    def work(text: str, *, effects: Effects = injected) -> None:
        count(effects)
        raise error

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert counted(memory) == {}


def test_a_second_attempt_counts_once(memory: Backend, clock: ManualClock) -> None:
    """What the first one had added is not there twice."""
    seen: list[str] = []

    def work(text: str, *, effects: Effects = injected) -> None:
        count(effects)
        seen.append(text)
        if len(seen) == 1:
            raise ValueError

    send(memory, envelope())
    for _ in range(2):
        run(worker(FIRST, work), memory)
        clock.advance(60)
    assert (len(seen), counted(memory)) == (2, {"sum": 1})


def test_providers_may_ask_for_effects(memory: Backend) -> None:
    """They get those of the attempt; what one adds while it is closed belongs to it as well."""

    def counter(effects: Effects) -> Any:
        yield lambda: count(effects)
        count(effects, "closed")

    def work(text: str, *, add: Annotated[Callable[[], None], Depends(counter)] = injected) -> None:
        add()

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert counted(memory) == {"sum": 1, "closed": 1}


def test_async_tasks_have_effects_too(memory: Backend) -> None:
    """The same ones."""

    async def work(text: str, *, effects: Effects = injected) -> None:
        count(effects)

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert counted(memory) == {"sum": 1}


def test_a_job_that_was_cancelled_has_no_effects(memory: Backend) -> None:
    """The cancel was first, so all of the attempt's end is refused."""

    def work(text: str, *, effects: Effects = injected) -> None:
        count(effects)
        stands = standing(memory)
        memory.records.swap(stands, stands.changed(START, status=Status.CANCELLED, lease=0.0))

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert (counted(memory), standing(memory).status) == ({}, Status.CANCELLED)


def test_an_attempt_that_was_overtaken_has_no_effects(memory: Backend, clock: ManualClock) -> None:
    """Its lease has ended while it worked; another attempt has counted."""
    again: list[str] = []

    def work(text: str, *, effects: Effects = injected) -> None:
        count(effects)
        if not again:
            again.append(text)
            clock.advance(60)
            deliver(worker(FIRST, work), memory, message(memory))

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert (counted(memory), standing(memory).attempt) == ({"sum": 1}, 2)


def test_two_commits_of_one_job_cost_two_requests(cloud: Cloud) -> None:
    """The claim, and the end with its effects."""
    deliver(worker(FIRST, counting), cloud.backend, message(cloud.backend))
    assert cloud.dynamodb.counts == {"UpdateItem": 1, "TransactWriteItems": 1}


# Deliveries


def test_ten_deliveries_one_after_the_other_count_once(memory: Backend) -> None:
    """The first one does it; the others find it done."""
    kept = [deliver(worker(FIRST, counting), memory, message(memory)) for _ in range(10)]
    assert (kept, counted(memory)) == ([[]] * 10, {"sum": 1})


@pytest.mark.parametrize("using", ["memory", "cloud"])
def test_ten_deliveries_at_once_count_once(request: pytest.FixtureRequest, using: str) -> None:
    """One of them claims the job; the others come again or find it done."""
    found = request.getfixturevalue(using)
    backend = found.backend if isinstance(found, Cloud) else found
    barrier, handler = Barrier(10), worker(FIRST, counting)
    event = {"Records": [as_record(message(backend))]}

    def take(_: int) -> None:
        barrier.wait()
        handler.run(event, Invocation(10), backend)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(take, range(10)))
    told = counted_by(found.dynamodb) if isinstance(found, Cloud) else counted(backend)
    assert (told, standing(backend).status, standing(backend).attempt) == ({"sum": 1}, Status.COMPLETED, 1)


# Replies that do not come, writers that meet, tables that refuse


@pytest.mark.parametrize("times", [1, 2, 3, 5, 7])
def test_an_end_whose_reply_is_lost_counts_once(cloud: Cloud, times: int) -> None:
    """botocore repeats it, then the attempt: each recognises what took place."""
    cloud.dynamodb.lose("TransactWriteItems", times=times)
    deliver(worker(FIRST, counting), cloud.backend, message(cloud.backend))
    assert (counted_by(cloud.dynamodb), standing(cloud.backend).status) == ({"sum": 1}, Status.COMPLETED)


def test_an_end_that_nobody_hears_of_counts_once(cloud: Cloud) -> None:
    """The attempt gives up at its deadline; the next delivery finds the job done."""
    cloud.dynamodb.lose("TransactWriteItems", times=3)
    cloud.dynamodb.cut("TransactWriteItems")
    cloud.dynamodb.cut("UpdateItem", skip=1)
    assert deliver(worker(FIRST, counting), cloud.backend, message(cloud.backend)) == ["m-1"]
    cloud.dynamodb.heal()
    assert deliver(worker(FIRST, counting), cloud.backend, message(cloud.backend)) == []
    assert (counted_by(cloud.dynamodb), standing(cloud.backend).attempt) == ({"sum": 1}, 1)


def test_conflicts_are_tried_until_the_deadline(cloud: Cloud, clock: ManualClock) -> None:
    """A counter that many jobs meet at costs time, and no attempt."""
    cloud.dynamodb.cancel_transaction("None", "TransactionConflict", times=12)
    deliver(worker(FIRST, counting), cloud.backend, message(cloud.backend))
    assert (counted_by(cloud.dynamodb), standing(cloud.backend).attempt) == ({"sum": 1}, 1)
    assert START < clock.now() < START + 10


def test_throttling_is_tried_until_the_deadline(cloud: Cloud, clock: ManualClock) -> None:
    """As every other answer that may be another one soon."""
    cloud.dynamodb.refuse("TransactWriteItems", "ThrottlingException", times=9)
    deliver(worker(FIRST, counting), cloud.backend, message(cloud.backend))
    assert (counted_by(cloud.dynamodb), standing(cloud.backend).attempt) == ({"sum": 1}, 1)
    assert START < clock.now() < START + 10


def test_conflicts_without_end_leave_the_job_to_another_attempt(cloud: Cloud, clock: ManualClock) -> None:
    """The message stays, and the record says who held it."""
    cloud.dynamodb.cancel_transaction("None", "TransactionConflict", times=1_000)
    assert deliver(worker(FIRST, counting), cloud.backend, message(cloud.backend)) == ["m-1"]
    assert clock.now() < START + 10
    cloud.dynamodb.heal()
    clock.advance(20)
    deliver(worker(FIRST, counting), cloud.backend, message(cloud.backend))
    assert (counted_by(cloud.dynamodb), standing(cloud.backend).attempt) == ({"sum": 1}, 2)


def test_an_effect_that_is_refused_fails_the_attempt(cloud: Cloud, clock: ManualClock) -> None:
    """In words that name the table; after the last attempt the job has failed, and nothing was written."""
    cloud.dynamodb.client.put_item(TableName="things", Item={"id": {"S": "sum"}, "n": {"S": "many"}})
    for _ in range(3):
        send_and_deliver(cloud, counting)
        clock.advance(120)
    failed = standing(cloud.backend)
    assert (failed.status, failed.attempt) == (Status.FAILED, 3)
    said = "DynamoDB does not take the effects on things (ValidationException: An operand in the update expression"
    assert (failed.reason or "").startswith(said)


def send_and_deliver(cloud: Cloud, implementation: Callable[..., None]) -> list[str]:
    send(cloud.backend, envelope())
    return deliver(worker(FIRST, implementation), cloud.backend, *cloud.waiting(FIRST)[:1])


# Checkpoints


Killed = KeyboardInterrupt
"""What stops a worker without a word: nothing is written after it."""


class Items:
    """A task that counts items and their sum, and is killed once or more on its way. `seen` has what it did."""

    def __init__(self, clock: ManualClock, seconds: float, *kills: int, items: int = 8) -> None:
        self.clock = clock
        self.seconds = seconds
        self.kills = list(kills)
        self.items = items
        self.seen: list[int] = []

    def work(self, text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        """Count all items of the job."""
        count(effects, "before")
        for item in progress.track(range(self.items)):
            count(effects, f"item {item}")
            count(effects)
            self.clock.advance(self.seconds)
            self.seen.append(item)
            assert text == "hello"
            if self.kills and len(self.seen) == self.kills[0]:
                self.kills.pop(0)
                raise Killed
        count(effects, "after")

    @property
    def outcome(self) -> dict[str, int]:
        """What a run without any trouble comes to."""
        each = {f"item {item}": 1 for item in range(self.items)}
        return each | {"sum": self.items, "before": 1, "after": 1}


def finish(task: Items, using: Backend, *, seconds: float = 900, deliveries: int = 30) -> None:
    """Deliver until the job is final."""
    for _ in range(deliveries):
        if run_once(task, using, seconds):
            return
        task.clock.advance(1_000)
    pytest.fail(f"the job is {standing(using).status}")


def run_once(task: Items, using: Backend, seconds: float) -> bool:
    try:
        deliver(worker(FIRST, task.work), using, message(using), seconds=seconds)
    except Killed:
        return False
    return standing(using).status.final


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0, 1.5])
@pytest.mark.parametrize("kill", [1, 3, 8])
def test_an_item_counts_once_however_often_it_is_done(
    memory: Backend, clock: ManualClock, kill: int, seconds: float
) -> None:
    """A worker that is killed loses what no checkpoint stands for, and nothing of it was written."""
    task = Items(clock, seconds, kill)
    finish(task, memory)
    assert counted(memory) == task.outcome
    assert len(task.seen) >= 8


def test_what_a_checkpoint_stands_for_is_there(memory: Backend, clock: ManualClock) -> None:
    """Between the items, the tables show what the record's checkpoint counts as done, and no more."""
    task = Items(clock, 0.4, 6)
    run_once(task, memory, 900)
    stands = standing(memory)
    done = [int(name.removeprefix("item ")) for name in counted(memory) if name.startswith("item")]
    assert stands.checkpoint == f'{{"state":null,"tracks":[{len(done)}]}}'
    assert 0 < len(done) < 6
    assert counted(memory)["sum"] == len(done)
    assert "before" not in counted(memory)


def test_the_timer_commits_what_is_staged_and_nothing_open(memory: Backend, clock: ManualClock) -> None:
    """It writes in the middle of an item: that item's effects wait for the item's own count."""
    seen: list[dict[str, int]] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(3)):
            count(effects, f"item {item}")
            clock.advance(1.2 if item == 2 else 0.4)
            seen.append(counted(memory))

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert seen[2] == {"item 0": 1, "item 1": 1}
    assert counted(memory) == {"item 0": 1, "item 1": 1, "item 2": 1}


def test_a_job_that_goes_on_elsewhere_counts_once(memory: Backend, clock: ManualClock) -> None:
    """Over many invocations, none of which has time for all; effects around the loop count once, too."""
    task = Items(clock, 1.0, items=40)
    finish(task, memory, seconds=10)
    assert counted(memory) == task.outcome
    assert task.seen == list(range(40))
    assert standing(memory).attempt > 4


def test_a_checkpoint_commits_what_was_added_before_it(memory: Backend, clock: ManualClock) -> None:
    """Then and there; what comes behind it belongs to the next one, or to the end."""
    seen: list[dict[str, int]] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for step in range(progress.state or 0, 3):
            count(effects, f"step {step}")
            count(effects)
            progress.checkpoint(step + 1)
            seen.append(counted(memory))
            if step == 1 and len(seen) == 2:
                count(effects, "lost")
                raise ValueError

    send(memory, envelope())
    for _ in range(2):
        run(worker(FIRST, work), memory)
        clock.advance(60)
    assert seen[1] == {"step 0": 1, "step 1": 1, "sum": 2}
    assert counted(memory) == {"step 0": 1, "step 1": 1, "step 2": 1, "sum": 3}


def test_a_failed_attempt_keeps_what_it_had_counted(memory: Backend, clock: ManualClock) -> None:
    """Its last items were staged and not yet written: they are, together with the checkpoint that counts them."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(4)):
            count(effects, f"item {item}")
            seen.append(item)
            if seen == [0, 1, 2]:
                raise ValueError

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert counted(memory) == {"item 0": 1, "item 1": 1}
    clock.advance(60)
    run(worker(FIRST, work), memory)
    assert seen == [0, 1, 2, 2, 3]
    assert counted(memory) == {f"item {item}": 1 for item in range(4)}


def test_a_loop_that_is_left_counts_its_last_item_at_the_end(memory: Backend, clock: ManualClock) -> None:
    """`break` leaves an item that is not counted, and would be done again: its effects wait for the job's end."""
    kills = [True]

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(4)):
            count(effects, f"first {item}")
            if item == 1:
                break
        for item in progress.track(range(4)):
            count(effects, f"second {item}")
            clock.advance(1.1)
            if item == 2 and kills.pop():
                kills.append(False)
                raise Killed

    with pytest.raises(Killed):
        deliver(worker(FIRST, work), memory, message(memory))
    assert counted(memory) == {"first 0": 1, "second 0": 1, "second 1": 1}
    clock.advance(60)
    deliver(worker(FIRST, work), memory, message(memory))
    expected = {"first 0", "first 1", *(f"second {item}" for item in range(4))}
    assert counted(memory) == dict.fromkeys(expected, 1)


def test_an_iterable_may_add_effects(memory: Backend, clock: ManualClock) -> None:
    """It runs from its start in every attempt, so what it adds belongs to none of the items, but to the job's end."""
    kills = [True]

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        def rows() -> Any:
            for row in range(5):
                count(effects, f"read {row}")
                yield row

        for row in progress.track(rows(), 5):
            count(effects, f"row {row}")
            clock.advance(1.1)
            if row == 3 and kills.pop():
                kills.append(False)
                raise Killed

    with pytest.raises(Killed):
        deliver(worker(FIRST, work), memory, message(memory))
    clock.advance(60)
    deliver(worker(FIRST, work), memory, message(memory))
    assert counted(memory) == {name: 1 for row in range(5) for name in (f"read {row}", f"row {row}")}


def test_an_item_of_a_loop_may_not_come_before_what_stands_around_it(memory: Backend) -> None:
    """It would be overwritten by what is committed later, though it was said earlier."""

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        effects.put("things", SUM, {"n": 0})
        for _ in progress.track(range(3)):
            count(effects)

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    said = "things[id='sum']: written before the loop that progress.track counts, and committed after it; write it in"
    assert said in (standing(memory).reason or "")


def test_a_checkpoint_before_a_loop_lets_it_follow(memory: Backend) -> None:
    """As the refusal advises."""

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        if not progress.state:
            effects.put("things", SUM, {"n": 0})
            progress.checkpoint("begun")
        for _ in progress.track(range(3)):
            count(effects)

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert counted(memory) == {"sum": 3}


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_loop_may_write_any_number_of_items(cloud: Cloud, clock: ManualClock, seconds: float) -> None:
    """What is more than one commit takes is committed on the way, always with the checkpoint that counts it."""
    task = Items(clock, seconds, 150, items=120)
    finish(task, cloud.backend)
    assert counted_by(cloud.dynamodb) == task.outcome
    sizes = [len(body["TransactItems"]) for body in cloud.dynamodb.bodies("TransactWriteItems")]
    assert max(sizes) <= LIMIT + 1
    assert seconds or len(sizes) < 10


def test_a_loop_may_write_any_number_of_bytes(memory: Backend) -> None:
    """What is more than one commit takes is committed on the way, as for the number of items."""
    sizes: list[int] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(20)):
            effects.put("things", {"id": f"{item}"}, {"n": 1, "text": "x" * 300_000})
            assert isinstance(memory.records, MemoryRecords)
            sizes.append(len(memory.records.tables.get("things", {})))

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert len(counted(memory)) == 20
    assert [size for size in sizes if size > 1] == [10] * 9


def test_the_end_may_need_two_commits(memory: Backend) -> None:
    """What is staged goes first, under its checkpoint, where both together are too much."""

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(2)):
            for number in range(40):
                count(effects, f"{item} {number}")
        for number in range(90):
            count(effects, f"end {number}")

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert (len(counted(memory)), standing(memory).checkpoint) == (170, None)


def test_writes_that_cannot_be_merged_go_one_after_the_other(memory: Backend) -> None:
    """An item's initial value, and another item's addition to it: the first is committed before the second."""

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(4)):
            if item == 1:
                effects.update("things", SUM, initial={"n": 10})
            else:
                count(effects, "sum" if item else "other")

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert counted(memory) == {"other": 1, "sum": 12}


# Checkpoints and a DynamoDB that is not itself


def test_a_checkpoint_in_doubt_commits_once(cloud: Cloud, clock: ManualClock) -> None:
    """It took place and nobody heard; the next write recognises it, and commits what came since and no more."""
    task = Items(clock, 1.1, items=6)
    cloud.dynamodb.lose("TransactWriteItems", times=3)
    cloud.dynamodb.lose("TransactWriteItems", times=3, skip=2)
    finish(task, cloud.backend)
    assert counted_by(cloud.dynamodb) == task.outcome
    assert (task.seen, standing(cloud.backend).attempt) == (list(range(6)), 1)


def test_a_checkpoint_that_did_not_arrive_is_written_later(cloud: Cloud, clock: ManualClock) -> None:
    """With the effects that it stands for, and those of the items since."""
    task = Items(clock, 1.1, items=6)
    cloud.dynamodb.cut("TransactWriteItems", times=9)
    finish(task, cloud.backend)
    assert counted_by(cloud.dynamodb) == task.outcome
    assert (task.seen, standing(cloud.backend).attempt) == (list(range(6)), 1)


def test_an_attempt_that_ends_in_doubt_about_its_checkpoint(cloud: Cloud, clock: ManualClock) -> None:
    """`checkpoint` raises what it knows, which fails the attempt; the next one goes on from what did take place."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for step in range(progress.state or 0, 3):
            count(effects)
            seen.append(step)
            progress.checkpoint(step + 1)

    cloud.dynamodb.lose("TransactWriteItems", times=3)
    with_fault = send_and_deliver(cloud, work)
    clock.advance(60)
    assert (with_fault, standing(cloud.backend).status) != ([], Status.COMPLETED)
    send_and_deliver(cloud, work)
    assert (seen, counted_by(cloud.dynamodb)) == ([0, 1, 2], {"sum": 3})


@pytest.mark.parametrize("caught", [False, True])
def test_a_checkpoint_whose_effects_are_refused(cloud: Cloud, clock: ManualClock, *, caught: bool) -> None:
    """The attempt fails, also where the task goes on; the next one starts behind the last checkpoint that was taken."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for step in range(progress.state or 0, 3):
            seen.append(step)
            count(effects)
            progress.report(step + 1, 3)
            if seen == [0, 1]:
                effects.update("things", {"id": "text"}, add={"n": 1})
            try:
                progress.checkpoint(step + 1)
            except Exception:
                if not caught:
                    raise

    cloud.dynamodb.client.put_item(TableName="things", Item={"id": {"S": "text"}, "n": {"S": "x"}})
    send_and_deliver(cloud, work)
    failed = standing(cloud.backend)
    assert (failed.status, json.loads(failed.checkpoint or "")["state"]) == (Status.QUEUED, 1)
    assert failed.progress == len(seen)
    assert "does not take the effects on things" in (failed.reason or "")
    clock.advance(60)
    send_and_deliver(cloud, work)
    cloud.dynamodb.client.delete_item(TableName="things", Key={"id": {"S": "text"}})
    assert counted_by(cloud.dynamodb) == {"sum": 3}
    assert standing(cloud.backend).status is Status.COMPLETED


@pytest.mark.parametrize("ending", ["end", "failure", "continue"])
def test_staged_effects_that_are_refused_go_with_their_checkpoint(
    memory: Backend, clock: ManualClock, ending: str
) -> None:
    """However the attempt ends: neither is kept without the other, and the work behind the last good one is redone."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(4)):
            seen.append(item)
            count(effects, f"item {item}")
            if seen == [0, 1]:
                effects.update("things", {"id": "text"}, values={"n": "x"})
                clock.advance(2)
            if seen == [0, 1, 2]:
                effects.update("things", {"id": "text"}, add={"n": 1})
            if ending == "failure" and len(seen) == 4:
                raise ValueError
            if ending == "continue" and len(seen) == 3:
                clock.advance(0.5)
                raise Continue

    deliver(worker(FIRST, work), memory, message(memory), seconds=900)
    failed = standing(memory)
    assert (failed.status, failed.attempt) == (Status.QUEUED, 1)
    clock.advance(60)
    deliver(worker(FIRST, work), memory, message(memory), seconds=900)
    assert isinstance(memory.records, MemoryRecords)
    every = {item["id"]: item["n"] for item in memory.records.tables["things"].values()}
    assert every == {"text": "x"} | {f"item {item}": 1 for item in range(4)}
    assert standing(memory).status is Status.COMPLETED


def test_the_timers_refusal_ends_the_attempt_at_its_next_report(memory: Backend, clock: ManualClock) -> None:
    """The thread of the timer cannot raise into the task; the task learns it when it reports next."""
    seen: list[int] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(9)):
            seen.append(item)
            if item == 1:
                effects.put("things", SUM, {"n": "x"})
            if item == 2:
                count(effects, "sum")
            elsewhere = Thread(target=clock.advance, args=(0.7,))
            elsewhere.start()
            elsewhere.join()

    send(memory, envelope())
    run(worker(FIRST, work), memory)
    assert "only numbers" in (standing(memory).reason or "")
    assert len(seen) < 9


KINDS = ["lose", "lose all", "throttle", "conflict", "cut", "kill"]


def trouble(wire: Wire, task: Items, rng: random.Random) -> None:
    """Plan one fault for the next delivery."""
    kind, skip = rng.choice(KINDS), rng.randrange(4)
    if kind == "kill":
        task.kills = [len(task.seen) + rng.randint(1, 6)]
    elif kind == "conflict":
        wire.cancel_transaction("None", "TransactionConflict", times=rng.randint(1, 20))
    elif kind == "throttle":
        wire.refuse("TransactWriteItems", "ThrottlingException", times=rng.randint(1, 12), skip=skip)
    elif kind == "cut":
        wire.cut("TransactWriteItems", times=rng.randint(1, 12), skip=skip)
    else:
        wire.lose("TransactWriteItems", times=1 if kind == "lose" else 3, skip=skip)


@pytest.mark.parametrize("seed", range(25))
def test_a_storm_changes_nothing(cloud: Cloud, clock: ManualClock, seed: int) -> None:
    """Kills, lost replies, conflicts, throttling and outages, at any point of any attempt: each item counts once."""
    rng = random.Random(seed)  # noqa: S311 - a storm that can be repeated
    task = Items(clock, rng.choice([0.0, 0.4, 1.1]), items=12)
    for _ in range(2):
        for _ in range(rng.randint(1, 3)):
            trouble(cloud.dynamodb, task, rng)
        if run_once(task, cloud.backend, 900):
            break
        cloud.dynamodb.heal()
        clock.advance(1_000)
    cloud.dynamodb.heal()
    task.kills = []
    if not standing(cloud.backend).status.final:
        finish(task, cloud.backend)
    assert counted_by(cloud.dynamodb) == task.outcome
    assert standing(cloud.backend).status is Status.COMPLETED


# In tests of tasks


def test_a_trial_returns_the_effects() -> None:
    """In the order of their commits, one write per item and commit."""

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        count(effects)
        count(effects)
        progress.checkpoint(1)
        effects.put("things", SUM, {"n": 1})

    attempt = Trial().run(work, "hello")
    assert attempt.effects == [Update("things", SUM, add={"n": 2}), Put("things", SUM, {"n": 1})]


def test_a_trial_of_many_effects_commits_as_a_worker_does() -> None:
    """In steps where one commit is not enough."""
    attempt = Trial().run(Items(ManualClock(), 0, items=150).work, "hello")
    sums = [write.add["n"] for write in attempt.effects if isinstance(write, Update) and write.key == SUM]
    assert (sum(sums), len(sums)) == (150, 3)


def test_jobs_in_memory_show_their_tables() -> None:
    """What effects have written, by the keys of the items."""
    import asyncio  # noqa: PLC0415 - only here

    from afterward.background import DurableTasks  # noqa: PLC0415 - FastAPI, only here
    from afterward.testing import MemoryJobs  # noqa: PLC0415 - only here
    from tests.support.jobs import first  # noqa: PLC0415 - only here

    tasks = DurableTasks.in_memory(clock=ManualClock())
    tasks.add_task(first, "hello")
    jobs = MemoryJobs(tasks)
    first.worker(counting)
    asyncio.run(jobs.publish_and_drain())
    assert jobs.items("things") == [{"id": "sum", "n": 1}]
    assert jobs.items("nothing") == []


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
def test_a_retry_by_hand_counts_no_item_again(memory: Backend, clock: ManualClock, ending: str) -> None:
    """A new run goes on from the checkpoint under which effects are committed, after a failure and after a cancel."""
    worked: list[int] = []

    def work(text: str, *, progress: Progress = injected, effects: Effects = injected) -> None:
        for item in progress.track(range(6)):
            worked.append(item)
            clock.advance(2)
            if worked == [0, 1, 2]:
                if ending == "failed":
                    raise Discard("no")
                cancel(memory, standing(memory))
            count(effects, f"item {item}")

    handlers = (worker(FIRST, work), LETTERS)
    send(memory, envelope())
    drain(memory, *handlers)
    assert (standing(memory).status, standing(memory).progress) == (ending, 2)
    retry(memory, standing(memory))
    assert standing(memory).progress == 2
    drain(memory, *handlers)
    assert (standing(memory).status, standing(memory).run) == (Status.COMPLETED, 2)
    assert worked == [0, 1, 2, 2, 3, 4, 5]
    assert counted(memory) == {f"item {item}": 1 for item in range(6)}
