"""One local cloud for all tests, and one that does without awslambdaric; both run the small application in `app`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import LocalCloud

HERE = Path(__file__).parent
APP = HERE / "app" / "template.yaml"
STATE = HERE.parents[1] / ".local"


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("A_DEVELOPERS_OWN", "secret")
        with LocalCloud(APP, state=STATE, pace=60) as running:
            yield running


@pytest.fixture(scope="session")
def plain_cloud() -> Iterator[LocalCloud]:
    with LocalCloud(APP, state=STATE, own_runtime=True) as running:
        yield running


@pytest.fixture(params=["cloud", "plain_cloud"], ids=["awslambdaric", "own"])
def either(request: pytest.FixtureRequest) -> LocalCloud:
    """Either runtime, which must make no difference."""
    running: LocalCloud = request.getfixturevalue(request.param)
    return running
