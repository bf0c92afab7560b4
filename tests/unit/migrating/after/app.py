# ruff: noqa: FAST003 - Watched takes the task_id

from fastapi import APIRouter, FastAPI, Response

from afterward.background import JobStatus, TaskProgress, Watched, install

status = APIRouter()


@status.get("/task-progress/{task_id}", response_model=TaskProgress)
async def task_progress(job: Watched) -> Response:
    return await job.progress()


@status.get("/tasks/{task_id}", response_model=JobStatus)
async def task_status(job: Watched) -> Response:
    return await job.status()


def create_app(*routers: APIRouter) -> FastAPI:
    app = FastAPI()
    install(app)
    for router in (*routers, status):
        app.include_router(router)
    return app
