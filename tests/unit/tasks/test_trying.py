"""`afterward.testing`: what those who write tasks test them with."""

import asyncio
from dataclasses import replace
from typing import Annotated, Any

import pytest

from afterward import Backoff, Depends, Discard, Job, Progress, Status, UsageError, injected, task
from afterward.background import DurableTasks
from afterward.declaration import REGISTRY
from afterward.errors import Continue
from afterward.testing import START, Attempt, ManualClock, MemoryJobs, Trial

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


def outbox() -> list[str]:
    raise AssertionError("the real outbox")


Outbox = Annotated[list[str], Depends(outbox)]


@task(name="trying_greet", max_attempts=2, backoff=Backoff(base=60, cap=60))
def greet(name: str, *, outbox: Outbox = injected, progress: Progress = injected, job: Job = injected) -> None:
    SEEN.append(name)
    if name == "nobody":
        raise Discard("there is nobody to greet")
    if SEEN.count(name) == 1 and name == "late":
        raise OSError("not yet")
    progress.report(1, 1, f"greeted {name}")


@task(name="trying_wave")
async def wave(name: str) -> None:
    await asyncio.sleep(0)
    SEEN.append(f"wave {name}")


@task(name="trying_run")
def run_a_loop(name: str) -> None:
    asyncio.run(asyncio.sleep(0))
    SEEN.append(f"loop {name}")


@task(name="trying_hang")
async def hang() -> None:
    await asyncio.Event().wait()


@task(name="trying_declared")
def declared(name: str) -> None: ...


def deliver(
    name: str,
    /,
    count: int = 1,
    *,
    outbox: Outbox = injected,
    progress: Progress = injected,
    job: Job = injected,
) -> None:
    progress.report(0, count, f"greeting {name}")
    for number in progress.track(range(count)):
        outbox.append(f"{name} {number} of {job.id}")


def test_a_trial_injects_and_tells_what_was_reported() -> None:
    """One attempt of an implementation runs with stand-ins for its providers, and shows every write of progress."""
    box: list[str] = []
    attempt = Trial(overrides={outbox: lambda: box}, job_id="job-7").run(deliver, "Ada", count=2)
    assert box == ["Ada 0 of job-7", "Ada 1 of job-7"]
    assert isinstance(attempt, Attempt)
    assert attempt.job == Job("job-7", "deliver", "2026-11-18T11:06:40.000000Z")
    assert attempt.messages == ["greeting Ada"]
    assert attempt.writes[-1]["progress"] == 2


def test_a_trial_has_a_clock_to_move() -> None:
    """Progress is written about once a second of the trial's own time, and at the end."""
    clock = ManualClock()

    def slow(*, progress: Progress = injected) -> None:
        for done in range(5):
            progress.report(done)
            clock.advance(0.5)

    attempt = Trial(clock=clock).run(slow)
    assert [write["progress"] for write in attempt.writes] == [0, 1, 3, 4]


def test_a_trial_goes_on_from_a_checkpoint() -> None:
    """An attempt that runs out of time ends with Continue; with its checkpoint the next one goes on behind it."""
    clock = ManualClock()

    def count(*, progress: Progress = injected) -> None:
        for number in progress.track(range(6)):
            SEEN.append(number)
            clock.advance(3)

    with pytest.raises(Continue):
        Trial(clock=clock, seconds=12).run(count)
    assert SEEN == [0, 1, 2]
    Trial(clock=clock, checkpoint='{"tracks": [3]}').run(count)
    assert SEEN == [0, 1, 2, 3, 4, 5]


def test_a_trial_raises_what_the_implementation_raises() -> None:
    """Discard, Retry and every error reach the test as they are."""

    def failing() -> None:
        raise Discard("no")

    with pytest.raises(Discard, match="no"):
        Trial().run(failing)


def test_a_trial_runs_async_implementations() -> None:
    """An async implementation runs to its end."""

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        SEEN.append(name)

    Trial().run(work, "Ada")
    assert SEEN == ["Ada"]


def test_a_trial_runs_a_body_in_place() -> None:
    """A task that carries its body is given as it is."""
    box: list[str] = []
    attempt = Trial(overrides={outbox: lambda: box}).run(greet, "Ada")
    assert SEEN == ["Ada"]
    assert (attempt.job.task, attempt.messages) == ("greet", ["greeted Ada"])


def test_a_trial_runs_no_declaration() -> None:
    """Giving the task instead of its implementation is said."""
    with pytest.raises(UsageError, match="trying_declared is a declaration; run its implementation"):
        Trial().run(declared, "Ada")


def test_a_trial_refuses_arguments_that_do_not_fit() -> None:
    """Arguments that the implementation does not take are said before it runs."""
    with pytest.raises(UsageError, match="arguments that do not fit: missing a required argument: 'name'"):
        Trial().run(deliver)  # type: ignore[call-arg]


def memory_jobs() -> tuple[DurableTasks, MemoryJobs]:
    tasks = DurableTasks.in_memory(clock=ManualClock())
    return tasks, MemoryJobs(tasks)


async def nothing() -> list[str]:
    return []


@pytest.fixture
def boxed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker in place have an outbox."""
    worker = greet.worker()
    monkeypatch.setattr(worker._execution, "_overrides", {outbox: nothing})


@pytest.mark.usefixtures("boxed")
def test_jobs_in_memory_run_to_their_end() -> None:
    """What was added is published and run, sync and async tasks in their order, also those that start a loop."""
    tasks, jobs = memory_jobs()
    added = [tasks.add_task(greet, "Ada"), tasks.add_task(wave, "Bob"), tasks.add_task(run_a_loop, "Cyd")]
    assert jobs.records() == []
    asyncio.run(jobs.publish_and_drain())
    assert SEEN == ["Ada", "wave Bob", "loop Cyd"]
    assert [jobs.record(job).status for job in added] == [Status.COMPLETED] * 3
    assert jobs.record(added[0]).message == "greeted Ada"


@pytest.mark.usefixtures("boxed")
def test_retries_need_no_waiting() -> None:
    """Draining moves the clock to the next attempt."""
    tasks, jobs = memory_jobs()
    job = tasks.add_task(greet, "late")
    asyncio.run(jobs.publish_and_drain())
    assert jobs.record(job).status is Status.COMPLETED
    assert jobs.record(job).attempt == 2
    assert tasks.backend.clock.now() == START + 60


@pytest.mark.usefixtures("boxed")
def test_dead_letters_can_be_seen() -> None:
    """A job that failed for good is archived with its reason."""
    tasks, jobs = memory_jobs()
    job = tasks.add_task(greet, "nobody")
    asyncio.run(jobs.publish_and_drain())
    assert jobs.record(job).reason == "there is nobody to greet"
    assert [job.id in key for key in jobs.dead_letters] == [True]


def test_a_job_that_was_not_published_has_no_record() -> None:
    """Asking for a job before it was published says so."""
    tasks, jobs = memory_jobs()
    job = tasks.add_task(wave, "Ada")
    with pytest.raises(UsageError, match=f"job {job.id} has no record: was it published?"):
        jobs.record(job)


def test_a_task_without_an_implementation_becomes_a_dead_letter() -> None:
    """A job whose task nobody implements in this process fails and says why."""
    tasks, jobs = memory_jobs()
    job = tasks.add_task(declared, "Ada")
    asyncio.run(jobs.publish_and_drain())
    assert jobs.record(job).reason == "task 'trying_declared' has no implementation in this process"


def test_a_coroutine_that_hangs_is_ended_and_tried_again() -> None:
    """An async task ends a little before its invocation does, and the reason is kept."""
    tasks, jobs = memory_jobs()
    jobs.seconds = 0.05
    job = tasks.add_task(hang)
    asyncio.run(jobs.publish_and_drain())
    record = jobs.record(job)
    assert (record.status, record.attempt) == (Status.FAILED, 3)
    assert record.reason == "TimeoutError: the task did not end within 0.0 seconds"


def test_draining_needs_a_clock_that_moves() -> None:
    """With the system's own time a delayed job cannot be waited for, which is said instead of sleeping."""
    tasks = DurableTasks.in_memory()
    tasks.add_task(wave.options(delay=60), "Ada")
    with pytest.raises(UsageError, match=r"give in_memory\(\) a ManualClock"):
        asyncio.run(MemoryJobs(tasks).publish_and_drain())


def test_draining_ends() -> None:
    """A number of deliveries bounds a test whose jobs never end."""
    tasks, jobs = memory_jobs()
    for _ in range(3):
        tasks.add_task(wave, "Ada")
    with pytest.raises(UsageError, match="jobs were still waiting after 2 deliveries"):
        asyncio.run(jobs.publish_and_drain(limit=2))


def test_only_jobs_in_memory_can_be_looked_at() -> None:
    """The helper says that it has nothing to show where the jobs live elsewhere."""
    tasks = DurableTasks.in_memory()
    tasks.backend = replace(tasks.backend, records=Elsewhere(), queues=Elsewhere())  # type: ignore[arg-type]
    jobs = MemoryJobs(tasks)
    with pytest.raises(UsageError, match="these jobs do not live in memory"):
        jobs.records()
    with pytest.raises(UsageError, match="these jobs do not live in memory"):
        assert jobs.dead_letters
    with pytest.raises(TypeError, match="only queues in memory can be consumed in process"):
        jobs.step()


class Elsewhere:
    """Some other store."""


def test_time_stands_still_until_it_is_moved() -> None:
    """A ManualClock makes the calls that fall due on its way, in their order, and none that was cancelled."""
    clock, made = ManualClock(), []
    clock.call_later(2, lambda: made.append(("second", clock.now() - START)))
    clock.call_later(1, lambda: made.append(("first", clock.now() - START)))
    clock.call_later(1.5, lambda: made.append(("never", 0))).cancel()
    clock.call_later(9, lambda: made.append(("later", 0)))
    clock.sleep(5)
    assert made == [("first", 1), ("second", 2)]
    assert clock.now() == START + 5
    assert clock.jitter(8) == 8


def test_tasks_of_tests_are_registered_like_others() -> None:
    """A task that a test module declares is found by its name."""
    assert REGISTRY["trying_wave"] is wave
