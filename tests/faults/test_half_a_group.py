"""A group that a request begins with, of which only some messages have arrived when it is refused."""

from collections.abc import Iterator

import pytest

from afterward.errors import IdTaken, Unavailable
from afterward.publish import Call, publish
from afterward.records import link_id
from afterward.testing import ManualClock
from tests.support.cloud import Cloud, cloud_of
from tests.support.jobs import FIRST, OWNER, TASKS, call
from tests.support.line import Works


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with cloud_of(ManualClock(), TASKS) as made:
        yield made


def group(text: str) -> list[Call]:
    ids = ["mine", link_id(OWNER, "mine", 1), link_id(OWNER, "mine", 2)]
    return [call(FIRST, f"{text} {n}", id=one, side=1, chosen=not n) for n, one in enumerate(ids)]


def test_another_request_is_not_promised_what_such_a_job_has_taken(cloud: Cloud) -> None:
    """A stray job ran under an id that follows from the chosen one, so the next request with that one is refused."""
    cloud.sqs.fail_entries(0, times=2)
    with pytest.raises(Unavailable):
        publish(cloud.backend, OWNER, [group("refused")])
    cloud.sqs.heal()
    works = Works()
    works.drain(cloud.backend)
    assert sorted(works.ran) == ["refused 1", "refused 2"]
    with pytest.raises(IdTaken):
        publish(cloud.backend, OWNER, [group("accepted")])
    works.drain(cloud.backend)
    assert sorted(works.ran) == ["refused 1", "refused 2"]
