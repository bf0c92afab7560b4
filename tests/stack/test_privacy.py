"""The screen of the local cloud is no destination: whatever is sent and mailed, and however tasks fail."""

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from afterward.pii import Kind
from local.cloud import LocalCloud
from tests.stack.waiting import eventually
from tests.support.personal import ALL, ONE_EACH, VALUES, packed, told
from tests.support.webserver import Connection, Request, WebServer, answer, web_server

ROOT = Path(__file__).parents[2]
EMAIL, CARD = VALUES[0].text, "4111111111111111"


def outside(request: Request, connection: Connection) -> None:
    """Send whoever fetches to a place that may not be called; take webhooks."""
    leaving = answer(302, ALL.encode(), Location=f"http://10.0.0.1/{EMAIL}?token=Zq81kTtm2PxY")
    (leaving if request.method == "GET" else answer(204))(request, connection)


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    """Serve what the application may call."""
    with web_server(outside) as running:
        yield running


@pytest.fixture(scope="module")
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def application(screen: io.StringIO, server: WebServer) -> Iterator[LocalCloud]:
    """Run the application as `make run` does, with a screen to read."""
    debugging = {"LogLevel": "DEBUG"}
    with LocalCloud(
        ROOT / "template.yaml",
        state=ROOT / ".local",
        stream=screen,
        parameters=debugging,
        allow_loopback=(server.port,),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def http(application: LocalCloud) -> Iterator[httpx.Client]:
    headers = {"User-Agent": EMAIL, "Cookie": f"session={VALUES[-1].text}", "X-Any": VALUES[4].text}
    with httpx.Client(base_url=application.url, timeout=20, headers=headers) as client:
        yield client


def test_what_is_asked_for(http: httpx.Client, application: LocalCloud, screen: io.StringIO) -> None:
    """A request is shown with its path, and that without personal data, whether there is such a route or not."""
    for value in VALUES:
        http.get(f"/nowhere/{quote(value.text, safe='')}", params={"about": value.text})
    for value in ONE_EACH:
        http.get(f"/users/{quote(value.text, safe='')}/notifications", params={"about": value.text})
        http.post(f"/start-task/{quote(value.text, safe='')}", params={"items_count": value.text})
    http.post("/send-email/", content=f'{{"to_email": "{ALL}'.encode(), headers={"Content-Type": "application/json"})
    eventually(lambda: screen.getvalue().count(" /nowhere/") == len(VALUES))
    assert told(screen.getvalue()) == []
    assert {kind for kind in Kind if f"/nowhere/[{kind}] " not in screen.getvalue()} == set()


def test_what_is_done(http: httpx.Client, application: LocalCloud, screen: io.StringIO, server: WebServer) -> None:
    """A mail, a notification and tasks that fail: their lines are there, and nothing that belongs to somebody."""
    body = "\n".join(packed(200))
    asked = [
        http.post("/send-email/", json={"to_email": EMAIL, "subject": ALL[:900], "body": body}),
        http.post(f"/send-notification/{EMAIL}", params={"message": ALL}),
        http.post("/safe-task/7", params={"message": ALL, "task": "process_data", "data_id": f"-{CARD}"}),
        http.post(
            f"/trigger-external-fetch/{CARD}",
            params={"data_url": server.url(f"/{EMAIL}"), "webhook_url": server.url(f"/hook?about={quote(ALL)}")},
        ),
    ]
    jobs = [one.json()["task_id"] for one in asked]
    ended = {"completed", "failed"}
    eventually(lambda: all(http.get(f"/tasks/{job}").json()["status"] in ended for job in jobs))
    eventually(lambda: [one for one in server.requests if one.method == "POST"])
    eventually(lambda: application.mails)
    eventually(lambda: screen.getvalue().count("archived: ") >= 2)
    assert told(application.mails[0].content.decode() + str(application.mails[0].message.get_content()))
    assert told(screen.getvalue()) == []
    screened = (
        "-> [EMAIL]: [EMAIL]",
        "data_id must be 1 or more, got -[CREDIT_CARD]",
        "[IP_ADDRESS] may not be called",
    )
    assert [one for one in screened if one not in screen.getvalue()] == []
