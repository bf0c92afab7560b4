"""Step 1 of the way of a job: accepting it."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from afterward.backend import Backend
from afterward.envelope import Envelope, loads
from afterward.errors import AfterwardError, IdTaken, Unavailable, UsageError
from afterward.job import Status
from afterward.parcel import pack, unpack
from afterward.publish import Call, publish
from afterward.queues import MESSAGE_LIMIT
from afterward.records import KEEP_OPEN, Claim, Record, Written, derived_id
from afterward.testing import START, ManualClock
from tests.support.cloud import Cloud
from tests.support.jobs import FIRST, OWNER, SECOND, TASKS, THIRD, call, deliver, run, waiting, worker


def accept(cloud: Cloud, *calls: Call) -> None:
    publish(cloud.backend, OWNER, [calls])


def envelopes(cloud: Cloud, *names: str) -> list[Envelope]:
    """Return the envelopes of the messages that wait, in the order of the queues."""
    return [unpack(message.body, cloud.backend.blobs) for name in names or TASKS for message in cloud.waiting(name)]


def standing(cloud: Cloud, *job_ids: str) -> list[Record | None]:
    return [cloud.backend.records.get(OWNER, job_id) for job_id in job_ids]


def ran(cloud: Cloud) -> list[str]:
    """Deliver what waits for the first task, and return the ids of the jobs that ran."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)

    deliver(worker(FIRST, work), cloud.backend, *cloud.waiting(FIRST))
    return seen


# Ids made here: sent first, then put


def test_an_accepted_job_has_a_message_and_a_record(cloud: Cloud) -> None:
    """The message carries everything that the worker needs; the record holds no arguments."""
    accept(cloud, call(FIRST, "hello", id="job-1"))
    (envelope,) = envelopes(cloud)
    assert (envelope.owner, envelope.id, envelope.task, envelope.arguments) == (
        OWNER,
        "job-1",
        FIRST,
        {"text": "hello"},
    )
    (record,) = standing(cloud, "job-1")
    assert record is not None
    assert (record.status, record.attempt, record.limit, record.task) == (Status.QUEUED, 0, 3, FIRST)
    assert "hello" not in json.dumps(cloud.item(OWNER, "job-1"))


def test_one_job_costs_two_calls(cloud: Cloud) -> None:
    """One message and one record, and the message goes first."""
    order: list[str] = []
    cloud.sqs.meanwhile("SendMessage", lambda: order.append("send"))
    cloud.dynamodb.meanwhile("PutItem", lambda: order.append("put"))
    accept(cloud, call(FIRST))
    assert order == ["send", "put"]
    assert (cloud.sqs.counts, cloud.dynamodb.counts, cloud.s3.counts) == ({"SendMessage": 1}, {"PutItem": 1}, {})


@pytest.mark.parametrize("count", [2, 26, 101])
def test_many_jobs_cost_few_calls(cloud: Cloud, count: int) -> None:
    """At most one write per 25 jobs, and one message batch per 10."""
    publish(cloud.backend, OWNER, [[call(FIRST, id=f"job-{index}")] for index in range(count)])
    assert cloud.dynamodb.counts.total() <= -(-count // 25)
    assert cloud.sqs.counts.total() == -(-count // 10)
    assert None not in standing(cloud, "job-0", f"job-{count - 1}")


def test_jobs_of_several_queues_cost_a_batch_each(cloud: Cloud) -> None:
    """Ten per queue, not ten over all."""
    chains = [[call(name, id=f"{name}-{index}")] for name in TASKS for index in range(4)]
    publish(cloud.backend, OWNER, chains)
    assert cloud.sqs.counts == {"SendMessageBatch": 3}
    assert cloud.dynamodb.counts == {"TransactWriteItems": 1}


def test_nothing_costs_nothing(cloud: Cloud) -> None:
    """A request that added no task makes no calls."""
    publish(cloud.backend, OWNER, [[], []])
    assert (cloud.sqs.sent, cloud.dynamodb.sent) == ([], [])


@pytest.mark.parametrize("fault", ["refuse", "cut"])
def test_a_refused_send_leaves_nothing_behind(cloud: Cloud, fault: str) -> None:
    """No message, no record: nothing of it will ever run."""
    cloud.sqs.refuse("SendMessage", "ServiceUnavailable") if fault == "refuse" else cloud.sqs.cut("SendMessage")
    with pytest.raises(Unavailable):
        accept(cloud, call(FIRST, id="job-1"))
    assert (envelopes(cloud), standing(cloud, "job-1"), cloud.dynamodb.counts["PutItem"]) == ([], [None], 0)


def test_a_send_whose_reply_is_lost_runs_the_job_once(cloud: Cloud) -> None:
    """botocore sends it twice; the claim lets one of them run."""
    cloud.sqs.lose("SendMessage")
    accept(cloud, call(FIRST, "once"))
    assert len(envelopes(cloud)) == 2
    assert ran(cloud) == ["once"]


@pytest.mark.parametrize("count", [1, 3])
def test_a_record_that_cannot_be_put_does_not_fail_the_request(
    cloud: Cloud, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The message is the promise, and the worker makes the record."""
    cloud.dynamodb.cut("PutItem")
    cloud.dynamodb.cut("TransactWriteItems")
    publish(cloud.backend, OWNER, [[call(FIRST, f"text {index}", id=f"job-{index}")] for index in range(count)])
    assert "records will be made by their workers" in caplog.text
    assert ran(cloud) == [f"text {index}" for index in range(count)]
    assert [record and record.status for record in standing(cloud, "job-0")] == [Status.COMPLETED]


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_faster_than_the_record_keeps_what_it_did(cloud: Cloud, count: int) -> None:
    """The late put changes nothing: a finished job is not queued again."""
    cloud.dynamodb.meanwhile("PutItem" if count == 1 else "TransactWriteItems", lambda: ran(cloud))
    publish(cloud.backend, OWNER, [[call(FIRST, id=f"job-{index}")] for index in range(count)])
    statuses = [record and record.status for record in standing(cloud, *(f"job-{index}" for index in range(count)))]
    assert statuses == [Status.COMPLETED] * count


def test_a_put_whose_reply_is_lost_does_not_reset_a_finished_job(cloud: Cloud) -> None:
    """botocore repeats the put after the worker is done with the job."""
    cloud.dynamodb.lose("PutItem")
    cloud.dynamodb.meanwhile("PutItem", lambda: ran(cloud))
    accept(cloud, call(FIRST))
    (record,) = standing(cloud, f"{FIRST}-1")
    assert record is not None
    assert record.status is Status.COMPLETED


# Chains, delays, large envelopes


def test_a_chain_sends_its_first_job_and_records_them_all(cloud: Cloud) -> None:
    """The rest travels in the envelope, in the order of adding."""
    accept(
        cloud,
        call(FIRST, "a", id="a"),
        call(SECOND, "b", id="b", delay=5.0),
        call(THIRD, "c", id="c", even_if_failed=True, version=2),
    )
    (envelope,) = envelopes(cloud)
    assert (envelope.id, envelope.chain) == ("a", "a")
    assert [(one.id, one.task, one.arguments["text"]) for one in envelope.behind] == [
        ("b", SECOND, "b"),
        ("c", THIRD, "c"),
    ]
    told = [(one.delay, one.even_if_failed, one.version) for one in envelope.behind]
    assert told == [(5.0, False, 1), (0.0, True, 2)]
    records = [record for record in standing(cloud, "a", "b", "c") if record]
    assert [(record.status, record.limit, record.chain) for record in records] == [
        (Status.QUEUED, 3, "a"),
        (Status.QUEUED, 3, "a"),
        (Status.QUEUED, 1, "a"),
    ]
    assert cloud.sqs.counts["SendMessage"] == 1


@pytest.mark.parametrize("delay", [0.5, 900.0, 86_400.0])
def test_a_delayed_job_is_not_due_before_its_time(cloud: Cloud, delay: float) -> None:
    """The message is delayed as long as SQS can; record and envelope say the whole time."""
    accept(cloud, call(FIRST, id="job-1", delay=delay))
    (body,) = cloud.sqs.bodies("SendMessage")
    assert body["DelaySeconds"] == min(900, -(-delay // 1))
    assert loads(body["MessageBody"]).not_before == START + delay
    (record,) = standing(cloud, "job-1")
    assert record is not None
    assert record.not_before == START + delay


def test_a_group_may_be_chosen_for_fairness(cloud: Cloud) -> None:
    """Instead of the owner's."""
    accept(cloud, call(FIRST, group="vip"))
    assert cloud.sqs.bodies("SendMessage")[0]["MessageGroupId"] == "vip"


def test_a_large_envelope_lies_in_s3(cloud: Cloud) -> None:
    """The message points at it, and the worker gets every argument."""
    accept(cloud, call(FIRST, "x" * MESSAGE_LIMIT, id="job-1"))
    assert len(cloud.sqs.bodies("SendMessage")[0]["MessageBody"]) < 200
    assert list(cloud.objects()) == [f"envelopes/{OWNER}/job-1/1-0.json"]
    assert ran(cloud) == ["x" * MESSAGE_LIMIT]


def test_a_large_envelope_that_s3_refuses_is_not_promised(cloud: Cloud) -> None:
    """Nothing is sent then."""
    cloud.s3.refuse("PutObject", "SlowDown", status=503)
    with pytest.raises(Unavailable, match="S3"):
        accept(cloud, call(FIRST, "x" * MESSAGE_LIMIT))
    assert (cloud.sqs.sent, cloud.dynamodb.sent) == ([], [])


# Ids chosen by the caller: put first, on condition


def chosen(name: str = FIRST, text: str = "hello", **about: Any) -> Call:
    return call(name, text, **({"id": "mine", "chosen": True} | about))


def keyed(name: str = FIRST, text: str = "hello", **about: Any) -> Call:
    """Return a call whose id follows from an idempotency key."""
    return call(name, text, **({"id": "keyed", "chosen": True, "replayable": True} | about))


def test_a_chosen_id_is_put_before_it_is_sent(cloud: Cloud) -> None:
    """So that two callers cannot both have it; a third call keeps the record once the message is sent."""
    order: list[str] = []
    cloud.sqs.meanwhile("SendMessage", lambda: order.append("send"))
    cloud.dynamodb.meanwhile("PutItem", lambda: order.append("put"))
    accept(cloud, chosen())
    assert order == ["put", "send"]
    assert (cloud.sqs.counts.total(), cloud.dynamodb.counts) == (1, {"PutItem": 1, "UpdateItem": 1})


def test_a_used_id_is_taken(cloud: Cloud) -> None:
    """Another call under the same id changes nothing of the first one."""
    accept(cloud, chosen(text="first"))
    with pytest.raises(IdTaken) as raised:
        accept(cloud, chosen(text="second"))
    assert raised.value.job_id == "mine"
    assert [envelope.arguments["text"] for envelope in envelopes(cloud)] == ["first"]


def test_the_same_id_of_another_owner_is_free(cloud: Cloud) -> None:
    """Ids are the owner's own."""
    accept(cloud, chosen())
    publish(cloud.backend, "another owner", [[chosen(text="other")]])
    assert len(envelopes(cloud)) == 2


@pytest.mark.parametrize("make", [chosen, keyed])
def test_a_chosen_id_whose_send_is_refused_is_free_again(cloud: Cloud, make: Callable[..., Call]) -> None:
    """The record is taken back, so that a repeat is a first time."""
    cloud.sqs.refuse("SendMessage", "ServiceUnavailable")
    with pytest.raises(Unavailable):
        accept(cloud, make())
    assert cloud.item(OWNER, make().id) is None
    cloud.sqs.heal()
    accept(cloud, make(text="another payload"))
    assert ran(cloud) == ["another payload"]


def test_a_chosen_id_whose_put_is_refused_is_not_sent(cloud: Cloud) -> None:
    """Nothing is promised without its record here."""
    cloud.dynamodb.refuse("PutItem", "ThrottlingException")
    with pytest.raises(Unavailable):
        accept(cloud, chosen())
    assert envelopes(cloud) == []


def test_a_chosen_id_whose_put_lost_its_replies_is_taken_back(cloud: Cloud) -> None:
    """It was written, nobody said so, and a job without a message must not stay."""
    cloud.dynamodb.lose("PutItem", times=3)
    with pytest.raises(Unavailable):
        accept(cloud, chosen())
    assert (cloud.item(OWNER, "mine"), envelopes(cloud)) == (None, [])


def test_a_put_that_lost_one_reply_is_ours(cloud: Cloud) -> None:
    """botocore meets its own record under our nonce, and that is no other job."""
    cloud.dynamodb.lose("PutItem")
    accept(cloud, chosen())
    assert ran(cloud) == ["hello"]


def test_an_id_that_another_caller_takes_in_the_same_instant_stays_theirs(cloud: Cloud) -> None:
    """The condition decides, and the loser takes nothing back."""
    cloud.dynamodb.meanwhile("PutItem", lambda: accept(cloud, chosen(text="theirs")))
    with pytest.raises(IdTaken):
        accept(cloud, chosen(text="ours"))
    assert ran(cloud) == ["theirs"]


def test_a_task_without_a_queue_leaves_no_record(cloud: Cloud) -> None:
    """A mistake in the deployment must not use an id up."""
    with pytest.raises(UsageError, match="has no queue here"):
        accept(cloud, replace(chosen(), task="core_fourth"))
    assert cloud.item(OWNER, "mine") is None


def test_a_record_that_cannot_be_taken_back_is_completed_by_the_repeat(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """The 503 asks for that repeat; its key names the same job."""
    cloud.sqs.cut("SendMessage")
    cloud.dynamodb.cut("DeleteItem")
    with pytest.raises(Unavailable):
        accept(cloud, keyed())
    assert "could not be taken back" in caplog.text
    cloud.sqs.heal()
    accept(cloud, keyed())
    assert ran(cloud) == ["hello"]


def test_a_used_id_heals_what_it_finds(cloud: Cloud) -> None:
    """The first request was refused, so its repeat is the first that is accepted; only the next one's id is in use."""
    cloud.sqs.cut("SendMessage")
    cloud.dynamodb.cut("DeleteItem")
    with pytest.raises(Unavailable):
        accept(cloud, chosen())
    cloud.sqs.heal()
    accept(cloud, chosen())
    with pytest.raises(IdTaken):
        accept(cloud, chosen())
    assert ran(cloud) == ["hello"]


def test_a_repeat_of_a_key_is_the_same_job(cloud: Cloud) -> None:
    """It answers as the first time did, and the job runs once, however many messages there are."""
    for _ in range(3):
        accept(cloud, keyed())
    assert ran(cloud) == ["hello"]


@pytest.mark.parametrize("make", [chosen, keyed])
def test_a_repeat_of_a_job_that_has_begun_sends_nothing(cloud: Cloud, make: Callable[..., Call]) -> None:
    """It is under way, or done."""
    accept(cloud, make())
    ran(cloud)
    sent = cloud.sqs.counts["SendMessage"]
    try:
        accept(cloud, make())
    except IdTaken:
        assert make is chosen
    else:
        assert make is keyed
    assert cloud.sqs.counts["SendMessage"] == sent


def test_a_repeat_leaves_a_running_attempt_alone(memory: Backend) -> None:
    """It is a 202 like the first, and the attempt still completes its job: nothing was written under its hands."""
    seen: list[str] = []

    def work(text: str) -> None:
        seen.append(text)
        publish(memory, OWNER, [[keyed()]])

    publish(memory, OWNER, [[keyed()]])
    run(worker(FIRST, work), memory)
    stands = memory.records.get(OWNER, "keyed")
    assert stands is not None
    assert (seen, stands.status, stands.attempt) == (["hello"], Status.COMPLETED, 1)


@pytest.mark.parametrize("other", [{"text": "another text"}, {"name": SECOND}])
def test_a_key_with_another_payload_is_taken(cloud: Cloud, other: dict[str, str]) -> None:
    """The same key must not hide that something else was asked for."""
    accept(cloud, keyed())
    with pytest.raises(IdTaken):
        accept(cloud, keyed(**{"name": FIRST, "text": "hello"} | other))


def test_a_repeat_leaves_a_retried_job_alone(cloud: Cloud) -> None:
    """A job that was queued again by hand has its message from there, and that says what comes after it."""
    accept(cloud, keyed())
    (record,) = standing(cloud, "keyed")
    assert record is not None
    cloud.backend.records.swap(record, record.changed(START, run=2))
    accept(cloud, keyed())
    assert [envelope.run for envelope in envelopes(cloud)] == [1]


def test_a_key_recognises_a_job_whose_record_its_worker_made(cloud: Cloud) -> None:
    """The first answer was 503, its message arrived all the same, and the record was taken back."""
    cloud.sqs.lose("SendMessage", times=3)
    with pytest.raises(Unavailable):
        accept(cloud, keyed())
    assert cloud.item(OWNER, "keyed") is None
    assert ran(cloud) == ["hello"]
    accept(cloud, keyed())
    assert ran(cloud) == []


def test_a_repeat_that_meets_a_removal_still_gets_its_record(cloud: Cloud) -> None:
    """Two requests with one key: the first one's send fails after the second one's went out."""

    def repeat() -> None:
        accept(cloud, keyed())
        cloud.sqs.cut("SendMessage", times=3)

    cloud.sqs.meanwhile("SendMessage", repeat)
    with pytest.raises(Unavailable):
        accept(cloud, keyed())
    assert ran(cloud) == ["hello"]
    (record,) = standing(cloud, "keyed")
    assert record is not None
    assert record.status is Status.COMPLETED
    accept(cloud, keyed())


def test_a_repeat_whose_record_is_taken_back_meanwhile_puts_it_again(cloud: Cloud) -> None:
    """The first request has failed by then; the second one's 202 has a record to show."""
    accept(cloud, keyed())
    (first,) = standing(cloud, "keyed")
    assert first is not None
    cloud.sqs.meanwhile("SendMessage", lambda: cloud.backend.records.remove(first))
    accept(cloud, keyed())
    assert None not in standing(cloud, "keyed")


def chain(*, key: str = "keyed", texts: Sequence[str] = ("a", "b", "c")) -> list[Call]:
    """Return a chain whose head has a key, as `add_task` derives the ids of the others."""
    head = keyed(FIRST, texts[0], id=key)
    others = [
        call(SECOND, text, id=derived_id(OWNER, key, str(index)), chosen=True)
        for index, text in enumerate(texts[1:], 1)
    ]
    return [head, *others]


def test_a_chain_under_a_key_is_accepted_once(cloud: Cloud) -> None:
    """Each of its jobs is put first; a repeat adds nothing."""
    accept(cloud, *chain())
    accept(cloud, *chain())
    assert {envelope.id for envelope in envelopes(cloud)} == {"keyed"}
    assert None not in standing(cloud, *(one.id for one in chain()))


def test_a_chain_that_is_refused_is_taken_back_as_a_whole(cloud: Cloud) -> None:
    """No link of it stays behind."""
    cloud.sqs.cut("SendMessage")
    with pytest.raises(Unavailable):
        accept(cloud, *chain())
    assert standing(cloud, *(one.id for one in chain())) == [None, None, None]


def test_a_chain_taken_back_in_part_is_completed_by_the_repeat(cloud: Cloud) -> None:
    """The head's record is gone, a later link's is not: that is still the same chain."""
    cloud.sqs.cut("SendMessage")
    cloud.dynamodb.cut("DeleteItem", skip=1)
    with pytest.raises(Unavailable):
        accept(cloud, *chain())
    assert [record is not None for record in standing(cloud, *(one.id for one in chain()))] == [False, True, True]
    cloud.sqs.heal()
    cloud.dynamodb.heal()
    accept(cloud, *chain())
    assert [envelope.id for envelope in envelopes(cloud)] == ["keyed"]
    assert None not in standing(cloud, *(one.id for one in chain()))


def test_a_chain_that_meets_a_used_id_is_refused_as_a_whole(cloud: Cloud) -> None:
    """What was put for it before is taken back, the other job stays."""
    accept(cloud, chosen(SECOND, id="used"))
    with pytest.raises(IdTaken, match="used"):
        accept(cloud, chosen(id="new"), chosen(SECOND, id="used"), chosen(THIRD, id="newer"))
    assert [record is not None for record in standing(cloud, "new", "used", "newer")] == [False, True, False]
    assert [envelope.id for envelope in envelopes(cloud)] == ["used"]


def test_the_same_chain_with_a_new_head_does_not_share_its_links(cloud: Cloud) -> None:
    """Only the head's id was made here, so the repeat would be a second chain around one job."""
    accept(cloud, call(FIRST, id="head-1"), chosen(SECOND))
    with pytest.raises(IdTaken, match="mine"):
        accept(cloud, call(FIRST, id="head-2"), chosen(SECOND))
    assert [envelope.id for envelope in envelopes(cloud)] == ["head-1"]


def test_an_id_that_a_chain_chooses_twice_is_taken(cloud: Cloud) -> None:
    """One id names one job."""
    with pytest.raises(IdTaken, match="mine"):
        accept(cloud, chosen(), chosen(SECOND))
    assert (cloud.item(OWNER, "mine"), cloud.sqs.sent) == (None, [])


def test_an_id_that_two_chains_choose_is_taken(cloud: Cloud) -> None:
    """Of one request, too, where both ask for the same."""
    with pytest.raises(IdTaken, match="mine"):
        publish(cloud.backend, OWNER, [[chosen()], [chosen()]])
    assert (cloud.dynamodb.sent, cloud.sqs.sent) == ([], [])


def many(count: int) -> list[Call]:
    """Return calls whose ids all follow from idempotency keys of their own."""
    return [keyed(id=f"keyed-{index}") for index in range(count)]


def test_an_id_that_a_long_chain_chooses_twice_is_taken(cloud: Cloud) -> None:
    """However far apart the two are, and although each is asked for in the same words."""
    with pytest.raises(IdTaken, match="keyed-0"):
        accept(cloud, *many(150), keyed(id="keyed-0"))
    assert (cloud.dynamodb.sent, cloud.sqs.sent) == ([], [])


def test_many_chosen_ids_cost_few_calls(cloud: Cloud) -> None:
    """A transaction per hundred to put them, and another one to keep them."""
    accept(cloud, *many(102))
    assert (cloud.dynamodb.counts, cloud.sqs.counts) == ({"TransactWriteItems": 4}, {"SendMessage": 1})
    kept = cloud.backend.records.get_all(OWNER, [one.id for one in many(102)])
    assert (len(kept), {record.expires for record in kept.values()}) == (102, {int(START) + KEEP_OPEN})


def test_one_used_id_of_many_is_named(cloud: Cloud) -> None:
    """Nothing of the request stays, and the other job is what it was."""
    accept(cloud, keyed(text="another", id="keyed-17"))
    with pytest.raises(IdTaken) as raised:
        accept(cloud, *many(30))
    assert raised.value.job_id == "keyed-17"
    found = cloud.backend.records.get_all(OWNER, [one.id for one in many(30)])
    assert (list(found), found["keyed-17"].links) == (["keyed-17"], None)
    assert [envelope.arguments["text"] for envelope in envelopes(cloud)] == ["another"]


def test_many_puts_that_lost_their_replies_are_taken_back(cloud: Cloud) -> None:
    """They were written, nobody said so, and no job without a message must stay."""
    cloud.dynamodb.lose("TransactWriteItems", times=3)
    with pytest.raises(Unavailable):
        accept(cloud, *many(3))
    assert cloud.backend.records.get_all(OWNER, [one.id for one in many(3)]) == {}


@pytest.mark.parametrize("fault", ["conflict", "throttled", "lost"])
@pytest.mark.parametrize("part", ["reserve", "confirm"])
def test_a_moments_trouble_of_many_chosen_ids_is_no_refusal(cloud: Cloud, part: str, fault: str) -> None:
    """Neither before their message is sent nor behind it."""

    def trouble() -> None:
        if fault == "conflict":
            cloud.dynamodb.cancel_transaction("TransactionConflict", "None", "None")
        elif fault == "lost":
            cloud.dynamodb.lose("TransactWriteItems")
        else:
            cloud.dynamodb.refuse("TransactWriteItems", "ThrottlingException", times=2 if part == "reserve" else 5)

    trouble() if part == "reserve" else cloud.sqs.meanwhile("SendMessage", trouble)
    accept(cloud, *many(3))
    kept = standing(cloud, *(one.id for one in many(3)))
    assert [record and record.expires for record in kept] == [int(START) + KEEP_OPEN] * 3


def test_many_chosen_ids_are_kept_however_long_that_takes(cloud: Cloud, clock: ManualClock) -> None:
    """Each hundred of them is tried for a while of its own."""
    cloud.dynamodb.meanwhile("TransactWriteItems", lambda: clock.advance(2.5), skip=2)
    cloud.dynamodb.refuse("TransactWriteItems", "ThrottlingException", skip=3, times=3)
    accept(cloud, *many(102))
    assert [record and record.expires for record in standing(cloud, "keyed-101")] == [int(clock.now()) + KEEP_OPEN]


def test_one_of_many_jobs_that_has_begun_keeps_no_other_from_being_kept(cloud: Cloud) -> None:
    """A worker is faster than the request: its claim has kept that record, and the others are kept one by one."""
    cloud.dynamodb.meanwhile("TransactWriteItems", lambda: ran(cloud), skip=1)
    accept(cloud, *many(3))
    first, *others = standing(cloud, *(one.id for one in many(3)))
    assert first is not None
    assert first.status is Status.COMPLETED
    assert [record and record.expires for record in others] == [int(START) + KEEP_OPEN] * 2


def test_a_later_link_may_choose_its_id_alone(cloud: Cloud) -> None:
    """It is put first, the others after the send."""
    accept(cloud, call(FIRST, id="head"), chosen(SECOND))
    assert None not in standing(cloud, "head", "mine")
    assert [envelope.id for envelope in envelopes(cloud)] == ["head"]


@pytest.mark.parametrize("make", [call, chosen])
def test_both_kinds_of_stores_accept_a_job(stores: Backend, make: Callable[..., Call]) -> None:
    """The way is the same in memory."""
    publish(stores, OWNER, [[make(FIRST, id="job-1")]])
    record = stores.records.get(OWNER, "job-1")
    assert record is not None
    assert record.untouched
    claim = Claim(fresh=record, now=START, lease=START + 1)
    assert isinstance(stores.records.claim(claim), Written)
    if make is chosen:
        with pytest.raises(AfterwardError, match="in use"):
            publish(stores, OWNER, [[make(FIRST, id="job-1")]])


def test_ids_that_follow_from_others_are_stable() -> None:
    """A repeat of the same request names the same jobs, another one does not."""
    assert derived_id(OWNER, "a", "b") == derived_id(OWNER, "a", "b")
    assert len({derived_id(OWNER, "a", "b"), derived_id(OWNER, "b", "a"), derived_id("other", "a", "b")}) == 3


def test_accepting_takes_no_time_of_its_own(cloud: Cloud, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """It neither waits nor warns when all is well."""
    with caplog.at_level(logging.DEBUG, "afterward"):
        accept(cloud, call(FIRST), call(SECOND))
    assert (clock.now(), caplog.text) == (START, "")


def test_a_message_of_a_refused_request_does_not_run_for_another(cloud: Cloud) -> None:
    """The send took place although its reply was lost; by then the id may belong to a request that asks for more."""
    cloud.sqs.lose("SendMessage", times=3)
    with pytest.raises(Unavailable):
        accept(cloud, call(FIRST, "old", id="rep", chosen=True))
    accept(cloud, call(FIRST, "new", id="rep", chosen=True))
    assert ran(cloud) == ["new"]


def test_jobs_have_the_fairness_that_each_asks_for(memory: Backend) -> None:
    """Side by side, and one after the other; who asks for none counts as the owner."""
    publish(
        memory,
        OWNER,
        [[call(FIRST, id="a", side=1, group="g1"), call(SECOND, id="b", side=1), call(THIRD, id="c", group="g2")]],
    )
    heads = {one.id: one for name in (FIRST, SECOND) for one in waiting(memory, name)}
    assert {name: one.group for name, one in heads.items()} == {"a": "g1", "b": ""}
    assert [one.group for one in heads["a"].behind] == ["g2"]
    assert pack(heads["b"], memory.blobs).group == OWNER
    (behind,) = heads["a"].successors(0, broken_by="", broken_as="", now=START)
    assert pack(behind, memory.blobs).group == "g2"
