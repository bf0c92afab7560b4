"""How a whole chain is doing, as its first job's progress tells it."""

from typing import Any

import pytest

from afterward.backend import Backend
from afterward.chains import speaking_for_chain
from afterward.errors import Unavailable
from afterward.job import Status
from afterward.publish import publish
from afterward.records import Record, link_id
from afterward.testing import START
from tests.support.cloud import Cloud
from tests.support.jobs import FIRST, OWNER, SECOND, THIRD, call, standing


def accepted(using: Backend, *, size: int = 3, **named: str) -> list[str]:
    """Accept a chain as `DurableTasks` names its jobs; return their ids. `named`: number → chosen id."""
    ids = [named.get(f"n{number}") or link_id(OWNER, "head", number) for number in range(size)]
    tasks = (FIRST, SECOND, THIRD)
    publish(using, OWNER, [[call(tasks[number % 3], id=one) for number, one in enumerate(ids)]])
    return ids


def write(using: Backend, job_id: str, **changes: Any) -> None:
    stands = standing(using, job_id)
    using.records.swap(stands, stands.changed(START, **changes))


def told(using: Backend) -> tuple[Status, int, int | None, str | None]:
    shown = shown_of(using)
    return shown.status, shown.progress, shown.total, shown.message


def shown_of(using: Backend) -> Record:
    return speaking_for_chain(using.records, standing(using, "head"))


def test_a_chain_tells_the_truth_at_each_moment(stores: Backend) -> None:
    """Queued until the first begins, running until all are final; the message is the word of the one at work."""
    one, two, three = accepted(stores)
    assert told(stores) == (Status.QUEUED, 0, 3, f"{FIRST} (1 of 3): Waiting to start")
    write(stores, one, status=Status.RUNNING, attempt=1, message="Step 1", progress=5)
    assert told(stores) == (Status.RUNNING, 0, 3, f"{FIRST} (1 of 3): Step 1")
    write(stores, one, status=Status.COMPLETED, message="Done")
    assert told(stores) == (Status.RUNNING, 1, 3, f"{SECOND} (2 of 3): Waiting to start")
    write(stores, two, status=Status.RUNNING, attempt=1)
    assert told(stores) == (Status.RUNNING, 1, 3, f"{SECOND} (2 of 3): Running")
    write(stores, two, status=Status.QUEUED, message="Attempt 1 of 3 failed, trying again: no")
    assert told(stores) == (Status.RUNNING, 1, 3, f"{SECOND} (2 of 3): Attempt 1 of 3 failed, trying again: no")
    write(stores, two, status=Status.COMPLETED)
    write(stores, three, status=Status.COMPLETED, message="Task completed successfully")
    assert told(stores) == (Status.COMPLETED, 3, 3, f"{THIRD} (3 of 3): Task completed successfully")


def test_a_broken_chain_fails_when_all_is_over(stores: Backend) -> None:
    """While a job runs in spite of the failure, so does the chain; in the end it tells of the failure."""
    one, two, three = accepted(stores)
    write(stores, one, status=Status.FAILED, message="Task failed: no")
    write(stores, two, status=Status.CANCELLED, message="Cancelled: job head did not complete")
    assert told(stores) == (Status.RUNNING, 2, 3, f"{THIRD} (3 of 3): Waiting to start")
    write(stores, three, status=Status.COMPLETED)
    assert told(stores) == (Status.FAILED, 3, 3, f"{FIRST} (1 of 3): Task failed: no")


def test_a_cancelled_chain_is_cancelled(memory: Backend) -> None:
    """Where nothing failed, a cancellation is what ended it."""
    for job_id in accepted(memory):
        write(memory, job_id, status=Status.CANCELLED, message="Cancelled by its owner")
    assert told(memory) == (Status.CANCELLED, 3, 3, f"{FIRST} (1 of 3): Cancelled by its owner")


def test_of_jobs_side_by_side_one_that_runs_is_told_of(memory: Backend) -> None:
    """Those that wait for their turn say less."""
    one, two, three = accepted(memory)
    write(memory, one, status=Status.COMPLETED)
    write(memory, three, status=Status.RUNNING, attempt=1, message="At it")
    assert told(memory) == (Status.RUNNING, 1, 3, f"{THIRD} (3 of 3): At it")
    assert two


def test_a_job_alone_speaks_for_itself(cloud: Cloud) -> None:
    """It costs no read more."""
    accepted(cloud.backend, size=1)
    cloud.dynamodb.sent.clear()
    record = standing(cloud.backend, "head")
    assert speaking_for_chain(cloud.backend.records, record) is record
    assert cloud.dynamodb.counts == {"GetItem": 1}


def test_a_chain_is_read_at_once(cloud: Cloud) -> None:
    """One BatchGetItem tells of all its jobs."""
    accepted(cloud.backend, size=50)
    record = standing(cloud.backend, "head")
    cloud.dynamodb.sent.clear()
    assert speaking_for_chain(cloud.backend.records, record).total == 50
    assert cloud.dynamodb.counts == {"BatchGetItem": 1}


def test_keys_that_dynamodb_left_unread_are_asked_for_again(cloud: Cloud) -> None:
    """A BatchGetItem may return less than was asked for."""
    ids = accepted(cloud.backend, size=5)
    cloud.dynamodb.leave_unread(most=2, times=2)
    assert [*cloud.backend.records.get_all(OWNER, [*ids, "unknown"])] == ids
    assert [len(body["RequestItems"]["jobs"]["Keys"]) for body in cloud.dynamodb.bodies("BatchGetItem")] == [6, 4, 2]


def test_keys_that_stay_unread_are_not_taken_for_missing(cloud: Cloud) -> None:
    """A chain would seem to have jobs that wait; it is said to be unreadable now instead."""
    ids = accepted(cloud.backend)
    cloud.dynamodb.leave_unread(most=0, times=100)
    with pytest.raises(Unavailable):
        cloud.backend.records.get_all(OWNER, ids)


def test_chosen_ids_belong_to_their_chain(stores: Backend) -> None:
    """Ids that do not follow from the first are kept in its record."""
    one, two, _ = accepted(stores, n1="chosen")
    assert two == "chosen"
    write(stores, one, status=Status.COMPLETED)
    write(stores, "chosen", status=Status.RUNNING, attempt=1, message="Here")
    assert told(stores) == (Status.RUNNING, 1, 3, f"{SECOND} (2 of 3): Here")


def test_a_record_that_is_not_there_yet_is_queued(memory: Backend) -> None:
    """A put that failed is made good by the job's worker; until then the job waits."""
    one, two, _ = accepted(memory)
    memory.records.remove(standing(memory, two))
    write(memory, one, status=Status.COMPLETED)
    assert told(memory) == (Status.RUNNING, 1, 3, "next job (2 of 3): Waiting to start")


def test_any_change_of_any_job_is_another_version(stores: Backend) -> None:
    """What a client caches is outdated by each of them."""
    ids = accepted(stores)
    versions = {shown_of(stores).nonce}
    for job_id in ids:
        write(stores, job_id, message="moved")
        versions.add(shown_of(stores).nonce)
    assert len(versions) == 4
    assert shown_of(stores).nonce in versions


@pytest.mark.parametrize("done", [0, 1, 150, 249, 250])
def test_a_long_chain_tells_how_far_it_is(memory: Backend, done: int) -> None:
    """By its place, and in words."""
    for job_id in accepted(memory, size=250)[:done]:
        write(memory, job_id, status=Status.COMPLETED)
    shown = shown_of(memory)
    assert (shown.progress, shown.total) == (done, 250)
    assert f"({min(done + 1, 250)} of 250)" in (shown.message or "")


def test_a_long_chain_is_read_a_hundred_at_a_time(cloud: Cloud) -> None:
    """All of it, since nothing of it may be guessed."""
    write(cloud.backend, accepted(cloud.backend, size=250)[0], status=Status.COMPLETED)
    record = standing(cloud.backend, "head")
    cloud.dynamodb.sent.clear()
    shown = speaking_for_chain(cloud.backend.records, record)
    assert (shown.progress, shown.total) == (1, 250)
    assert [len(body["RequestItems"]["jobs"]["Keys"]) for body in cloud.dynamodb.bodies("BatchGetItem")] == [
        100,
        100,
        49,
    ]


@pytest.mark.parametrize(
    ("number", "changes", "status", "done"),
    [
        (3, {"status": Status.RUNNING, "attempt": 1}, Status.RUNNING, 149),
        (0, {"status": Status.FAILED}, Status.FAILED, 150),
        (3, {"status": Status.CANCELLED}, Status.CANCELLED, 150),
    ],
)
def test_one_job_of_a_long_chain_decides(
    memory: Backend, number: int, changes: dict[str, Any], status: Status, done: int
) -> None:
    """Wherever it stands among jobs that are completed, as in a group or behind a failure."""
    for position, job_id in enumerate(accepted(memory, size=150)):
        write(memory, job_id, **(changes if position == number else {"status": Status.COMPLETED}))
    assert told(memory)[:2] == (status, done)


def test_a_callback_is_no_part_of_the_chain(memory: Backend) -> None:
    """A chain is over when its own jobs are, whether or not somebody could be told."""
    publish(memory, OWNER, [[call(FIRST, id="head"), call(THIRD, id="callback", callback=True)]])
    write(memory, "head", status=Status.COMPLETED, message="Done")
    assert told(memory) == (Status.COMPLETED, 0, None, "Done")
