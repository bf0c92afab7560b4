"""AWS in process, for thousands of short plays: made once, and emptied between them.

moto's queues go by the time of the play instead of the machine's, and what the tables hold is read from moto's own
objects, without requests.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.session
import moto.sqs.models
import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from moto import mock_aws
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.core.utils import camelcase_to_underscores

from afterward.aws import CONFIG
from afterward.backend import Backend
from afterward.digest import KeyedDigests
from afterward.dynamodb import DynamoDBRecords, _record
from afterward.queues import Incoming
from afterward.records import Record
from afterward.s3 import S3Blobs
from afterward.sqs import SqsQueues
from afterward.testing import ManualClock
from local import patches
from tests.faults.lives import CALL, Call, Life, LifeClient, LifeClock
from tests.faults.strikes import DYNAMODB, S3, SQS
from tests.support.cloud import BUCKET, DEAD, TABLE, create_table
from tests.support.faults import Sent, Wire

EFFECTS = "effects"
"""The table that tasks write to, by `id`."""

RECEIVES = 20
"""`maxReceiveCount` of the tasks' queues: 1,000 in template.yaml, which takes long to reach."""

REGION, ACCOUNT = "us-east-1", "123456789012"

Judge = Callable[[Call, AWSPreparedRequest, Sent, Callable[[], AWSResponse]], AWSResponse]


@dataclass(slots=True)
class JudgedWire(Wire):
    """Asks a judge what becomes of each request that a process sends; those of the tests go through."""

    judge: Judge | None = None

    def _handle(self, request: AWSPreparedRequest, sent: Sent, pass_on: Callable[[], AWSResponse]) -> AWSResponse:
        call = CALL.get(None)
        return pass_on() if call is None or self.judge is None else self.judge(call, request, sent, pass_on)


@dataclass(slots=True)
class Stage:
    """`urls` by queue name: one per task, and the dead-letter queue under DEAD."""

    wires: dict[str, JudgedWire]
    urls: dict[str, str]
    time: ManualClock = field(default_factory=ManualClock)

    def clear(self, visibility: int) -> ManualClock:
        """Begin a play with nothing in any store, at the beginning of time; return its clock."""
        self.time = ManualClock()
        for name in (TABLE, EFFECTS):
            self._table(name).items.clear()
        for name in self.urls:
            queue = self._queue(name)
            queue._messages.clear()
            queue.pending_messages.clear()
            queue.visibility_timeout = 60 if name == DEAD else visibility
        bucket = self._bucket()
        bucket.keys = type(bucket.keys)()
        for wire in self.wires.values():
            wire.sent.clear()
        return self.time

    def seconds(self) -> float:
        return self.time.now()

    def milliseconds(self) -> float:
        return self.time.now() * 1000

    def judged_by(self, judge: Judge | None) -> None:
        for wire in self.wires.values():
            wire.judge = judge

    def backend(self, life: Life) -> Backend:
        """Return the stores as one process has them."""
        dynamodb, sqs, s3 = (LifeClient(self.wires[name].client, life) for name in (DYNAMODB, SQS, S3))
        clock = LifeClock(life)
        tasks = {name: url for name, url in self.urls.items() if name != DEAD}
        return Backend(
            records=DynamoDBRecords(dynamodb, TABLE, clock),
            queues=SqsQueues(sqs, tasks, self.urls[DEAD]),
            blobs=S3Blobs(lambda: s3, BUCKET),
            digests=KeyedDigests(b"a key for tests"),
            clock=clock,
        )

    def records(self) -> dict[str, Record]:
        """Return every record of the table, by the job's id."""
        items = (item.to_json()["Attributes"] for item in self._table(TABLE).items.values())
        records = [_record(item) for item in items if "status" in item]
        return {record.id: record for record in records}

    def effects(self) -> dict[str, int]:
        """Return how often each effect is there."""
        items = (item.to_json()["Attributes"] for item in self._table(EFFECTS).items.values())
        return {item["id"]["S"]: int(item["count"]["N"]) for item in items}

    def objects(self, prefix: str) -> dict[str, Any]:
        """Return the objects of the bucket under a prefix, read as JSON, by the rest of their keys."""
        keys = self._bucket().keys
        return {key.removeprefix(prefix): json.loads(keys[key].value) for key in keys if key.startswith(prefix)}

    def receive(self, name: str, most: int) -> list[Incoming]:
        """Receive what is visible, as Lambda's poller does."""
        visibility = self._queue(name).visibility_timeout
        received = self._sqs().receive_message(name, most, 0, visibility, ["All"])
        return [_incoming(message) for message in received]

    def delete(self, name: str, message: Incoming) -> None:
        self._sqs().delete_message(name, message.receipt)

    def put_message(self, name: str, body: str) -> None:
        self._sqs().send_message(name, body)

    def repeat_messages(self, name: str) -> None:
        """Let what a queue holds come twice, as SQS may."""
        for message in list(self._queue(name)._messages):
            self.put_message(name, message.body)

    def next_visible(self) -> float | None:
        """Return when the next message shows, or None where no queue holds any."""
        shown = [max(one.visible_at, one.delayed_until) for name in self.urls for one in self._queue(name)._messages]
        return min(shown) / 1000 if shown else None

    @staticmethod
    def _sqs() -> Any:
        return get_backend("sqs")[ACCOUNT][REGION]

    def _queue(self, name: str) -> Any:
        return self._sqs().get_queue(name)

    @staticmethod
    def _table(name: str) -> Any:
        return get_backend("dynamodb")[ACCOUNT][REGION].tables[name]

    @staticmethod
    def _bucket() -> Any:
        return get_backend("s3")[ACCOUNT]["aws"].buckets[BUCKET]


def _incoming(message: Any) -> Incoming:
    attributes = {name: one["StringValue"] for name, one in message.message_attributes.items()}
    return Incoming(
        id=message.id,
        receipt=message.receipt_handle,
        body=message.body,
        receives=message.approximate_receive_count,
        sent=message.sent_timestamp / 1000,
        attributes=attributes,
    )


@contextmanager
def staged(tasks: tuple[str, ...]) -> Iterator[Stage]:
    """Build the tables, the queues and the bucket in an empty moto whose queues go by the stage's time."""
    with pytest.MonkeyPatch.context() as patch, _quietly(), mock_aws():
        BackendDict.reset()
        _close(patch)
        _quicken(patch)
        wires = _wires()
        stage = Stage(wires, _created(wires, tasks))
        patch.setattr(moto.sqs.models, "unix_time", stage.seconds)
        patch.setattr(moto.sqs.models, "unix_time_millis", stage.milliseconds)
        try:
            yield stage
        finally:
            stage.judged_by(None)
            BackendDict.reset()


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the library from telling of every fault: to write the tracebacks would take longer than the plays."""
    logger = logging.getLogger("afterward")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(before)


def _close(patch: pytest.MonkeyPatch) -> None:
    """Keep botocore from files of this machine: the listing of a workload's calls is made before any fixture."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        patch.setenv(name, "/nonexistent")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        patch.delenv(name, raising=False)


def _quicken(patch: pytest.MonkeyPatch) -> None:
    """Give moto the shortcuts of the local cloud, for as long as the stage stands; its queues go by another clock."""
    patch.setattr(patches, "_replace", patch.setattr)
    patches._cheaper_requests()
    patches._cheaper_expressions()
    patches._cheaper_transactions()
    patch.setattr(moto.sqs.models, "camelcase_to_underscores", cache(camelcase_to_underscores))


@cache
def _wires() -> dict[str, JudgedWire]:
    """Make the clients once per process, since that costs more than ten plays. Only moto's S3 looks for signatures."""
    session, unsigned = botocore.session.Session(), CONFIG.merge(Config(signature_version=UNSIGNED))
    session.set_credentials("testing", "testing")
    configs = {DYNAMODB: unsigned, SQS: unsigned, S3: CONFIG}
    return {name: JudgedWire(session.create_client(name, REGION, config=one)) for name, one in configs.items()}


def _created(wires: dict[str, JudgedWire], tasks: tuple[str, ...]) -> dict[str, str]:
    dynamodb, sqs, s3 = (wires[name].client for name in (DYNAMODB, SQS, S3))
    create_table(dynamodb)
    dynamodb.create_table(
        TableName=EFFECTS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    s3.create_bucket(Bucket=BUCKET)
    urls = {DEAD: sqs.create_queue(QueueName=DEAD, Attributes=_retained(14))["QueueUrl"]}
    target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEAD}"
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": RECEIVES})}
    for name in tasks:
        urls[name] = sqs.create_queue(QueueName=name, Attributes=_retained(7) | redrive)["QueueUrl"]
    return urls


def _retained(days: int) -> dict[str, str]:
    return {"MessageRetentionPeriod": str(days * 86_400)}
