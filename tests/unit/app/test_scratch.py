"""Scratch files in the bucket."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from afterward import Chain, Unavailable
from afterward.aws import client
from afterward.errors import SettingError
from scratch import S3Scratch, bucket_scratch
from tests.support.cloud import BUCKET
from tests.support.faults import Wire

CHAIN = Chain("chain-1", owner="ada")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with mock_aws():
        wire = Wire(client("s3"))
        wire.client.create_bucket(Bucket=BUCKET)
        monkeypatch.setenv("AFTERWARD_BUCKET", BUCKET)
        yield wire


@pytest.fixture
def scratch(s3: Wire) -> S3Scratch:
    return bucket_scratch()


def keys(s3: Wire) -> list[str]:
    return [one["Key"] for one in s3.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_files_lie_under_their_chain(s3: Wire, scratch: S3Scratch) -> None:
    """A file is named for its owner, its chain and its job, and holds the text."""
    scratch.leave(CHAIN, "job-1", "Wörter\n")
    assert keys(s3) == ["scratch/ada/chain-1/job-1"]
    found = s3.client.get_object(Bucket=BUCKET, Key="scratch/ada/chain-1/job-1")
    assert found["Body"].read().decode() == "Wörter\n"
    assert found["ContentType"] == "text/plain; charset=utf-8"


def test_a_job_leaves_one_file(s3: Wire, scratch: S3Scratch) -> None:
    """Another attempt of the same job writes over what the first one left."""
    for text in ("first", "second"):
        scratch.leave(CHAIN, "job-1", text)
    assert keys(s3) == ["scratch/ada/chain-1/job-1"]


def test_only_the_chains_own_files_go(s3: Wire, scratch: S3Scratch) -> None:
    """Chains whose names begin alike, another owner's of the same name, and what is no scratch file, stay."""
    s3.client.put_object(Bucket=BUCKET, Key="archive/chain-1/job-1", Body=b"")
    others = [Chain("chain-1", owner="bob"), Chain("chain-10", owner="ada"), Chain("chain-2", owner="ada")]
    for chain in (CHAIN, *others):
        scratch.leave(chain, "job-1", "")
    assert scratch.clear(CHAIN) == 1
    assert keys(s3) == [
        "archive/chain-1/job-1",
        "scratch/ada/chain-10/job-1",
        "scratch/ada/chain-2/job-1",
        "scratch/bob/chain-1/job-1",
    ]


def test_nothing_left_is_nothing_to_do(scratch: S3Scratch) -> None:
    """A chain without files, or one that was cleaned up before, is cleaned up."""
    scratch.leave(CHAIN, "job-1", "")
    assert [scratch.clear(CHAIN), scratch.clear(CHAIN)] == [1, 0]


def test_more_files_than_one_request_deletes(s3: Wire, scratch: S3Scratch) -> None:
    """More than a thousand files go as well, a thousand at a time."""
    for number in range(1_001):
        s3.client.put_object(Bucket=BUCKET, Key=f"scratch/ada/chain-1/{number}", Body=b"")
    assert scratch.clear(CHAIN) == 1_001
    assert keys(s3) == []
    assert s3.counts["DeleteObjects"] == 2


@pytest.mark.parametrize("operation", ["PutObject", "ListObjectsV2", "DeleteObjects"])
def test_a_bucket_that_refuses_is_unavailable(s3: Wire, scratch: S3Scratch, operation: str) -> None:
    """What S3 refuses is said as Unavailable, which a worker tries again."""
    if operation != "PutObject":
        scratch.leave(CHAIN, "job-1", "")
    s3.refuse(operation, "SlowDown", status=503)
    with pytest.raises(Unavailable, match=r"S3 did not take the request \(SlowDown\)"):
        _ = scratch.leave(CHAIN, "j", "") if operation == "PutObject" else scratch.clear(CHAIN)  # type: ignore[func-returns-value]


class RefusingS3:
    """An S3 that keeps one of the files it is to delete."""

    def __init__(self, s3: Wire) -> None:
        self.get_paginator = s3.client.get_paginator

    @staticmethod
    def delete_objects(**_: object) -> dict[str, object]:
        return {"Errors": [{"Key": "scratch/ada/chain-1/job-1", "Code": "InternalError", "Message": "secret"}]}


def test_a_file_that_stays_is_told(s3: Wire, scratch: S3Scratch) -> None:
    """S3 answers 200 also where it kept a file: the cleanup is tried again then, and does not claim success."""
    scratch.leave(CHAIN, "job-1", "")
    scratch.leave(CHAIN, "job-2", "")
    with pytest.raises(Unavailable, match=r"^S3 did not delete 1 of 2 files \(InternalError\)$"):
        S3Scratch(RefusingS3(s3), BUCKET).clear(CHAIN)


def test_the_bucket_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable is named."""
    monkeypatch.delenv("AFTERWARD_BUCKET", raising=False)
    with pytest.raises(SettingError, match="AFTERWARD_BUCKET is not set"):
        bucket_scratch()
