"""Numbers without a sign of their kind: cards, social security numbers, national phone numbers.

A run is what digits, and the separators that stand between digits, make up. The lengths of its groups, one character
each, are its shape; patterns over shapes find what is worth a closer look, in one go however long the run is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from afterward.pii import cards, phones
from afterward.pii.finding import Kind, Span
from afterward.pii.folding import FIRST_DIGIT, NEXT_DIGIT
from afterward.pii.international import EXTENSION
from afterward.pii.words import FILLERS, after, named_before, words

_RUN = re.compile(rf"{FIRST_DIGIT}{NEXT_DIGIT}{{6,}}+")
_GROUP = re.compile(r"[0-9]+")
_LENGTHS = "0123456789abcdefghij"
_CARD = re.compile(r"(?=(4444[123]?|465|464|4333|556|644|(?<!4)444(?!4)|[c-j]))")
_SSN = re.compile(r"(?=324)")
_IDENTIFIER = re.compile(r"8444c")
_GLUE = re.compile(r"[.\-]")
_DASHED = re.compile(r"[A-Za-z0-9]-\Z")
_CLOCK = re.compile(r"[0-9](?::[0-5][0-9]|[+\-][01][0-9]):\Z")
_GOES_ON = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Za-z]{2}[0-9]{2}[ \-](?:[A-Za-z][0-9A-Za-z]{3}[ \-])?|1Z[ 0-9A-Z]{0,9} )\Z"
)
"""What begins an account number that is none, since its check digits are wrong, or a parcel's number."""
_EXPIRY = re.compile(r" (?:0[1-9]|1[0-2]) ?/ ?[0-9]{2}")
_LABELLED = re.compile(r"(?<![A-Za-z0-9\-])(?:ssn|card|cc|pan|phone|tel|mobile|cell|fax)-\Z", re.IGNORECASE)
_SHORTEST = 7
_SSN_DIGITS = 9
_AWS_ACCOUNT = 12
_AWS_PLACE = re.compile(r":[0-9]{12}:|[^0-9]?[0-9]{12}\.[a-z]")
"""Where an account's number stands: `arn:aws:iam::123456789012:role/x`, `123456789012.dkr.ecr.eu-west-1…`."""
_SSN_NAMES = words(
    "ssn ssns social security ss socialsecurity socialsecuritynumber soc sec",
)
_SSN_FILLERS = FILLERS | {"tin", "itin", "you", "gave", "provided", "given", "entered"}
_SSN_NEVER = re.compile(r"000|666|9|...00|.....0000")
_NEVER_SOCIAL = words(
    "order orders sku part invoice tracking item model serial batch lot version",
)
_PARCELS = words(
    "tracking fedex ups dhl usps parcel shipment awb waybill sendung sendungsnummer paketnummer suivi colis "
    "seguimiento",
)
NEVER_CARDS = _PARCELS | words(
    "tid pid sn license licence thread order orders invoice isbn ean upc gtin sku imei trace span snowflake barcode "
    "bestellung bestellnummer commande pedido serial timestamp epoch bytes tweet guild channel message",
)
_IDS = words("id ids user")
_ACCOUNTS = words("account accounts")
"""Long numbers behind them count what there is; a card that somebody keeps there has one of the usual lengths."""
NEVER_FILLERS = FILLERS | {"id", "ids", "key"}
_USUAL = frozenset({13, 14, 15, 16})
_ARTICLE = re.compile(r"d|1[36]+")
"""How the number on a product is grouped."""


@dataclass(frozen=True)
class Run:
    text: str
    start: int
    end: int

    @cached_property
    def groups(self) -> list[tuple[int, int]]:
        groups = [match.span() for match in _GROUP.finditer(self.text, self.start, self.end)]
        return self._unglued(groups)

    def _unglued(self, groups: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Leave out the groups that letters or a time are part of: `a1b2-4111-…` is an id."""
        first, last = 0, len(groups)
        before = self.text[max(0, self.start - 12) : self.start]
        if _is_letter(before[-1:]) or _is_dashed(before) or _CLOCK.search(before):
            first = 1
            while first < last and _GLUE.fullmatch(self.text, groups[first - 1][1], groups[first][0]):
                first += 1
        if _is_letter(self.text[self.end : self.end + 1]) and not EXTENSION.match(self.text, self.end):
            last -= 1
            while last > first and _GLUE.fullmatch(self.text, groups[last - 1][1], groups[last][0]):
                last -= 1
        return groups[first:last]

    @cached_property
    def shape(self) -> str:
        return "".join(_LENGTHS[end - start] if end - start < len(_LENGTHS) else "z" for start, end in self.groups)

    def digits(self, first: int, last: int) -> str:
        return "".join(self.text[start:end] for start, end in self.groups[first:last])

    def separators(self, first: int, last: int) -> set[str]:
        groups = self.groups[first:last]
        return {self.text[one[1] : other[0]] for one, other in pairwise(groups)}

    def is_apart(self, first: int, last: int) -> bool:
        """Say whether no dash or dot binds the groups to others."""
        groups = self.groups
        if first and _GLUE.fullmatch(self.text, groups[first - 1][1], groups[first][0]):
            return False
        return last >= len(groups) or not _GLUE.fullmatch(self.text, groups[last - 1][1], groups[last][0])


def _is_letter(one: str) -> bool:
    return one == "_" or (one.isalpha() and one.isascii())


def _is_dashed(before: str) -> bool:
    """Say whether a dash binds the run to other letters than those which say what it is."""
    return _DASHED.search(before) is not None and _LABELLED.search(before) is None


def scan(text: str) -> Iterator[Span]:
    for match in _RUN.finditer(text):
        if (
            match.group().isdigit()
            and _is_letter(text[match.end() : match.end() + 1])
            and not _is_extended(text, match.end())
        ):
            continue
        for start, end in _parted(text, match.start(), match.end()):
            run = Run(text, start, end)
            if run.groups and not (_IDENTIFIER.fullmatch(run.shape) and "-" in match.group()):
                yield from _apart(run)


def _is_extended(text: str, end: int) -> bool:
    return EXTENSION.match(text, end) is not None


def _parted(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Part a run where a bracket opens: `020 7946 0958 (212) 555-0123` are two, `1 (212) 555-0123` is one."""
    opening = text.find(" (", start, end)
    while opening >= 0:
        if opening - start > 3:  # noqa: PLR2004 - a calling code's length
            if opening - start >= _SHORTEST:
                yield start, opening
            start = opening + 2
        opening = text.find(" (", opening + 2, end)
    if end - start >= _SHORTEST:
        yield start, end


def _of(run: Run) -> Iterator[Span]:
    yield from _cards(run)
    yield from _social(run)
    yield from phones.national(run)


def _apart(run: Run) -> list[Span]:
    """Of spans that overlap keep the one that was found first; behind one that takes the whole run none can follow."""
    kept: list[Span] = []
    taken = set[int]()
    for start, end, kind in _of(run):
        if taken.isdisjoint(range(start, end)):
            taken.update(range(start, end))
            kept.append((start, end, kind))
            if start <= run.groups[0][0] and run.groups[-1][1] <= end:
                break
    return kept


def _cards(run: Run) -> Iterator[Span]:
    groups = run.groups
    expiry = _EXPIRY.search(run.text, groups[0][1], groups[-1][1])
    last = sum(end <= expiry.start() for _, end in groups) if expiry else len(groups)
    if 1 < last < len(_LENGTHS) and len(run.separators(0, last)) == 1:
        sizes = [end - start for start, end in groups[: last - 1]]
        if (min(sizes) > 1 or max(sizes) == 1) and _is_card(run, 0, last):
            yield groups[0][0], groups[last - 1][1], Kind.CREDIT_CARD
    for window in _CARD.finditer(run.shape):
        first, last = window.start(), window.start() + len(window.group(1))
        for end in range(last, first + min(len(window.group(1)), 4) - 1, -1):
            if _is_card(run, first, end) and run.is_apart(first, end):
                yield groups[first][0], groups[end - 1][1], Kind.CREDIT_CARD
                break


def _is_card(run: Run, first: int, last: int) -> bool:
    digits = run.digits(first, last)
    if not cards.is_card(digits):
        return False
    start = run.groups[first][0]
    if last - first == 2 and run.separators(first, last) == {"."}:  # noqa: PLR2004 - a decimal number
        return False
    if len(digits) == _AWS_ACCOUNT and _AWS_PLACE.match(run.text, start - 1 if start else 0):
        return False
    if cards.is_article(digits) and _ARTICLE.fullmatch(run.shape[first:last]):
        return named_before(run.text, start, cards.NAMES)
    return run.text[start - 1 : start] != "." and not _is_other(run, start, digits, bare=last - first == 1)


def _is_other(run: Run, start: int, digits: str, *, bare: bool) -> bool:
    names = _ACCOUNTS if len(digits) == _AWS_ACCOUNT else _IDS
    if bare and len(digits) not in _USUAL and named_before(run.text, start, names):
        return True
    if named_before(run.text, start, NEVER_CARDS, NEVER_FILLERS):
        return True
    if start > run.start and named_before(run.text, run.start, _PARCELS, NEVER_FILLERS):
        return True
    return _GOES_ON.search(run.text[max(0, run.start - 14) : run.start]) is not None


def _social(run: Run) -> Iterator[Span]:
    for window in _SSN.finditer(run.shape):
        first, last = window.start(), window.start() + 3
        start, end = run.groups[first][0], run.groups[last - 1][1]
        if _is_given(run.digits(first, last)) and run.is_apart(first, last) and _is_written_social(run, first, last):
            yield start, end, Kind.US_SSN
    for start, end in run.groups:
        if end - start == _SSN_DIGITS and _is_given(run.text[start:end]) and _is_named(run, start):
            yield start, end, Kind.US_SSN


def _is_given(digits: str) -> bool:
    """Say whether the Social Security Administration gives such numbers: no area 000, 666 or 9xx, no group 00."""
    return _SSN_NEVER.match(digits) is None


def _is_written_social(run: Run, first: int, last: int) -> bool:
    start, separators = run.groups[first][0], run.separators(first, last)
    if len(separators) == 1 and {one.strip() for one in separators} <= {"-", "", "."} and _is_named(run, start):
        return True
    plain = separators == {"-"} or (separators == {" "} and not run.shape.replace("324", ""))
    return plain and not named_before(run.text, start, _NEVER_SOCIAL)


def _is_named(run: Run, start: int) -> bool:
    if named_before(run.text, start, _SSN_NAMES, _SSN_FILLERS):
        return True
    said = after(run.text, run.groups[-1][1])
    return said[:1] == ["is"] and not _SSN_NAMES.isdisjoint(said[1:4])
