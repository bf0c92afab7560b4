"""Where a URL may lead, with names that are answered from a table: no packet leaves this machine."""

import re
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterward.errors import SettingError
from deadline import Deadline
from destination import PublicGuard, Refused, Route, Unanswered, allowed_loopback
from tests.support.resolver import TableResolver

HERE = Path(__file__).parent
PUBLIC, PUBLIC_6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "foo.localhost": ["::1"],
    "localhost.localdomain": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data": ["169.254.169.254"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "mixed.example": [PUBLIC, "10.0.0.1"],
    "mixed6.example": [PUBLIC, PUBLIC_6, "::ffff:0:127.0.0.1"],
    "rebound.example": ["127.0.0.1"],
    "aaaa.example": ["fd00::1"],
    "mapped.example": ["::ffff:169.254.169.254"],
    "xn--lclhst-q0a.example": ["127.0.0.1"],
    "example.com": [PUBLIC, PUBLIC_6],
    "xn--bcher-kva.example": [PUBLIC],
    "one": [PUBLIC],
}


def lines(name: str) -> list[str]:
    return [line for line in (HERE / f"{name}.txt").read_text().splitlines() if not line.startswith("# ")]


def admit(url: str, resolver: TableResolver | None = None, *, loopback: frozenset[int] = frozenset()) -> Route:
    names = resolver or TableResolver({name: [addresses] for name, addresses in NAMES.items()})
    return PublicGuard(loopback=loopback, resolver=names).admit(url, Deadline.after(10))


def name_for(*addresses: str) -> TableResolver:
    return TableResolver({"name.example": [addresses]})


FORBIDDEN = lines("forbidden_addresses")
UNPRINTABLE = [
    "",
    " http://127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://127.0.0\n.1/",
    "http://\x00example.com/",
    "http://example.com\r\nHost: x/",
    "http://exa mple.com/",
]


@pytest.mark.parametrize("url", [*lines("forbidden_urls"), *UNPRINTABLE])
def test_a_forbidden_url_is_refused(url: str) -> None:
    """However it is written, a URL of what a server must not call is refused for good, and named by its host alone."""
    with pytest.raises(Refused) as refusal:
        admit(url)
    assert re.fullmatch(r"\S+( was given)? may not be called: it should be a public host by .*", str(refusal.value))
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_of_a_forbidden_address_is_refused(address: str) -> None:
    """A name that leads to it is refused."""
    with pytest.raises(Refused):
        admit("https://name.example/", name_for(address))


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_forbidden_address_is_refused(address: str) -> None:
    """The address itself is refused, without asking anybody."""
    resolver = TableResolver()
    with pytest.raises(Refused):
        admit(f"http://[{address}]/" if ":" in address else f"http://{address}/", resolver)
    assert resolver.asked == []


@pytest.mark.parametrize("address", FORBIDDEN)
def test_one_forbidden_answer_is_enough(address: str) -> None:
    """A name with a public address and a forbidden one is refused whole, in whichever order they come."""
    for answers in ((PUBLIC, address), (address, PUBLIC), (PUBLIC_6, PUBLIC, address)):
        with pytest.raises(Refused):
            admit("http://name.example/", name_for(*answers))


@pytest.mark.parametrize("address", lines("public_addresses"))
def test_public_addresses_are_admitted(address: str) -> None:
    """Addresses right beside the forbidden ranges are public, and so are those inside IPv6 that lead to public ones."""
    assert admit("http://name.example/", name_for(address)).addresses


SPELLINGS = [
    "2130706433", "0x7f000001", "0X7F.1", "0x7f.0.0.1", "017700000001", "0177.1", "0177.0.0.01", "127.1", "127.0.1",
    "0", "0x0", "2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518", "10.1",
    "0xa.1", "012.1", "192.168.257",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
def test_the_systems_own_reading_changes_nothing(host: str) -> None:
    """What the system's resolver takes for a number of a forbidden address is refused with that resolver, too."""
    with pytest.raises(Refused):
        PublicGuard().admit(f"http://{host}/", Deadline.after(10))


@given(st.ip_addresses(v=4))
def test_ipv4_inside_ipv6_is_judged_by_what_is_inside(address: object) -> None:
    """An IPv4 address is as forbidden in its IPv6 forms (mapped, NAT64) as it is itself."""
    plain, mapped, nat64 = (verdict(form.format(address)) for form in ("{}", "::ffff:{}", "64:ff9b::{}"))
    assert plain == mapped == nat64


def verdict(address: str) -> bool:
    try:
        admit("http://name.example/", name_for(address))
    except Refused:
        return False
    return True


@given(st.ip_addresses(v=6))
def test_only_global_unicast_is_admitted(address: object) -> None:
    """Of all IPv6 addresses beside 2000::/3 none is admitted but those that carry a public IPv4 address."""
    if verdict(str(address)):
        assert re.match("[23]|64:ff9b::|::", str(address))


ADMITTED = [
    ("http://example.com/", Route("http", "example.com", 80, "/", (PUBLIC, PUBLIC_6)), "example.com"),
    ("https://example.com", Route("https", "example.com", 443, "/", (PUBLIC, PUBLIC_6)), "example.com"),
    ("https://EXAMPLE.com./x", Route("https", "example.com.", 443, "/x", (PUBLIC, PUBLIC_6)), "example.com."),
    (
        "https://example.com:8443/a/b?c=d&e=%20f#g",
        Route("https", "example.com", 8443, "/a/b?c=d&e=%20f", (PUBLIC, PUBLIC_6)),
        "example.com:8443",
    ),
    ("http://example.com:443?q", Route("http", "example.com", 443, "/?q", (PUBLIC, PUBLIC_6)), "example.com:443"),
    ("http://example.com:/", Route("http", "example.com", 80, "/", (PUBLIC, PUBLIC_6)), "example.com"),
    (
        "https://bücher.example/ä?ö=[1]",
        Route("https", "xn--bcher-kva.example", 443, "/%C3%A4?%C3%B6=[1]", (PUBLIC,)),
        "xn--bcher-kva.example",
    ),
    ("http://one/", Route("http", "one", 80, "/", (PUBLIC,)), "one"),
    ("http://8.8.8.8:8080/", Route("http", "8.8.8.8", 8080, "/", ("8.8.8.8",)), "8.8.8.8:8080"),
    (
        "https://[2606:4700:4700::1111]/",
        Route("https", "2606:4700:4700::1111", 443, "/", ("2606:4700:4700::1111",)),
        "[2606:4700:4700::1111]",
    ),
    (
        "https://example.com/http://127.0.0.1/?u=@10.0.0.1",
        Route("https", "example.com", 443, "/http://127.0.0.1/?u=@10.0.0.1", (PUBLIC, PUBLIC_6)),
        "example.com",
    ),
]


@pytest.mark.parametrize(("url", "route", "authority"), ADMITTED)
def test_a_public_url_is_admitted(url: str, route: Route, authority: str) -> None:
    """Host, port, path and query are taken from it as they are sent, with all the addresses of the name."""
    found = admit(url)
    assert (found, found.authority) == (route, authority)


def test_a_name_is_looked_up_once() -> None:
    """What is connected to is what was checked: a name that would lead elsewhere the next time is not asked again."""
    resolver = TableResolver({"rebinding.example": [[PUBLIC], ["127.0.0.1"]]})
    assert admit("http://rebinding.example/", resolver).addresses == (PUBLIC,)
    assert resolver.asked == ["rebinding.example"]
    with pytest.raises(Refused):
        admit("http://rebinding.example/", resolver)


def test_a_name_that_does_not_resolve_may_do_so_later() -> None:
    """An unknown name is no refusal for good."""
    with pytest.raises(Unanswered, match=r"^unknown.example is a name that does not resolve$"):
        admit("http://unknown.example/?token=secret")


def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    """The lookup is part of the time that an exchange may take."""
    released = threading.Event()

    def hanging(*_: object) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
        released.wait(10)
        raise socket.gaierror

    try:
        with pytest.raises(Unanswered, match=r"^name.example was not found in time$"):
            PublicGuard(resolver=hanging).admit("http://name.example/", Deadline.after(0.05))
    finally:
        released.set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/a", "http://localhost:9000/a", "https://localhost:9001/a"])
def test_ports_of_the_loopback_can_be_allowed(url: str) -> None:
    """A port that was named may be called under both names of this machine, and nobody is asked where that is."""
    resolver = TableResolver()
    assert admit(url, resolver, loopback=frozenset({9000, 9001})).addresses == ("127.0.0.1",)
    assert resolver.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9002/",
        "http://127.0.0.1/",
        "http://localhost/",
        "http://localhost.:9000/",
        "http://127.0.0.2:9000/",
        "http://127.1:9000/",
        "http://2130706433:9000/",
        "http://[::1]:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://0.0.0.0:9000/",
        "http://rebound.example:9000/",
        "http://example.com:9000/",
        "http://10.0.0.1:9000/",
        "http://user@localhost:9000/",
        "http://localhost:9000@10.0.0.1/",
        "ftp://localhost:9000/",
        "http://169.254.169.254:9000/",
    ],
)
def test_allowed_ports_open_nothing_else(url: str) -> None:
    """No other port, address, spelling or name comes along with a port that was allowed."""
    with pytest.raises(Refused):
        admit(url, loopback=frozenset({9000}))


@pytest.mark.parametrize(
    ("value", "ports"),
    [("", set()), ("9000", {9000}), ("9000,9001", {9000, 9001}), (" 9000 , 9001 ,", {9000, 9001}), (",", set())],
)
def test_allowed_ports_come_from_the_environment(value: str, ports: set[int]) -> None:
    """OUTBOUND_ALLOW_LOOPBACK lists ports; where it is missing or empty, none is allowed."""
    assert allowed_loopback({"OUTBOUND_ALLOW_LOOPBACK": value}) == ports
    assert allowed_loopback({}) == frozenset()


@pytest.mark.parametrize("value", ["x", "0", "65536", "-1", "9000;9001", "9000 9001", "1e3", "٩", "123456"])
def test_a_malformed_list_of_ports_is_named(value: str) -> None:
    """What is no port stops the function's init, and says which variable is meant."""
    with pytest.raises(SettingError, match="OUTBOUND_ALLOW_LOOPBACK must be port numbers"):
        allowed_loopback({"OUTBOUND_ALLOW_LOOPBACK": value})


def test_nothing_that_is_deployed_allows_the_loopback() -> None:
    """template.yaml never sets the variable."""
    assert "OUTBOUND_ALLOW_LOOPBACK" not in (HERE.parents[2] / "template.yaml").read_text()
