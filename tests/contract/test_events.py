"""Every event of events/ through the function that it is for: from the sources, and as `sam build` leaves them."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from afterward.envelope import loads
from afterward.errors import BadMessage
from local.cloud import LocalCloud
from local.function import Code, Slot
from local.log import Log
from local.runtime import Invocation, Outcome, RuntimeApi
from local.server import listen, port_of, serving
from scripts.artifact import find_uv
from tests.stack.waiting import eventually

EVENTS = sorted((Path(__file__).parents[2] / "events").glob("*.json"), key=lambda path: path.stem)

ANSWERS = {
    "api.action": 202,
    "api.activity": 200,
    "api.cancel_unknown": 404,
    "api.notifications": 200,
    "api.process": 202,
    "api.result_unknown": 404,
    "api.retry_unknown": 404,
    "api.safe_task": 202,
    "api.safe_task_bad_id": 202,
    "api.safe_task_unknown_task": 422,
    "api.send_email": 202,
    "api.send_email_json": 202,
    "api.send_notification": 202,
    "api.start_task": 202,
    "api.start_task_out_of_range": 422,
    "api.statistics": 200,
    "api.task_progress_unknown": 404,
    "api.task_status_unknown": 404,
    "api.tasks": 200,
    "api.trigger_external_fetch": 202,
    "api.upload_csv": 202,
    "api.upload_csv_no_file": 422,
    "api.upload_csv_url": 202,
    "api.user_action": 202,
}
"""The status of the API's answer."""

RECORDS = {
    "action_notification.one": ["completed"],
    "cleanup.after_failure": ["completed"],
    "cleanup.one": ["completed"],
    "dead_letter.given_up": ["failed"],
    "dead_letter.not_ours": [],
    "dead_letter.received_too_often": ["failed"],
    "fetch_external_data.refused_address": ["failed"],
    "log_activity.one": ["completed"],
    "long_running_task.short": ["completed"],
    "long_running_task.too_new": ["failed"],
    "merge_csv.missing_division": ["failed"],
    "notify_of_failure.after_failure": ["completed"],
    "notify_of_failure.nothing_to_tell": ["completed"],
    "process_csv.missing_upload": ["failed"],
    "process_csv_chunk.missing_division": ["failed"],
    "process_data.bad_id": ["failed"],
    "process_data.one": ["completed"],
    "process_data.unknown_task": ["failed"],
    "s3_upload.by_hand": [],
    "s3_upload.foreign_key": [],
    "s3_upload.put": [],
    "s3_upload.test_event": [],
    "scan_csv.missing_plan": ["failed"],
    "send_email.one": ["completed"],
    "send_notification.batch": ["completed", "completed"],
    "send_notification.invalid_arguments": ["failed"],
    "send_notification.one": ["completed"],
    "send_webhook.refused_address": ["failed"],
    "slow_task.one": ["completed"],
    "slow_task.too_long": ["failed"],
    "split_csv.missing_plan": ["failed"],
    "update_statistics.delivered_twice": ["completed", "completed"],
    "update_statistics.one": ["completed"],
}
"""What the records of an event's jobs say when its function has answered that all its messages are done with."""

REASONS = {
    "fetch_external_data.refused_address": "[IP_ADDRESS] may not be called",
    "merge_csv.missing_division": "is gone",
    "process_csv.missing_upload": "the uploaded file is gone",
    "process_csv_chunk.missing_division": "is gone",
    "process_data.bad_id": "data_id must be 1 or more, got 0",
    "process_data.unknown_task": "a job of the task 'process_everything', which it does not know",
    "scan_csv.missing_plan": "is gone",
    "send_webhook.refused_address": "may not be called",
    "slow_task.too_long": "`seconds`",
    "split_csv.missing_plan": "is gone",
}
"""What a failed job's reason names, so that the event fails for what it is there to show."""


@dataclass(frozen=True)
class Artifact(Code):
    """A function as it was built, on Lambda's own Python."""

    python: str = ""

    def command(self) -> list[str]:
        return [self.python, *super().command()[1:]]


class Replay:
    """Invokes functions with their events beside a local cloud that gives them their tables and queues."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud

    def invoke(self, function: str, event: Any) -> Outcome:
        return self.cloud.invoke(function, event)

    def records(self, event: Any) -> list[dict[str, Any]]:
        """Return the records of the event's jobs; messages that are no jobs have none.

        A job that its function knows nothing of gets its record a moment later, from the dead letters' function.
        """
        keys = []
        for record in event["Records"]:
            try:
                envelope = loads(record["body"])
            except BadMessage:
                continue
            keys.append(f"{envelope.owner}#{envelope.id}")
        return [self._record(key) for key in keys]

    def _record(self, key: str) -> dict[str, Any]:
        dynamodb, table = self.cloud.client("dynamodb"), self.cloud.resources["JobsTable"]
        item = eventually(lambda: dynamodb.get_item(TableName=table, Key={"pk": {"S": key}}).get("Item"))
        return dict(item)


class ArtifactReplay(Replay):
    """The same with the code that `sam build` made."""

    def __init__(self, cloud: LocalCloud, build: Path, python: str, runtime: Path) -> None:
        super().__init__(cloud)
        self._build = build
        self._python = python
        self._runtime = runtime

    def invoke(self, function: str, event: Any) -> Outcome:
        return asyncio.run(self._invoke(self._code(function), json.dumps(event).encode()))

    def _code(self, function: str) -> Code:
        deployed = self.cloud._functions[function].settings
        settings = replace(deployed, folder=self._build / function, layers=())
        layers = [self._build / f"{camel(folder.name)}Layer" / "python" for folder in reversed(deployed.layers)]
        return Artifact(
            settings=settings,
            path=tuple(str(folder) for folder in (self._build / function, *layers)),
            runtime=self._runtime,
            endpoint=self.cloud.function_environment(function)["AWS_ENDPOINT_URL"],
            home=self._runtime,
            python=self._python,
        )

    @staticmethod
    async def _invoke(code: Code, payload: bytes) -> Outcome:
        api, entrance = RuntimeApi(), listen()
        async with serving(api, [entrance]):
            slot = Slot(code, port_of(entrance), api, Log(sys.stdout), idle=60)
            try:
                return await slot.invoke(Invocation(code.settings.arn, payload))
            finally:
                slot.end()


@pytest.fixture(scope="module", params=["sources", "artifacts"])
def replay(request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    if request.param == "sources":
        with LocalCloud(root / "template.yaml") as cloud:
            yield Replay(cloud)
        return
    build, python = request.getfixturevalue("build"), request.getfixturevalue("runtime")
    runtime = runtime_client(python, root, tmp_path_factory.mktemp("runtime"))
    with LocalCloud(root / "template.yaml") as cloud:
        yield ArtifactReplay(cloud, build, python, runtime)


def camel(name: str) -> str:
    """Return the logical id of a function or layer by the name of its folder."""
    return "".join(word.capitalize() for word in name.split("_"))


def runtime_client(python: str, root: Path, target: Path) -> Path:
    """Install awslambdaric as it is locked, for Lambda's Python, which need not be the one that runs the tests."""
    uv = find_uv()
    assert uv, "uv is in the environment that runs the tests"
    options = ["--quiet", "--no-config", "--python", python, "--target", str(target)]
    locked = ["--constraints", str(root / "requirements" / "dev.txt")]
    subprocess.run([uv, "pip", "install", *options, *locked, "awslambdaric"], check=True)
    return target


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_events_are_done_with(replay: Replay, path: Path) -> None:
    """Each event is answered as expected, by the sources and by what is built of them."""
    event = json.loads(path.read_text())
    folder = path.stem.partition(".")[0]
    outcome = replay.invoke(camel(folder), event)
    assert not outcome.failed, outcome.described()
    answer = json.loads(outcome.payload)
    if folder == "api":
        assert answer["statusCode"] == ANSWERS[path.stem], answer["body"]
    else:
        assert answer == {"batchItemFailures": []}
        records = replay.records(event)
        assert [record["status"]["S"] for record in records] == RECORDS[path.stem]
        assert all(REASONS.get(path.stem, "") in record.get("reason", {}).get("S", "") for record in records), records


def test_an_upload_becomes_the_job_that_its_key_names(replay: Replay) -> None:
    """What S3 tells of an object that a client of the API has put starts the job that the client was told of."""
    event = json.loads((EVENTS[0].parent / "s3_upload.put.json").read_text())
    (told,) = json.loads(event["Records"][0]["body"])["Records"]
    _, owner, job_id, *_ = told["s3"]["object"]["key"].split("/")
    replay.invoke("S3Upload", event)
    record = replay._record(f"{owner}#{job_id}")
    assert record["task"]["S"] == "process_csv"
    assert record["links"]["N"] == "4"


def test_every_event_says_what_comes_of_it() -> None:
    """Every event has its expectation here, and every expectation its event."""
    assert {path.stem for path in EVENTS} == {*ANSWERS, *RECORDS}


@pytest.mark.parametrize(
    "path", [path for path in EVENTS if not path.stem.startswith("api.")], ids=lambda path: path.stem
)
def test_messages_are_as_sqs_delivers_them(path: Path) -> None:
    """A message's digest is that of its body, so an event changed by hand stays a real one."""
    for record in json.loads(path.read_text())["Records"]:
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
        assert record["eventSource"] == "aws:sqs"
