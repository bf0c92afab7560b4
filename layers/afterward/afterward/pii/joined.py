"""Cards whose groups are joined by what stands for a space in a form (`4111+1111+1111+1111`) or in a name."""

import re
from collections.abc import Iterator

from afterward.pii import cards
from afterward.pii.finding import Kind, Span
from afterward.pii.numbers import NEVER_CARDS, NEVER_FILLERS
from afterward.pii.words import named_before

_GROUPS = re.compile(
    r"[0-9](?<![0-9A-Za-z_][0-9])[0-9]{3}(?P<by>_|\+|%20)[0-9]{4,6}(?:(?P=by)[0-9]{1,5}){1,3}(?![0-9A-Za-z_])"
)


def scan(text: str) -> Iterator[Span]:
    for match in _GROUPS.finditer(text):
        digits = match.group().replace(match["by"], "")
        if cards.is_card(digits) and not named_before(text, match.start(), NEVER_CARDS, NEVER_FILLERS):
            yield match.start(), match.end(), Kind.CREDIT_CARD
