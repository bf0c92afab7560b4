"""`GET /task-progress` of a chain's first job."""

from fastapi import Response

from afterward.background import WATCHING, BackgroundTasks, Watched
from afterward.job import Status
from tests.support.web_tasks import note, other
from tests.unit.web.conftest import OWNER, Site


def test_the_first_job_tells_of_the_chain_and_each_of_itself(site: Site) -> None:
    """Its ETag changes with any of the jobs; the others' progress is their own."""

    @site.app.post("/", status_code=202)
    async def add(background_tasks: BackgroundTasks) -> list[str]:
        group = background_tasks.group()
        ids = [background_tasks.add_task(note, "a").id, group.add_task(other, "b").id, group.add_task(note, "c").id]
        background_tasks.add_callback(note, "callback")
        return ids

    @site.app.get("/task-progress/{task_id}", responses=WATCHING)
    async def progress(job: Watched) -> Response:
        return await job.progress()

    ids = site.post("/").json()
    first = site.get(f"/task-progress/{ids[0]}")
    assert first.json() == {
        "status": "queued",
        "progress": 0,
        "total": 3,
        "message": "web_note (1 of 3): Waiting to start",
    }
    assert site.get(f"/task-progress/{ids[0]}", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    stands = site.backend.records.get(OWNER, ids[1])
    assert stands is not None
    site.backend.records.swap(stands, stands.changed(site.backend.clock.now(), status=Status.COMPLETED, message="Done"))
    second = site.get(f"/task-progress/{ids[0]}", headers={"If-None-Match": first.headers["etag"]})
    assert second.json()["progress"] == 1
    assert site.get(f"/task-progress/{ids[1]}").json() == {
        "status": "completed",
        "progress": 0,
        "total": None,
        "message": "Done",
    }
