from collections.abc import Iterator

import pytest

from tests.faults.stage import Stage, staged
from tests.faults.workloads import NAMES


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """AWS in process, made once per module and emptied by each play."""
    with staged(NAMES) as made:
        yield made
