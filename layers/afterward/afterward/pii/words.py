"""What is said directly before and after a number: it tells a phone from an order."""

import re
from collections.abc import Collection
from functools import lru_cache
from itertools import takewhile

_BEFORE = 56
_AFTER = 28
_WORD = re.compile(r"[^\W\d_]+|[0-9]{2,}|[\];!?\n]")
_LISTED = re.compile(r"[0-9]{7,15}[\"'], ?(?=[\"'])")
"""One number of a list of strings; what is said before it holds for the next one, too."""
_NOTHING = re.compile(
    r"\x1b\[[0-9;]{0,12}m|;[Tt](?:YPE|ype)=[\w,]{1,20}(?=[;:])"
    r"|(?:(?<=:)[ \t]{0,3}\r?\n\s{0,12}(?:- )?|(?<=[\"'])(?:\r?\n){2})[\"']?\Z"
)
"""What parts no name from its value: colours, `TEL;TYPE=work:`, and the ends of lines in YAML and in forms."""
_CAMEL = re.compile(r"(?<=[a-z])(?<!Whats)(?<!Fed)(?=[A-Z])")


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FILLERS = words(
    "number numbers no nr num nbr is was at on op mij under au moi para to me us mich sie uns him her them our my "
    "your his their the a an of for home work office private business personal primary secondary main new old direct "
    "line us uk or and with via nummer numero número numéro num de du la le el il est ist es è é unter lautet oder "
    "bitte meine mein är meu minha sein country area code please value field text string customer user client contact "
    "account emergency al au nous vous sent envoyé enviado gesendet requested file номер numer ist der die das also",
)  # fmt: skip


def before(text: str, start: int) -> tuple[str, ...]:
    """Return the words before an offset, the nearest first, until something parts them from it."""
    return _said(text[max(0, start - _BEFORE) : start])


@lru_cache(256)
def _said(text: str) -> tuple[str, ...]:
    """Several rules ask what stands before the same number."""
    said = _CAMEL.sub(" ", _LISTED.sub("", _NOTHING.sub(" ", text)))
    nearest = reversed(_WORD.findall(said))
    return tuple(word.lower() for word in takewhile(lambda word: word[0].isalpha(), nearest))


def named_before(text: str, start: int, names: Collection[str], fillers: Collection[str] = FILLERS) -> bool:
    """Say whether a name stands there, with nothing but fillers in between."""
    for word in before(text, start):
        if word in names:
            return True
        if word not in fillers:
            return False
    return False


def after(text: str, end: int) -> list[str]:
    """Return the few words behind an offset, up to what parts them from it."""
    said = re.split(r"[\[;.,\n]|[0-9]", text[end : end + _AFTER], maxsplit=1)[0]
    return re.findall(r"[^\W\d_]+", said.lower())
