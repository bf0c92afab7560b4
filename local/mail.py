"""An SMTP server that delivers nothing: it keeps every mail, and says that it came."""

from __future__ import annotations

import asyncio
import email
import email.policy
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, Envelope

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from email.message import EmailMessage
    from pathlib import Path

    from local.log import Log

_SOURCE = "mail"
_PREVIEWED = 3


@dataclass(frozen=True)
class Mail:
    """A mail as it was handed over: who it is from and for is in its envelope, not in its headers."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    path: Path

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=email.policy.default)


class Mailbox:
    """Every mail since the start, in memory and as files."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder = folder
        self.mails: list[Mail] = []
        self._log = log
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    async def handle_DATA(self, _server: SMTP, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        path = self.folder / f"{len(self.mails) + 1:04}.eml"
        mail = Mail(str(envelope.mail_from), tuple(envelope.rcpt_tos), bytes(envelope.original_content or b""), path)
        path.write_bytes(mail.content)
        self.mails.append(mail)
        self._announce(mail)
        return "250 Message accepted for delivery"

    def _announce(self, mail: Mail) -> None:
        self._log.note(
            _SOURCE, f"{mail.sender} -> {', '.join(mail.recipients)}: {mail.message['subject']} ({mail.path.name})"
        )
        body = mail.message.get_body(("plain", "html"))
        for line in body.get_content().splitlines()[:_PREVIEWED] if body else ():
            self._log.note(_SOURCE, f"    {line}")


@asynccontextmanager
async def receiving(mailbox: Mailbox, listening: socket.socket) -> AsyncIterator[None]:
    """Take mails for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"enable_SMTPUTF8": True, "hostname": "localhost", "loop": loop}
    server = await loop.create_server(lambda: SMTP(mailbox, **options), sock=listening)
    try:
        yield
    finally:
        server.close()
