from pathlib import Path

from fastapi import APIRouter

from afterward import task
from afterward.background import Accepted, BackgroundTasks, accepted

router = APIRouter()


@task
def write_notification(email: str, message: str) -> None:
    with Path("log.txt").open("a") as log:
        log.write(f"notification for {email}: {message}\n")


@router.post("/send-notification/{email}", status_code=202)
async def send_notification(
    email: str, background_tasks: BackgroundTasks, message: str = "some notification"
) -> Accepted:
    job = background_tasks.add_task(write_notification, email, message)
    return accepted(job, message="Notification sent in the background")
