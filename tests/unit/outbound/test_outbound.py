"""HTTP against real servers on the loopback: what they get to see, and what they cannot make us do."""

import gzip
import ssl
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from deadline import Deadline
from destination import Guard, OutboundError, PublicGuard, Refused, Route, Unanswered
from outbound import Answer, Client
from tests.support.postmaster import client_context, server_context
from tests.support.resolver import TableResolver
from tests.support.webserver import Behaviour, Connection, Request, WebServer, answer, raw, web_server

NAME = "data.example.com"
LIMIT = 100_000


@dataclass(slots=True)
class Map:
    """A guard that leads every name to these addresses, and remembers what it was asked."""

    addresses: tuple[str, ...] = ("127.0.0.1",)
    asked: list[str] = field(default_factory=list)

    def admit(self, url: str, _deadline: Deadline) -> Route:
        self.asked.append(url)
        split = urlsplit(url)
        return Route(split.scheme, split.hostname or "", split.port or 80, split.path or "/", self.addresses)


def here(server: WebServer) -> Guard:
    """The guard as the local cloud has it, with this server's port allowed."""
    return PublicGuard(loopback=frozenset({server.port}), resolver=TableResolver())


def get(server: WebServer, path: str = "/", *, seconds: float = 10, limit: int = LIMIT, **about: Any) -> Answer:
    client = Client(about.get("guard", here(server)), tls=about.get("tls"))
    return client.get(server.url(path, about.get("host", "127.0.0.1")), seconds=seconds, limit=limit)


@contextmanager
def soon(seconds: float = 3) -> Iterator[None]:
    """See that a block ends long before the servers of these tests would."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_an_answer_is_returned() -> None:
    """Status, headers in any case, body and the host that gave them."""
    with web_server(answer(200, b'{"a": 1}', Content_Type="application/json")) as server:
        found = get(server, "/x?y=z", host="localhost")
    assert (found.host, found.status, found.good, found.body) == ("localhost", 200, True, b'{"a": 1}')
    assert found.headers["content-type"] == found.headers["Content-Type"] == "application/json"


def test_a_request_is_plain() -> None:
    """It names the host as the URL does, says who calls, what is taken and how it may be packed, and nothing else."""
    with web_server() as server:
        Client(here(server)).get(server.url("/a?b=c#d", "localhost"), seconds=5, limit=1, accept="text/csv")
        (request,) = server.requests
        host = f"localhost:{server.port}"
    assert (request.method, request.target, request.body) == ("GET", "/a?b=c", b"")
    assert request.headers == {
        "host": host,
        "user-agent": "Afterward/1",
        "accept": "text/csv",
        "accept-encoding": "gzip, deflate",
        "connection": "close",
    }


def test_a_post_is_sent_as_it_is() -> None:
    """Body and headers arrive unchanged; the answer comes back without a body."""
    with web_server(answer(201, b"thanks")) as server:
        found = Client(here(server)).post(server.url("/hook"), b'{"a":1}', {"X-Own": "yes"}, seconds=5)
        (request,) = server.requests
    assert (found.status, found.body) == (201, b"")
    assert (request.method, request.target, request.body) == ("POST", "/hook", b'{"a":1}')
    assert (request.headers["x-own"], request.headers["content-length"]) == ("yes", "7")


def test_bodies_of_errors_are_left_alone() -> None:
    """What is no success has a status and headers, and may be endless for all we care."""
    with web_server(
        lambda _request, connection: connection.drip(b"HTTP/1.1 503 No\r\nRetry-After: 7\r\n\r\n", b"x")
    ) as server:
        with soon():
            found = get(server)
        assert (found.status, found.good, found.body, found.retry_after(0)) == (503, False, b"", 7.0)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would look names up itself, so none is asked, whatever variables say."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with web_server(answer(200, b"direct")) as server:
        assert get(server).body == b"direct"


# TLS


def test_the_name_stays_when_the_address_is_fixed() -> None:
    """Connected to a checked address, TLS still begins with the name, and the certificate must be the name's."""
    with web_server(answer(200, b"secret"), tls=server_context(NAME)) as server:
        found = get(server, host=NAME, guard=Map(), tls=client_context(NAME))
        assert found.body == b"secret"
        (request,) = server.requests
        assert (request.sni, request.headers["host"]) == (NAME, f"{NAME}:{server.port}")


def test_another_names_certificate_is_not_taken() -> None:
    """A certificate for the address or another name is none for this one: nothing is sent."""
    with web_server(tls=server_context(NAME)) as server:
        with pytest.raises(Unanswered, match=r"^other.example.com has no certificate that can be trusted$"):
            get(server, host="other.example.com", guard=Map(), tls=client_context(NAME))
        assert server.requests == []


def test_an_address_is_checked_against_its_certificate() -> None:
    """An https URL of an address works where the certificate names that address."""
    with web_server(answer(200, b"x"), tls=server_context(NAME)) as server:
        assert get(server, tls=client_context(NAME)).body == b"x"


def test_an_unknown_authority_is_not_trusted() -> None:
    """A certificate that no authority of this system vouches for is not taken."""
    with web_server(tls=server_context(NAME)) as server:
        with pytest.raises(Unanswered, match="no certificate that can be trusted"):
            get(server, host=NAME, guard=Map())
        assert server.requests == []


def test_plain_http_on_a_tls_port_is_no_answer() -> None:
    """A server that speaks no TLS gets no request."""
    with web_server(raw(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        url = server.url().replace("http:", "https:")
        with pytest.raises(Unanswered), soon():
            Client(here(server)).get(url, seconds=1, limit=1)
        assert [request for request in server.requests if request.method == "GET"] == []


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int) -> None:
    """A redirect leads to where its Location says, also where that is only a path."""
    with web_server(answer(status, Location="/there?a=b%20c"), answer(200, b"here")) as server:
        assert get(server, "/here").body == b"here"
        assert [request.target for request in server.requests] == ["/here", "/there?a=b%20c"]


def test_three_redirects_are_followed_and_no_fourth() -> None:
    """The fourth is refused for good."""
    with web_server(*(answer(302, Location=f"/{hop}") for hop in (1, 2, 3)), answer(200, b"end")) as server:
        assert get(server).body == b"end"
    with web_server(answer(302, Location="/again")) as server:
        with pytest.raises(Refused, match=r"^127.0.0.1 would be redirect number 4, and 3 are followed$"):
            get(server)
        assert len(server.requests) == 4


@pytest.mark.parametrize("status", [200, 300, 304, 305, 400])
def test_a_location_alone_is_no_redirect(status: int) -> None:
    """Only redirects are followed."""
    with web_server(answer(status, Location="http://10.0.0.1/")) as server:
        assert get(server).status == status
        assert len(server.requests) == 1


def test_a_redirect_without_a_location_ends_there() -> None:
    """It is an answer like any other."""
    with web_server(answer(302)) as server:
        assert get(server).status == 302


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:1/",
    "http://localhost/",
    "//10.0.0.1/",
    "http://0x7f000001/",
    "http://2130706433/",
    "http://[::ffff:169.254.169.254]/",
    "http://internal.example/",
    "http://mixed.example/",
    "http://user@example.com/",
    "http://example.com:22/",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "http://[::1",
]


@pytest.mark.parametrize("location", FORBIDDEN)
def test_a_redirect_opens_nothing(location: str) -> None:
    """Every hop is checked as the first one is."""
    names = {
        "localhost": [["127.0.0.1"]],
        "internal.example": [["192.168.0.7"]],
        "mixed.example": [["93.184.215.14", "10.0.0.1"]],
    }
    with web_server(answer(302, Location=location), answer(404)) as server:
        guard = PublicGuard(loopback=frozenset({server.port}), resolver=TableResolver(names))
        with pytest.raises(Refused):
            get(server, guard=guard)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("location", "target"),
    [("http:///x", "/x"), ("\\\\10.0.0.1\\x", "/%5C%5C10.0.0.1%5Cx"), ("/a b/ä", "/a%20b/%C3%A4"), ("?q", "/?q")],
)
def test_a_location_is_read_as_it_is_checked(location: str, target: str) -> None:
    """What names no host stays with the host that said it; what a path may not hold is escaped."""
    with web_server(answer(302, Location=location.encode().decode("latin-1")), answer(200, b"x")) as server:
        assert get(server).body == b"x"
        assert server.requests[1].target == target


def test_each_hop_is_looked_up_anew() -> None:
    """The name of a redirect is admitted by itself, the same name also a second time."""
    guard = Map()
    with web_server(answer(302, Location="/2"), answer(302, Location="http://other.example:80/"), answer()) as server:
        guard.addresses = ("127.0.0.1",)
        url = server.url("/1", NAME)
        with pytest.raises(OutboundError):  # nobody serves port 80 here
            Client(guard).get(url, seconds=2, limit=1)
        assert guard.asked == [url, server.url("/2", NAME), "http://other.example:80/"]


def test_a_redirect_never_leaves_encryption() -> None:
    """From https to http nothing is followed."""
    with web_server() as plain:
        away = answer(302, Location=plain.url("/", "localhost"))
        with web_server(away, tls=server_context()) as secure:
            client = Client(PublicGuard(loopback=frozenset({plain.port, secure.port})), tls=client_context())
            with pytest.raises(Refused) as refusal:
                client.get(secure.url(), seconds=5, limit=9)
        assert str(refusal.value) == "localhost may not be called: a redirect leads to it from https to http"
        assert plain.requests == []


def test_a_redirect_may_lead_to_encryption() -> None:
    """From http to https it is followed."""
    with web_server(answer(200, b"secret"), tls=server_context()) as secure:
        ports = frozenset({secure.port})
        with web_server(answer(302, Location=secure.url())) as plain:
            client = Client(PublicGuard(loopback=ports | {plain.port}), tls=client_context())
            assert client.get(plain.url(), seconds=5, limit=9).body == b"secret"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_is_never_redirected(status: int) -> None:
    """A redirect is the answer."""
    with web_server(answer(status, Location="/elsewhere")) as server:
        assert Client(here(server)).post(server.url(), b"x", {}, seconds=5).status == status
        assert len(server.requests) == 1


# Time


def silent(_request: Request, connection: Connection) -> None:
    connection.hang()


def dripping(start: bytes, piece: bytes) -> Behaviour:
    return lambda _request, connection: connection.drip(start, piece)


SLOW = {
    "silence": silent,
    "a status line that never ends": dripping(b"HTTP/1.1 200 ", b"O"),
    "headers that never end": dripping(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "header after header": dripping(b"HTTP/1.1 200 OK\r\n", b"a"),
    "continue, continue": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body that comes slowly": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", b"x"),
    "a body without an end": dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "chunk after chunk": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a chunk's size that never ends": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "gzip that unpacks to nothing": dripping(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
}


@pytest.mark.parametrize("behaviour", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_slow_server_is_not_waited_for(behaviour: Behaviour, tls: bool) -> None:
    """However it spreads its bytes, the whole exchange ends in time, and may be tried again."""
    with web_server(behaviour, tls=server_context() if tls else None) as server:
        with pytest.raises(Unanswered) as unanswered, soon():
            get(server, "/?token=secret", seconds=0.3, tls=client_context() if tls else None)
        assert str(unanswered.value) == "127.0.0.1 did not answer in time"


def test_a_handshake_that_never_comes_is_not_waited_for() -> None:
    """A server that takes the connection and begins no TLS is given up in time."""
    with web_server() as server, soon(), pytest.raises(Unanswered, match="did not answer in time"):
        Client(Map()).get(server.url().replace("http:", "https:"), seconds=0.3, limit=1)


def test_a_server_that_does_not_read_is_not_waited_for() -> None:
    """A body that nobody takes off the wire is given up in time."""
    with web_server(silent) as server, soon(), pytest.raises(Unanswered, match="did not answer in time"):
        Client(here(server)).post(server.url(), b"x" * 50_000_000, {"Content-Length": "0"}, seconds=0.3)


def test_a_server_that_reads_slowly_is_not_waited_for() -> None:
    """A body that is taken off the wire bit by bit is given up in time."""

    def sip(_request: Request, connection: Connection) -> None:
        while not connection.over.wait(0.05) and connection.socket.recv(65_536):
            pass

    with web_server(sip) as server, soon(), pytest.raises(Unanswered, match="did not answer in time"):
        Client(here(server)).post(server.url(), b"x" * 50_000_000, {"Content-Length": "0"}, seconds=0.3)


def test_redirects_share_the_time() -> None:
    """Hops that each take their time take all of it together."""

    def later(_request: Request, connection: Connection) -> None:
        connection.over.wait(0.2)
        connection.send(b"HTTP/1.1 302 Found\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n")

    with web_server(later) as server, soon():
        with pytest.raises(Unanswered, match="did not answer in time"):
            get(server, seconds=0.5)
        assert 2 <= len(server.requests) <= 3


# Size


def test_a_body_may_be_as_large_as_the_limit() -> None:
    """The last byte that is allowed is taken, the next one refused."""
    with web_server(answer(200, b"x" * 1_000)) as server:
        assert len(get(server, limit=1_000).body) == 1_000
        with pytest.raises(Refused, match=r"^127.0.0.1 answers with more than 999 bytes$"):
            get(server, limit=999)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "without a length": dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
    "in chunks": dripping(CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    "in one chunk": dripping(CHUNKED + b"ffffffffffff\r\n", b"x" * 65_536),
    "with a huge length": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", b"x" * 65_536),
    "packed": dripping(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"x" * 50_000) * 1_000),
}


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_body_is_refused(behaviour: Behaviour) -> None:
    """It is read up to the limit and no further."""
    with web_server(behaviour) as server, soon(), pytest.raises(Refused, match="more than 200000 bytes"):
        get(server, limit=200_000)


def packed(*codings: str, size: int) -> bytes:
    body = b"\0" * size
    for coding in codings:
        body = gzip.compress(body, 9) if coding == "gzip" else zlib.compress(body, 9)
    return body


BOMBS = [("gzip",), ("x-gzip",), ("deflate",), ("gzip", "gzip"), ("deflate", "gzip")]


@pytest.mark.parametrize("codings", BOMBS, ids=" ".join)
def test_a_bomb_does_not_go_off(codings: tuple[str, ...]) -> None:
    """A few kilobytes that unpack to 200 MB are refused at the limit, in little time and memory."""
    bomb = packed(*(coding.removeprefix("x-") for coding in codings), size=200_000_000)
    with web_server(answer(200, bomb, Content_Encoding=", ".join(codings))) as server:
        tracemalloc.start()
        try:
            with pytest.raises(Refused, match="more than 1000000 bytes"), soon():
                get(server, limit=1_000_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "identity", ""])
def test_packed_bodies_are_unpacked(coding: str) -> None:
    """A body comes out as it was before it was packed."""
    body = {"gzip": gzip.compress(b"hello"), "deflate": zlib.compress(b"hello")}.get(coding.lower(), b"hello")
    with web_server(answer(200, body, Content_Encoding=coding)) as server:
        assert get(server).body == b"hello"


def test_a_raw_deflate_is_unpacked() -> None:
    """Some servers send deflate without zlib's frame."""
    squeeze = zlib.compressobj(wbits=-15)
    body = squeeze.compress(b"hello") + squeeze.flush()
    with web_server(answer(200, body, Content_Encoding="deflate")) as server:
        assert get(server).body == b"hello"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "compress", "aes128gcm", "x"])
def test_a_coding_that_was_not_asked_for_is_refused(coding: str) -> None:
    """Whatever is installed, only what was asked for is unpacked."""
    with web_server(answer(200, b"x", Content_Encoding=coding)) as server, pytest.raises(Refused) as refusal:
        get(server)
    assert str(refusal.value) == "127.0.0.1 answers in a content coding that was not asked for"


# Broken answers


BROKEN = {
    "nothing": b"",
    "no http": b"220 smtp.example.com ESMTP\r\n",
    "half a status line": b"HTTP/1.1 20",
    "no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "a number out of range": b"HTTP/1.1 99 OK\r\n\r\n",
    "a line too long": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    "a chunk cut short": CHUNKED + b"a\r\nhello",
    "no chunk": CHUNKED + b"zz\r\nhello\r\n",
    "chunks without an end": CHUNKED + b"5\r\nhello\r\n",
    "gzip that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nhello",
    "deflate that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\nhello",
    "codings without an end": b"HTTP/1.1 200 OK\r\nContent-Encoding: " + b"gzip, " * 50 + b"gzip\r\n\r\nhello",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_none(data: bytes) -> None:
    """What breaks the protocol, or off, may be better the next time; no part of it is taken for the whole."""
    with web_server(raw(data)) as server, soon(), pytest.raises(Unanswered, match=r"^127.0.0.1 gave no answer that"):
        get(server, "/?token=secret")


def test_a_server_that_hangs_up_is_no_answer() -> None:
    """A connection that is cut is an attempt that failed, and was heard once."""
    with web_server(raw(b"")) as server:
        with pytest.raises(Unanswered):
            Client(Map(("127.0.0.1", "127.0.0.1"))).post(server.url(), b"x", {}, seconds=5)
        assert server.connections == 1


def closed_port() -> int:
    with web_server() as server:
        return server.port


def test_a_closed_port_is_no_answer() -> None:
    """Where nobody listens the host is named, and nothing else."""
    with pytest.raises(Unanswered, match=r"^localhost does not take connections$"):
        Client(Map()).get(f"http://localhost:{closed_port()}/?token=secret", seconds=5, limit=1)


def test_the_next_address_is_tried() -> None:
    """Where one address of a name takes no connection, the next one does; no more than three are tried."""
    with web_server(answer(200, b"x")) as server:
        assert get(server, guard=Map(("127.0.0.2", "127.0.0.3", "127.0.0.1"))).body == b"x"
        with pytest.raises(Unanswered):
            get(server, guard=Map(("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1")))
        assert server.connections == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("9" * 40, 0),
        ("Sun, 99 Nov 2026 12:00:30 GMT", 0),
        ("٣", 0),
    ],
)
def test_how_long_a_server_asks_to_wait(text: str, seconds: float) -> None:
    """Retry-After is a number of seconds or a date; what is neither is no wish."""
    noon = 1_795_348_800.0
    assert Answer("host", 503, {"retry-after": text}).retry_after(noon) == seconds


def test_connections_are_closed(recwarn: pytest.WarningsRecorder) -> None:
    """Nothing stays open behind an exchange, however it ended."""
    with web_server(
        answer(200, b"x"), answer(302, Location="http://10.0.0.1/"), raw(b"?"), answer(200, b"xxx")
    ) as server:
        get(server)
        for _ in range(3):
            with pytest.raises(OutboundError):
                get(server, limit=1)
        assert server.connections == 4
    assert [one for one in recwarn if one.category is ResourceWarning] == []


def test_the_systems_authorities_are_trusted() -> None:
    """Without a context of its own a client checks certificates and names against the system's authorities."""
    context = Client(Map())._tls
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
