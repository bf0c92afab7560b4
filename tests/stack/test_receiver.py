"""`make receive`: the other side of a fetch and of a webhook, on one's own machine."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]

Running = tuple[subprocess.Popen[str], str]


@pytest.fixture
def receiver() -> Iterator[Running]:
    """A receiver on a free port, and where it is."""
    command = [sys.executable, "-m", "local.receiver", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        yield process, found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_it_gives_json(receiver: Running) -> None:
    """Every address of it can be fetched."""
    answer = httpx.get(f"{receiver[1]}/anything.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert len(answer.json()["reports"]) == 2


def test_it_prints_webhooks(receiver: Running) -> None:
    """The address, the headers of Standard Webhooks and the body; it answers 204."""
    process, url = receiver
    answer = httpx.post(f"{url}/hook", content='{"type": "task.completed"}', headers={"webhook-id": "msg_1"})
    assert answer.status_code == 204
    assert process.stdout
    lines = [process.stdout.readline().rstrip() for _ in range(3)]
    assert (lines[0], lines[1].lower(), lines[2]) == ("POST /hook", "webhook-id: msg_1", '{"type": "task.completed"}')
