import os
import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from typing import Annotated

from fastapi import APIRouter

from afterward import Depends, Job, injected, task
from afterward.background import Accepted, BackgroundTasks, accepted

router = APIRouter()


class EmailService:
    def __init__(self, smtp: smtplib.SMTP, message_id: str) -> None:
        self.smtp, self.message_id = smtp, message_id

    def send(self, to: str, subject: str, body: str) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "robot@sender.example", to, subject
        mail["Message-ID"] = self.message_id
        mail.set_content(body)
        self.smtp.send_message(mail)


def email_service(job: Job) -> Iterator[EmailService]:
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])) as smtp:
        yield EmailService(smtp, f"<{job.id}@sender.example>")


class ActivityService:
    def __init__(self, job: Job) -> None:
        self.job = job

    def log(self, text: str) -> None:
        with closing(sqlite3.connect("app.db")) as database, database:
            database.execute("INSERT OR REPLACE INTO log (id, text) VALUES (?, ?)", (self.job.id, text))


@task
def notify(
    user_id: int,
    action: str,
    *,
    email: Annotated[EmailService, Depends(email_service)] = injected,
    activity: Annotated[ActivityService, Depends()] = injected,
) -> None:
    activity.log(f"User {user_id} performed {action}")
    email.send(f"user{user_id}@example.com", "Action Performed", f"You performed: {action}")


@router.post("/action/{user_id}", status_code=202)
async def perform_action(user_id: int, action: str, background_tasks: BackgroundTasks) -> Accepted:
    job = background_tasks.add_task(notify, user_id, action)
    return accepted(job, message=f"Action {action} performed for user {user_id}")
