"""IPv4 addresses; versions and numbers of chapters have four parts, too."""

import re
from collections.abc import Iterator

from afterward.pii.finding import Kind, Span
from afterward.pii.words import before, named_before, words

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01][0-9]{2}|[1-9]?[0-9])"
_CANDIDATE = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?![0-9A-Za-z_]|\.[0-9A-Za-z]|-[A-Za-z]|\+[0-9a-z])")
_GLUED = re.compile(r"(?:[0-9A-Za-z_.~^]|[A-Za-z_][\w.]*-|(?:[=~><!^]=|~>|\^)\s?)\Z")
_PRODUCT = re.compile(
    r"(?:Chrome|Chromium|Edg[eA]?|OPR|Safari|Firefox|Version|CriOS|Vivaldi|Electron|Brave|[A-Za-z]Browser)/\Z"
)
_VERSIONS = words(
    "v ver vers version versions versión versione versão rev revision release releases build firmware fw driver "
    "section sec chapter clause figure fig table appendix step article paragraph oid schema tag patch sdk jdk jre "
    "upgraded upgrade upgrading downgrade downgraded bump bumped updating oracle os ios macos nt chrome firefox "
    "safari edge openssl software assembly package library plugin versione требует версия 版本",
)
_FILLERS = words(
    "is was number no now the ist est",
)
_MOVES = words(
    "upgraded upgrade upgrading downgrade downgraded downgrading bump bumped bumps bumping",
)
_OTHERS = re.compile(r"\bv[0-9]{1,4}(?:\.[0-9]{1,6}){1,3}[ \t]{1,4}\Z")
"""A version that stands before the address, and has its `v` to itself."""
_LOW = re.compile(r"[0-9](?:\.[0-9]{1,2}){3}\Z")


def scan(text: str) -> Iterator[Span]:
    for match in _CANDIDATE.finditer(text):
        start = match.start()
        if not _GLUED.search(text[max(0, start - 24) : start]) and not _is_version(text, match):
            yield start, match.end(), Kind.IP_ADDRESS


def _is_version(text: str, match: re.Match[str]) -> bool:
    start = match.start()
    sign = text[start - 1 : start]
    if match.group().startswith("0.") and match.group() != "0.0.0.0":  # noqa: S104 - RFC 1122: only itself
        return True
    if (sign == "/" and _is_product(text, match)) or (sign == "@" and _LOW.match(match.group())):
        return True
    if _OTHERS.search(text, max(0, start - 36), start):
        return False
    if (
        sign in {"§", "#"}
        or named_before(text, start, _VERSIONS, _FILLERS)
        or text.startswith(" (version", match.end())
    ):
        return True
    return not _MOVES.isdisjoint(word for word, _ in zip(before(text, start), range(4), strict=False))


def _is_product(text: str, match: re.Match[str]) -> bool:
    """`Name/120.0.0.0`, `nginx/1.2.3.4`: what programs call themselves."""
    name = text[max(0, match.start() - 24) : match.start()]
    low = match.group().endswith(".0.0") or _LOW.match(match.group()) is not None
    return (low and name[-2:-1].isalpha()) or _PRODUCT.search(name) is not None
