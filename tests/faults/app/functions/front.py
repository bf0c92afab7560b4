"""The API that is killed, too: each answer names all jobs that it promises."""

from typing import TYPE_CHECKING

from afterward import Job, startup
from afterward.background import BackgroundTasks, JobStatus, Watched, accepted_response, install

# isort: split
from fastapi import FastAPI, Response
from mangum import Mangum

if TYPE_CHECKING:
    from tests.faults.app.functions import errands
else:
    import errands

app = FastAPI()
install(app)


@app.post("/tally/{name}")
async def tally(name: str, background_tasks: BackgroundTasks) -> Response:
    return promised(background_tasks.add_task(errands.tally, name))


@app.post("/chain/{name}")
async def chain(name: str, background_tasks: BackgroundTasks) -> Response:
    return promised(*(background_tasks.add_task(errands.link, name, place) for place in range(3)))


@app.post("/march/{name}")
async def march(name: str, steps: int, background_tasks: BackgroundTasks) -> Response:
    return promised(background_tasks.add_task(errands.march, name, steps))


@app.post("/doomed/{name}")
async def doomed(name: str, background_tasks: BackgroundTasks) -> Response:
    """Add one job that fails, and one behind it that runs all the same."""
    return promised(
        background_tasks.add_task(errands.doomed, name),
        background_tasks.add_task(errands.tally.options(even_if_failed=True), name),
    )


@app.get("/tasks/{task_id}", response_model=JobStatus)  # noqa: FAST003 - Watched takes it
async def status(job: Watched) -> Response:
    return await job.status()


def promised(*jobs: Job) -> Response:
    return accepted_response(jobs[0], message="promised", jobs=[job.id for job in jobs])


startup.finish()
lambda_handler = Mangum(app, lifespan="off")
