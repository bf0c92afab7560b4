from fastapi import APIRouter
from fastapi.responses import JSONResponse

from afterward import task
from afterward.background import BackgroundTasks, accepted_response

router = APIRouter()


@task
def write_down(text: str) -> None:
    print(text)


@router.post("/without-location")
async def without_location(background_tasks: BackgroundTasks) -> JSONResponse:
    background_tasks.add_task(write_down, "milk")
    return JSONResponse({"message": "Noted"}, 202)


@router.post("/with-location")
async def with_location(background_tasks: BackgroundTasks) -> JSONResponse:
    job = background_tasks.add_task(write_down, "milk")
    return accepted_response(job, message="Noted", headers={"X-List": "groceries"}, position=3)


@router.post("/as-background")
async def as_background(background_tasks: BackgroundTasks) -> JSONResponse:
    background_tasks.add_task(write_down, "milk")
    return JSONResponse({"message": "Noted"}, 202, background=background_tasks)  # type: ignore[arg-type]
