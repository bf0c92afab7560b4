"""An attempt's hold on its record, and what it makes of replies that do not come."""

from collections.abc import Callable

import pytest

from afterward.backend import Backend
from afterward.effects import Effects
from afterward.errors import Stopped, Unavailable
from afterward.job import Status
from afterward.lease import Lease
from afterward.memory import MemoryRecords
from afterward.records import Claim, Record, Written
from afterward.testing import START, ManualClock
from tests.support.cloud import Cloud
from tests.support.jobs import OWNER, record


@pytest.fixture
def lease(stores: Backend) -> Lease:
    return begun(stores)


def begun(stores: Backend) -> Lease:
    outcome = stores.records.claim(Claim(fresh=record(), now=START, lease=START + 10))
    assert isinstance(outcome, Written)
    return Lease(stores.records, stores.clock, outcome.record)


def standing(stores: Backend) -> Record:
    found = stores.records.get(OWNER, "job-1")
    assert found is not None
    return found


def test_an_attempt_writes_as_often_as_it_likes(stores: Backend, lease: Lease) -> None:
    """Each write stands on the one before."""
    lease.write({"progress": 1})
    lease.write({"message": "two"})
    assert lease.record == standing(stores)
    assert (standing(stores).progress, standing(stores).message, standing(stores).attempt) == (1, "two", 1)


def test_an_attempt_is_stopped_by_whoever_wrote_since(stores: Backend, lease: Lease) -> None:
    """A cancel, a newer attempt, a newer run: it learns what stands, and changes nothing."""
    cancelled = lease.record.changed(START, status=Status.CANCELLED)
    stores.records.swap(lease.record, cancelled)
    with pytest.raises(Stopped, match="the record is cancelled"):
        lease.write({"progress": 1})
    assert lease.lost == cancelled == standing(stores)


def test_an_attempt_whose_record_is_gone_is_stopped(stores: Backend, lease: Lease) -> None:
    """It does not write it again."""
    stores.records.remove(lease.record)
    with pytest.raises(Stopped, match="the record is gone"):
        lease.write({"progress": 1})
    assert lease.lost is None


def test_a_write_that_was_refused_may_be_followed_by_another(cloud: Cloud) -> None:
    """Nothing was written, so the lease is as it was."""
    lease = begun(cloud.backend)
    cloud.dynamodb.cut("UpdateItem", times=3)
    with pytest.raises(Unavailable):
        lease.write({"progress": 1})
    lease.write({"message": "later"})
    assert (standing(cloud.backend).progress, standing(cloud.backend).message) == (0, "later")


def test_a_write_that_took_place_without_a_word_is_still_ours(cloud: Cloud) -> None:
    """The next write meets a nonce of our own, and goes on from there."""
    lease = begun(cloud.backend)
    cloud.dynamodb.lose("UpdateItem", times=3)
    with pytest.raises(Unavailable):
        lease.write({"progress": 1})
    lease.write({"message": "later"})
    assert (standing(cloud.backend).progress, standing(cloud.backend).message) == (1, "later")
    assert lease.record == standing(cloud.backend)


def test_a_cancel_after_a_write_without_a_word_stops_the_attempt(cloud: Cloud) -> None:
    """What stands is neither what we knew nor what we may have written."""
    lease = begun(cloud.backend)
    cloud.dynamodb.lose("UpdateItem", times=3)
    with pytest.raises(Unavailable):
        lease.write({"progress": 1})
    written = standing(cloud.backend)
    cloud.backend.records.swap(written, written.changed(START, status=Status.CANCELLED))
    with pytest.raises(Stopped, match="cancelled"):
        lease.write({"progress": 2})


def test_several_writes_may_be_in_doubt(cloud: Cloud) -> None:
    """Any of them may be the one that took place."""
    lease = begun(cloud.backend)
    cloud.dynamodb.lose("UpdateItem", times=3)
    cloud.dynamodb.cut("UpdateItem", times=3)
    for progress in (1, 2):
        with pytest.raises(Unavailable):
            lease.write({"progress": progress})
    lease.write({"progress": 3})
    assert standing(cloud.backend).progress == 3


def test_the_last_word_is_tried_until_it_is_heard(cloud: Cloud, clock: ManualClock) -> None:
    """The work is done, and must not be done again for an outage of some seconds."""
    lease = begun(cloud.backend)
    cloud.dynamodb.cut("UpdateItem", times=9)
    lease.end({"status": Status.COMPLETED}, deadline=START + 10)
    assert standing(cloud.backend).status is Status.COMPLETED
    assert clock.now() > START


def test_the_last_word_that_took_place_without_a_word_counts(cloud: Cloud) -> None:
    """The repeat recognises it, and does not take it for a stop."""
    lease = begun(cloud.backend)
    cloud.dynamodb.lose("UpdateItem", times=3)
    lease.end({"status": Status.COMPLETED}, deadline=START + 10)
    assert standing(cloud.backend).status is Status.COMPLETED


def test_the_last_word_is_given_up_before_the_deadline(cloud: Cloud, clock: ManualClock) -> None:
    """The invocation ends in order, and its message comes again."""
    lease = begun(cloud.backend)
    cloud.dynamodb.cut("UpdateItem")
    with pytest.raises(Unavailable):
        lease.end({"status": Status.COMPLETED}, deadline=START + 10)
    assert START + 5 < clock.now() < START + 10


@pytest.mark.parametrize("write", [Lease.write, lambda lease, changes: lease.end(changes, START + 10)])
def test_an_attempt_that_was_overtaken_stays_stopped(
    stores: Backend, lease: Lease, write: Callable[[Lease, dict[str, object]], None]
) -> None:
    """The lease has ended and another attempt has claimed: nothing of the old one is written, not even its end."""
    again = stores.records.claim(Claim(fresh=record(), now=START + 10, lease=START + 20))
    assert isinstance(again, Written)
    with pytest.raises(Stopped, match="the record is running"):
        write(lease, {"status": Status.COMPLETED})
    assert standing(stores) == again.record


def test_effects_are_written_with_a_checkpoint_and_never_without(memory: Backend) -> None:
    """A write of progress leaves what is staged where it is."""
    lease, records = begun(memory), memory.records
    assert isinstance(records, MemoryRecords)
    Effects(lease.batches).put("things", {"id": "1"}, {})
    lease.batches.stage()
    lease.write({"progress": 1})
    assert records.tables == {}
    lease.write({"progress": 2, "checkpoint": "{}"})
    assert records.tables == {"things": {"things[id='1']": {"id": "1"}}}
    lease.write({"checkpoint": "{}"})
    assert lease.batches.staged() == (0, ())


def test_what_was_added_since_a_write_in_doubt_is_committed_after_it(cloud: Cloud) -> None:
    """The write took place with the batches that it carried, and with no later one."""
    lease = begun(cloud.backend)
    cloud.dynamodb.client.create_table(
        TableName="things",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    cloud.dynamodb.lose("TransactWriteItems", times=3)
    for number in range(2):
        Effects(lease.batches).update("things", {"id": "sum"}, add={"n": 1})
        lease.batches.stage()
        if not number:
            with pytest.raises(Unavailable):
                lease.write({"checkpoint": "first"})
    lease.write({"checkpoint": "second"})
    assert cloud.dynamodb.client.scan(TableName="things")["Items"] == [{"id": {"S": "sum"}, "n": {"N": "2"}}]
    assert standing(cloud.backend).checkpoint == "second"
