"""Personal data that nothing else looks like, and a search that finds it however it is written."""

import base64
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, quote_plus

from afterward.pii import Kind

_BETWEEN = str.maketrans("", "", " \t\n.-/()+_%\u00a0")
"""What may stand between the digits of a number."""

_NUMBERS = {Kind.PHONE, Kind.CREDIT_CARD, Kind.US_SSN, Kind.IBAN}
_ALPHABETS = (base64.b64encode, base64.urlsafe_b64encode)


@dataclass(frozen=True)
class Value:
    """What belongs to somebody. `parts` are those that tell something without the rest of it."""

    kind: Kind
    text: str
    parts: tuple[str, ...] = ()

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """What to look for, in lower case: the value and its parts, plain, escaped and percent-encoded."""
        written = {form for text in (self.text, *self.parts) for form in _written(text)}
        return tuple(sorted(form.lower() for form in written))

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """The same as it looks within base64, wherever it begins there, and in hexadecimal digits."""
        raw = [text.encode() for text in (self.text, *self.parts)]
        return tuple(sorted({code for one in raw for code in _coded(one)}))

    @cached_property
    def compact(self) -> str:
        """The value without what stands between its digits; empty where it is no number."""
        return self.text.lower().translate(_BETWEEN) if self.kind in _NUMBERS else ""


def _written(text: str) -> set[str]:
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
    return {text, *escaped, quote(text), quote(text, safe=""), quote_plus(text), quote(quote(text, safe=""))}


def _coded(raw: bytes) -> Iterator[str]:
    yield raw.hex()
    for encode in _ALPHABETS:
        for shift in range(3):
            # The letters at both ends depend on what stands beside the value.
            whole = encode(b"\0" * shift + raw).decode().rstrip("=")
            yield whole[(0, 2, 3)[shift] : len(whole) - (len(raw) + shift) % 3]


def of(kind: Kind, text: str, *parts: str) -> Value:
    return Value(kind, text, parts)


VALUES = (
    of(Kind.EMAIL, "zaphira.quellmont@privat.example", "zaphira.quellmont"),
    of(Kind.EMAIL, "q.zwingli+kasse@haus.example.org", "q.zwingli"),
    of(Kind.EMAIL, "jörg.züffle@bücher.example", "züffle"),
    of(Kind.EMAIL, '"ida vantongeren"@example.net', "ida vantongeren"),
    of(Kind.PHONE, "+49 30 55667788", "55667788"),
    of(Kind.PHONE, "+1 (415) 555-2671"),
    of(Kind.CREDIT_CARD, "4111 1111 1111 1111"),
    of(Kind.CREDIT_CARD, "5500-0055-5555-5559"),
    of(Kind.US_SSN, "512-44-9817"),
    of(Kind.US_SSN, "403 55 8126"),
    of(Kind.IBAN, "DE89 3704 0044 0532 0130 00"),
    of(Kind.IBAN, "fr1420041010050500013m02606"),
    of(Kind.IP_ADDRESS, "203.0.113.77"),
    of(Kind.IP_ADDRESS, "2001:db8:85a3::8a2e:370:7334", "8a2e:370:7334"),
    of(Kind.IP_ADDRESS, "fe80::1ff:fe23:4567:890a%eth2", "fe23:4567:890a"),
    of(Kind.URL, "https://portal.example/reset?token=Zq81kTtm2PxY", "Zq81kTtm2PxY"),
    of(Kind.URL, "https://wim:Hq7-geheim@intern.example/x", "Hq7-geheim"),
    of(Kind.SECRET, "ghp_Zt4QmW8rK2vLx9Bn3Cd5Fg7Hj1Pq6RsTuVwX", "Zt4QmW8rK2vLx9Bn3Cd5"),
    of(
        Kind.SECRET,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6YXBoIn0.c2lnbmF0dXJlLXo",
        "c2lnbmF0dXJlLXo",
        "eyJzdWIiOiJ6YXBoIn0",
    ),
    of(Kind.SECRET, "password=Kx9-Waldmeister", "Kx9-Waldmeister"),
    of(Kind.SECRET, "AKIAZQ3DGH7KLMN5PQRS"),
)
"""All kinds, in several spellings each. Each is found without a word beside it."""

ONE_EACH = tuple({value.kind: value for value in VALUES}.values())
"""One of each kind."""


def packed(limit: int, values: Sequence[Value] = VALUES) -> list[str]:
    """Return as few texts of at most so many characters as hold all values that fit at all."""
    texts = [""]
    for value in (one for one in values if len(one.text) <= limit):
        longer = f"{texts[-1]}; {value.text}" if texts[-1] else value.text
        if len(longer) <= limit:
            texts[-1] = longer
        else:
            texts.append(value.text)
    return texts


ALL = packed(10_000)[0]
"""All values in one text."""


def csv_of(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def csv_around(usual: Mapping[str, str]) -> bytes:
    """Return a CSV file with each value in each column of a row that is `usual` elsewhere, and with rows too long."""
    texts = [*(value.text for value in VALUES), ALL]
    rows = [[*{**usual, column: text}.values()] for column in usual for text in texts]
    return csv_of([[*usual], *rows, texts, [ALL] * (len(usual) + 1), [ALL, "\0"]])


def told(text: str, values: Sequence[Value] = VALUES) -> list[str]:
    """Return the values that a text tells somebody."""
    lower = text.lower()
    compact = lower.translate(_BETWEEN)
    return [
        value.text
        for value in values
        if any(form in lower for form in value.forms)
        or any(code in text for code in value.codes)
        or (value.compact and value.compact in compact)
    ]


@dataclass(slots=True)
class Evidence:
    """What was written, sent and stored, by the place where it was found."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    _taken: bool = True

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take nothing of what a test itself does."""
        self._taken = False
        try:
            yield
        finally:
            self._taken = True

    def add(self, place: str, *texts: str | bytes) -> None:
        if not self._taken:
            return
        decoded = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in texts]
        self.texts.setdefault(place, []).extend(decoded)

    def told(self, values: Sequence[Value] = VALUES) -> Mapping[str, list[str]]:
        """Return what is told where; places that tell nothing are left out."""
        found = {place: told("\n".join(texts), values) for place, texts in self.texts.items()}
        return {place: values for place, values in found.items() if values}
