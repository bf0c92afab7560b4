from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends

from afterward import task
from afterward.background import Accepted, BackgroundTasks, accepted

router = APIRouter()


@task
def write_log(line: str) -> None:
    with Path("log.txt").open("a") as log:
        log.write(f"{line}\n")


async def logged_query(background_tasks: BackgroundTasks, q: str | None = None) -> str | None:
    if q:
        background_tasks.add_task(write_log, f"query: {q}")
    return q


@router.post("/send-message/{email}", status_code=202)
async def send_message(
    email: str, background_tasks: BackgroundTasks, q: Annotated[str | None, Depends(logged_query)]
) -> Accepted:
    background_tasks.add_task(write_log, f"message to {email}")
    return accepted(background_tasks.jobs[0], message="Message sent")
