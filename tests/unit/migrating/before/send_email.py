import os
import smtplib
import ssl
from email.message import EmailMessage

from fastapi import APIRouter, BackgroundTasks

router = APIRouter()


def deliver(to_email: str, subject: str, body: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "robot@sender.example", to_email, subject
    mail.set_content(body)
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"])) as smtp:
        smtp.starttls(context=ssl.create_default_context())
        smtp.login(os.environ["SMTP_USER"], os.environ["SMTP_PASSWORD"])
        smtp.send_message(mail)


@router.post("/send-email/")
async def send_email(to_email: str, subject: str, body: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(deliver, to_email, subject, body)
    return {"message": "Email will be sent in the background"}
