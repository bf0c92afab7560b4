"""One local cloud for all tests, and one that does without awslambdaric; both run the small application in `app`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import LocalCloud

HERE = Path(__file__).parent
APP = HERE / "app" / "template.yaml"
STATE = HERE.parents[1] / ".local"
ON_PURPOSE = tuple(f"Refused: {name} " for name in ("Hasty", "Probe", "Worker"))
"""How refusals begin that tests ask for: those of the small application."""


@pytest.fixture(scope="session", autouse=True)
def _allowed() -> Iterator[None]:
    """See that in no local cloud of these tests a function of the application was kept from anything that it did."""
    stop, refused = LocalCloud.stop, list[str]()

    def noting(cloud: LocalCloud) -> None:
        refused.extend(line for line in cloud.refusals if not line.startswith(ON_PURPOSE))
        stop(cloud)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalCloud, "stop", noting)
        yield
    assert refused == []


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
