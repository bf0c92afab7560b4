"""A request whose task waits for something else: an upload, say."""

from dataclasses import replace

import pytest

from afterward.backend import Backend
from afterward.background import Accepted, BackgroundTasks, accepted
from afterward.errors import Unavailable
from afterward.memory import MemoryRecords
from afterward.records import Held, Record, Written
from afterward.tasks import Tasks
from tests.support.web_tasks import note, other
from tests.unit.web.conftest import OWNER, Site

KEY = {"Idempotency-Key": "upload-1"}


@pytest.fixture
def waiting(site: Site) -> Site:
    """A site with a route that announces a chain, whose record it may do without."""

    @site.app.post("/uploads", status_code=202)
    async def announce(background_tasks: BackgroundTasks, required: bool = True) -> Accepted:
        job = background_tasks.add_task(note.options(id=await background_tasks.new_id()), "milk")
        background_tasks.add_task(other, "bread")
        await background_tasks.announce("Waiting for the upload", required=required)
        return accepted(job, message="Go ahead")

    return site


def test_it_is_accepted_and_not_started(waiting: Site) -> None:
    """The answer names the job, whose record says what it waits for; no message is sent."""
    answer = waiting.post("/uploads")
    assert (answer.status_code, answer.headers["location"]) == (202, f"/tasks/{answer.json()['task_id']}")
    stands = waiting.backend.records.get(OWNER, answer.json()["task_id"])
    assert stands is not None
    assert (stands.message, stands.links) == ("Waiting for the upload", 2)
    assert waiting.promised() == []


def test_a_repeat_names_the_same_job(waiting: Site) -> None:
    """By its Idempotency-Key, before the job is started and after; another request has another job."""
    first = waiting.post("/uploads", headers=KEY)
    again = waiting.post("/uploads", headers=KEY)
    assert (again.status_code, again.content) == (202, first.content)
    tasks = Tasks(OWNER, using=waiting.backend)
    tasks.add_task(note.options(id=first.json()["task_id"]), "milk")
    tasks.add_task(other, "bread")
    tasks.publish()
    assert waiting.texts() == [["milk", "bread"]]
    assert waiting.post("/uploads", headers=KEY).content == first.content
    assert waiting.post("/uploads").json()["task_id"] != first.json()["task_id"]
    assert waiting.texts() == [["milk", "bread"]]


class Silent(MemoryRecords):
    """Records that cannot be written."""

    def add(self, record: Record) -> Written | Held:
        raise Unavailable(f"DynamoDB did not take {record.task}")


def test_a_record_that_is_needed_and_cannot_be_put_is_503(waiting: Site) -> None:
    """Nobody could watch the job."""
    waiting.backend = _silent(waiting)
    answer = waiting.post("/uploads")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_a_record_that_is_not_needed_may_fail(waiting: Site) -> None:
    """What starts the job makes it."""
    waiting.backend = _silent(waiting)
    assert waiting.post("/uploads?required=false").status_code == 202


def _silent(site: Site) -> Backend:
    return replace(site.backend, records=Silent(site.backend.clock))
