"""The AWS adapters of the library on real clients, with a Wire in each of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moto import mock_aws
from moto.core.base_backend import BackendDict

from afterward.aws import CONFIG, session
from afterward.backend import Backend
from afterward.digest import KeyedDigests
from afterward.dynamodb import DynamoDBRecords
from afterward.queues import Incoming
from afterward.s3 import S3Blobs
from afterward.sqs import SqsQueues
from afterward.testing import ManualClock
from tests.support.faults import Wire

TABLE = "jobs"
BUCKET = "afterward-test"
DEAD = "dead-letters"


@dataclass(frozen=True, slots=True)
class Cloud:
    """`urls` by queue name: one per task, and the dead-letter queue under DEAD."""

    clock: ManualClock
    dynamodb: Wire
    sqs: Wire
    s3: Wire
    urls: dict[str, str]
    backend: Backend

    def waiting(self, name: str) -> list[Incoming]:
        """Return up to ten messages of a queue that are visible now, and leave them so."""
        answer = self.sqs.client.receive_message(
            QueueUrl=self.urls[name],
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [self._incoming(message) for message in answer.get("Messages", [])]

    def item(self, owner: str, job_id: str) -> dict[str, Any] | None:
        """Return a record as the table holds it."""
        answer = self.dynamodb.client.get_item(TableName=TABLE, Key={"pk": {"S": f"{owner}#{job_id}"}})
        found: dict[str, Any] | None = answer.get("Item")
        return found

    def objects(self, prefix: str = "") -> dict[str, Any]:
        """Return every object of the bucket under a prefix, read as JSON."""
        listed = self.s3.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return {one["Key"]: self._object(one["Key"]) for one in listed}

    def _object(self, key: str) -> Any:
        return json.loads(self.s3.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def _incoming(self, message: dict[str, Any]) -> Incoming:
        return Incoming(
            id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            receives=1,
            sent=self.clock.now(),
            attributes={name: one["StringValue"] for name, one in message.get("MessageAttributes", {}).items()},
        )


@contextmanager
def cloud_of(clock: ManualClock, tasks: tuple[str, ...]) -> Iterator[Cloud]:
    """Build the table, the queues and the bucket in an empty moto, and the adapters on top of them.

    Where moto is active already it stays so, which saves most of its start.
    """
    with mock_aws(), _emptied():
        dynamodb, sqs, s3 = (Wire(session().create_client(name, config=CONFIG)) for name in ("dynamodb", "sqs", "s3"))
        create_table(dynamodb.client)
        s3.client.create_bucket(Bucket=BUCKET)
        urls = {name: sqs.client.create_queue(QueueName=name)["QueueUrl"] for name in (*tasks, DEAD)}
        backend = Backend(
            records=DynamoDBRecords(dynamodb.client, TABLE, clock),
            queues=SqsQueues(sqs.client, {name: urls[name] for name in tasks}, urls[DEAD]),
            blobs=S3Blobs(lambda: s3.client, BUCKET),
            digests=KeyedDigests(b"a key for tests"),
            clock=clock,
        )
        for wire in (dynamodb, sqs, s3):
            wire.sent.clear()
        yield Cloud(clock, dynamodb, sqs, s3, urls, backend)


@contextmanager
def _emptied() -> Iterator[None]:
    BackendDict.reset()
    try:
        yield
    finally:
        BackendDict.reset()


def create_table(client: Any) -> None:
    """Create the jobs table as template.yaml describes it."""
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "listing", "created")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "listing",
                "KeySchema": [
                    {"AttributeName": "listing", "KeyType": "HASH"},
                    {"AttributeName": "created", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
