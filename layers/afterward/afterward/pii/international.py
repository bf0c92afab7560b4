"""Phone numbers with a calling code: `+44 20 7946 0958`, `+1 (212) 555-0123 ext. 4`, `%2B14155550123`."""

import re
from collections.abc import Iterator

from afterward.pii.finding import Kind, Span
from afterward.pii.folding import NEXT_DIGIT
from afterward.pii.tables import CALLING_CODES

_NUMBER = re.compile(rf"(?:\+|%2[Bb])(?:[ ]|%20)?\(?[1-9]{NEXT_DIGIT}{{6,20}}")
_BEFORE = re.compile(r"[0-9A-Za-z_+]\Z")
_DECIMAL = re.compile(r"\+[0-9]+\.[0-9]{1,8}\Z|\+(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]")
_PLACE = re.compile(r"\+[0-9]{2}\.[0-9]+[+\-][0-9]{2,3}(?:\.|\Z)")
"""Latitude and longitude (ISO 6709): `+48.8577-002.2950/`."""
_SUM = re.compile(r"\+ [0-9]+\Z")
EXTENSION = re.compile(
    r"(?:[ ,;]{0,2}(?:ext(?:ension|n)?[.:= ]{0,2}|poste |anexo |ramal |доб\.? ?|durchwahl |dw\.? |toestel )|;ext="
    r"| ?(?:x|#) ?\.?)[ :]?[0-9]{1,6}(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_LONGEST = 15
_SHORTEST = 8


def scan(text: str) -> Iterator[Span]:
    for match in _NUMBER.finditer(text):
        start = match.start()
        if text[start] == "%" or not _BEFORE.search(text[max(0, start - 1) : start]):
            end = number_end(text, match.end(), match.group(), "+" if text[start] == "+" else "%2B")
            if end:
                opened = text[start - 1 : start] == "(" and ")" in text[start:end] and "(" not in text[start:end]
                yield start - opened, with_extension(text, end), Kind.PHONE


def number_end(text: str, end: int, written: str, prefix: str) -> int:
    """Return where the longest number ends that the calling code allows, 0 if there is none."""
    start = end - len(written)
    groups = list(re.finditer(r"[0-9]+", _before_remark(text[start + len(prefix) : end])))
    if text[end : end + 1].isalnum() and not EXTENSION.match(text, end) and text[end : end + 1].isascii():
        groups.pop()
    while groups:
        last = start + len(prefix) + groups[-1].end()
        if is_number("".join(group.group() for group in groups)) and not _is_decimal(text, start, last):
            return last
        groups.pop()
    return 0


def _before_remark(written: str) -> str:
    """Leave out a bracket that opens behind a whole number: `+49 30 2633523 (3 attempts)`."""
    opening = written.rfind("(")
    return written[:opening] if sum(map(str.isdigit, written[: max(0, opening)])) >= _SHORTEST else written


def is_number(digits: str) -> bool:
    if not _SHORTEST <= len(digits) <= _LONGEST:
        return False
    codes = (digits[:size] for size in (1, 2, 3))
    return any(_fits(code, digits) for code in codes if code in CALLING_CODES)


def _fits(code: str, digits: str) -> bool:
    national = digits[len(code) :]
    trunk = national.startswith("0") and len(national) - 1 in CALLING_CODES[code]
    return trunk or len(national) in CALLING_CODES[code]


def _is_decimal(text: str, start: int, end: int) -> bool:
    number = text[start:end]
    goes_on = text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit() and number[1:].isdigit()
    if number[1:].isdigit() and len(number) <= _SHORTEST + 1:
        return True
    return goes_on or any(pattern.match(number) for pattern in (_PLACE, _DECIMAL, _SUM))


def with_extension(text: str, end: int) -> int:
    extension = EXTENSION.match(text, end)
    return extension.end() if extension else end
