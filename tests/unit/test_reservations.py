"""A record that is put before its message: kept once the message is sent, gone within the hour where it never was."""

from dataclasses import replace
from typing import Any

import pytest

from afterward.backend import Backend
from afterward.errors import IdTaken, Unavailable
from afterward.job import Status
from afterward.publish import Call, publish
from afterward.records import KEEP_OPEN, KEEP_RESERVED, Held, Swap, Written, link_id
from afterward.steering import cancel, retry
from afterward.testing import START, ManualClock
from tests.support.cloud import Cloud
from tests.support.jobs import FIRST, OWNER, SECOND, call, envelope, record, send, standing, worker
from tests.support.line import Works, drain, step


class DiedError(Exception):
    """The process is gone."""


def chosen(text: str = "hello", /, **about: Any) -> Call:
    return call(FIRST, text, id="mine", chosen=True, **about)


def died_before_its_send(cloud: Cloud) -> None:
    """Begin a request that dies between its put and its send."""

    def die() -> None:
        raise DiedError

    cloud.sqs.meanwhile("SendMessage", die)
    with pytest.raises(DiedError):
        publish(cloud.backend, OWNER, [[chosen()]])


def test_a_request_that_dies_leaves_nothing_queued_for_ever(cloud: Cloud, clock: ManualClock) -> None:
    """Nobody was promised anything; after an hour the job is not there, in no read."""
    died_before_its_send(cloud)
    assert standing(cloud.backend, "mine").status is Status.QUEUED
    clock.advance(KEEP_RESERVED)
    records = cloud.backend.records
    assert records.get(OWNER, "mine") is None
    assert records.get_all(OWNER, ["mine", "other"]) == {}
    assert records.page(OWNER, 10, None, 4).records == []


def test_the_id_is_free_again_then(cloud: Cloud, clock: ManualClock) -> None:
    """Also for another request, and although DynamoDB has not deleted the item yet."""
    died_before_its_send(cloud)
    with pytest.raises(IdTaken):
        publish(cloud.backend, OWNER, [[chosen("other")]])
    clock.advance(KEEP_RESERVED)
    works = Works()
    publish(cloud.backend, OWNER, [[chosen("other")]])
    drain(cloud.backend, *works.workers)
    assert (works.ran, standing(cloud.backend, "mine").status) == (["other"], Status.COMPLETED)


def test_a_repeat_within_the_hour_completes_it(cloud: Cloud, clock: ManualClock) -> None:
    """It sends what is missing, and the record stays."""
    died_before_its_send(cloud)
    clock.advance(KEEP_RESERVED - 1)
    publish(cloud.backend, OWNER, [[chosen(replayable=True)]])
    clock.advance(KEEP_RESERVED)
    assert standing(cloud.backend, "mine").status is Status.QUEUED
    works = Works()
    drain(cloud.backend, *works.workers)
    assert works.ran == ["hello"]


def test_a_record_whose_message_is_sent_stays(stores: Backend) -> None:
    """As long as any queue may hold the message."""
    publish(stores, OWNER, [[chosen(), call(SECOND, id="mine-2")]])
    for job in ("mine", "mine-2"):
        assert standing(stores, job).expires == int(START) + KEEP_OPEN


def test_what_cannot_be_confirmed_is_not_promised(cloud: Cloud, clock: ManualClock) -> None:
    """Its id might be another one's when its turn comes; the repeat that the refusal asks for finds and keeps it."""
    cloud.dynamodb.cut("UpdateItem")
    with pytest.raises(Unavailable):
        publish(cloud.backend, OWNER, [[chosen(replayable=True)]])
    cloud.dynamodb.heal()
    publish(cloud.backend, OWNER, [[chosen(replayable=True)]])
    clock.advance(KEEP_RESERVED)
    assert standing(cloud.backend, "mine").status is Status.QUEUED
    works = Works()
    drain(cloud.backend, *works.workers)
    assert works.ran == ["hello"]


def test_throttling_does_not_refuse_what_is_sent(cloud: Cloud) -> None:
    """The record is kept when the table answers again, a moment later."""
    cloud.dynamodb.refuse("UpdateItem", "ThrottlingException", times=6)
    publish(cloud.backend, OWNER, [[chosen()]])
    assert standing(cloud.backend, "mine").expires == int(START) + KEEP_OPEN


def test_a_claim_keeps_a_reservation(stores: Backend, clock: ManualClock) -> None:
    """Nobody has confirmed it, and its worker dies before any other write: the job is not gone for that."""
    stores.records.add(replace(record("mine"), expires=int(START) + KEEP_RESERVED))
    send(stores, envelope(FIRST, "mine"))

    def die(text: str) -> None:
        raise KeyboardInterrupt(text)

    with pytest.raises(KeyboardInterrupt):
        step(stores, worker(FIRST, die))
    clock.advance(KEEP_RESERVED)
    assert (standing(stores, "mine").status, standing(stores, "mine").attempt) == (Status.RUNNING, 1)


def test_a_send_that_fails_frees_the_id_at_once(cloud: Cloud) -> None:
    """The caller knows that it was refused."""
    cloud.sqs.refuse("SendMessage", "ThrottlingException")
    with pytest.raises(Unavailable):
        publish(cloud.backend, OWNER, [[chosen()]])
    assert cloud.backend.records.get(OWNER, "mine") is None


def test_a_take_back_that_fails_is_made_good_by_time(cloud: Cloud, clock: ManualClock) -> None:
    """Both services failed; what is left is a reservation."""
    cloud.sqs.cut("SendMessage")
    cloud.dynamodb.cut("DeleteItem")
    with pytest.raises(Unavailable):
        publish(cloud.backend, OWNER, [[chosen()]])
    clock.advance(KEEP_RESERVED)
    assert cloud.backend.records.get(OWNER, "mine") is None


def test_a_refused_request_does_not_take_back_what_its_repeat_has_promised(cloud: Cloud) -> None:
    """The repeat is faster than the first one's refusal, and has answered 202."""
    repeat = [[chosen(replayable=True)]]
    cloud.sqs.meanwhile("SendMessage", lambda: publish(cloud.backend, OWNER, repeat))
    cloud.sqs.refuse("SendMessage", "ThrottlingException", skip=1)
    with pytest.raises(Unavailable):
        publish(cloud.backend, OWNER, [[chosen()]])
    assert standing(cloud.backend, "mine").status is Status.QUEUED


def test_a_record_that_has_expired_gives_way(stores: Backend, clock: ManualClock) -> None:
    """To a single write and to several at once; one that has not stays."""
    for job in ("one", "two", "three"):
        stores.records.add(record(job, status=Status.COMPLETED))
    stands = standing(stores, "three")
    clock.advance(stands.expires - clock.now() - 1)
    stores.records.swap(stands, stands.changed(clock.now()))
    clock.advance(1)
    assert isinstance(stores.records.add(record("one", now=clock.now())), Written)
    stores.records.add_all([record("two", now=clock.now()), record("three", now=clock.now())])
    assert [standing(stores, job).status for job in ("one", "two")] == [Status.QUEUED, Status.QUEUED]
    assert standing(stores, "three").status is Status.COMPLETED
    assert isinstance(stores.records.add(record("three", now=clock.now())), Held)
    assert not stores.records.swap_all([Swap(None, record("three", now=clock.now()))])


def test_a_reservation_that_is_cancelled_is_archived_by_its_repeat(cloud: Cloud) -> None:
    """Its owner has seen it and cancelled it before it had a message: the repeat sends that, so nothing stays owed."""
    died_before_its_send(cloud)
    cancel(cloud.backend, standing(cloud.backend, "mine"))
    publish(cloud.backend, OWNER, [[chosen(replayable=True)]])
    works = Works()
    works.drain(cloud.backend)
    assert works.ran == []
    assert (standing(cloud.backend, "mine").status, standing(cloud.backend, "mine").owes) == (Status.CANCELLED, "")


def test_a_group_that_was_refused_half_way_runs_for_nobody_else(cloud: Cloud) -> None:
    """Its messages are of another request than the one that has its chosen id now, so they are dropped."""

    def group(text: str) -> list[Call]:
        ids = ["mine", link_id(OWNER, "mine", 1), link_id(OWNER, "mine", 2)]
        return [call(FIRST, f"{text} {n}", id=one, side=1, chosen=not n) for n, one in enumerate(ids)]

    cloud.sqs.fail_entries(0, times=2)
    with pytest.raises(Unavailable):
        publish(cloud.backend, OWNER, [group("refused")])
    assert cloud.waiting(FIRST)
    cloud.sqs.heal()
    publish(cloud.backend, OWNER, [group("accepted")])
    works = Works()
    works.drain(cloud.backend)
    assert sorted(works.ran) == ["accepted 0", "accepted 1", "accepted 2"]


def test_what_waits_for_a_group_that_was_never_complete_is_gone_within_the_hour(
    cloud: Cloud, clock: ManualClock
) -> None:
    """The group was refused half way, one of its jobs failed, and a retry of that one brought back what follows."""
    jobs = [call(FIRST, text, id=text, side=1) for text in ("comes", "never")]
    cloud.sqs.fail_entries(1)
    cloud.sqs.fail_entries(0)
    with pytest.raises(Unavailable):
        publish(cloud.backend, OWNER, [[*jobs, call(SECOND, "after", id="after")]])
    cloud.sqs.heal()
    works = Works("comes")
    works.drain(cloud.backend)
    works.failing.clear()
    retry(cloud.backend, standing(cloud.backend, "comes"))
    works.drain(cloud.backend)
    assert standing(cloud.backend, "comes").status is Status.COMPLETED
    clock.advance(KEEP_RESERVED)
    assert cloud.backend.records.get(OWNER, "after") is None
    assert cloud.backend.records.get(OWNER, "never") is None
