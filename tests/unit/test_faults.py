"""The tools themselves: a fault that does nothing would make every test that relies on it pass."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.support.cloud import TABLE, Cloud
from tests.support.jobs import FIRST

ITEM = {"pk": {"S": "owner#job"}}


def test_a_refused_request_is_not_carried_out(cloud: Cloud) -> None:
    """The caller gets the service's error, after botocore's repeats, and the table stays empty."""
    cloud.dynamodb.refuse("PutItem", "ThrottlingException")
    with pytest.raises(ClientError, match="ThrottlingException"):
        cloud.dynamodb.client.put_item(TableName=TABLE, Item=ITEM)
    assert cloud.dynamodb.counts["PutItem"] == 3
    assert cloud.item("owner", "job") is None


def test_a_service_out_of_reach_does_nothing(cloud: Cloud) -> None:
    """A cut wire raises what botocore raises without a network."""
    cloud.dynamodb.cut("PutItem")
    with pytest.raises(EndpointConnectionError):
        cloud.dynamodb.client.put_item(TableName=TABLE, Item=ITEM)
    assert cloud.item("owner", "job") is None


def test_a_lost_reply_is_repeated_by_botocore(cloud: Cloud) -> None:
    """The request takes place, and takes place again, since nobody told botocore."""
    cloud.sqs.lose("SendMessage")
    cloud.sqs.client.send_message(QueueUrl=cloud.urls[FIRST], MessageBody="x")
    assert len(cloud.waiting(FIRST)) == 2


def test_replies_that_are_all_lost_leave_the_caller_in_doubt(cloud: Cloud) -> None:
    """After its last repeat botocore raises, although everything was carried out."""
    cloud.dynamodb.lose("PutItem", times=3)
    with pytest.raises(ReadTimeoutError):
        cloud.dynamodb.client.put_item(TableName=TABLE, Item=ITEM)
    assert cloud.item("owner", "job") == ITEM


def test_entries_of_a_batch_fail_on_their_own(cloud: Cloud) -> None:
    """The other entries are sent, and the answer names those that were not."""
    cloud.sqs.fail_entries(1)
    entries = [{"Id": str(index), "MessageBody": f"body {index}"} for index in range(3)]
    answer = cloud.sqs.client.send_message_batch(QueueUrl=cloud.urls[FIRST], Entries=entries)
    assert [one["Id"] for one in answer["Failed"]] == ["1"]
    assert [message.body for message in cloud.waiting(FIRST)] == ["body 0", "body 2"]


def test_somebody_else_may_be_faster(cloud: Cloud) -> None:
    """What happens meanwhile happens before the request arrives, and once only."""
    other = {"pk": {"S": "owner#other"}}
    cloud.dynamodb.meanwhile("PutItem", lambda: cloud.dynamodb.client.put_item(TableName=TABLE, Item=other))
    cloud.dynamodb.client.put_item(TableName=TABLE, Item=ITEM)
    assert cloud.item("owner", "other") == other
    assert cloud.item("owner", "job") == ITEM
    assert cloud.dynamodb.counts["PutItem"] == 2


@pytest.mark.parametrize("text", ["\x1b[31m", "\ufffe", "\uffff", ""])
def test_sqs_refuses_what_aws_refuses(cloud: Cloud, text: str) -> None:
    """moto takes any text; the wire answers as AWS does, for bodies and for attributes."""
    attributes = {"reason": {"DataType": "String", "StringValue": text}}
    with pytest.raises(ClientError):
        cloud.sqs.client.send_message(QueueUrl=cloud.urls[FIRST], MessageBody=f"{text}")
    with pytest.raises(ClientError):
        cloud.sqs.client.send_message(QueueUrl=cloud.urls[FIRST], MessageBody="x", MessageAttributes=attributes)


def test_attributes_count_towards_the_limit_of_a_message(cloud: Cloud) -> None:
    """One byte too many is refused, as AWS counts: body, names, types and values."""
    attributes = {"r": {"DataType": "String", "StringValue": "x"}}
    body = "x" * (1_048_576 - len("r" + "String" + "x"))
    cloud.sqs.client.send_message(QueueUrl=cloud.urls[FIRST], MessageBody=body, MessageAttributes=attributes)
    with pytest.raises(ClientError, match="BatchRequestTooLong"):
        cloud.sqs.client.send_message(QueueUrl=cloud.urls[FIRST], MessageBody=body + "x", MessageAttributes=attributes)
