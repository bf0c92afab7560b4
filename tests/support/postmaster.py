"""An SMTP server that does what a test asks of it: STARTTLS under a certificate of its own, logins, refusals."""
# ruff: noqa: N802 - aiosmtpd's names

import asyncio
import datetime as dt
import email
import email.policy
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HANG_UP = "hang up"
"""Instead of a reply to QUIT."""

LOGIN = ("mailer", "p4ssword")


@dataclass(slots=True)
class Postmaster:
    """`replies` are given to a command instead of 250, each once; `mails` holds what was accepted, `seen` all DATA.

    `connections` counts those that were made, `open` holds those that are not over.
    """

    port: int = 0
    replies: dict[str, list[str]] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    seen: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    connections: int = 0
    open: set[SMTP] = field(default_factory=set)

    async def handle_MAIL(
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self._reply("MAIL", "250 OK")

    async def handle_RCPT(self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _: list[str]) -> str:
        reply = self._reply("RCPT", "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _server: SMTP, session: Any, envelope: Envelope) -> str:
        content = cast("bytes", envelope.original_content)
        message = email.message_from_bytes(content, policy=email.policy.default)
        self.seen.append(message)
        reply = self._reply("DATA", "250 OK")
        if reply.startswith("250"):
            self.mails.append(message)
            self.recipients += envelope.rcpt_tos
            self.encrypted.append(session.ssl is not None)
        return reply

    async def handle_QUIT(self, server: SMTP, _session: Any, _envelope: Envelope) -> str:
        reply = self._reply("QUIT", "221 Bye")
        if reply == HANG_UP:
            cast("asyncio.Transport", server.transport).abort()
        return reply

    def authenticate(self, _server: SMTP, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        login = data.login.decode(), data.password.decode()
        self.logins.append(login)
        return AuthResult(success=login == LOGIN, handled=False)

    def _reply(self, command: str, usual: str) -> str:
        waiting = self.replies.get(command, [])
        return waiting.pop(0) if waiting else usual


@contextmanager
def postmaster(*, tls: bool = True, **options: Any) -> Iterator[Postmaster]:
    """Serve on a free port of the loopback; `options` go to aiosmtpd's SMTP."""
    office, loop = Postmaster(), asyncio.new_event_loop()
    context = server_context() if tls else None

    class Counted(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            office.connections += self not in office.open  # STARTTLS makes the same connection again
            office.open.add(self)
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            office.open.discard(self)
            super().connection_lost(error)

    def protocol() -> SMTP:
        return Counted(office, tls_context=context, authenticator=office.authenticate, loop=loop, **options)

    server = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", 0))
    office.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield office
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        await asyncio.wait([task])


@cache
def certificate(*names: str) -> tuple[bytes, bytes]:
    """Make a certificate for the loopback and these names that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "postmaster")])
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, names), loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), secret


def server_context(*names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with TemporaryDirectory() as folder:
        for name, pem in zip(("certificate", "key"), certificate(*names), strict=True):
            (Path(folder) / name).write_bytes(pem)
        context.load_cert_chain(Path(folder) / "certificate", Path(folder) / "key")
    return context


def client_context(*names: str) -> ssl.SSLContext:
    """Return a context that trusts the certificate for these names, and nothing else."""
    return ssl.create_default_context(cadata=certificate(*names)[0].decode())
