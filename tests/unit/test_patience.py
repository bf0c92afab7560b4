"""A service that throttles is asked again while there is time; then the message comes again, and nothing is lost."""

import pytest

from afterward.errors import Unavailable
from afterward.job import Status
from afterward.patience import patiently
from afterward.records import SKEW
from afterward.testing import START, ManualClock
from afterward.worker import Worker
from tests.support.cloud import Cloud
from tests.support.faults import Wire
from tests.support.jobs import OWNER, SECOND, THIRD, deliver, envelope, link, send, standing, worker
from tests.support.line import LETTERS, Works, drain, receive


class Service:
    """Answers when it has been asked so many times."""

    def __init__(self, refusals: int, *, lasting: bool = False) -> None:
        self.refusals = refusals
        self.lasting = lasting
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.refusals:
            raise Unavailable("throttled", lasting=self.lasting)
        return "done"


def test_a_service_is_asked_until_it_answers(clock: ManualClock) -> None:
    """With pauses that grow to a second."""
    service = Service(6)
    assert patiently(service, clock, START + 60) == "done"
    assert clock.now() - START == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1 + 1)


def test_no_call_begins_when_time_is_up(clock: ManualClock) -> None:
    """A second is left for whatever comes then."""
    service = Service(1_000)
    with pytest.raises(Unavailable, match="throttled"):
        patiently(service, clock, START + 5)
    assert service.asked > 4
    assert clock.now() <= START + 4


def test_what_will_not_pass_is_not_asked_again(clock: ManualClock) -> None:
    """Access that is denied is denied in a second, too."""
    service = Service(1, lasting=True)
    with pytest.raises(Unavailable):
        patiently(service, clock, START + 60)
    assert (service.asked, clock.now()) == (1, START)


def _wires(cloud: Cloud) -> dict[str, tuple[Wire, int]]:
    """Return by operation the wire, and how many of its requests come before the one that matters."""
    return {
        "UpdateItem": (cloud.dynamodb, 0),  # the claim
        "end": (cloud.dynamodb, 1),
        "SendMessage": (cloud.sqs, 0),  # the hand-over
    }


@pytest.mark.parametrize("part", ["UpdateItem", "end", "SendMessage"])
def test_throttling_for_a_while_costs_no_second_delivery(cloud: Cloud, part: str) -> None:
    """Each step of a delivery waits it out, and the job and the one behind it run in their first attempt."""
    works = Works()
    send(cloud.backend, envelope(rest=[link(SECOND, "job-2")]))
    (message,) = receive(cloud.backend, works.workers[0])
    wire, skip = _wires(cloud)[part]
    wire.sent.clear()
    wire.refuse("UpdateItem" if part == "end" else part, "ThrottlingException", skip=skip, times=9)
    assert deliver(works.workers[0], cloud.backend, message) == []
    drain(cloud.backend, *works.workers)
    assert [standing(cloud.backend, one).attempt for one in ("job-1", "job-2")] == [1, 1]


@pytest.mark.parametrize("part", ["UpdateItem", "end", "SendMessage"])
def test_throttling_beyond_the_deadline_is_a_clean_retry(cloud: Cloud, clock: ManualClock, part: str) -> None:
    """The invocation ends in time, the message comes again, and all jobs are completed."""
    works = Works()
    send(cloud.backend, envelope(rest=[link(SECOND, "job-2")]))
    (message,) = receive(cloud.backend, works.workers[0])
    wire, skip = _wires(cloud)[part]
    wire.refuse("UpdateItem" if part == "end" else part, "ThrottlingException", skip=skip)
    began = clock.now()
    assert deliver(works.workers[0], cloud.backend, message, seconds=10) == [message.id]
    assert clock.now() - began <= 10
    wire.heal()
    clock.advance(60)
    assert deliver(works.workers[0], cloud.backend, message) == []
    drain(cloud.backend, *works.workers)
    stands = [standing(cloud.backend, one).status for one in ("job-1", "job-2")]
    assert stands == [Status.COMPLETED, Status.COMPLETED]


def noting(cloud: Cloud) -> tuple[list[float], Worker]:
    """Return a worker of the third task, and the list in which it notes how many seconds each attempt has."""
    times: list[float] = []

    def work(text: str) -> None:
        times.append(standing(cloud.backend).lease - SKEW - cloud.clock.now())

    return times, worker(THIRD, work)


def test_half_of_the_time_is_the_tasks(cloud: Cloud) -> None:
    """A claim may wait for the table as long as that leaves the attempt enough of its invocation."""
    times, handler = noting(cloud)
    send(cloud.backend, envelope(THIRD))
    (message,) = receive(cloud.backend, handler)
    cloud.dynamodb.refuse("UpdateItem", "ThrottlingException", times=75)
    assert deliver(handler, cloud.backend, message, seconds=60) == []
    assert standing(cloud.backend).status is Status.COMPLETED
    assert 30 <= times[0] < 40


def test_an_attempt_that_would_begin_late_is_not_spent(cloud: Cloud, clock: ManualClock) -> None:
    """The table is throttled beyond half of the time, so the message comes again, and the job has its one attempt."""
    times, handler = noting(cloud)
    send(cloud.backend, envelope(THIRD))
    (message,) = receive(cloud.backend, handler)
    cloud.dynamodb.refuse("UpdateItem", "ThrottlingException", times=150)
    assert deliver(handler, cloud.backend, message, seconds=60) == [message.id]
    assert (times, cloud.item(OWNER, "job-1")) == ([], None)
    assert clock.now() <= START + 30
    cloud.dynamodb.heal()
    clock.advance(60)
    assert deliver(handler, cloud.backend, message, seconds=60) == []
    assert (times, standing(cloud.backend).status, standing(cloud.backend).attempt) == ([60], Status.COMPLETED, 1)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_passes_is_told_by_its_status_too(cloud: Cloud, status: int) -> None:
    """A code that nobody has heard of costs no second delivery."""
    works = Works()
    send(cloud.backend, envelope())
    (message,) = receive(cloud.backend, works.workers[0])
    cloud.dynamodb.refuse("UpdateItem", "SomethingNew", status=status, times=3)
    assert deliver(works.workers[0], cloud.backend, message) == []
    assert works.ran == ["hello"]


def test_a_request_that_is_refused_as_wrong_is_not_repeated(cloud: Cloud, clock: ManualClock) -> None:
    """It would be as wrong in a moment."""
    works = Works()
    send(cloud.backend, envelope())
    (message,) = receive(cloud.backend, works.workers[0])
    cloud.dynamodb.refuse("UpdateItem", "ValidationException", status=400)
    assert deliver(works.workers[0], cloud.backend, message) == [message.id]
    assert (cloud.dynamodb.counts["UpdateItem"], clock.now()) == (1, START)


def test_a_queue_whose_access_is_denied_costs_no_time(cloud: Cloud, clock: ManualClock) -> None:
    """A wrong policy would else bill every invocation up to its timeout."""
    works = Works()
    send(cloud.backend, envelope())
    (message,) = receive(cloud.backend, works.workers[0])
    cloud.dynamodb.refuse("UpdateItem", "AccessDeniedException")
    began = clock.now()
    assert deliver(works.workers[0], cloud.backend, message) == [message.id]
    assert clock.now() == began


def test_a_dead_letter_waits_throttling_out(cloud: Cloud) -> None:
    """It is archived in its first delivery."""
    works = Works("hello")
    send(cloud.backend, envelope())
    drain(cloud.backend, *works.workers)
    (letter,) = receive(cloud.backend, LETTERS)
    cloud.s3.refuse("PutObject", "SlowDown", status=503, times=9)
    assert deliver(LETTERS, cloud.backend, letter) == []
    assert len(cloud.objects("archive/")) == 1
    assert standing(cloud.backend).owes == ""
