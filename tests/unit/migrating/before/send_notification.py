from pathlib import Path

from fastapi import APIRouter, BackgroundTasks

router = APIRouter()


def write_notification(email: str, message: str) -> None:
    with Path("log.txt").open("a") as log:
        log.write(f"notification for {email}: {message}\n")


@router.post("/send-notification/{email}")
async def send_notification(
    email: str, background_tasks: BackgroundTasks, message: str = "some notification"
) -> dict[str, str]:
    background_tasks.add_task(write_notification, email, message)
    return {"message": "Notification sent in the background"}
