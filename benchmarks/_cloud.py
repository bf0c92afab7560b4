"""The AWS side of the benchmarks, played by moto: what both applications need, and the variables that name it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3

TASKS = ("send_notification", "send_email", "long_running_task")
ACCOUNT = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}

KEYS = {"jobs": ["pk"], "handwritten": ["pk"], "idempotency": ["id"], "notifications": ["recipient", "id"]}
"""The tables, and the attributes of their keys."""

Event = dict[str, Any]


@dataclass(frozen=True)
class Queue:
    """A queue as Lambda's event source sees it."""

    client: Any
    url: str

    def event(self, limit: int = 1) -> Event:
        """Receive messages, as an event."""
        answer = self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=limit, MessageSystemAttributeNames=["All"]
        )
        return {"Records": [_record(message) for message in answer["Messages"]]}


def _record(message: Mapping[str, Any]) -> Event:
    return {
        "eventSource": "aws:sqs",
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
    }


class Cloud:
    """An account with the tables, queues, bucket and secret of both applications; its own clients are not metered."""

    def __init__(self, endpoint: str | None = None) -> None:
        session = boto3.Session("local", "local", region_name="us-east-1")
        self._dynamodb: Any = session.client("dynamodb", endpoint_url=endpoint)
        self._sqs = session.client("sqs", endpoint_url=endpoint)
        for table in KEYS:
            self._create_table(table)
        session.client("s3", endpoint_url=endpoint).create_bucket(Bucket="bucket")
        session.client("secretsmanager", endpoint_url=endpoint).create_secret(Name="digests", SecretString="key")
        names = [*TASKS, *(f"handwritten_{task}" for task in TASKS), "dead_letters"]
        self.queues = {name: self._create_queue(name) for name in names}

    @property
    def environment(self) -> dict[str, str]:
        """The variables of functions that use it."""
        return ACCOUNT | {
            **{f"AFTERWARD_QUEUE_{task.upper()}": self.queues[task].url for task in TASKS},
            **{f"QUEUE_{task.upper()}": self.queues[f"handwritten_{task}"].url for task in TASKS},
            "AFTERWARD_JOBS_TABLE": "jobs",
            "AFTERWARD_BUCKET": "bucket",
            "AFTERWARD_DEAD_LETTER_QUEUE": self.queues["dead_letters"].url,
            "AFTERWARD_DIGEST_SECRET": "digests",
            "ACTIVITY_TABLE": "activity",
            "NOTIFICATIONS_TABLE": "notifications",
            "STATISTICS_TABLE": "statistics",
            "JOBS_TABLE": "handwritten",
            "IDEMPOTENCY_TABLE": "idempotency",
            "POWERTOOLS_SERVICE_NAME": "benchmark",
        }

    def item(self, table: str, key: Event) -> Event:
        item: Event = self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
        return item

    def _create_queue(self, name: str) -> Queue:
        return Queue(self._sqs, self._sqs.create_queue(QueueName=name)["QueueUrl"])

    def _create_table(self, name: str) -> None:
        indexed = {"jobs": ["listing", "created"]}.get(name, [])
        index = {"IndexName": "listing", "KeySchema": _schema(indexed), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        self._dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=_schema(KEYS[name]),
            AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in KEYS[name] + indexed],
            **({"GlobalSecondaryIndexes": [index]} if indexed else {}),
        )


def _schema(keys: list[str]) -> list[dict[str, str]]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]
