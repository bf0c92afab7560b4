import os
import smtplib
import sqlite3
from contextlib import closing
from email.message import EmailMessage
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends

router = APIRouter()


class EmailService:
    def send(self, to: str, subject: str, body: str) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "robot@sender.example", to, subject
        mail.set_content(body)
        with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])) as smtp:
            smtp.send_message(mail)


class ActivityService:
    def log(self, text: str) -> None:
        with closing(sqlite3.connect("app.db")) as database, database:
            database.execute("INSERT INTO log (text) VALUES (?)", (text,))


def notify(user_id: int, action: str, email: EmailService, activity: ActivityService) -> None:
    activity.log(f"User {user_id} performed {action}")
    email.send(f"user{user_id}@example.com", "Action Performed", f"You performed: {action}")


@router.post("/action/{user_id}")
async def perform_action(
    user_id: int,
    action: str,
    background_tasks: BackgroundTasks,
    email: Annotated[EmailService, Depends()],
    activity: Annotated[ActivityService, Depends()],
) -> dict[str, str]:
    background_tasks.add_task(notify, user_id, action, email, activity)
    return {"message": f"Action {action} performed for user {user_id}"}
