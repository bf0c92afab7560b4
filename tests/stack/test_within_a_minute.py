"""Workers are killed in the application as it is deployed: how long its users wait until the work goes on."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.cloud import LocalCloud
from tests.stack.waiting import eventually

ROOT = Path(__file__).parents[2]
MINUTE = 60 + 10
"""Seconds: a message whose worker is gone is hidden for 60, and the next worker has 10 for its init."""

SOON = 20 + 10
"""The same where the job has run for a second: its message comes back ten seconds after its timeout."""


@dataclass(frozen=True, slots=True)
class Application:
    """The application with the template's own timeouts and queues."""

    cloud: LocalCloud
    http: httpx.Client

    def post(self, path: str, **query: str | int) -> str:
        response = self.http.post(path, params=query)
        assert response.status_code == 202, response.text
        return str(response.json()["task_id"])

    def job(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/tasks/{job}").json()
        return found

    def completed(self, job: str) -> bool:
        return bool(self.job(job)["status"] == "completed")

    def running(self, job: str, least: int) -> bool:
        found = self.job(job)
        return bool(found["status"] == "running" and found["progress"] >= least)

    def counted(self, user: int) -> int:
        return int(self.http.get(f"/users/{user}/statistics").json()["total"])

    def in_flight(self, queue: str) -> bool:
        name = "ApproximateNumberOfMessagesNotVisible"
        url = self.cloud.resources[queue]
        told = self.cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return bool(told["Attributes"][name] != "0")

    def send(self, function: str, number: signal.Signals) -> float:
        """Send all processes of a function a signal; return when that was."""
        pids = self.cloud.processes(function)
        assert pids
        for pid in pids:
            os.kill(pid, number)
        return time.monotonic()


@pytest.fixture(scope="module")
def application() -> Iterator[Application]:
    with (
        LocalCloud(ROOT / "template.yaml", state=ROOT / ".local") as cloud,
        httpx.Client(base_url=cloud.url, timeout=20) as http,
    ):
        yield Application(cloud, http)


def test_whoever_is_killed_is_replaced_within_the_minute(application: Application) -> None:
    """A long task, a job of a chain and one with effects go on with their second attempt, and happen once."""
    user = uuid4().int % 2**50 + 1
    application.post(f"/user/{user}/action", action="login")
    eventually(lambda: application.counted(user) == 1)
    # The worker hangs, so that the kill finds it with the message in its hands, which it has for milliseconds only.
    application.send("UpdateStatistics", signal.SIGSTOP)
    application.post(f"/user/{user}/action", action="login")
    killed, waited = dict[str, float](), dict[str, float]()
    eventually(lambda: application.in_flight("UpdateStatisticsQueue"))
    killed["/user/7/action"] = application.send("UpdateStatistics", signal.SIGKILL)
    first = application.post("/process/report")
    eventually(lambda: application.running(first, 1))
    killed["/process"] = application.send("SlowTask", signal.SIGKILL)
    long = application.post(f"/start-task/{uuid4().hex}", items_count=12)
    eventually(lambda: application.running(long, 4))
    killed["/start-task"] = application.send("LongRunningTask", signal.SIGKILL)
    goes_on: dict[str, Callable[[], bool]] = {
        "/user/7/action": lambda: application.counted(user) == 2,
        "/start-task": lambda: application.job(long)["attempt"] == 2,
        "/process": lambda: application.job(first)["attempt"] == 2,
    }
    while missing := goes_on.keys() - waited.keys():
        for what in sorted(missing):
            if goes_on[what]():
                waited[what] = time.monotonic() - killed[what]
                print(f"{what} goes on {waited[what]:.1f} s after its worker was killed")
            assert time.monotonic() - killed[what] < MINUTE, f"{what} does not go on"
        time.sleep(0.1)
    assert waited["/start-task"] < SOON
    eventually(lambda: application.completed(long))
    assert application.job(long)["progress"] == 12
    eventually(lambda: application.http.get(f"/task-progress/{first}").json()["status"] == "completed")
    assert application.counted(user) == 2
