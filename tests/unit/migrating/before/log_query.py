from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends

router = APIRouter()


def write_log(line: str) -> None:
    with Path("log.txt").open("a") as log:
        log.write(f"{line}\n")


async def logged_query(background_tasks: BackgroundTasks, q: str | None = None) -> str | None:
    if q:
        background_tasks.add_task(write_log, f"query: {q}")
    return q


@router.post("/send-message/{email}")
async def send_message(
    email: str, background_tasks: BackgroundTasks, q: Annotated[str | None, Depends(logged_query)]
) -> dict[str, str]:
    background_tasks.add_task(write_log, f"message to {email}")
    return {"message": "Message sent"}
