"""What S3 tells of an object becomes the jobs that process it: once, for the right user, whoever has put it there."""

import json
import logging
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest

import s3_upload
from afterward.digest import owner_digest
from afterward.errors import SettingError
from afterward.in_process import Invocation, as_record
from afterward.queues import Incoming
from tests.support.gateway import ADA
from tests.unit.app.conftest import Deployed, deployment

ISSUER = ADA["iss"]
OWNER = owner_digest(ISSUER, "ada")
OURS = f"uploads/{OWNER}/job-1/7/customers.csv"

_messages = count()


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """The application, and the function with its variables."""
    monkeypatch.setenv("JWT_ISSUER", ISSUER)
    with deployment(monkeypatch) as made:
        yield made


def record(
    key: str,
    name: str = "ObjectCreated:Put",
    *,
    bucket: str = "uploaded",
    etag: str = "e1",
    sequencer: str | None = "0001",
) -> Any:
    """What S3 says of one object (Amazon S3 User Guide, "Event message structure")."""
    about = {"key": quote(key, safe="/").replace("%20", "+"), "size": 5, "eTag": etag}
    about |= {} if sequencer is None else {"sequencer": sequencer}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": about},
    }


def tell(*bodies: Any) -> list[int]:
    """Give the function a message per body, and return which of them are kept, counted from 0."""
    ids = {f"m-{next(_messages)}": number for number in range(len(bodies))}
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    messages = [as_record(Incoming(name, "r", text, 1, 0, {})) for name, text in zip(ids, texts, strict=True)]
    answer = s3_upload.lambda_handler({"Records": messages}, Invocation(10))
    return [ids[one["itemIdentifier"]] for one in answer["batchItemFailures"]]


def put(key: str, **about: Any) -> list[int]:
    return tell({"Records": [record(key, **about)]})


def started(deployed: Deployed) -> list[tuple[Any, ...]]:
    """Return owner, id and arguments of every job that may begin; one whose message waits twice begins once."""
    waiting = deployed.waiting("process_csv")
    told = {one["id"]: (one["owner"], one["id"], *one["arguments"].values()) for one in waiting}
    return [*told.values()]


def test_an_upload_by_the_api_becomes_its_job(deployed: Deployed) -> None:
    """Owner, id, user and rows are those that the API has written into the key; the rest of the chain follows."""
    assert put(OURS) == []
    assert started(deployed) == [(OWNER, "job-1", 7, OURS, "customers")]
    (sent,) = deployed.waiting("process_csv")
    assert [(link["task"], link["even_if_failed"]) for link in sent["rest"]] == [
        ("merge_csv", False),
        ("notify_of_failure", True),
        ("cleanup", False),
    ]
    assert [link["arguments"]["user_id"] for link in sent["rest"][:1]] == [7]
    assert deployed.status("job-1")["status"] == "queued"


def test_what_is_told_again_starts_nothing(deployed: Deployed) -> None:
    """S3 tells at least once; the second time names the same job, and costs no retry."""
    for key in (OURS, "uploads/7/orders.csv"):
        assert put(key) == put(key) == []
    assert len(started(deployed)) == 2


@pytest.mark.parametrize(
    ("key", "user_id", "rows"),
    [
        ("uploads/7/orders.csv", 7, "any"),
        ("uploads/7/payments/orders.csv", 7, "payments"),
        ("uploads/7/payments", 7, "any"),
        ("uploads/7/2026/11/orders.csv", 7, "any"),
        ("uploads/7/payments/2026/orders.csv", 7, "payments"),
        ("uploads/7/paymentss/orders.csv", 7, "any"),
        ("uploads/9007199254740991/a+b ä%20.csv", 2**53 - 1, "any"),
        ("uploads/7/two\nlines.csv", 7, "any"),
    ],
)
def test_an_object_put_by_somebody_else_is_its_users(deployed: Deployed, key: str, user_id: int, rows: str) -> None:
    """The key names the user and may name the rows; the job can be asked for by the user of that number."""
    assert put(key) == []
    ((owner, job_id, *arguments),) = started(deployed)
    assert arguments == [user_id, key, rows]
    assert owner == owner_digest(ISSUER, str(user_id))
    user = deployed.api.caller({**ADA, "sub": str(user_id)})
    assert user.get(f"/task-progress/{job_id}").json["status"] == "queued"
    assert deployed.api.get(f"/task-progress/{job_id}").status == 404


@pytest.mark.parametrize("later", [{"etag": "e2"}, {"sequencer": "0002"}, {"bucket": "other"}])
def test_another_content_under_the_same_key_is_another_job(deployed: Deployed, later: dict[str, str]) -> None:
    """A file that is put anew is processed anew, also where it is the same again, or in another bucket."""
    put("uploads/7/orders.csv")
    put("uploads/7/orders.csv", **later)
    assert len(started(deployed)) == 2


def test_events_without_a_sequencer_are_told_apart_by_their_content(deployed: Deployed) -> None:
    """Not every S3 says in which order things happened."""
    for etag in ("e1", "e1", "e2"):
        assert put("uploads/7/orders.csv", etag=etag, sequencer=None) == []
    assert len(started(deployed)) == 2


@pytest.mark.parametrize(
    "key",
    [
        "uploads/orders.csv",
        "uploads/ada/orders.csv",
        "uploads/0/orders.csv",
        "uploads/07/orders.csv",
        "uploads/-7/orders.csv",
        "uploads/\u0667/orders.csv",
        f"uploads/{2**53}/orders.csv",
        f"uploads/{OWNER}/job-1/7/unknown.csv",
        f"uploads/{OWNER}/job-1/0/any.csv",
        f"uploads/{OWNER}/-/7/any.csv",
    ],
)
def test_a_key_that_names_no_user_is_dropped(deployed: Deployed, key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is started, the message is done with, and the log says what was expected."""
    caplog.set_level(logging.WARNING)
    assert put(key) == []
    assert started(deployed) == []
    assert "it should be uploads/<user's number>/<name>, or the same with <any|customers|payments>/" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploaded", "RequestId": "1", "HostId": "2"},
        {"Records": [record(OURS, name="ObjectRemoved:Delete")]},
        {"Records": [record("uploads/7/")]},
        {"Records": [record("uploads/7/payments/")]},
    ],
)
def test_what_is_no_new_object_is_dropped(deployed: Deployed, body: Any, caplog: pytest.LogCaptureFixture) -> None:
    """S3's test of the way, other events and folders are no uploads, and nothing to warn of."""
    caplog.set_level(logging.WARNING)
    assert tell(body) == []
    assert started(deployed) == []
    assert caplog.text == ""


def test_every_object_of_a_message_is_started(deployed: Deployed) -> None:
    """A message may tell of several."""
    assert tell({"Records": [record(OURS), record("uploads/7/"), record("uploads/8/orders.csv")]}) == []
    assert [one[2] for one in started(deployed)] == [7, 8]


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"Records": [{"s3": {}}]}'])
def test_what_cannot_be_read_costs_only_itself(deployed: Deployed, body: str) -> None:
    """Such a message comes again until its queue gives it up; those around it are done with."""
    messages = [{"Records": [record(OURS)]}, body, {"Records": [record("uploads/8/orders.csv")]}]
    assert tell(*messages) == [1]
    assert [one[2] for one in started(deployed)] == [7, 8]


def test_what_could_not_be_started_comes_again(deployed: Deployed) -> None:
    """While SQS or DynamoDB do not answer the message stays, and nothing of its job does."""
    deployed.sqs.refuse("SendMessage", "ServiceUnavailable", status=503, times=3)
    deployed.sqs.refuse("SendMessageBatch", "ServiceUnavailable", status=503, times=3)
    body = {"Records": [record(OURS)]}
    assert tell(body) == [0]
    assert deployed.records() == []
    assert tell(body) == []
    assert len(started(deployed)) == 1


def test_a_missing_setting_is_named(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the issuer nobody could see the job, so none is started."""
    monkeypatch.delenv("JWT_ISSUER")
    with pytest.raises(SettingError, match="JWT_ISSUER"):
        s3_upload.issuer()
    assert put("uploads/7/orders.csv") == [0]
    assert deployed.records() == []
