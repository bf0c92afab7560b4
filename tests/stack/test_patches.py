"""moto as the local cloud changes it answers as moto itself does: both are asked the same things."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.account import Account
from local.cloud import LocalCloud
from local.server import listen, port_of
from tests.stack.waiting import eventually

Calls = list[tuple[str, dict[str, Any]]]
Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def original() -> Iterator[Account]:
    """moto's own server, unchanged."""
    with listen() as free:
        port = port_of(free)
    process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.PIPE)
    account = Account(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: answers(account), within=30)
        yield account
    finally:
        account.close()
        process.kill()
        process.communicate()


def answers(account: Account) -> bool:
    try:
        account.client("sqs").list_queues()
    except Exception:  # noqa: BLE001 - not yet
        return False
    return True


def said(client: Any, calls: Calls) -> list[Any]:
    """Make the calls; what depends on the moment or on chance is left out of the answers."""
    handles: list[str] = []
    return [without_chance(answer(client, name, with_handle(arguments, handles), handles)) for name, arguments in calls]


def with_handle(arguments: dict[str, Any], handles: list[str]) -> dict[str, Any]:
    """Put the receipt handle of an earlier message in the place of its number."""
    number = arguments.get("ReceiptHandle")
    return {**arguments, "ReceiptHandle": handles[number]} if isinstance(number, int) else arguments


def answer(client: Any, name: str, arguments: dict[str, Any], handles: list[str]) -> Any:
    try:
        found = getattr(client, name)(**arguments)
    except ClientError as error:
        return error.response["Error"], {
            k: v for k, v in error.response.items() if k in {"Item", "CancellationReasons"}
        }
    handles.extend(message["ReceiptHandle"] for message in found.get("Messages", []))
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


_CHANCE = re.compile(r"'(MessageId|ReceiptHandle|\w+Timestamp)': '?[^,}]*|127\.0\.0\.1:\d+")


def without_chance(found: Any) -> str:
    return _CHANCE.sub("", repr(found))


QUEUE = {"QueueUrl": "http://localhost/123456789012/compared"}
ONE = {**QUEUE, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
COUNTS = {**QUEUE, "AttributeNames": [f"ApproximateNumberOfMessages{of}" for of in ("", "NotVisible", "Delayed")]}
SQS: dict[str, Calls] = {
    "send, receive, delete": [
        (
            "send_message",
            {
                **QUEUE,
                "MessageBody": "a",
                "MessageGroupId": "g",
                "MessageAttributes": {"n": {"DataType": "Number", "StringValue": "1"}},
            },
        ),
        ("get_queue_attributes", COUNTS),
        ("receive_message", ONE),
        ("get_queue_attributes", COUNTS),
        ("receive_message", ONE),
        ("delete_message", {**QUEUE, "ReceiptHandle": 0}),
        ("delete_message", {**QUEUE, "ReceiptHandle": 0}),
        ("get_queue_attributes", COUNTS),
    ],
    "a handle that is not one": [("delete_message", {**QUEUE, "ReceiptHandle": "no"})],
    "visible again": [
        ("send_message", {**QUEUE, "MessageBody": "b"}),
        ("receive_message", ONE),
        ("change_message_visibility", {**QUEUE, "ReceiptHandle": 0, "VisibilityTimeout": 0}),
        ("receive_message", {**ONE, "WaitTimeSeconds": 2}),
        ("change_message_visibility", {**QUEUE, "ReceiptHandle": 1, "VisibilityTimeout": 0}),
        ("receive_message", {**ONE, "WaitTimeSeconds": 2}),
        ("delete_message", {**QUEUE, "ReceiptHandle": 0}),
        ("receive_message", ONE),
    ],
    "redriven": [
        ("send_message", {**QUEUE, "MessageBody": "c"}),
        *[("receive_message", {**ONE, "VisibilityTimeout": 0})] * 5,
        ("receive_message", {**ONE, "QueueUrl": "http://localhost/123456789012/compared-dead"}),
    ],
    "delayed": [
        ("send_message", {**QUEUE, "MessageBody": "d", "DelaySeconds": 1}),
        ("get_queue_attributes", COUNTS),
        ("receive_message", ONE),
        ("receive_message", {**ONE, "WaitTimeSeconds": 3}),
    ],
    "attributes": [("get_queue_attributes", {**QUEUE, "AttributeNames": ["VisibilityTimeout", "RedrivePolicy"]})],
    "a queue that is not there": [("receive_message", {**ONE, "QueueUrl": "http://localhost/123456789012/nowhere"})],
}


@pytest.mark.parametrize("calls", SQS.values(), ids=SQS)
def test_queues_answer_as_they_do_in_moto(cloud: LocalCloud, original: Account, calls: Calls) -> None:
    """Fewer clock readings are no other answers."""
    given = []
    for client in (original.client("sqs"), cloud.client("sqs")):
        client.create_queue(QueueName="compared-dead")
        policy = '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:compared-dead", "maxReceiveCount": 3}'
        client.create_queue(QueueName="compared", Attributes={"RedrivePolicy": policy})
        given.append(said(client, calls))
        client.delete_queue(QueueUrl="http://localhost/123456789012/compared")
        client.delete_queue(QueueUrl="http://localhost/123456789012/compared-dead")
    assert given[0] == given[1]


TABLE = {"TableName": "compared"}
KEY = {"pk": {"S": "1"}}
ITEM = {
    **KEY,
    "n": {"N": "1"},
    "l": {"L": [{"N": "1"}, {"S": "b"}]},
    "m": {"M": {"x": {"M": {"y": {"N": "2"}}}}},
    "s": {"SS": ["a", "b"]},
    "b": {"B": b"\x00"},
}


def update(expression: str, condition: str | None = None, **values: Any) -> tuple[str, dict[str, Any]]:
    """Spell an update with #n for the attribute n and one with :v for each value."""
    text = f"{expression} {condition or ''}"
    names = {name: name[1:] for name in re.findall(r"#\w+", text)}
    return (
        "update_item",
        {
            **TABLE,
            "Key": KEY,
            "UpdateExpression": expression,
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **({"ConditionExpression": condition} if condition else {}),
            **({"ExpressionAttributeNames": names} if names else {}),
            **({"ExpressionAttributeValues": {f":{k}": v for k, v in values.items()}} if values else {}),
        },
    )


ONE_MORE = {"N": "1"}
UPDATES = [
    update("SET #n = #n + :one, #new = if_not_exists(#new, :one)", one=ONE_MORE),
    update("SET #n = if_not_exists(#gone, :one) + :one, #copy = #n", one=ONE_MORE),
    update("SET #l = list_append(#l, :more), #l[0] = :one", more={"L": [{"S": "c"}]}, one=ONE_MORE),
    update("SET #l[5] = :one, #m.#x.#y = #m.#x.#y - :one", one=ONE_MORE),
    update("SET #m.#x.#new = :one REMOVE #l[0], #b", one=ONE_MORE),
    update("ADD #n :one, #s :more DELETE #s :less", one=ONE_MORE, more={"SS": ["c"]}, less={"SS": ["a"]}),
    update("ADD #s :more REMOVE #n", more={"SS": ["c"]}),
    update("SET #n = :one", "#n = :old AND (attribute_exists(#b) OR #n > :old)", one=ONE_MORE, old={"N": "1"}),
    update(
        "SET #n = :one",
        "attribute_not_exists(#n) OR size(#l) > :one AND #n IN (:one, :two)",
        one=ONE_MORE,
        two={"N": "2"},
    ),
    update("SET #n = :one", "NOT begins_with(#pk, :one)", one={"S": "1"}),
    update("SET #n = :one", "#n BETWEEN :low AND :high", one=ONE_MORE, low={"N": "0"}, high={"N": "2"}),
    update("SET #n = :one", "#n = :gone", one=ONE_MORE, gone={"N": "9"}),
    update("SET #n = :one, #n = :one", one=ONE_MORE),
    update("SET #m.#x = :one, #m.#x.#y = :one", one=ONE_MORE),
    update("SET #n = :one SET #l = :one", one=ONE_MORE),
    update("SET #pk = :one", one=ONE_MORE),
    update("SET #b = #b + :one", one=ONE_MORE),
    update("SET #n = #gone", None),
    update("SET #m.#gone.#y = :one", one=ONE_MORE),
    update("SET #n = :one", one=ONE_MORE, unused=ONE_MORE),
    update("SET #n = :unknown", None),
    update("SET name = :one", one=ONE_MORE),
    update("SET #n ! :one", one=ONE_MORE),
    update("REMOVE #gone", None),
]
PUT = ("put_item", {**TABLE, "Item": ITEM})
GET = ("get_item", {**TABLE, "Key": KEY})


def put(key: str, condition: str | None = None) -> dict[str, Any]:
    return {"Put": {**TABLE, "Item": {"pk": {"S": key}}, **({"ConditionExpression": condition} if condition else {})}}


REFUSED = {"Update": {key: value for key, value in UPDATES[11][1].items() if key != "ReturnValues"}}
ADDED = {"Update": {key: value for key, value in UPDATES[0][1].items() if key != "ReturnValues"}}
SCAN = ("scan", TABLE)
DYNAMODB: list[Calls] = [
    *([PUT, one, GET] for one in UPDATES),
    *([one, GET] for one in UPDATES[:3]),
    [PUT, ("put_item", {**TABLE, "Item": ITEM, "ConditionExpression": "attribute_not_exists(pk)"})],
    [PUT, ("delete_item", {**TABLE, "Key": KEY, "ReturnValues": "ALL_OLD"}), GET],
    [PUT, ("transact_write_items", {"TransactItems": [put("2"), ADDED]}), SCAN],
    [PUT, ("transact_write_items", {"TransactItems": [put("2"), ADDED, put("3", "attribute_exists(pk)")]}), SCAN],
    [PUT, ("transact_write_items", {"TransactItems": [{"Delete": {**TABLE, "Key": KEY}}, put("1")]}), SCAN],
    [PUT, ("transact_write_items", {"TransactItems": [put("4"), REFUSED]}), SCAN],
]


@pytest.mark.parametrize("calls", DYNAMODB)
def test_tables_answer_as_they_do_in_moto(cloud: LocalCloud, original: Account, calls: Calls) -> None:
    """Expressions that are parsed once and items that are copied alone are the same expressions and items."""
    given = []
    for client in (original.client("dynamodb"), cloud.client("dynamodb")):
        client.create_table(
            **TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        given.append(said(client, calls))
        client.delete_table(**TABLE)
    assert given[0] == given[1]
