"""Functions with shorter timeouts than the template's, and a long task that outlives dozens of them and a `kill -9`."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.cloud import LocalCloud
from local.errors import CannotStart
from local.template import FUNCTION, QUEUE, Template, load
from local.timeouts import retimed
from tests.stack.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template() -> Template:
    """The small application: its worker has 5 seconds, and a queue that hides messages for 1."""
    values = {"JwtIssuer": "https://issuer", "JwtAudience": "us", "SmtpPort": "25"}
    return load(Path(__file__).parent / "app" / "template.yaml", values)


def timeout(template: Template, function: str) -> int:
    return int(template.resources(FUNCTION)[function]["Timeout"])


def visibility(template: Template, queue: str) -> int | None:
    seconds: int | None = template.resources(QUEUE)[queue].get("VisibilityTimeout")
    return seconds


def test_a_function_may_have_another_timeout(template: Template) -> None:
    """Its queue's visibility timeout follows in proportion, and nothing else changes."""
    longer = retimed(template, {"Worker": 15, "Hasty": 2})
    assert [timeout(longer, name) for name in ("Worker", "Hasty", "Echo")] == [15, 2, 5]
    assert [visibility(longer, name) for name in ("Queue", "UploadQueue")] == [3, None]
    assert [timeout(template, "Worker"), visibility(template, "Queue")] == [5, 1]


def test_one_number_is_that_of_all_workers(template: Template) -> None:
    """Functions that answer requests keep theirs; a queue without a visibility timeout counts as SQS's 30 seconds."""
    shorter = retimed(template, 3)
    assert [timeout(shorter, name) for name in ("Worker", "Witness", "Echo", "Hasty")] == [3, 3, 5, 1]
    assert [visibility(shorter, name) for name in ("Queue", "UploadQueue", "DeadLetterQueue")] == [1, 18, 18]


@pytest.mark.parametrize(
    ("timeouts", "reason"),
    [
        ({"Wroker": 3}, r"there is no function Wroker; there are Broken, Echo, Hasty, Probe, Witness, Worker\."),
        ({"Worker": 0}, r"A function's timeout is 1 to 900 seconds, and not Worker: 0\."),
        (901, r"A function's timeout is 1 to 900 seconds, and not Worker: 901, Witness: 901\."),
    ],
)
def test_what_cannot_be_is_said(template: Template, timeouts: dict[str, int] | int, reason: str) -> None:
    """A name that is none and a time that Lambda does not take are refused in one line."""
    with pytest.raises(CannotStart, match=reason):
        retimed(template, timeouts)


@dataclass(frozen=True, slots=True)
class Application:
    """The application with three seconds for its long task, and with the lines that it writes for developers."""

    cloud: LocalCloud
    http: httpx.Client

    def start(self, job: str, items: int) -> None:
        response = self.http.post(f"/start-task/{job}", params={"items_count": items})
        assert response.status_code == 202, response.text

    def progress(self, job: str) -> int:
        return int(self.http.get(f"/task-progress/{job}").json()["progress"])

    def completed(self, job: str, within: float) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            body: dict[str, Any] = self.http.get(f"/tasks/{job}", headers={"Prefer": "wait=5"}).json()
            return body if body["status"] in {"completed", "failed", "cancelled"} else None

        found = eventually(look, within)
        assert found
        assert found["status"] == "completed", found
        return found

    def begun(self, job: str) -> list[int]:
        """List the items of a job as their work began."""
        fields = [line.fields for line in self.cloud.logs if line.source == "LongRunningTask" and line.fields]
        return [one["item"] for one in fields if one.get("job_id") == job and "item" in one]

    def cut_short(self) -> int:
        """Count the invocations of the long task that did not end by themselves."""
        texts = [line.text for line in self.cloud.logs if line.source == "LongRunningTask"]
        return sum("Sandbox.Timedout" in text or "signal: killed" in text for text in texts)


@pytest.fixture(scope="module")
def application() -> Iterator[Application]:
    short = {"LongRunningTask": 3}
    with (
        LocalCloud(
            ROOT / "template.yaml", state=ROOT / ".local", parameters={"LogLevel": "DEBUG"}, timeouts=short
        ) as cloud,
        httpx.Client(base_url=cloud.url, timeout=20) as http,
    ):
        yield Application(cloud, http)


def test_a_hundred_items_of_half_a_second_in_three_seconds(application: Application) -> None:
    """No item is begun twice over some 25 invocations; a kill -9 costs the items behind the last checkpoint only."""
    killed, long = f"killed-{uuid4().hex}", f"long-{uuid4().hex}"
    application.start(killed, 16)
    eventually(lambda: 8 in application.begun(killed), within=30)
    for pid in application.cloud.processes("LongRunningTask"):
        os.kill(pid, signal.SIGKILL)
    kept = application.progress(killed)  # the dead write no more
    application.start(long, 100)  # while the killed one's message is hidden
    assert application.completed(killed, within=90)["progress"] == 16
    done = application.completed(long, within=120)

    assert (done["progress"], done["total"], done["run"], done["reason"]) == (100, 100, 1, None)
    assert done["attempt"] > 20
    back = {job: jumps(application.begun(job), items) for job, items in ((killed, 16), (long, 100))}
    print(f"killed with a checkpoint behind item {kept}; went back from and to: {back}")
    assert kept + 1 in {following for _, following in back[killed]}
    # On a machine that is too busy for it an invocation may be cut short by its timeout, as it would be by a kill.
    assert 1 <= application.cut_short() <= 4
    assert len(back[killed]) + len(back[long]) <= application.cut_short()
    for item, following in back[killed] | back[long]:
        assert item - 3 <= following <= item  # a checkpoint is written about once a second, and with each hand-over


def jumps(begun: list[int], items: int) -> set[tuple[int, int]]:
    """Return where the work did not go on with the next item; from the first to the last, all are worked."""
    assert (begun[0], begun[-1], {*begun}) == (1, items, set(range(1, items + 1)))
    return {(item, following) for item, following in pairwise(begun) if following != item + 1}
