"""Every crash point of requests that choose the ids of their jobs, and their repeats."""

import pytest

from tests.faults.crash_points import Case, cases, play
from tests.faults.stage import Stage


@pytest.mark.parametrize(
    "case",
    cases(
        "chosen",
        "chosen-repeated",
        "chosen-delayed",
        "chosen-by-another",
        "keyed",
        "keyed-repeated",
        "request-key",
        "request-key-repeated",
    ),
    ids=str,
)
def test_what_was_promised_is_kept(stage: Stage, case: Case) -> None:
    """Whatever goes wrong with this one call, all that was accepted ends as it does without it."""
    play(stage, case.workload, case.strike)
