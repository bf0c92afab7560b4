import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws

import catalog
from afterward import Task
from afterward.aws import client
from afterward.event import Context
from afterward.in_process import Invocation, as_record
from afterward.queues import Incoming
from afterward.worker import Worker
from tests.support.cloud import BUCKET, DEAD, TABLE, create_table
from tests.support.faults import Wire
from tests.support.gateway import Gateway, lambda_loop

TASKS = tuple(one.name for one in vars(catalog).values() if isinstance(one, Task))


@dataclass(frozen=True, slots=True)
class Deployed:
    """The application on moto: its API behind a gateway, its tables and queues, and what fails on the way to them."""

    api: Gateway
    dynamodb: Wire
    sqs: Wire
    urls: dict[str, str]

    def waiting(self, task: str) -> list[dict[str, Any]]:
        """Return the envelopes on a task's queue."""
        return [json.loads(message["Body"]) for message in self._receive(task)]

    def records(self) -> list[str]:
        """Return the keys of all records."""
        return [item["pk"]["S"] for item in self.dynamodb.client.scan(TableName=TABLE)["Items"]]

    def objects(self, prefix: str) -> list[str]:
        """Return the keys of the bucket's objects under a prefix."""
        listed = client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", [])]

    def status(self, job_id: str) -> dict[str, Any]:
        """Return what the API tells of a job."""
        body: dict[str, Any] = self.api.get(f"/tasks/{job_id}").json
        return body

    def run(self, worker: Worker, context: Context | None = None) -> None:
        """Hand every message on the worker's queue to it, as Lambda's poller does; delete what it settles."""
        for message in self._receive(worker.task.name):
            incoming = Incoming(message["MessageId"], message["ReceiptHandle"], message["Body"], 1, 0, {})
            event = {"Records": [as_record(incoming)]}
            if not worker(event, context or Invocation(10))["batchItemFailures"]:
                self.sqs.client.delete_message(
                    QueueUrl=self.urls[worker.task.name], ReceiptHandle=message["ReceiptHandle"]
                )

    def _receive(self, task: str) -> list[dict[str, Any]]:
        answer = self.sqs.client.receive_message(QueueUrl=self.urls[task], MaxNumberOfMessages=10, VisibilityTimeout=0)
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """The API with the variables that template.yaml gives it."""
    with deployment(monkeypatch) as made:
        yield made


@contextmanager
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """The same for as long as a block lasts."""
    with mock_aws(), lambda_loop():
        dynamodb, sqs = Wire(client("dynamodb")), Wire(client("sqs"))
        create_table(dynamodb.client)
        create_notifications_table(dynamodb.client)
        for name in ("activity", "statistics"):
            create_users_table(dynamodb.client, name)
            monkeypatch.setenv(f"{name.upper()}_TABLE", name)
        client("s3").create_bucket(Bucket=BUCKET)
        secret = client("secretsmanager").create_secret(Name="digest", SecretString="a key")["ARN"]
        urls = {name: sqs.client.create_queue(QueueName=name)["QueueUrl"] for name in (*TASKS, DEAD)}
        monkeypatch.setenv("AFTERWARD_JOBS_TABLE", TABLE)
        monkeypatch.setenv("AFTERWARD_BUCKET", BUCKET)
        monkeypatch.setenv("AFTERWARD_DEAD_LETTER_QUEUE", urls[DEAD])
        monkeypatch.setenv("AFTERWARD_DIGEST_SECRET", secret)
        monkeypatch.setenv("NOTIFICATIONS_TABLE", "notifications")
        for name in TASKS:
            monkeypatch.setenv(f"AFTERWARD_QUEUE_{name.upper()}", urls[name])
        import api  # noqa: PLC0415 - Mangum wants the loop that a Lambda has

        yield Deployed(Gateway(api.lambda_handler), dynamodb, sqs, urls)


def create_notifications_table(dynamodb: Any) -> None:
    """Create the inbox's table as template.yaml describes it."""
    _create_table(dynamodb, "notifications", "recipient")


def create_users_table(dynamodb: Any, name: str) -> None:
    """Create the table of the activity or of the statistics as template.yaml describes it."""
    _create_table(dynamodb, name, "user")


def _create_table(dynamodb: Any, name: str, owner: str) -> None:
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in (owner, "id")],
        KeySchema=[{"AttributeName": owner, "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
    )
