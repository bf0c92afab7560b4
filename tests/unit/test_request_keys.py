"""What is kept of an Idempotency-Key, in both kinds of stores."""

from dataclasses import replace

import pytest

from afterward.backend import Backend
from afterward.errors import Unavailable
from afterward.records import RequestKey
from afterward.testing import START
from tests.support.cloud import TABLE, Cloud

KEY = RequestKey(name="owner#5f2f4a38", seed="seed-1", digest="d1", expires=int(START) + 60)
OTHER = replace(KEY, seed="seed-2", digest="d2", expires=int(START) + 90)


def test_a_key_that_nobody_has_used_is_free(stores: Backend) -> None:
    """Nothing is known of it."""
    assert stores.records.recall(KEY.name, START) is None


def test_a_key_belongs_to_the_first(stores: Backend) -> None:
    """Whoever comes later learns whose it is, and changes nothing."""
    assert stores.records.remember(KEY, START) == KEY
    assert stores.records.remember(OTHER, START) == KEY
    assert stores.records.recall(KEY.name, START) == KEY


def test_an_expired_key_is_free_again(stores: Backend) -> None:
    """Also where DynamoDB has not deleted it yet, which may take days."""
    stores.records.remember(KEY, START)
    assert stores.records.recall(KEY.name, START + 59) == KEY
    assert stores.records.recall(KEY.name, START + 60) is None
    assert stores.records.remember(OTHER, START + 60) == OTHER
    assert stores.records.recall(KEY.name, START + 60) == OTHER


def test_keys_do_not_meet(stores: Backend) -> None:
    """One name is not another's."""
    stores.records.remember(KEY, START)
    assert stores.records.remember(replace(OTHER, name="owner#0000"), START).seed == "seed-2"


@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_reply_is_no_other_request(cloud: Cloud, times: int) -> None:
    """botocore repeats the write and meets its own; where it gives up, so does the next request that repeats it."""
    cloud.dynamodb.lose("PutItem", times=times)
    if times == 3:
        with pytest.raises(Unavailable):
            cloud.backend.records.remember(KEY, START)
    assert cloud.backend.records.remember(KEY, START) == KEY


def test_a_key_is_no_record(cloud: Cloud) -> None:
    """Its item has a time to live, and is in no listing."""
    cloud.backend.records.remember(KEY, START)
    (item,) = cloud.dynamodb.client.scan(TableName=TABLE)["Items"]
    assert item["expires"] == {"N": str(KEY.expires)}
    assert "listing" not in item
