"""A web server on the loopback that does what a test asks of it, byte by byte if need be."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HANDSHAKE = b"\x16"
"""With which TLS begins (RFC 8446, 5.1)."""

TOLD = "[IP_ADDRESS]"
"""The server's host as a record's reason has it, since an address may be a person's."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the server was sent; names of headers in lower case. `sni` is the name that TLS was begun with."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    sni: str | None = None


@dataclass(slots=True)
class Connection:
    """What a behaviour answers with. `open` turns false when the client has gone, or the test is over."""

    socket: socket.socket
    over: threading.Event

    def send(self, data: bytes) -> bool:
        """Send, and say whether the client still takes it."""
        with suppress(OSError):
            self.socket.sendall(data)
            return not self.over.is_set()
        return False

    def drip(self, start: bytes, piece: bytes, pause: float = 0.02) -> None:
        """Send a piece now and then, for as long as the client takes them."""
        going = self.send(start)
        while going and not self.over.wait(pause):
            going = self.send(piece)

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self.over.wait(10)


Behaviour = Callable[[Request, Connection], None]


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    """Answer so, underscores in names of headers read as hyphens."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in ({"content-length": str(len(body))} | given).items())
    return raw(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body)


def raw(data: bytes) -> Behaviour:
    def send(_request: Request, connection: Connection) -> None:
        connection.send(data)

    return send


@dataclass(slots=True)
class WebServer:
    """`behaviours` are used up one request after the other; the last one stays."""

    behaviours: list[Behaviour]
    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _names: dict[ssl.SSLObject | ssl.SSLSocket, str | None] = field(default_factory=dict)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def accept(self, listening: socket.socket) -> None:
        while not self.over.is_set():
            with suppress(TimeoutError):
                taken, _ = listening.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(taken,))
                thread.start()
                self._threads.append(thread)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _serve(self, taken: socket.socket) -> None:
        taken.settimeout(10)
        with suppress(OSError), taken, self._wrapped(taken) as connected:
            if self.tls is None and connected.recv(1, socket.MSG_PEEK) == HANDSHAKE:
                self.over.wait(10)  # its bytes are random: some of them read like lines
                return
            request = self._read(connected)
            if request is None:
                return
            self.requests.append(request)
            behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
            behaviour(request, Connection(connected, self.over))
            with suppress(OSError):
                connected.shutdown(socket.SHUT_WR)

    def _wrapped(self, taken: socket.socket) -> socket.socket:
        if self.tls is None:
            return taken
        self.tls.sni_callback = lambda tls, name, _context: self._names.update({tls: name})
        return self.tls.wrap_socket(taken, server_side=True)

    def _read(self, connected: socket.socket) -> Request | None:
        with connected.makefile("rb") as file:
            first = file.readline().decode("latin-1").split()
            if not first:
                return None
            headers = {}
            while line := file.readline().strip().decode("latin-1"):
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = file.read(int(headers.get("content-length", "0")))
        sni = self._names.get(connected) if isinstance(connected, ssl.SSLSocket) else None
        return Request(first[0], first[1], headers, body, sni)


@contextmanager
def web_server(*behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Serve on a free port; the end of the block ends every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        server = WebServer(list(behaviours or [answer()]), tls, listening.getsockname()[1])
        thread = threading.Thread(target=server.accept, args=(listening,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            thread.join()
            server.join()
