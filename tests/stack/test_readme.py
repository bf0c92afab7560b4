"""What the README prints is what works."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import LocalCloud
from tests.support.webserver import WebServer, answer, web_server

ROOT = Path(__file__).parents[2]
BASH = shutil.which("bash") or "bash"
COMMAND = re.compile(r"^curl .*?[^\\]$", re.MULTILINE | re.DOTALL)

Served = tuple[LocalCloud, WebServer]


def commands() -> list[str]:
    """Every curl line of the README, in its order."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [command for block in blocks for command in COMMAND.findall(block)]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with (
        web_server(answer(200, b"{}", content_type="application/json")) as receiver,
        LocalCloud(ROOT / "template.yaml", state=ROOT / ".local", allow_loopback=(receiver.port,)) as cloud,
    ):
        yield cloud, receiver


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_curl_line_works(served: Served) -> None:
    """In the order in which they stand, each is answered as it should be: posts with 202, the rest with 200."""
    cloud, receiver = served
    lines = commands()
    assert len(lines) > 15
    for line in lines:
        there = line.replace("http://127.0.0.1:8000", cloud.url).replace("127.0.0.1:9000", f"127.0.0.1:{receiver.port}")
        ran = subprocess.run(
            [BASH, "-c", there.replace("curl -i", "curl -s") + " -w '\\n%{http_code}'"],
            capture_output=True,
            text=True,
            check=True,
        )
        body, _, status = ran.stdout.rpartition("\n")
        assert status in expected(line), f"{line}: {status} {body}"
        json.loads(body)


def expected(line: str) -> set[str]:
    """Cancelling is done at once, so 200; a retry may come before its worker has met the cancelled job."""
    if "/retry" in line:
        return {"202", "409"}
    return {"200"} if "-X POST" not in line or "/cancel" in line else {"202"}
