"""IPv6 addresses in all their spellings, with the zone where one is named."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address

from afterward.pii.finding import Kind, Span

_CANDIDATE = re.compile(
    r"(?<![0-9A-Za-z_.%])(?:(?<!:)|(?<=[A-Za-z]:))(?:[0-9A-Fa-f]{1,4}(?=:)|(?=::))(?::{1,2}[0-9A-Fa-f]{1,4}){0,8}"
    r"(?:(?<=[0-9a-fA-F])(?:\.[0-9]{1,3}){3}|::)?(?![0-9A-Za-z_]|:[0-9A-Za-z:]|\.[0-9])"
    r"(%[A-Za-z0-9][A-Za-z0-9._\-]{0,15})?",
)
_NAMED = re.compile(r"[A-Za-z]*(?:[G-Zg-z][A-Za-z]{0,8}|[A-Za-z]{5}):\Z")
_BOUND = re.compile(r"[0-9]{1,3}::|::(?!1\Z)[0-9]{1,3}|[A-Fa-f]{1,2}::[0-9]{1,2}")
"""What a slice begins or ends with, and members of namespaces; no network in use has so short an address."""
_GROUPS = 8


def scan(text: str) -> Iterator[Span]:
    for match in _CANDIDATE.finditer(text):
        start, end = match.start(), match.start() + len(match.group().rstrip(".-"))
        before = text[max(0, start - 16) : start]
        apart = not before.endswith(":") or _NAMED.search(before)
        if apart and _is_address(match.group().partition("%")[0]) and not _is_slice(text, start, end):
            yield start, end, Kind.IP_ADDRESS


def _is_address(address: str) -> bool:
    groups = address.split(":")
    if "::" not in address and (len(groups) < _GROUPS - 1 or all(len(one) <= 2 for one in groups)):  # noqa: PLR2004 - a MAC's
        return False
    if not any(map(str.isdigit, address)) or _BOUND.fullmatch(address):
        return False
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True


def _is_slice(text: str, start: int, end: int) -> bool:
    """`a[::2]` takes every second."""
    return (
        text[start - 1 : start] == "[" and text[max(0, start - 2) : start - 1].isalnum() and text[end : end + 1] == "]"
    )
