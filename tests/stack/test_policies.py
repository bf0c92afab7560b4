"""What each function may do: all that its code asks for, and nothing that no code asks for."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from local.cloud import LocalCloud
from tests.stack.traffic import SMTP_SECRET, Traffic
from tests.stack.waiting import eventually
from tests.support.postmaster import postmaster
from tests.support.webserver import answer, web_server

ROOT = Path(__file__).parents[2]

Grant = tuple[str, str, str]
"""A function, an action and a resource."""


@pytest.fixture(scope="module")
def outside() -> Iterator[str]:
    """The address of a server that functions may call."""
    with web_server(answer(200, b"{}", Content_Type="application/json")) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("policies") / "used"
    file.touch()
    return file


@pytest.fixture(scope="module")
def application(outside: str, used: Path) -> Iterator[LocalCloud]:
    """The application with everything that a deployment may have, a login for its mail server too."""
    port = int(outside.rpartition(":")[2])
    with postmaster(tls=False, auth_require_tls=False) as office:
        parameters = {"SmtpPort": str(office.port), "SmtpSecretArn": SMTP_SECRET}
        with LocalCloud(
            ROOT / "template.yaml", state=ROOT / ".local", parameters=parameters, allow_loopback=(port,), used=used
        ) as running:
            yield running


def test_nothing_is_granted_that_no_code_uses(application: LocalCloud, outside: str, used: Path) -> None:
    """Every action on every resource that a function's policies grant is asked for by its code, and nothing else is.

    All that functions do was provoked, what they do only after a fault too; the other tests of the stack run under the
    same guard. Whoever adds a right has to provoke its use in `traffic`.
    """

    def unused() -> set[Grant]:
        seen = {tuple(json.loads(line)) for line in used.read_text().splitlines()}
        granted = {
            (name, right.action, right.resource) for name, rights in application.rights.items() for right in rights
        }
        return granted - seen

    with httpx.Client(base_url=application.url, timeout=30) as http:
        traffic = Traffic(application, http, outside)
        traffic.provoke()
        taking_back = {(name, "dynamodb:DeleteItem") for name in ("Api", "S3Upload")}
        with suppress(AssertionError):  # what has not come by then is told below
            eventually(lambda: {(name, action) for name, action, _ in unused()} <= taking_back, within=60)
        traffic.break_down()
    with suppress(AssertionError):
        eventually(lambda: not unused(), within=20)
    assert sorted(unused()) == []
    assert application.refusals == []
