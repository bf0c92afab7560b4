"""Where a URL that somebody else has named may lead: to public addresses, and nowhere else.

```
OutboundError
├── Refused       the request is not made, or its answer not taken: another attempt would end the same way
└── Unanswered    no answer came this time: the name did not resolve, the connection failed, the time was over
```

Their texts name the host and nothing else of the URL, whose path and query may be secret.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, ip_network
from typing import Protocol
from urllib.parse import quote, urlsplit

from ssrfguard import DEFAULT_DENIED, AddressTable, Block, Policy, Reach, Resolver, SSRFGuardError, Target, resolve

from afterward import Discard, Retry
from afterward.errors import SettingError
from deadline import Deadline

PORTS = (80, 443, 8080, 8443)
"""What HTTP is served on in public; with more, others could scan ports through us, and under our address."""

_BESIDE_UNICAST = tuple(
    Block(ip_network(network), "Not Global Unicast", "RFC4291", Reach.DENIED)
    for network in ("::/3", "4000::/2", "8000::/1")
)
TABLE = AddressTable((*DEFAULT_DENIED.blocks, *_BESIDE_UNICAST))
"""ssrfguard's table, closed outside of 2000::/3: it leaves open what nobody has been given, and so IPv4-translated
addresses (::ffff:0:127.0.0.1). Its entries for prefixes that carry an IPv4 address are more specific, and stay."""

_VARIABLE = "OUTBOUND_ALLOW_LOOPBACK"
_RULE = (
    "it should be a public host by http or https, without a user name, "
    f"on port {', '.join(map(str, PORTS[:-1]))} or {PORTS[-1]}"
)


class OutboundError(Exception):
    """The root of what the outbound layer raises."""


class Refused(OutboundError):
    """Another attempt would end the same way; the text is for the one who has named the URL."""


class Unanswered(OutboundError):
    """No answer came this time."""


@contextmanager
def outcome() -> Iterator[None]:
    """Turn what the outbound layer raises into what becomes of the job."""
    try:
        yield
    except Refused as refused:
        raise Discard(str(refused)) from refused
    except Unanswered as unanswered:
        raise Retry(str(unanswered)) from unanswered


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes: to one of `addresses`, in the name of `host`. `target` is the path and the query."""

    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


class Guard(Protocol):
    """Says where a URL leads, or raises Refused or Unanswered."""

    def admit(self, url: str, deadline: Deadline) -> Route: ...


class PublicGuard:
    """Admits public addresses. A name is looked up once, and one forbidden answer among several is enough.

    `loopback` names the ports of 127.0.0.1, also called localhost, that are admitted beside them.
    """

    def __init__(self, *, loopback: frozenset[int] = frozenset(), resolver: Resolver = socket.getaddrinfo) -> None:
        self._loopback = loopback
        self._resolver = resolver
        self._public = Policy(denied_networks=TABLE, allowed_ports=frozenset(PORTS))

    def admit(self, url: str, deadline: Deadline) -> Route:
        try:
            if self._is_loopback(url):
                return _route(url, self._own.check_url(url), ("127.0.0.1",))
            target = self._public.check_url(url)
            return _route(url, target, deadline.within(lambda: self._resolved(target)))
        except SSRFGuardError:
            # Without its cause, which quotes the URL.
            raise Refused(f"{host_of(url)} may not be called: {_RULE}") from None
        except TimeoutError:
            raise Unanswered(f"{host_of(url)} was not found in time") from None
        except (OSError, ValueError) as error:
            raise Unanswered(f"{host_of(url)} is a name that does not resolve") from error

    def _resolved(self, target: Target) -> tuple[str, ...]:
        found = resolve(target, policy=self._public, resolver=self._resolver)
        return tuple(str(one.ip) for one in found)

    def _is_loopback(self, url: str) -> bool:
        try:
            split = urlsplit(url)
            named, port = split.hostname, split.port
        except ValueError:
            return False
        return named in {"127.0.0.1", "localhost"} and port in self._loopback

    @cached_property
    def _own(self) -> Policy:
        return Policy(allowed_networks=(IPv4Network("127.0.0.1/32"),), allowed_ports=self._loopback)


def _route(url: str, target: Target, addresses: tuple[str, ...]) -> Route:
    split = urlsplit(url)
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    encoded = quote(path, safe="!$%&'()*+,/:;=?@[]~", errors="replace")
    return Route(target.scheme, target.host, target.port, encoded, addresses)


def host_of(url: str) -> str:
    """Return the host that a URL names, to be shown."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return re.sub(r"[^\w.:-]", "?", host)[:253] if host else "what was given"


def allowed_loopback(environment: Mapping[str, str] = os.environ) -> frozenset[int]:
    """Read which ports of the loopback may be called. The local cloud can allow some; template.yaml allows none."""
    ports = [part.strip() for part in environment.get(_VARIABLE, "").split(",") if part.strip()]
    if not all(re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 2**16 for port in ports):
        raise SettingError(f"environment variable {_VARIABLE} must be port numbers with commas between them")
    return frozenset(map(int, ports))
