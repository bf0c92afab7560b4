"""notify_of_failure: the last link of a chain, which hardly ever has anything to do."""

import pytest

import notify_of_failure
from afterward import Chain, Status
from afterward.envelope import Link
from afterward.testing import Trial

WHAT = "Your CSV file could not be processed"


def message(chain: Chain) -> str:
    attempt = Trial(chain=chain).run(notify_of_failure.notify, "7", WHAT)
    (child,) = attempt.children
    assert isinstance(child, Link)
    assert (child.task, child.even_if_failed) == ("send_notification", True)
    assert child.arguments["recipient"] == "7"
    return str(child.arguments["message"])


def test_where_all_went_well_there_is_nothing_to_tell() -> None:
    """The chain has told of itself."""
    assert Trial(chain=Chain("chain-1")).run(notify_of_failure.notify, "7", WHAT).children == ()


def test_a_failure_is_told_with_its_reason() -> None:
    """In the words in which the job has failed; the message goes out though the chain is broken."""
    chain = Chain("chain-1", status=Status.FAILED, broken_by="job-2", reason="The file is empty.")
    assert message(chain) == f"{WHAT}: The file is empty."


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_an_end_without_a_reason_is_told_all_the_same(status: Status) -> None:
    """The record of the job that has broken the chain may be gone."""
    assert message(Chain("chain-1", status=status, broken_by="job-2")) == f"{WHAT}: it was {status}"


def test_the_longest_reason_fits_a_message() -> None:
    """A record keeps 500 characters of it."""
    chain = Chain("chain-1", status=Status.FAILED, broken_by="job-2", reason="x" * 500)
    assert message(chain) == f"{WHAT}: {'x' * 500}"
