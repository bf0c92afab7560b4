"""International bank account numbers."""

import re
from collections.abc import Iterator
from functools import cache

from afterward.pii.finding import Kind, Span
from afterward.pii.folding import ACCOUNT, classes
from afterward.pii.tables import IBAN

_CLASSES = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
_REMAINDER = 97


def scan(text: str) -> Iterator[Span]:
    taken = 0
    for beginning in ACCOUNT.finditer(classes(text)):
        start = beginning.start()
        code = text[start : start + 2].upper()
        if start >= taken and code in IBAN:
            account = _spelled(_length(code)).match(text, start)
            if account and _is_valid(re.sub(r"%20|[ .\-/+_]", "", account.group()).upper()):
                taken = account.end()
                yield start, taken, Kind.IBAN


@cache
def _length(country: str) -> int:
    return 4 + sum(int(count) for count in re.findall(r"([0-9]+)!", IBAN[country]))


@cache
def _spelled(length: int) -> re.Pattern[str]:
    return re.compile(rf"[A-Za-z](?:(?:[ .\-/+_]{{1,2}}|%20)?[A-Za-z0-9]){{{length - 1}}}(?![A-Za-z0-9])")


@cache
def _structure(country: str) -> re.Pattern[str]:
    parts = re.findall(r"([0-9]+)!([nac])", IBAN[country])
    return re.compile("".join(f"{_CLASSES[kind]}{{{count}}}" for count, kind in parts))


def _is_valid(account: str) -> bool:
    if not _structure(account[:2]).fullmatch(account, 4):
        return False
    return int("".join(str(int(one, 36)) for one in account[4:] + account[:4])) % _REMAINDER == 1
