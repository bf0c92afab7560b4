"""HTTP to addresses that somebody else has named, within limits of time, size and redirects.

`ssrfguard` says which addresses may be called, and urllib3 speaks HTTP to exactly those that it has checked: no name is
looked up twice. Names stay in the Host header, in SNI and in what the certificate must show.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPException
from socket import socket
from typing import cast
from urllib.parse import urljoin

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as TimedOut
from urllib3.response import BaseHTTPResponse

from deadline import Deadline, Punctual
from destination import Guard, PublicGuard, Refused, Route, Unanswered, allowed_loopback, host_of

ADDRESSES = 3
"""Addresses of one name that are tried: enough where the way to one is down, too few to be kept busy with."""

CONNECT = 5.0
"""Seconds for one of them to take the connection."""

REDIRECTS = 3

_AGENT = "Afterward/1"
_PIECE = 65_536
_MOVED = frozenset({301, 302, 303, 307, 308})
_CODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What `host` answered, the last one of a row of redirects. `headers` take their names in any case."""

    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def good(self) -> bool:
        return is_good(self.status)

    def retry_after(self, now: float) -> float:
        """Return the seconds that the server asks to wait, 0 where it asks for none (RFC 9110, 10.2.3)."""
        text = self.headers.get("retry-after", "").strip()
        if re.fullmatch("[0-9]{1,9}", text):
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, OverflowError):
            return 0.0


class Client:
    """Sends each request over a connection of its own. Proxies that the environment names are not used.

    `tls` replaces the trust in the system's certificate authorities.
    """

    def __init__(self, guard: Guard, *, tls: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._given = tls

    def get(self, url: str, *, seconds: float, limit: int, accept: str = "*/*") -> Answer:
        """Get what lies there, following redirects. A body of more than `limit` bytes, unpacked, is refused."""
        deadline = Deadline.after(seconds)
        headers = {"Accept": accept, "Accept-Encoding": "gzip, deflate"}
        secure = False
        for _ in range(1 + REDIRECTS):
            route = self._guard.admit(url, deadline)
            if secure and route.scheme == "http":
                raise Refused(f"{route.host} may not be called: a redirect leads to it from https to http")
            secure = route.scheme == "https"
            with self._answering("GET", route, headers, None, deadline) as response:
                location = response.headers.get("location") if response.status in _MOVED else None
                if location is None:
                    body = _body(route.host, response, limit) if is_good(response.status) else b""
                    return Answer(route.host, response.status, response.headers, body)
            url = _joined(url, location)
        raise Refused(f"{host_of(url)} would be redirect number {REDIRECTS + 1}, and {REDIRECTS} are followed")

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> Answer:
        """Post once, and return the answer without its body. Redirects are not followed."""
        deadline = Deadline.after(seconds)
        route = self._guard.admit(url, deadline)
        with self._answering("POST", route, headers, body, deadline) as response:
            return Answer(route.host, response.status, response.headers)

    @contextmanager
    def _answering(
        self, method: str, route: Route, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> Iterator[BaseHTTPResponse]:
        given = {"Host": route.authority, "User-Agent": _AGENT, "Connection": "close", **headers}
        try:
            with closing(self._connected(route, deadline)) as connection, closing(cast("socket", connection.sock)):
                connection.sock = cast("socket", Punctual(cast("socket", connection.sock), deadline))
                connection.request(method, route.target, body, given, preload_content=False)
                with closing(connection.getresponse()) as response:
                    yield response
        except (HTTPException, HTTPError, OSError, ValueError) as error:
            raise Unanswered(f"{route.host} {_happened(error)}") from error

    def _connected(self, route: Route, deadline: Deadline) -> HTTPConnection:
        """Connect to the first address that takes it; what fails later may have been heard, and is not repeated."""
        *others, last = route.addresses[:ADDRESSES]
        for address in others:
            try:
                return self._connect(route, address, deadline)
            except (NewConnectionError, ConnectTimeoutError):
                continue
        return self._connect(route, last, deadline)

    def _connect(self, route: Route, address: str, deadline: Deadline) -> HTTPConnection:
        connection = self._connection(route, address, min(CONNECT, deadline.left()))
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _connection(self, route: Route, address: str, seconds: float) -> HTTPConnection:
        if route.scheme == "http":
            return HTTPConnection(address, route.port, timeout=seconds)
        return HTTPSConnection(address, route.port, timeout=seconds, ssl_context=self._tls, server_hostname=route.host)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given or ssl.create_default_context()


def is_good(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004 - RFC 9110, 15.3


def _body(host: str, response: BaseHTTPResponse, limit: int) -> bytes:
    """Read a body in pieces of bounded size, however small it was packed."""
    codings = response.headers.get("content-encoding", "").lower().split(",")
    if not {coding.strip() for coding in codings} <= _CODINGS:
        raise Refused(f"{host} answers in a content coding that was not asked for")
    body = bytearray()
    while len(body) <= limit:
        piece = response.read(min(_PIECE, limit + 1 - len(body)), decode_content=True)
        if not piece:
            return bytes(body)
        body += piece
    raise Refused(f"{host} answers with more than {limit} bytes")


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location.strip().replace(" ", "%20").encode("latin-1").decode(errors="replace"))
    except ValueError:
        raise Refused(f"{host_of(url)} redirects to what is no URL") from None


def _happened(error: Exception) -> str:
    if isinstance(error, NewConnectionError):
        return "does not take connections"  # which urllib3 makes a kind of timeout
    if isinstance(error, TimeoutError | TimedOut):
        return "did not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "has no certificate that can be trusted"
    return "gave no answer that could be understood"


def public_client() -> Client:
    """Provide a client of public addresses, and of those ports here that OUTBOUND_ALLOW_LOOPBACK names."""
    return Client(PublicGuard(loopback=allowed_loopback()))
