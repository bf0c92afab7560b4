import hashlib
import json
import os
import signal
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from local.cloud import LocalCloud
from local.poller import kept
from local.runtime import Outcome
from tests.stack.waiting import eventually


def send(cloud: LocalCloud, *bodies: Mapping[str, Any]) -> None:
    """Put messages into the worker's queue so that it gets them together."""
    entries = [{"Id": str(number), "MessageBody": json.dumps(body)} for number, body in enumerate(bodies)]
    cloud.client("sqs").send_message_batch(QueueUrl=cloud.resources["Queue"], Entries=entries)


def received(cloud: LocalCloud, name: str) -> list[Any]:
    """List the deliveries of a message."""
    fields = [line.fields for line in cloud.logs if line.source == "Worker" and line.fields]
    return [each for each in fields if each["job_id"] == name]


def given_up(cloud: LocalCloud) -> list[str]:
    """List the names of the messages that the consumer of dead letters got."""
    events = [line.fields["event"] for line in cloud.logs if line.source == "Witness" and line.fields]
    bodies = [json.loads(record["body"]) for event in events for record in event.get("Records", [])]
    return [body["name"] for body in bodies if "name" in body]


def names(count: int) -> list[str]:
    return [str(uuid4()) for _ in range(count)]


def test_a_message_becomes_a_record_as_lambda_has_it(cloud: LocalCloud) -> None:
    """Names, attributes and digests are those of a real event."""
    (name,) = names(1)
    body = json.dumps({"name": name})
    cloud.client("sqs").send_message(
        QueueUrl=cloud.resources["Queue"],
        MessageBody=body,
        MessageGroupId="owner",
        MessageAttributes={
            "Text": {"DataType": "String", "StringValue": "ä"},
            "Bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        },
    )
    (delivery,) = eventually(lambda: received(cloud, name))
    record = delivery["record"]
    assert record["body"] == body
    assert record["md5OfBody"] == hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"].startswith("arn:aws:sqs:us-east-1:123456789012:")
    assert record["awsRegion"] == "us-east-1"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["attributes"]["MessageGroupId"] == "owner"
    assert int(record["attributes"]["SentTimestamp"]) > 1_700_000_000_000
    empty: dict[str, list[str]] = {"stringListValues": [], "binaryListValues": []}
    assert record["messageAttributes"] == {
        "Text": {**empty, "dataType": "String", "stringValue": "ä"},
        "Bytes": {**empty, "dataType": "Binary", "binaryValue": "AP8="},
    }


def test_listed_messages_come_again_and_the_others_do_not(cloud: LocalCloud) -> None:
    """A partial batch response deletes what succeeded; what failed twice ends with the consumer of dead letters."""
    a, b, c = names(3)
    send(cloud, {"name": a, "failed": [b]}, {"name": b, "failed": [b]}, {"name": c})
    eventually(lambda: b in given_up(cloud))
    assert [len(received(cloud, name)) for name in (a, b, c)] == [1, 2, 1]
    assert [delivery["count"] for delivery in received(cloud, b)] == [1, 2]
    assert not {a, c} & set(given_up(cloud))


def test_an_id_that_was_not_sent_fails_the_whole_batch(cloud: LocalCloud) -> None:
    """A malformed answer is no success for anybody."""
    a, b = names(2)
    send(cloud, {"name": a, "failed": ["nobody"]}, {"name": b})
    eventually(lambda: len(received(cloud, a)) == 2 and len(received(cloud, b)) == 2)


def test_a_killed_worker_loses_nothing(cloud: LocalCloud) -> None:
    """A message whose worker is killed comes again when its visibility timeout is over."""
    (name,) = names(1)
    send(cloud, {"name": name, "sleep": 3})
    eventually(lambda: received(cloud, name))
    for pid in cloud.processes("Worker"):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(received(cloud, name)) == 2)


def test_a_busy_function_keeps_no_other_waiting(cloud: LocalCloud) -> None:
    """Each queue is polled on its own."""
    send(cloud, *({"name": name, "sleep": 2} for name in names(1)))
    name = names(1)[0]
    began = time.monotonic()
    cloud.client("sqs").send_message(
        QueueUrl=cloud.resources["DeadLetterQueue"], MessageBody=json.dumps({"name": name})
    )
    eventually(lambda: name in given_up(cloud))
    assert time.monotonic() - began < 2


def answer(returned: object) -> Outcome:
    return Outcome(json.dumps(returned).encode())


SENT = {"a", "b"}


@pytest.mark.parametrize("returned", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_nothing_listed_means_that_all_went_well(returned: object) -> None:
    """Lambda takes empty and null answers for success."""
    assert kept(answer(returned), SENT, partial=True) == set()


def test_listed_ids_are_kept() -> None:
    """They become visible again."""
    assert kept(answer({"batchItemFailures": [{"itemIdentifier": "b"}]}), SENT, partial=True) == {"b"}


@pytest.mark.parametrize(
    "returned",
    [
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": 1}]},
        {"batchItemFailures": [{"ItemIdentifier": "a"}]},
        {"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "c"}]},
        {"batchItemFailures": ["a"]},
        {"batchItemFailures": "a"},
        {"batchItemFailures": {"itemIdentifier": "a"}},
        "a",
        ["a"],
        1,
        "",
    ],
)
def test_anything_malformed_fails_the_whole_batch(returned: object) -> None:
    """Lambda cannot know what was meant."""
    assert kept(answer(returned), SENT, partial=True) == SENT


def test_an_error_fails_the_whole_batch() -> None:
    """Whatever was done before it."""
    assert kept(Outcome.error("Error", "no"), SENT, partial=True) == SENT


def test_without_partial_responses_only_an_error_fails() -> None:
    """What a function returns says nothing if its event source does not ask for it."""
    assert kept(answer({"batchItemFailures": [{"itemIdentifier": "a"}]}), SENT, partial=False) == set()
    assert kept(Outcome.error("Error", "no"), SENT, partial=False) == SENT
