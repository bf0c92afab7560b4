"""The contract of the blobs, held by both of them; below it what only S3 can meet."""

from itertools import islice
from typing import Any

import pytest
from moto.s3.models import s3_backends

from afterward.backend import Backend
from afterward.errors import BadMessage, Unavailable
from afterward.s3 import S3Blobs
from tests.support.cloud import BUCKET, Cloud


def test_an_object_is_read_as_it_was_put(stores: Backend) -> None:
    """Text survives, whatever its characters."""
    stores.blobs.put("envelopes/o/j/1-0.json", "hé\U0001f600")
    assert stores.blobs.get("envelopes/o/j/1-0.json") == "hé\U0001f600"


def test_putting_again_replaces(stores: Backend) -> None:
    """A repeat of the same request stores the same envelope."""
    stores.blobs.put("key", "old")
    stores.blobs.put("key", "new")
    assert stores.blobs.get("key") == "new"


def test_putting_once_keeps_what_stands(stores: Backend) -> None:
    """An archive is written once and stays as it is."""
    stores.blobs.put_once("archive/o/j/1.json", "first")
    stores.blobs.put_once("archive/o/j/1.json", "second")
    assert stores.blobs.get("archive/o/j/1.json") == "first"


def test_an_object_that_is_gone_is_a_bad_message(stores: Backend) -> None:
    """No attempt can bring it back."""
    with pytest.raises(BadMessage, match="gone from S3"):
        stores.blobs.get("gone")


def test_keys_are_found_by_their_beginning(stores: Backend) -> None:
    """In their order, those of files too, and from behind any one of them."""
    for key in ("archive/b/2", "archive/a/1", "archive/é &+%/1", "archived"):
        stores.blobs.put(key, "text")
    stores.blobs.put_bytes("archive/b/1", b"bytes", "text/plain")
    found = ["archive/a/1", "archive/b/1", "archive/b/2", "archive/é &+%/1"]
    assert list(stores.blobs.keys("archive/")) == found
    assert list(stores.blobs.keys("archive/", "archive/b/1")) == found[2:]
    assert list(stores.blobs.keys("archive/", found[-1])) == []
    assert list(stores.blobs.keys("nothing/")) == []


def test_keys_come_page_by_page(cloud: Cloud) -> None:
    """S3 lists a thousand at a time, and nobody asks for the next page before it is needed."""
    for index in range(2_000):
        s3_backends["123456789012"]["aws"].put_object(BUCKET, f"archive/{index:04}", b"")
    found = cloud.backend.blobs.keys("archive/")
    first = list(islice(found, 1_000))
    assert cloud.s3.counts["ListObjectsV2"] == 1
    assert [*first, *found] == [f"archive/{index:04}" for index in range(2_000)]
    assert cloud.s3.counts["ListObjectsV2"] == 2
    assert sum(1 for _ in cloud.backend.blobs.keys("archive/", "archive/0499")) == 1_500


def test_a_put_whose_reply_is_lost_has_succeeded(cloud: Cloud) -> None:
    """The repeat of a conditional put finds our own object."""
    cloud.s3.lose("PutObject")
    cloud.backend.blobs.put_once("key", "text")
    assert cloud.backend.blobs.get("key") == "text"


def test_objects_are_json(cloud: Cloud) -> None:
    """Whoever opens the bucket sees what they are."""
    cloud.backend.blobs.put("key", "{}")
    assert cloud.s3.client.head_object(Bucket=BUCKET, Key="key")["ContentType"] == "application/json"


@pytest.mark.parametrize("code", ["AccessDenied", "SlowDown"])
def test_a_refusal_of_s3_is_unavailable(cloud: Cloud, code: str) -> None:
    """A missing permission is not taken for a missing object."""
    status = 503 if code == "SlowDown" else 403
    cloud.s3.refuse("PutObject", code, status=status)
    cloud.s3.refuse("GetObject", code, status=status)
    cloud.s3.refuse("ListObjectsV2", code, status=status)
    for operate in (
        lambda: cloud.backend.blobs.put("key", "text"),
        lambda: cloud.backend.blobs.put_once("key", "text"),
        lambda: cloud.backend.blobs.get("key"),
        lambda: next(cloud.backend.blobs.keys("key")),
    ):
        with pytest.raises(Unavailable, match=rf"S3 did not take the request \({code}\)"):
            operate()


def test_s3_out_of_reach_is_unavailable(cloud: Cloud) -> None:
    """For reading and for writing."""
    cloud.s3.cut("PutObject")
    cloud.s3.cut("GetObject")
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        cloud.backend.blobs.put("key", "text")
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        cloud.backend.blobs.get("key")


def test_a_client_of_s3_is_made_when_it_is_needed_and_kept(cloud: Cloud) -> None:
    """Most processes never need one."""
    made: list[Any] = []

    def make() -> Any:
        made.append(cloud.s3.client)
        return cloud.s3.client

    blobs = S3Blobs(make, BUCKET)
    assert made == []
    blobs.put("key", "text")
    blobs.get("key")
    assert len(made) == 1
