"""POST /trigger-external-fetch/{user_id}."""

import pytest

from tests.unit.app.conftest import Deployed

GIVEN = {"data_url": "https://data.example.com/report.json?a=b", "webhook_url": "https://hooks.example.com/x"}


def test_a_fetch_and_its_webhook_are_accepted(deployed: Deployed) -> None:
    """The fetch comes first; its webhook travels behind it, and is sent in any case."""
    answer = deployed.api.post("/trigger-external-fetch/7", **GIVEN)
    assert (answer.status, answer.json["message"]) == (202, "External data fetch triggered for user 7")
    (fetch,) = deployed.waiting("fetch_external_data")
    assert (fetch["id"], fetch["arguments"]) == (
        answer.json["task_id"],
        {"user_id": 7, "data_url": "https://data.example.com/report.json?a=b"},
    )
    (hook,) = fetch["rest"]
    assert (hook["task"], hook["even_if_failed"]) == ("send_webhook", True)
    assert hook["arguments"] == {
        "url": "https://hooks.example.com/x",
        "event": "external_fetch",
        "data": {"user_id": 7, "action": "external_fetch_triggered"},
    }
    assert deployed.waiting("send_webhook") == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "http://",
        "https://user:secret@example.com/",
        "http://a b/",
        "http://a/\n",
        "x" * 9,
    ],
)
@pytest.mark.parametrize("name", ["data_url", "webhook_url"])
def test_what_is_no_url_is_said(deployed: Deployed, name: str, url: str) -> None:
    """It is 422 with the name of the parameter, in words that say what it should be."""
    answer = deployed.api.post("/trigger-external-fetch/7", **(GIVEN | {name: url}))
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    (error,) = answer.json["errors"]
    assert name in str(error)
    assert "It should be an http or https address without a user name" in str(error)
    assert deployed.waiting("fetch_external_data") == []


def test_both_urls_are_needed(deployed: Deployed) -> None:
    """A request without one of them is 422, and names it."""
    for name in GIVEN:
        rest = {other: url for other, url in GIVEN.items() if other != name}
        answer = deployed.api.post("/trigger-external-fetch/7", **rest)
        assert (answer.status, len(answer.json["errors"])) == (422, 1)
        assert name in str(answer.json["errors"])


@pytest.mark.parametrize("user", ["0", "-1", "x", "1.5", str(2**53)])
def test_a_user_is_a_whole_number(deployed: Deployed, user: str) -> None:
    """What is none is 422."""
    assert deployed.api.post(f"/trigger-external-fetch/{user}", **GIVEN).status == 422


def test_the_api_calls_nobody(deployed: Deployed) -> None:
    """Where a name leads is asked when the job runs, not before: a URL that will be refused is accepted here."""
    answer = deployed.api.post("/trigger-external-fetch/7", **(GIVEN | {"data_url": "http://169.254.169.254/"}))
    assert answer.status == 202
