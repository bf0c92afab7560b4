"""Mail by SMTP: connections to the server, and mails that are their job's."""

import os
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Protocol

from afterward import Discard, Job, Retry
from afterward.errors import SettingError
from afterward.settings import number, required

TIMEOUT = 5.0
"""Seconds that the server may take for one answer, well below a function's own timeout."""

PERMANENT = {*range(500, 600)} - {530}
"""Replies that say "do not try again" (RFC 5321, 4.2.1); 530 asks for a login, which is ours to set up (RFC 4954)."""

_ENCODED = "=?"
"""With which an encoded word begins (RFC 2047). EmailMessage decodes what a header is given: `=?utf-8?q?=0D=0ABcc:…?=`
would become a line of its own. With a blank in between it is text, for us and for whoever reads the mail."""


class Mailer(Protocol):
    """What sends a mail; raises Discard where no other attempt would help."""

    sender: str

    def send(self, message: EmailMessage) -> None: ...


@dataclass(frozen=True, slots=True)
class SmtpMailer:
    """Sends by SMTP. `starttls`: encrypt, or send nothing. `secret`: ARN of {"username": …, "password": …}, or ""."""

    host: str
    port: int
    sender: str
    starttls: bool
    secret: str = ""
    tls: ssl.SSLContext | None = None

    def send(self, message: EmailMessage) -> None:
        with self.connected() as connection:
            connection.send(message)

    @contextmanager
    def connected(self) -> Iterator["Connection"]:
        """Connect for any number of mails; where the work with it fails, hang up without a farewell."""
        with closing(smtplib.SMTP(self.host, self.port, timeout=TIMEOUT)) as smtp:
            if self.starttls:
                smtp.starttls(context=self.tls or ssl.create_default_context())
            if self.secret:
                smtp.login(*login(self.secret))
            yield Connection(smtp, self.sender)
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # the mails are on their way; a farewell that fails must not send them again


@dataclass(frozen=True, slots=True)
class Connection:
    """A server that takes mails."""

    smtp: smtplib.SMTP
    sender: str

    def send(self, message: EmailMessage) -> None:
        try:
            self.smtp.send_message(message)
        except smtplib.SMTPRecipientsRefused as refused:
            code = max(code for code, _ in refused.recipients.values())
            raise _outcome(code, "the mail server refuses the recipient") from refused
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as refused:
            raise _outcome(refused.smtp_code, "the mail server refuses the message") from refused


def _outcome(code: int, reason: str) -> Exception:
    """Discard what is refused for good, retry the rest; in words of ours, since the server's may name the recipient."""
    return Discard(f"{reason} ({code})") if code in PERMANENT else Retry(f"{reason} for now ({code})")


def mail_of(job: Job, sender: str, to_email: str, subject: str, body: str) -> EmailMessage:
    """Write a mail whose Message-ID and Date are the job's, so mail systems recognise what a second attempt repeats."""
    if _ENCODED in to_email:
        raise Discard("the recipient's address would be read as another one (RFC 2047)")
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to_email
    message["Subject"] = subject.replace(_ENCODED, "= ?")
    message["Date"] = format_datetime(datetime.fromisoformat(job.created))
    message["Message-ID"] = f"<{job.id}@{sender.rpartition('@')[2]}>"
    message.set_content(body)
    return message


def login(secret: str) -> tuple[str, str]:
    """Return the user name and password from Secrets Manager, kept for five minutes so that a rotation is noticed."""
    from aws_lambda_powertools.utilities import parameters  # noqa: PLC0415 - imports boto3

    value = parameters.get_secret(secret, transform="json", max_age=300)
    try:
        return str(value["username"]), str(value["password"])
    except (KeyError, TypeError):
        raise SettingError(
            "the secret that SMTP_SECRET names must be a JSON object with username and password"
        ) from None


def smtp_mailer() -> SmtpMailer:
    """Provide a mailer by the variables SMTP_HOST, SMTP_PORT, SMTP_SENDER, SMTP_STARTTLS and SMTP_SECRET."""
    starttls = os.environ.get("SMTP_STARTTLS", "required")
    if starttls not in {"required", "never"}:
        raise SettingError(f"environment variable SMTP_STARTTLS must be 'required' or 'never', got {starttls!r}")
    return SmtpMailer(
        host=required(os.environ, "SMTP_HOST"),
        port=number(os.environ, "SMTP_PORT", default=587, least=1, most=65_535),
        sender=required(os.environ, "SMTP_SENDER"),
        starttls=starttls == "required",
        secret=os.environ.get("SMTP_SECRET", ""),
    )
