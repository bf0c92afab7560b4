"""Cells that a spreadsheet would run: they get an apostrophe before them, which says that what follows is text.

A cell is run where it begins with `=`, `+`, `-`, `@`, a tab or the end of a line, or with the full-width form of one of
those signs, also behind blanks: https://owasp.org/www-community/attacks/CSV_Injection. One that says only a number or a
phone number stays: a sign, and behind it nothing but digits, what stands between digits, and one exponent. Without a
letter there is no function, and no cell to refer to.
"""

import re

_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(rf"\s*[{_SIGNS}]|[\t\r\n]")
_NUMBER = re.compile(r" *[+\-\uff0b\uff0d][0-9 ().,/'\u2019%\-]*(?:(?<=[0-9.])[eE][+\-]?[0-9]{1,3})?%? *")
_AMONG = re.compile(rf"\0(\s*[{_SIGNS}\t\r\n][^\0]*)")


def neutral(text: str) -> str:
    """Return the text as no spreadsheet runs it."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def neutralised(joined: str) -> dict[str, str]:
    """Return, of texts with a NUL before each, those that do not stay, and what is written for them."""
    return {text: other for text in _AMONG.findall(joined) if (other := neutral(text)) != text}
