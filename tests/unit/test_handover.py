"""What a finished job owes its chain."""

from typing import Any

import pytest

from afterward.backend import Backend
from afterward.envelope import Envelope, Link
from afterward.handover import hand_over
from afterward.job import Status
from afterward.records import Claim, Record, Written, queued
from afterward.testing import START
from tests.support.cloud import Cloud
from tests.support.jobs import FIRST, OWNER, SECOND, THIRD, ended, envelope, link, standing, waiting


def chain(*rest: Link, **about: Any) -> Envelope:
    return envelope(rest=rest or (link(SECOND, "job-2"), link(THIRD, "job-3")), **about)


def recorded(using: Backend, head: Envelope) -> None:
    """Put the records of a whole chain, as accepting it does."""
    for one in (head, *head.behind):
        using.records.add(queued(head, one, limit=3, shards=4, now=START))


def statuses(using: Backend, *job_ids: str) -> list[Status | None]:
    found = [using.records.get(OWNER, job_id) for job_id in job_ids]
    return [record.status if record else None for record in found]


def sent(using: Backend) -> list[str]:
    return [one.id for name in (FIRST, SECOND, THIRD) for one in waiting(using, name)]


def next_of(head: Envelope) -> Envelope:
    (successor,) = head.successors(0, broken_by="", broken_as="", now=START)
    return successor


def claimed(using: Backend, successor: Envelope) -> Record:
    fresh = queued(successor, successor, limit=3, shards=4, now=START)
    outcome = using.records.claim(Claim(fresh=fresh, now=START, lease=START + 10))
    assert isinstance(outcome, Written)
    return outcome.record


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
@pytest.mark.parametrize("again", [False, True])
def test_the_last_job_of_a_chain_owes_nothing(cloud: Cloud, status: Status, *, again: bool) -> None:
    """It costs no call either."""
    hand_over(cloud.backend, *ended(envelope(), status), again=again)
    assert (cloud.sqs.sent, cloud.dynamodb.sent) == ([], [])


def test_a_completed_job_is_followed_by_the_next(memory: Backend) -> None:
    """Its message carries the rest of the chain."""
    hand_over(memory, *ended(chain(), Status.COMPLETED))
    (following,) = waiting(memory, SECOND)
    assert (following.id, following.broken_by, [one.id for one in following.behind]) == ("job-2", "", ["job-3"])
    assert sent(memory) == ["job-2"]


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_a_chain_stops_at_its_first_failure(memory: Backend, status: Status) -> None:
    """The jobs behind it are cancelled, and say because of which one."""
    recorded(memory, chain())
    hand_over(memory, *ended(chain(), status))
    assert (sent(memory), statuses(memory, "job-2", "job-3")) == ([], [Status.CANCELLED] * 2)
    assert standing(memory, "job-2").reason == "job job-1, which comes before it in its chain, did not complete"
    assert (standing(memory, "job-2").message or "").startswith("Cancelled: job job-1")


def test_jobs_without_a_record_are_cancelled_too(memory: Backend) -> None:
    """The put of accepting may come later; it finds them cancelled."""
    hand_over(memory, *ended(chain(), Status.FAILED))
    assert statuses(memory, "job-2", "job-3") == [Status.CANCELLED] * 2
    recorded(memory, chain())
    assert statuses(memory, "job-2", "job-3") == [Status.CANCELLED] * 2


def test_a_job_that_runs_in_any_case_follows_a_failure(memory: Backend) -> None:
    """Those between are cancelled, those behind learn whose failure it was."""
    rest = (link(SECOND, "job-2"), link(THIRD, "job-3", even_if_failed=True), link(SECOND, "job-4"))
    hand_over(memory, *ended(chain(*rest), Status.FAILED))
    (following,) = waiting(memory, THIRD)
    assert (following.id, following.broken_by) == ("job-3", "job-1")
    assert statuses(memory, "job-2", "job-3", "job-4") == [Status.CANCELLED, None, None]


def test_a_chain_stays_broken(memory: Backend) -> None:
    """That cleanup succeeded does not make the failure before it good."""
    rest = (link(SECOND, "job-4"), link(THIRD, "job-5", even_if_failed=True))
    hand_over(memory, *ended(chain(*rest, broken_by="job-1"), Status.COMPLETED))
    assert (sent(memory), statuses(memory, "job-4")) == (["job-5"], [Status.CANCELLED])
    assert "job job-1," in (standing(memory, "job-4").reason or "")


def test_a_job_that_has_begun_is_not_cancelled(memory: Backend) -> None:
    """An earlier hand-over, or a hand, was faster."""
    head = chain(link(SECOND, "job-2"))
    recorded(memory, head)
    claimed(memory, next_of(head))
    hand_over(memory, *ended(head, Status.FAILED))
    assert statuses(memory, "job-2") == [Status.RUNNING]


def test_a_job_of_a_newer_run_is_not_cancelled(memory: Backend) -> None:
    """Its retry by hand is a run of its own."""
    head = chain(link(SECOND, "job-2"))
    recorded(memory, head)
    stands = standing(memory, "job-2")
    memory.records.swap(stands, stands.changed(START, run=2))
    hand_over(memory, *ended(head, Status.FAILED))
    assert statuses(memory, "job-2") == [Status.QUEUED]


def test_a_cancel_that_meets_another_write_looks_again(cloud: Cloud) -> None:
    """Somebody wrote between reading and writing; the job is still untouched, so it is cancelled."""
    head = chain(link(SECOND, "job-2"))
    recorded(cloud.backend, head)
    stands = standing(cloud.backend, "job-2")
    moved = stands.changed(START, message="moved")
    cloud.dynamodb.meanwhile("UpdateItem", lambda: cloud.backend.records.swap(stands, moved))
    hand_over(cloud.backend, *ended(head, Status.FAILED))
    assert statuses(cloud.backend, "job-2") == [Status.CANCELLED]


def test_a_cancel_that_meets_a_removal_leaves_it_at_that(cloud: Cloud) -> None:
    """A record that is gone needs no cancelling."""
    head = chain(link(SECOND, "job-2"))
    recorded(cloud.backend, head)
    stands = standing(cloud.backend, "job-2")
    cloud.dynamodb.meanwhile("UpdateItem", lambda: cloud.backend.records.remove(stands))
    hand_over(cloud.backend, *ended(head, Status.FAILED))
    assert statuses(cloud.backend, "job-2") == [None]


def test_a_delay_counts_from_the_end_of_the_job_before(memory: Backend) -> None:
    """The next job is not due before it."""
    hand_over(memory, *ended(chain(link(SECOND, "job-2", delay=5.0)), Status.COMPLETED))
    assert [one.not_before for one in waiting(memory, SECOND)] == [START + 5]
    assert memory.queues.receive(SECOND) == []  # type: ignore[attr-defined]


def test_a_job_found_finished_hands_over_again_while_that_is_owed(memory: Backend) -> None:
    """The first message may never have been sent."""
    head = chain(link(SECOND, "job-2"))
    for count in (1, 2):
        hand_over(memory, *ended(head, Status.COMPLETED), again=True)
        assert sent(memory) == ["job-2"] * count
        recorded(memory, head)


def test_a_job_found_finished_hands_over_no_more_once_the_next_has_begun(memory: Backend) -> None:
    """Running, ended, or in another run: its message has done its work."""
    head = chain(link(SECOND, "job-2"))
    running = claimed(memory, next_of(head))
    hand_over(memory, *ended(head, Status.COMPLETED), again=True)
    waits = running.changed(START, status=Status.QUEUED, lease=0.0)
    memory.records.swap(running, waits)
    hand_over(memory, *ended(head, Status.COMPLETED), again=True)
    memory.records.swap(waits, waits.changed(START, attempt=0, run=2))
    hand_over(memory, *ended(head, Status.COMPLETED), again=True)
    assert sent(memory) == []


def test_a_large_rest_of_a_chain_lies_in_s3(memory: Backend) -> None:
    """The next message is packed like the first."""
    large = Link(id="job-3", task=THIRD, arguments={"text": "x" * 1_100_000})
    hand_over(memory, *ended(chain(link(SECOND, "job-2"), large), Status.COMPLETED))
    assert [one.behind[0].arguments for one in waiting(memory, SECOND)] == [large.arguments]
