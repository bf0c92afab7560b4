"""The contract of a record store, held by both of them; below it what only DynamoDB can meet on its way."""

import dataclasses
from dataclasses import replace

import pytest

from afterward.backend import Backend
from afterward.errors import Unavailable
from afterward.job import Status
from afterward.records import (
    KEEP_FINAL,
    KEEP_OPEN,
    Claim,
    Held,
    Record,
    Records,
    Written,
    listing_of,
    new_nonce,
    queued,
)
from afterward.testing import START, ManualClock
from tests.support.cloud import TABLE, Cloud
from tests.support.jobs import FIRST, OWNER, SECOND, envelope, link, record

NOW = START


@pytest.fixture
def records(stores: Backend) -> Records:
    return stores.records


def claim(fresh: Record | None = None, *, now: float = NOW, lease: float = NOW + 10) -> Claim:
    return Claim(fresh=fresh or record(), now=now, lease=lease)


def claimed(records: Records, fresh: Record | None = None, *, now: float = NOW, lease: float = NOW + 10) -> Record:
    outcome = records.claim(claim(fresh, now=now, lease=lease))
    assert isinstance(outcome, Written)
    return outcome.record


# The contract: reading and adding


def test_a_job_that_nobody_added_is_not_found(records: Records) -> None:
    """Reading a missing record is no error."""
    assert records.get(OWNER, "job-1") is None


def test_a_record_is_read_as_it_was_added(records: Records) -> None:
    """Every field survives, whatever its type and whether it has a value."""
    full = record(
        status=Status.RUNNING,
        run=2,
        attempt=3,
        not_before=NOW + 0.125,
        lease=NOW + 9.5,
        progress=7,
        total=10,
        message="Processing item 7 of 10 ✓",
        reason="ValueError: no",
        checkpoint='{"state":null,"tracks":[7]}',
        owes="archive",
        digest="d1",
    )
    assert records.add(full) == Written(full)
    assert records.get(OWNER, "job-1") == full


def test_a_record_of_defaults_is_read_as_it_was_added(records: Records) -> None:
    """Fields without a value stay without one."""
    plain = record()
    records.add(plain)
    assert records.get(OWNER, "job-1") == plain


def test_an_owner_may_hold_any_character(records: Records) -> None:
    """An app that names its owners itself may use the separator of the key: a job id never holds it."""
    odd = replace(record(), owner="acme#42#é", listing=listing_of("acme#42#é", "job-1", 4))
    records.add(odd)
    assert records.get("acme#42#é", "job-1") == odd


def test_owners_do_not_meet(records: Records) -> None:
    """The same id under another owner is another job."""
    records.add(record())
    assert records.get("somebody else", "job-1") is None
    assert isinstance(records.add(replace(record(), owner="somebody else")), Written)


def test_adding_where_a_record_stands_changes_nothing(records: Records) -> None:
    """The second one is told what stands there."""
    stands = record()
    records.add(stands)
    assert records.add(record()) == Held(stands)
    assert records.get(OWNER, "job-1") == stands


def test_adding_the_same_record_again_is_no_conflict(records: Records) -> None:
    """A write that is repeated under its own nonce has succeeded."""
    mine = record()
    records.add(mine)
    assert records.add(mine) == Written(mine)


@pytest.mark.parametrize("count", [1, 2, 101])
def test_records_are_added_together(records: Records, count: int) -> None:
    """All of them stand afterwards, more than one transaction's worth too."""
    many = [record(f"job-{index}") for index in range(count)]
    records.add_all(many)
    assert [records.get(OWNER, one.id) for one in many[-3:]] == many[-3:]


@pytest.mark.parametrize("count", [1, 3])
def test_a_late_record_does_not_undo_what_a_worker_did(records: Records, count: int) -> None:
    """A worker that claimed between send and put keeps its record; the other jobs get theirs."""
    many = [record(f"job-{index}") for index in range(count)]
    running = claimed(records, many[0])
    records.add_all(many)
    assert [records.get(OWNER, one.id) for one in many] == [running, *many[1:]]


def test_nothing_is_added_together(records: Records) -> None:
    """All of no records is no work."""
    records.add_all([])


# The contract: claiming


def test_a_claim_makes_a_missing_record(records: Records) -> None:
    """A message that was faster than its record needs none to run."""
    fresh = record(progress=0, digest="d1")
    running = claimed(records, fresh)
    assert (running.status, running.attempt, running.lease) == (Status.RUNNING, 1, NOW + 10)
    assert (running.task, running.created, running.listing) == (FIRST, fresh.created, fresh.listing)
    assert (running.limit, running.run, running.chain, running.expires) == (3, 1, "job-1", fresh.expires)
    assert running.digest == "d1"
    assert records.get(OWNER, "job-1") == running


def test_a_claim_takes_a_queued_record(records: Records) -> None:
    """What the record says stays, but for the attempt that begins."""
    waiting = record(limit=5, progress=4, total=9, checkpoint="{}", message="half", reason="no")
    records.add(waiting)
    running = claimed(records, record(limit=3))
    assert running == replace(
        waiting,
        status=Status.RUNNING,
        attempt=1,
        lease=NOW + 10,
        nonce=running.nonce,
        updated=running.updated,
        expires=running.expires,
    )
    assert running.nonce != waiting.nonce
    assert records.get(OWNER, "job-1") == running


def test_only_one_of_two_claims_gets_the_job(records: Records) -> None:
    """The other one sees who holds it, and until when."""
    running = claimed(records)
    assert records.claim(claim()) == Held(running)


def test_a_claim_that_is_repeated_has_succeeded(records: Records) -> None:
    """The same claim under its own nonce counts as one attempt."""
    one = claim()
    first = records.claim(one)
    assert records.claim(one) == first
    assert first.record is not None
    assert first.record.attempt == 1


def test_a_job_that_is_not_due_is_not_claimed(records: Records) -> None:
    """Before its time a job waits; at its time it runs."""
    waiting = record(not_before=NOW + 5)
    records.add(waiting)
    assert records.claim(claim()) == Held(waiting)
    assert claimed(records, now=NOW + 5, lease=NOW + 20).attempt == 1


def test_a_lease_that_has_ended_is_taken_over(records: Records) -> None:
    """A killed worker holds its job until its deadline and no longer."""
    claimed(records)
    assert isinstance(records.claim(claim(now=NOW + 9.999)), Held)
    again = claimed(records, now=NOW + 10, lease=NOW + 20)
    assert (again.attempt, again.lease) == (2, NOW + 20)


def test_the_last_attempt_is_the_last(records: Records) -> None:
    """A job whose attempts are used up is not claimed, even when its lease has ended."""
    claimed(records, record(limit=1))
    outcome = records.claim(claim(now=NOW + 60))
    assert isinstance(outcome, Held)
    assert outcome.record is not None
    assert outcome.record.attempt == 1


@pytest.mark.parametrize("run", [1, 3])
def test_a_message_of_another_run_claims_nothing(records: Records, run: int) -> None:
    """Runs fence messages: only one of the record's own run begins an attempt."""
    stands = record(run=2)
    records.add(stands)
    assert records.claim(claim(replace(record(), run=run))) == Held(stands)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_a_final_job_is_not_claimed(records: Records, status: Status) -> None:
    """What has ended stays as it ended."""
    stands = record(status=status)
    records.add(stands)
    assert records.claim(claim(now=NOW + 1_000)) == Held(stands)


# The contract: changing and taking back


def test_who_holds_the_nonce_may_write(records: Records) -> None:
    """A swap of the version that stands succeeds, fields that lose their value included."""
    running = claimed(records, record(message="old", reason="old"))
    done = running.changed(NOW + 1, status=Status.COMPLETED, message="new", reason=None, lease=0.0, total=0)
    assert records.swap(running, done) == Written(done)
    assert records.get(OWNER, "job-1") == done


def test_who_lost_the_nonce_may_not_write(records: Records) -> None:
    """A write of an older version changes nothing, and is told what stands."""
    running = claimed(records)
    cancelled = running.changed(NOW + 1, status=Status.CANCELLED)
    records.swap(running, cancelled)
    assert records.swap(running, running.changed(NOW + 1, progress=1)) == Held(cancelled)
    assert records.get(OWNER, "job-1") == cancelled


def test_a_swap_that_is_repeated_has_succeeded(records: Records) -> None:
    """The same write under its own nonce is recognised."""
    running = claimed(records)
    done = running.changed(NOW + 1, progress=1)
    records.swap(running, done)
    assert records.swap(running, done) == Written(done)


def test_a_record_that_is_gone_is_not_written_again(records: Records) -> None:
    """A swap never makes a record."""
    one = record()
    assert records.swap(one, one.changed(NOW, progress=1)) == Held(None)
    assert records.get(OWNER, "job-1") is None


def test_a_record_is_taken_back_by_its_nonce(records: Records) -> None:
    """It is gone then, and taking it back again is still true."""
    one = record()
    records.add(one)
    assert records.remove(one) is True
    assert records.get(OWNER, "job-1") is None
    assert records.remove(one) is True


def test_a_record_that_was_claimed_is_not_taken_back(records: Records) -> None:
    """A job that has begun is not unmade, and the caller is told so."""
    one = record()
    records.add(one)
    running = claimed(records, one)
    assert records.remove(one) is False
    assert records.get(OWNER, "job-1") == running


# The values


def test_a_new_version_has_a_new_nonce_and_a_new_time() -> None:
    """Whoever holds the old version cannot write any more."""
    old = record()
    new = old.changed(NOW + 1.5, progress=1)
    assert new.nonce != old.nonce
    assert (old.updated, new.updated) == ("2026-11-18T11:06:40.000000Z", "2026-11-18T11:06:41.500000Z")


def test_a_record_outlives_every_queue_and_goes_thirty_days_after_its_end() -> None:
    """The time to live counts from the last write."""
    assert record().expires == int(NOW) + KEEP_OPEN
    assert record().changed(NOW + 5, progress=1).expires == int(NOW) + 5 + KEEP_OPEN
    assert record().changed(NOW + 5, status=Status.FAILED).expires == int(NOW) + 5 + KEEP_FINAL
    assert record(status=Status.FAILED).changed(NOW + 5, owes="").expires == int(NOW) + 5 + KEEP_FINAL
    assert KEEP_OPEN > (7 + 14) * 86_400


def test_the_jobs_of_an_owner_spread_over_the_shards() -> None:
    """The listing's partition follows from the id, so it is the same for whoever makes the record."""
    shards = {listing_of(OWNER, f"job-{index}", 4) for index in range(50)}
    assert shards == {f"{OWNER}#{shard}" for shard in range(4)}
    assert listing_of(OWNER, "job-1", 1) == f"{OWNER}#0"


def test_the_jobs_behind_a_delayed_one_are_not_delayed_by_it() -> None:
    """`not_before` is the head's own; a link's delay counts from the end of the job before."""
    about = envelope(not_before=NOW + 60, rest=[link(SECOND, "job-2")])
    head, follower = (queued(about, one, limit=3, shards=4, now=NOW) for one in (about, about.behind[0]))
    assert (head.not_before, follower.not_before) == (NOW + 60, 0.0)
    assert (head.chain, follower.chain) == ("job-1", "job-1")
    assert (head.id, head.task, follower.id, follower.task) == ("job-1", FIRST, "job-2", SECOND)


# DynamoDB's own: replies that are lost, transactions that are refused in part, services that do not answer


def test_an_add_whose_reply_is_lost_has_succeeded(cloud: Cloud) -> None:
    """botocore repeats the put and meets our own record; its nonce says so."""
    cloud.dynamodb.lose("PutItem")
    mine = record()
    assert cloud.backend.records.add(mine) == Written(mine)
    assert cloud.dynamodb.counts["PutItem"] == 2


def test_a_claim_whose_reply_is_lost_counts_once(cloud: Cloud) -> None:
    """The repeat is refused by our own lease and recognised by the nonce."""
    cloud.dynamodb.lose("UpdateItem")
    running = claimed(cloud.backend.records)
    assert (running.attempt, cloud.dynamodb.counts["UpdateItem"]) == (1, 2)


def test_a_swap_whose_reply_is_lost_has_succeeded(cloud: Cloud) -> None:
    """The repeat meets our new nonce."""
    running = claimed(cloud.backend.records)
    cloud.dynamodb.lose("UpdateItem")
    done = running.changed(NOW, status=Status.COMPLETED)
    assert cloud.backend.records.swap(running, done) == Written(done)


def test_a_removal_whose_reply_is_lost_has_succeeded(cloud: Cloud) -> None:
    """The repeat finds nothing, which is what was asked for."""
    mine = record()
    cloud.backend.records.add(mine)
    cloud.dynamodb.lose("DeleteItem")
    assert cloud.backend.records.remove(mine) is True


def test_a_transaction_whose_reply_is_lost_has_succeeded(cloud: Cloud) -> None:
    """moto forgets the client token, so the repeat meets every one of our own records."""
    cloud.dynamodb.lose("TransactWriteItems")
    many = [record(f"job-{index}") for index in range(3)]
    cloud.backend.records.add_all(many)
    assert [cloud.backend.records.get(OWNER, one.id) for one in many] == many


def test_a_transaction_that_meets_a_worker_writes_the_others(cloud: Cloud) -> None:
    """The worker's record stays, the rest goes in with the next transaction."""
    many = [record(f"job-{index}") for index in range(3)]
    cloud.dynamodb.meanwhile("TransactWriteItems", lambda: claimed(cloud.backend.records, many[1]))
    cloud.backend.records.add_all(many)
    statuses = [found.status for one in many if (found := cloud.backend.records.get(OWNER, one.id))]
    assert statuses == [Status.QUEUED, Status.RUNNING, Status.QUEUED]
    assert cloud.dynamodb.counts["TransactWriteItems"] == 2


def test_a_transaction_in_conflict_is_tried_again_after_a_pause(cloud: Cloud, clock: ManualClock) -> None:
    """Another writer in the same instant costs time and nothing else."""
    cloud.dynamodb.cancel_transaction("None", "TransactionConflict")
    cloud.backend.records.add_all([record("job-0"), record("job-1")])
    assert cloud.item(OWNER, "job-0") is not None
    assert clock.now() > START


def test_a_transaction_that_never_goes_through_is_unavailable(cloud: Cloud) -> None:
    """The tries are bounded."""
    cloud.dynamodb.cancel_transaction("TransactionConflict", "ThrottlingError", times=100)
    with pytest.raises(Unavailable, match="kept cancelling"):
        cloud.backend.records.add_all([record("job-0"), record("job-1")])
    assert cloud.dynamodb.counts["TransactWriteItems"] == 8


@pytest.mark.parametrize(
    ("code", "status", "retry_after"),
    [
        ("ThrottlingException", 400, 2),
        ("InternalServerError", 500, 2),
        ("AccessDeniedException", 400, 30),
        ("ResourceNotFoundException", 400, 30),
    ],
)
def test_a_refusal_says_which_service_and_when_to_come_back(
    cloud: Cloud, code: str, status: int, retry_after: int
) -> None:
    """What only a deploy can mend asks for more patience than what passes by itself."""
    cloud.dynamodb.refuse("GetItem", code, status=status)
    with pytest.raises(Unavailable, match=rf"DynamoDB did not take the request \({code}\)") as raised:
        cloud.backend.records.get(OWNER, "job-1")
    assert raised.value.retry_after == retry_after
    assert raised.value.__cause__ is not None


def test_a_table_out_of_reach_is_unavailable(cloud: Cloud) -> None:
    """Every operation says so, after botocore's few repeats."""
    for operation in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"):
        cloud.dynamodb.cut(operation)
    one, store = record(), cloud.backend.records
    for operate in (
        lambda: store.get(OWNER, "job-1"),
        lambda: store.add(one),
        lambda: store.add_all([one, record("job-2")]),
        lambda: store.claim(claim()),
        lambda: store.swap(one, one.changed(NOW, progress=1)),
        lambda: store.remove(one),
    ):
        with pytest.raises(Unavailable, match="EndpointConnectionError"):
            operate()
    assert len(cloud.dynamodb.sent) == 6 * 3


def test_fields_that_another_version_wrote_are_left_alone(cloud: Cloud) -> None:
    """A record with an attribute that this code does not know is read, and keeps it when written."""
    one = record()
    cloud.backend.records.add(one)
    key = {"pk": {"S": one.key}}
    values = {":later": {"S": "kept"}}
    cloud.dynamodb.client.update_item(
        TableName=TABLE, Key=key, UpdateExpression="SET later = :later", ExpressionAttributeValues=values
    )
    assert cloud.backend.records.get(OWNER, "job-1") == one
    cloud.backend.records.swap(one, one.changed(NOW, progress=1))
    assert (cloud.item(OWNER, "job-1") or {})["later"] == {"S": "kept"}


def test_a_claim_that_arrives_late_again_fences_the_attempt_that_it_began_once(records: Records) -> None:
    """It was repeated under its nonce, and the first request comes when the attempt is over: it begins another one."""
    began = claim()
    outcome = records.claim(began)
    assert isinstance(outcome, Written)
    first = outcome.record
    assert isinstance(records.swap(first, first.changed(NOW, status=Status.QUEUED, lease=0.0)), Written)
    late = records.claim(began)
    assert isinstance(late, Written)
    assert (late.record.nonce, late.record.attempt) == (first.nonce, 2)
    assert isinstance(records.swap(first, first.changed(NOW, status=Status.COMPLETED)), Held)
    assert isinstance(records.swap(late.record, late.record.changed(NOW, status=Status.COMPLETED)), Written)


def test_a_swap_sends_what_changes_and_no_more(cloud: Cloud) -> None:
    """A progress write stays small however large the record's checkpoint is."""
    running = claimed(cloud.backend.records, record())
    saved = running.changed(NOW, checkpoint="x" * 100_000)
    cloud.backend.records.swap(running, saved)
    cloud.backend.records.swap(saved, saved.changed(NOW + 1, progress=5))
    assert set(cloud.dynamodb.bodies("UpdateItem")[-1]["ExpressionAttributeNames"]) == {
        "#attempt",
        "#expires",
        "#nonce",
        "#progress",
        "#updated",
    }


def test_the_table_holds_every_field_under_its_own_name(cloud: Cloud) -> None:
    """Listing and time to live are attributes that the table's index and its TTL name."""
    one = record()
    cloud.backend.records.add(one)
    item = cloud.item(OWNER, "job-1") or {}
    assert item["pk"] == {"S": f"{OWNER}#job-1"}
    assert item["listing"] == {"S": one.listing}
    assert item["created"] == {"S": one.created}
    assert item["expires"] == {"N": str(one.expires)}
    assert set(item) <= {"pk", *(field.name for field in dataclasses.fields(Record))}


def test_reading_sees_what_was_written_before(cloud: Cloud) -> None:
    """Eventually consistent reads, which moto does not have, would show a 404 after a 202."""
    cloud.backend.records.get(OWNER, "job-1")
    assert cloud.dynamodb.bodies("GetItem")[0]["ConsistentRead"] is True


def test_nonces_do_not_repeat() -> None:
    """Two writes never look like one."""
    assert len({new_nonce() for _ in range(1_000)}) == 1_000
