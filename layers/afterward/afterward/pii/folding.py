r"""One spelling for what looks the same: digits, spaces, dashes, dots and signs of other scripts become ASCII.

Characters without a width are taken out, so that they split no value, and what JSON, XML and `repr` have escaped
(`\u00fc`, `&#252;`, `\xa0`) is read as what it stands for; the offsets lead back to the text as it was.
"""

import re
import string
from collections.abc import Sequence

_WIDTHLESS = re.compile(
    "[\u00ad\u034f\u061c\u115f\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)

_ALIKE = (
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\u30fc", "-")
    | dict.fromkeys("\u3002\u2024\uff61\ufe52\u00b7\u2022\u2027\u2219\u22c5\u30fb", ".")
    | dict.fromkeys("\u2044\u2215", "/")
    | dict.fromkeys("\u02d0\ua789\u2236\ufe55", ":")
    | {"\ufe6b": "@", "\u2028": "\n", "\u2029": "\n", "\x85": "\n", "\u2019": "'", "\u02bc": "'"}
)

_FULLWIDTH = range(0xFF01, 0xFF5F)

_ESCAPED = re.compile(
    r"\\{1,4}u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\{1,4}u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2})"
    r"|\\{1,4}u(?P<code>[0-9A-Fa-f]{4})|\\{1,4}x(?:[cC]2\\{1,4}x)?(?P<byte>[aA][0dD])"
    r"|&#(?:[xX](?P<hex>[0-9A-Fa-f]{1,5})|(?P<decimal>[0-9]{1,6}));"
)


class _Folded(dict[int, str]):
    """What `str.translate` asks for each character; it learns each once."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold(chr(code))
        return folded


def _fold(one: str) -> str:
    if one.isascii():
        return one
    if ord(one) in _FULLWIDTH:
        return chr(ord(one) - 0xFEE0)
    if one in _ALIKE:
        return _ALIKE[one]
    if one.isdecimal():
        return str(int(one))
    return " " if one.isspace() else one


_TABLE = _Folded()


def fold(text: str) -> tuple[str, Sequence[int]]:
    """Return the folded text, and for each of its characters the offset in the text."""
    if ("\\" in text or "&" in text) and _ESCAPED.search(text):
        text, starts = _unescaped(text)
        folded, offsets = _folded(text)
        return folded, [starts[offset] for offset in offsets]
    return _folded(text)


def end_of(text: str, offset: int) -> int:
    """Return where the character at an offset ends: one that is escaped takes several."""
    escaped = _ESCAPED.match(text, offset) if text[offset] in "\\&" else None
    return escaped.end() if escaped else offset + 1


def _unescaped(text: str) -> tuple[str, Sequence[int]]:
    parts, starts, position = [], list[int](), 0
    for escaped in _ESCAPED.finditer(text):
        parts += [text[position : escaped.start()], _meant(escaped)]
        starts += range(position, escaped.start() + 1)
        position = escaped.end()
    return "".join([*parts, text[position:]]), [*starts, *range(position, len(text))]


def _meant(escaped: re.Match[str]) -> str:
    if escaped["high"]:
        return chr(0x10000 + ((int(escaped["high"], 16) - 0xD800) << 10) + int(escaped["low"], 16) - 0xDC00)
    if escaped["decimal"]:
        return chr(int(escaped["decimal"]))
    return chr(int(escaped["code"] or escaped["byte"] or escaped["hex"], 16))


def _folded(text: str) -> tuple[str, Sequence[int]]:
    if text.isascii():
        return text, range(len(text))
    if _WIDTHLESS.search(text) is None:
        return text.translate(_TABLE), range(len(text))
    gone = {match.start() for match in _WIDTHLESS.finditer(text)}
    kept = [offset for offset in range(len(text)) if offset not in gone]
    return _WIDTHLESS.sub("", text).translate(_TABLE), kept


FIRST_DIGIT = r"[0-9](?<![A-Za-z0-9_][0-9])(?=[0-9 ./()\-]{6})(?!(?<=2)0[0-9]{2}-[01][0-9]-[0-3][0-9])"
"""Where a run of digits begins: behind no letter or digit, and not with a date (2026-11-22)."""

NEXT_DIGIT = r"(?:(?: ?[./()\-]{1,2} ?| {1,2})?[0-9])"
"""Another digit of a run, with what may stand between it and the one before."""

ACCOUNT = re.compile(rb"aa(?<![a0]..) ?00")
"""How an international account number begins, among `classes`."""
_CLASSES = bytes.maketrans(
    (string.digits + string.ascii_letters).encode(), b"0" * len(string.digits) + b"a" * len(string.ascii_letters)
)


def classes(text: str) -> bytes:
    """Return one byte for each character: `0` for a digit, `a` for a letter, in ASCII, which is searched faster."""
    return text.encode("ascii", "replace").translate(_CLASSES)
