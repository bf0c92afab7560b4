"""Serves an ASGI application on sockets that are open already: a port is known, or refused, before anything starts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from local.errors import CannotStart

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def listen(port: int = 0) -> socket.socket:
    """Open a port of this machine, by default any that is free."""
    # asyncio switches Nagle's delay off only where the protocol is named; with it an answer takes 40 ms.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        opened.close()
        raise CannotStart(
            f"Port {port} cannot be used ({getattr(error, 'strerror', None) or error}). Choose another: PORT=8001"
        ) from error
    opened.listen(512)
    return opened


def port_of(opened: socket.socket) -> int:
    port: int = opened.getsockname()[1]
    return port


class _Together:
    """A transport that sends what is written in one go in one piece.

    uvicorn writes the head and the body of a response apart; to send them apart takes half of the time of answering.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._written:
            asyncio.get_running_loop().call_soon(self._flush)
        self._written.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        written, self._written = self._written, []
        if written:
            self._transport.write(b"".join(written))


_Base: Any = AutoHTTPProtocol


class _Protocol(_Base):  # type: ignore[misc] # uvicorn's class depends on what is installed
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(_Together(transport))


def server(app: Application) -> uvicorn.Server:
    """Wrap an application; connections are kept open, since who talks to us is on this machine."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=3600,
            timeout_graceful_shutdown=0,
        )
    )


@contextlib.asynccontextmanager
async def serving(app: Application, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Serve for as long as the block lasts."""
    running = server(app)
    task = asyncio.create_task(running.serve(list(sockets)))
    try:
        yield
    finally:
        running.should_exit = running.force_exit = True
        await task


async def body_of(receive: Receive, limit: int) -> bytes | None:
    """Read a request's body; None if it is longer than the limit."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(chunks)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if size <= limit else None


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer in one piece."""
    if not any(name == b"content-length" for name, _ in headers):
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
