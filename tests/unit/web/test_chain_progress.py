"""`GET /task-progress` of a chain's first job."""

from fastapi import Response
from fastapi.responses import RedirectResponse

from afterward.background import DOWNLOADING, WATCHING, BackgroundTasks, Found, ResultName, Steering, Watched
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


def test_the_first_job_names_what_the_chain_has_left(site: Site) -> None:
    """Asked for by its id; the others name their own. The ETag changes when there is more."""

    @site.app.post("/", status_code=202)
    async def add(background_tasks: BackgroundTasks) -> list[str]:
        return [background_tasks.add_task(note, "a").id, background_tasks.add_task(other, "b").id]

    @site.app.get("/tasks/{task_id}", responses=WATCHING)
    async def status(job: Watched) -> Response:
        return await job.status()

    @site.app.get("/tasks/{task_id}/results/{name}", status_code=303, responses=DOWNLOADING)
    async def result(job: Found, name: ResultName, steering: Steering) -> RedirectResponse:
        return await steering.download(job, name)

    first, second = site.post("/").json()
    before = site.get(f"/tasks/{first}")
    assert before.json()["results"] == []
    stands = site.backend.records.get(OWNER, second)
    assert stands is not None
    site.backend.blobs.put_bytes("results/joined", b"all", "text/plain")
    left = stands.changed(site.backend.clock.now(), results='{"joined.txt":"results/joined"}')
    site.backend.records.swap(stands, left)
    after = site.get(f"/tasks/{first}", headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.json()["results"]) == (200, ["joined.txt"])
    assert after.json()["status"] == "queued"
    assert site.get(f"/tasks/{second}").json()["results"] == ["joined.txt"]
    for job_id in (first, second):
        answer = site.gateway.get(f"/tasks/{job_id}/results/joined.txt")
        assert (answer.status, answer.headers["location"]) == (303, "data:text/plain;base64,YWxs")
    assert site.gateway.get(f"/tasks/{first}/results/other.txt").status == 404
