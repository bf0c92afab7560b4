"""Every crash point of jobs side by side."""

import pytest

from tests.faults.crash_points import Case, cases, play
from tests.faults.stage import Stage


@pytest.mark.parametrize("case", cases("group", "group-within"), ids=str)
def test_what_was_promised_is_kept(stage: Stage, case: Case) -> None:
    """Whatever goes wrong with this one call, all that was accepted ends as it does without it."""
    play(stage, case.workload, case.strike)
