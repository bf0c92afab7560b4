"""moto as the local cloud changes it answers as moto itself does: both are asked the same things.

Where it is meant to answer otherwise, it does as AWS.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.account import Account, session
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


class Forms:
    """Forms that a bucket of the local cloud takes."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def signed(self, key: str = "a", seconds: int = 60, fields: dict[str, str] | None = None) -> dict[str, Any]:
        """Sign a form for 2 to 4 bytes under a key; what `fields` hold may go on otherwise after three characters."""
        fields = fields or {}
        form: dict[str, Any] = self._s3.generate_presigned_post(
            Bucket="forms",
            Key=key,
            Fields={"Content-Type": "text/csv", **fields},
            Conditions=[
                {"Content-Type": "text/csv"},
                ["content-length-range", 2, 4],
                *(["starts-with", f"${name}", value[:3]] for name, value in fields.items()),
            ],
            ExpiresIn=seconds,
        )
        return form

    @staticmethod
    def post(form: dict[str, Any], content: bytes = b"a,b", **changed: str | None) -> httpx.Response:
        """Post a form with fields changed, or (None) left out."""
        fields = form["fields"] | {name.replace("_", "-"): value for name, value in changed.items()}
        given = {name: value for name, value in fields.items() if value is not None}
        return httpx.post(form["url"], data=given, files={"file": ("x.csv", content)}, timeout=30)

    def kept(self) -> dict[str, tuple[str, bytes]]:
        objects = (one["Key"] for one in self._s3.list_objects_v2(Bucket="forms").get("Contents", []))
        found = {key: self._s3.get_object(Bucket="forms", Key=key) for key in objects}
        return {key: (one["ContentType"], one["Body"].read()) for key, one in found.items()}


@pytest.fixture
def forms(cloud: LocalCloud) -> Iterator[Forms]:
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    s3: Any = session().client("s3", endpoint_url=cloud.endpoint, config=config)
    s3.create_bucket(Bucket="forms")
    yield Forms(s3)
    for key in (one["Key"] for one in s3.list_objects_v2(Bucket="forms").get("Contents", [])):
        s3.delete_objects(Bucket="forms", Delete={"Objects": [{"Key": key}]})
    s3.delete_bucket(Bucket="forms")
    s3.close()


@pytest.mark.parametrize("content", [b"a,", b"\x00\xff\x1f\x8b"])
def test_a_form_is_taken_as_it_was_signed(forms: Forms, content: bytes) -> None:
    """What keeps to the policy is an object, byte for byte; fields that S3 is to ignore do no harm."""
    answer = forms.post(forms.signed(), content, x_ignore_me="1")
    assert (answer.status_code, answer.content) == (204, b"")
    assert forms.kept() == {"a": ("text/csv", content)}


def test_a_form_may_leave_a_part_open(forms: Forms) -> None:
    """A field that must begin with something may go on as it likes, and `${filename}` is the file's name."""
    form = forms.signed("up/${filename}", fields={"x-amz-meta-note": "one thing"})
    assert forms.post(form, x_amz_meta_note="one other").status_code == 204
    assert forms.post(form, x_amz_meta_note="another").status_code == 403
    assert [*forms.kept()] == ["up/x.csv"]


@pytest.mark.parametrize(
    ("content", "changed", "status", "said"),
    [
        (b"a", {}, 400, "<Code>EntityTooSmall</Code>"),
        (b"a,b,c", {}, 400, "<Code>EntityTooLarge</Code>"),
        (b"a,b", {"key": "b"}, 403, "<Code>AccessDenied</Code>"),
        (b"a,b", {"Content_Type": "text/html"}, 403, "Policy Condition failed"),
        (b"a,b", {"Content_Type": None}, 403, "Policy Condition failed"),
        (b"a,b", {"acl": "public-read"}, 403, "Extra input fields: acl"),
        (b"a,b", {"policy": "e30="}, 403, "<Code>SignatureDoesNotMatch</Code>"),
        (b"a,b", {"policy": None}, 403, "<Code>AccessDenied</Code>"),
        (b"a,b", {"x_amz_signature": None}, 403, "<Code>SignatureDoesNotMatch</Code>"),
    ],
)
def test_a_form_is_held_against_its_policy(
    forms: Forms, content: bytes, changed: dict[str, str | None], status: int, said: str
) -> None:
    """Size, key, type and every other field are what was signed, or S3's error is the answer and nothing is kept."""
    answer = forms.post(forms.signed(), content, **changed)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/xml")
    assert said in answer.text
    assert forms.kept() == {}


def test_a_form_is_one_buckets(forms: Forms, cloud: LocalCloud) -> None:
    """It is not taken where it was not signed for."""
    form = forms.signed()
    cloud.client("s3").create_bucket(Bucket="other")
    assert "Policy Condition failed" in forms.post(form | {"url": f"{cloud.endpoint}/other"}).text


def test_a_form_expires(forms: Forms) -> None:
    """Afterwards it is refused, as S3 says it."""
    form = forms.signed(seconds=1)
    eventually(lambda: forms.post(form).status_code == 403)
    assert "Policy expired" in forms.post(form).text


def test_deleting_objects_is_no_form(forms: Forms, cloud: LocalCloud) -> None:
    """The one other request that is posted to a bucket is as it was."""
    forms.post(forms.signed())
    answer = cloud.client("s3").delete_objects(Bucket="forms", Delete={"Objects": [{"Key": "a"}]})
    assert [one["Key"] for one in answer["Deleted"]] == ["a"]
