"""Every spelling of an inner address through the real client, on a network of which this machine is all there is.

A server on the loopback stands for what must not be reached, and its port is one that may be called, so that a case is
refused for its address alone. Another one stands for all that is public. What would leave the machine fails the test.
"""
# ruff: noqa: RUF001, S104 - letters that are like others, and addresses of all interfaces, are what is tried here

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from deadline import Deadline
from destination import OutboundError, PublicGuard, Refused, Route, Unanswered
from outbound import Client
from tests.support.resolver import TableResolver
from tests.support.webserver import Connection, Request, WebServer, answer, web_server

PUBLIC, PUBLIC_6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

LOOPBACK = [
    # Decimal, octal, hexadecimal, mixed, short, zeros in front, dots behind.
    "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "2130706433", "2130706434", "0x7f000001", "0X7F000001",
    "0x0000007f000001", "017700000001", "00017700000001", "0x7f.0x0.0x0.0x1", "0x7F.0.0.1", "0x7f.1", "0x7f.0.1",
    "0177.0.0.1", "0177.0.0.01", "0177.1", "0177.0x0.0.1", "0x7f.0.0.01", "00000177.0.0.1", "127.1", "127.0.1",
    "127.0.0.0x1", "127.0.0.01", "127.000.000.001", "0127.0.0.1", "127.0.0.1.", "127.0.0.1..", "127.1.", "2130706433.",
    "4294967296", "4294967297", "127.0.0.256", "127.0.0.1.0", "127..0.1", ".127.0.0.1",
    # This host.
    "0", "00", "0x0", "0.0", "0.0.0", "0.0.0.0", "0.0.0.0.", "0.0.0.1", "[::]", "[0:0::0]", "[::0.0.0.0]",
    # IPv6, with and without an IPv4 address inside, with zones.
    "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0001]", "[0::1]", "[::1].",
    "[::1%25lo]", "[::1%lo]", "[::1%251]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:127.0.0.1%25lo]", "[::127.0.0.1]", "[::7f00:1]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::127.0.0.1]", "[64:ff9b:1:7f00:0:100::]",
    "[2002:7f00:1::]", "[2002:7f00:0001::1]", "[2001:0:7f00:1:0:0:f7f7:f7f7]", "[2001:0:808:808:0:0:80ff:fffe]",
    "[127.0.0.1]", "[::127.1]", "[v1.::1]", "[[::1]]", "[::1", "::1]", "::1", "::ffff:127.0.0.1",
    # Digits, letters and dots of other scripts.
    "１２７.０.０.１", "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "１２７。０。０。１",
    "２１３０７０６４３３", "０x7f.1", "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "¹²⁷.⁰.⁰.¹", "[：：１]",
    "127.0.0.1\u00ad", "127\u200b.0.0.1", "\u2060127.0.0.1", "loc\u00adalhost", "locaⅼhost", "ℒocalhost", "localhoſt",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ⓛocalhost", "ｌｏｃａｌｈｏｓｔ",
    # Percent signs, users, what parsers disagree about.
    "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127.0.0.1%00.example.com", "loc%61lhost", "[%3a%3a1]", "127.0.0.1%0d%0a",
    "public.example@127.0.0.1", "public.example:80@127.0.0.1", "127.0.0.1@127.0.0.1", "@127.0.0.1", ":@localhost",
    "a@b@127.0.0.1", "public.example%40127.0.0.1", "public.example%23@127.0.0.1", "public.example\\@127.0.0.1",
    "127.0.0.1\\.public.example", "127.0.0.1 .public.example", "127.0.0.1 &@public.example# @127.0.0.1",
    "127.0.0.1\t", "127.0\t.0.1", "127.0.0\n.1", "127.0.0.1\r\n", "\x00127.0.0.1", "127.0.0.1\x00", " 127.0.0.1",
    # Names of what is here.
    "localhost", "LOCALHOST", "LocalHost.", "localhost..", "a.localhost", "a.b.localhost.", "localhost.localdomain",
    "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "127.0.0.1.nip.example", "7f000001.nip.example",
    "loopback6.example", "mapped.example", "translated.example", "nat64.example", "zero.example", "alias.example",
]  # fmt: skip
"""Hosts that are, or somewhere are read as, the machine itself."""

INNER = [
    # Metadata and credentials of clouds, in many spellings.
    "169.254.169.254", "169.254.169.254.", "2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376",
    "025177524776", "169.254.43518", "169.16689662", "①⑥⑨｡②⑤④｡①⑥⑨｡②⑤④", "[fd00:ec2::254]", "[fd00:ec2::23]",
    "[fd20:ce::254]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]",
    "[::a9fe:a9fe]", "169.254.170.2", "169.254.170.23", "169.254.169.253", "100.100.100.200", "192.0.0.192",
    "metadata.google.internal", "metadata", "instance-data", "instance-data.ec2.internal", "metadata.example",
    # Private, shared, link-local.
    "10.0.0.1", "10.1", "167772161", "0xa000001", "012.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "192.168.257", "3232235521", "100.64.0.1", "100.127.255.254", "169.254.0.1", "[::ffff:10.0.0.1]", "[fe80::1]",
    "[fe80::1%25eth0]", "[febf::1]", "[fec0::1]", "[fc00::1]", "[fd12:3456:789a::1]", "[64:ff9b::192.168.0.1]",
    "[64:ff9b:1::8.8.8.8]", "[2002:c0a8:101::1]", "[2001:0:a00:1::]",
    # Assigned, documentation, benchmarking, multicast, reserved, broadcast.
    "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295", "[2001:db8::1]",
    "[3fff::1]", "[2001:2::1]", "[2001:10::1]", "[100::1]", "[5f00::1]", "[ff02::1]", "[ff0e::1]", "[200::1]",
    "[4000::1]", "[8000::1]",
    # Names whose answers are inner ones, in part.
    "mixed.example", "mixed-last.example", "mixed6.example", "private.example", "private6.example", "linklocal.example",
]  # fmt: skip
"""Hosts that only something inside may call."""

NAMES: Mapping[str, Sequence[Sequence[str]]] = {
    name: [addresses]
    for name, addresses in {
        "localhost": ["127.0.0.1", "::1"],
        "a.localhost": ["::1"],
        "a.b.localhost": ["127.0.0.1"],
        "localhost.localdomain": ["127.0.0.1"],
        "localhost4": ["127.0.0.1"],
        "localhost6": ["::1"],
        "ip6-localhost": ["::1"],
        "ip6-loopback": ["::1"],
        "127.0.0.1.nip.example": ["127.0.0.1"],
        "7f000001.nip.example": ["127.0.0.1"],
        "loopback6.example": ["::1"],
        "mapped.example": ["::ffff:127.0.0.1"],
        "translated.example": ["::ffff:0:7f00:1"],
        "nat64.example": ["64:ff9b::7f00:1"],
        "zero.example": ["0.0.0.0"],
        "alias.example": ["127.0.0.1"],
        "metadata": ["169.254.169.254"],
        "metadata.google.internal": ["169.254.169.254"],
        "instance-data": ["169.254.169.254"],
        "instance-data.ec2.internal": ["fd00:ec2::254"],
        "metadata.example": ["::ffff:169.254.169.254"],
        "mixed.example": ["127.0.0.1", PUBLIC],
        "mixed-last.example": [PUBLIC, PUBLIC_6, "10.0.0.1"],
        "mixed6.example": [PUBLIC, "fd00::1"],
        "private.example": ["192.168.1.1"],
        "private6.example": ["fd00::1"],
        "linklocal.example": ["fe80::1"],
        "public.example": [PUBLIC],
        "public6.example": [PUBLIC_6],
        "both.example": [PUBLIC_6, PUBLIC],
        "xn--bcher-kva.example": [PUBLIC],
    }.items()
}

URLS = [
    # Other schemes, and what is no URL of a host.
    "ftp://public.example/", "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "gopher://127.0.0.1:{port}/_GET",
    "data:text/plain,x", "ws://127.0.0.1:{port}/", "wss://public.example/", "dict://127.0.0.1:{port}/info",
    "ldap://127.0.0.1:{port}/", "jar:http://127.0.0.1:{port}!/", "javascript:alert(1)", "unix:///run/x.sock",
    "http+unix://%2Frun%2Fx.sock/", "url:http://127.0.0.1:{port}/", "HTTP2://public.example/", "", "http", "http:",
    "http:/", "http://", "http:///", "http:///127.0.0.1:{port}/", "http:127.0.0.1:{port}/", "http:/127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\", "http://./", "http://../", "http://:{port}/", "http://?@127.0.0.1:{port}/",
    " http://127.0.0.1:{port}/", "\thttp://127.0.0.1:{port}/", "ht\ntp://127.0.0.1:{port}/", "http://#@127.0.0.1/",
    # Where a host ends.
    "http://127.0.0.1:{port}#@public.example/", "http://127.0.0.1:{port}?@public.example/",
    "http://127.0.0.1:{port};@public.example/", "http://127.0.0.1:{port}\\@public.example/",
    "http://127.0.0.1:{port}:80/", "http://public.example:80:{port}/", "http://public.example:80@127.0.0.1:{port}/",
    "http://public.example\u2215@127.0.0.1:{port}/", "http://public.example\uff0f@127.0.0.1:{port}/",
    "http://public.example\uff03@127.0.0.1:{port}/", "http://\u2100.example/", "http://exa mple.example/",
    "http://public.example\r\nHost: 127.0.0.1/", "http://user:secret@public.example/", "http://@public.example/",
    f"http://{'a' * 64}.example/", f"http://{'a.' * 150}example/", f"http://{'a' * 5_000}/",
    # The Lambda Runtime API, and ports beside those of HTTP.
    "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next", "http://localhost:9001/", "http://[::1]:9001/",
    "http://2130706433:9001/", "http://public.example:9001/", "http://169.254.100.1:9001/",
    "http://public.example:22/", "http://public.example:25/", "http://public.example:0/", "http://public.example:2049/",
    "http://public.example:6379/", "http://public.example:65536/", "http://public.example:-80/",
    "http://public.example:+80/", "http://public.example:８０/", "http://public.example:80a/",
    "http://public.example: 80/", "http://public.example:0x50/", "http://public.example:99999999999999999999/",
]  # fmt: skip
"""URLs that are wrong as a whole."""


@dataclass(slots=True)
class Network:
    """`inside` is what listens on the loopback, `outside` all that is public; `connected` is what was called."""

    inside: WebServer
    outside: WebServer
    connected: list[str] = field(default_factory=list)

    def client(self, names: Mapping[str, Sequence[Sequence[str]]] = NAMES) -> Client:
        return Client(PublicGuard(resolver=TableResolver(names)))

    def reached(self) -> tuple[int, int]:
        return self.inside.connections, self.outside.connections


def redirecting(request: Request, connection: Connection) -> None:
    """Answer, or lead to where the query says."""
    wanted = parse_qs(urlsplit(request.target).query).get("to")
    location = {"Location": wanted[0].encode().decode("latin-1")} if wanted else {}
    answer(302 if wanted else 200, b"public", **location)(request, connection)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[WebServer, WebServer]]:
    with web_server(answer(200, b"secret")) as inside, web_server(redirecting) as outside:
        yield inside, outside


@pytest.fixture
def network(servers: tuple[WebServer, WebServer], monkeypatch: pytest.MonkeyPatch) -> Network:
    """Lead what is connected to a public address to the server that stands for it, and let nothing leave."""
    network = Network(*servers)
    for server in servers:
        server.connections = 0
        server.requests.clear()
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connecting(sock: socket.socket, address: tuple[Any, ...]) -> None:
        host, port = address[:2]
        network.connected.append(host)
        if host in {PUBLIC, PUBLIC_6}:
            here = "::ffff:127.0.0.1" if sock.family is socket.AF_INET6 else "127.0.0.1"
            connect(sock, (here, network.outside.port))
        elif port == network.inside.port:
            connect(sock, ("127.0.0.1", port) if sock.family is socket.AF_INET else ("::ffff:127.0.0.1", port))
        else:
            sock.close()
            raise AssertionError(f"{host} would be called")

    def looking_up(host: str, *args: Any, **kwargs: Any) -> Any:
        ip_address(host)  # what is a name raises: only the guard's resolver may be asked for one
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    monkeypatch.setattr("destination.PORTS", (80, 443, 8080, 8443, network.inside.port))
    return network


def refused(url: str, network: Network) -> None:
    """See that neither way to call a URL calls anything."""
    client = network.client()
    with pytest.raises(Refused):
        client.get(url, seconds=5, limit=100)
    with pytest.raises(Refused):
        client.post(url, b"x", {}, seconds=5)
    assert network.connected == []
    assert network.reached() == (0, 0)


@pytest.mark.parametrize("host", LOOPBACK, ids=ascii)
def test_the_machine_itself_is_not_called(host: str, network: Network) -> None:
    """However this machine is written or named, nothing connects to it, though somebody listens there."""
    refused(f"http://{host}:{network.inside.port}/", network)


@pytest.mark.parametrize("host", INNER, ids=ascii)
def test_what_is_inside_is_not_called(host: str, network: Network) -> None:
    """Addresses that are not public are not called, on whichever port."""
    refused(f"http://{host}/", network)
    refused(f"https://{host}:{network.inside.port}/latest/meta-data/", network)


@pytest.mark.parametrize("url", URLS, ids=ascii)
def test_what_is_no_public_url_is_not_called(url: str, network: Network) -> None:
    """Other schemes, other ports and what parsers disagree about are not called."""
    refused(url.replace("{port}", str(network.inside.port)), network)


@pytest.mark.parametrize("host", [*LOOPBACK, *INNER], ids=ascii)
def test_a_redirect_leads_to_no_inner_host(host: str, network: Network) -> None:
    """A public server that was called may name what it likes: only itself is called."""
    redirect(f"http://{host}:{network.inside.port}/", network)
    redirect(f"//{host}/", network)


@pytest.mark.parametrize("url", URLS, ids=ascii)
def test_a_redirect_leads_to_no_other_scheme_or_port(url: str, network: Network) -> None:
    """The same for every URL that would be refused if it had been given."""
    redirect(url.replace("{port}", str(network.inside.port)), network)


def redirect(url: str, network: Network) -> None:
    """See that a redirect ends where it stands: refused, or, where no client sees a host in it, with the same server.

    A webhook is sent nowhere else in any case.
    """
    lead = f"http://public.example/?to={quote(url, safe='')}"
    try:
        found = network.client().get(lead, seconds=5, limit=100).body
    except OutboundError:
        found = b""
    assert found in {b"", b"public"}
    assert network.client().post(lead, b"x", {}, seconds=5).status in {200, 302}
    assert {*network.connected} == {PUBLIC}
    assert network.inside.connections == 0


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://public.example/", PUBLIC),
        ("http://PUBLIC.example./", PUBLIC),
        ("http://public。example/", PUBLIC),
        ("http://ｐublic.example:8080/", PUBLIC),
        ("http://bücher.example/", PUBLIC),
        ("http://public6.example/", PUBLIC_6),
        ("http://both.example:8443/", PUBLIC_6),
        (f"http://{PUBLIC}/", PUBLIC),
        (f"http://[{PUBLIC_6}]:443/", PUBLIC_6),
        ("http://public.example/http://127.0.0.1/?u=@10.0.0.1#@169.254.169.254", PUBLIC),
        ("http://public.example/?to=http%3A%2F%2Fboth.example%2F", PUBLIC),
    ],
)
def test_what_is_public_is_called(url: str, address: str, network: Network) -> None:
    """The client is not closed to everything: the same calls reach public addresses, exactly those of the answer."""
    assert network.client().get(url, seconds=5, limit=100).body == b"public"
    assert network.connected[0] == address
    assert network.inside.connections == 0


def test_a_name_that_changes_between_check_and_connection_changes_nothing(network: Network) -> None:
    """Rebinding: what was checked is called, whatever the name would lead to the next moment; then it is refused."""
    client = network.client({"rebinding.example": [[PUBLIC], ["127.0.0.1"]]})
    url = f"http://rebinding.example:{network.inside.port}/"
    assert client.get(url, seconds=5, limit=100).body == b"public"
    with pytest.raises(Refused):
        client.get(url, seconds=5, limit=100)
    assert network.connected == [PUBLIC]


def test_a_name_that_changes_between_two_redirects_is_refused(network: Network) -> None:
    """Each hop is checked anew, also one back to the same name."""
    client = network.client({"rebinding.example": [[PUBLIC], ["169.254.169.254"]]})
    back = quote("http://rebinding.example/latest/meta-data/", safe="")
    with pytest.raises(Refused, match=r"^rebinding.example may not be called"):
        client.get(f"http://rebinding.example/?to={back}", seconds=5, limit=100)
    assert network.connected == [PUBLIC]


def test_a_redirect_to_itself_ends(network: Network) -> None:
    """A loop is four calls, and no more."""
    target = "/?to=%2F"
    for _ in range(4):
        target = f"/?to={quote(target, safe='')}"
    with pytest.raises(Refused, match="would be redirect number 4"):
        network.client().get(f"http://public.example{target}", seconds=5, limit=100)
    assert network.connected == [PUBLIC] * 4


def test_a_name_without_an_answer_is_not_called(network: Network) -> None:
    """An unknown name is looked up by nobody else, and may be known later."""
    with pytest.raises(Unanswered):
        network.client({}).get("http://unknown.example/", seconds=5, limit=100)
    assert network.connected == []


class Trusting:
    """A guard as one would write it without thinking: what libc makes of the host is where it goes."""

    def admit(self, url: str, _deadline: Deadline) -> Route:
        split = urlsplit(url)
        host, port = split.hostname or "", split.port or 80
        address = str(TableResolver(NAMES)(host, port)[0][4][0])
        return Route(split.scheme, host, port, split.path or "/", (address,))


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "0", "localhost", "[::1]"])
def test_without_the_guard_it_would_be_called(host: str, network: Network) -> None:
    """What listens inside can be reached in these spellings: a case above that is let through fails."""
    url = f"http://{host}:{network.inside.port}/"
    assert Client(Trusting()).get(url, seconds=5, limit=100).body == b"secret"
    assert network.reached() == (1, 0)


def test_nothing_leaves_the_machine(network: Network) -> None:
    """A call of any other address fails its test, and so does a name that somebody else looks up."""
    with pytest.raises(AssertionError, match=r"^8\.8\.8\.8 would be called"):
        Client(PublicGuard(resolver=TableResolver())).get("http://8.8.8.8/", seconds=5, limit=100)
    with pytest.raises(ValueError, match=r"'public\.example'"):
        socket.create_connection(("public.example", 80))
