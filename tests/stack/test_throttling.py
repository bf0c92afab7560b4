"""Messages whose function has no room for them wait where they are, and are not worn out by it."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from local.cloud import LocalCloud
from tests.stack.waiting import eventually

HERE = Path(__file__).parent
STATE = HERE.parents[1] / ".local"


HIDDEN = 3
"""Seconds for which a message is hidden that somebody has received."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """The small application, with a witness that may never run: it would hear of dead letters and of uploads."""
    app = tmp_path_factory.mktemp("app")
    for folder in ("functions", "layers"):
        (app / folder).symlink_to(HERE / "app" / folder)
    text = (HERE / "app" / "template.yaml").read_text()
    for old, new in {
        "ReservedConcurrentExecutions: 1\n": "ReservedConcurrentExecutions: 0\n",
        "VisibilityTimeout: 1\n": f"VisibilityTimeout: {HIDDEN}\n",
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (app / "template.yaml").write_text(text)
    with LocalCloud(app / "template.yaml", state=STATE) as running:
        yield running


def send(cloud: LocalCloud, queue: str, bodies: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(bodies), 10):
        entries = [
            {"Id": str(number), "MessageBody": json.dumps(body)}
            for number, body in enumerate(bodies[start : start + 10])
        ]
        cloud.client("sqs").send_message_batch(QueueUrl=cloud.resources[queue], Entries=entries)


def receives(cloud: LocalCloud, name: str) -> list[int]:
    """List how often each delivery's message had been received by then."""
    fields = [line.fields for line in cloud.logs if line.source == "Worker" and line.fields]
    return [one["count"] for one in fields if one.get("job_id") == name]


def waiting(cloud: LocalCloud, queue: str) -> int:
    """Return how many messages a queue holds, seen or not."""
    told = cloud.client("sqs").get_queue_attributes(QueueUrl=cloud.resources[queue], AttributeNames=["All"])
    numbers = told["Attributes"].items()
    return sum(int(value) for name, value in numbers if name.startswith("ApproximateNumberOfMessages"))


def test_a_function_that_may_never_run_takes_no_message(cloud: LocalCloud) -> None:
    """With a reserved concurrency of 0 its queues are not polled: a message lies there, received by nobody."""
    send(cloud, "UploadQueue", [{"name": "kept"}])
    time.sleep(1.5)
    received = cloud.client("sqs").receive_message(
        QueueUrl=cloud.resources["UploadQueue"], MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    )
    counts = {one["Body"]: one["Attributes"]["ApproximateReceiveCount"] for one in received["Messages"]}
    assert counts['{"name": "kept"}'] == "1"


def test_a_busy_function_wears_out_no_message(cloud: LocalCloud) -> None:
    """A hundred messages wait, most of them for longer than one that was received stays hidden: each comes once."""
    name, began = str(uuid4()), time.monotonic()
    send(cloud, "Queue", [{"name": name, "sleep": 1}] * 100)
    eventually(lambda: not waiting(cloud, "Queue"), within=40)
    assert time.monotonic() - began > HIDDEN + 1
    assert receives(cloud, name) == [1] * 100
    assert not waiting(cloud, "DeadLetterQueue")
