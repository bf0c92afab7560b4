from collections.abc import Iterator

import pytest
from moto import mock_aws

from afterward.aws import bulk_client, client
from afterward.backend import Backend, backend, in_memory
from afterward.testing import ManualClock
from tests.support.cloud import Cloud, cloud_of
from tests.support.jobs import TASKS


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still until a test moves it."""
    return ManualClock()


@pytest.fixture
def memory(clock: ManualClock) -> Backend:
    """The stores in memory."""
    return in_memory(clock)


@pytest.fixture(scope="module")
def _moto() -> Iterator[None]:
    """Start moto once per module: that costs more than the stores of one test."""
    with mock_aws():
        yield


@pytest.fixture
def cloud(clock: ManualClock, _moto: None) -> Iterator[Cloud]:
    """The stores of AWS on moto, with a wire to each service that can be made to fail."""
    with cloud_of(clock, TASKS) as made:
        yield made


@pytest.fixture(params=["memory", "aws"])
def stores(request: pytest.FixtureRequest) -> Backend:
    """Both kinds of stores, one after the other: they keep the same contract."""
    found = request.getfixturevalue("memory" if request.param == "memory" else "cloud")
    return found.backend if isinstance(found, Cloud) else found


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Let no test see the backend or the clients of another one."""
    yield
    backend.cache_clear()
    client.cache_clear()
    bulk_client.cache_clear()
