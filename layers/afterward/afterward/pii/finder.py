"""The way of a text: it is folded, and then one scanner after the other reads what the ones before have left.

A scanner is imported, with its patterns, when a text holds what its kind cannot be without; most log lines are read by
none, or by the one for digits. What a scanner finds is blanked out for those that follow, so that no two findings
overlap; a text in which something was found is read again, since a value may have hidden behind another.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module

from afterward.pii.finding import Finding, Span
from afterward.pii.folding import ACCOUNT, FIRST_DIGIT, NEXT_DIGIT, classes, end_of, fold

Scanner = Callable[[str], Iterable[Span]]
Looks = tuple[tuple[Callable[[str], object], str, bool], ...]
"""What a text must hold, who reads it then, and whether a text that holds none never will, however much is blanked."""

PASSES = 3

_DIGITS = re.compile(rf"{FIRST_DIGIT}{NEXT_DIGIT}{{6}}(?![A-DF-WYZa-df-wyz_])")
_QUAD = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_GROUPS = re.compile(r":[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:")
_UNDERSCORED = re.compile(r"_(?<=[0-9]{4}_)[0-9]{4,6}_")
_ADDED = re.compile(r"\+(?<=[0-9]{4}\+)[0-9]{4,6}\+")
_SPACED = re.compile(r"%20(?<=[0-9]{4}%20)[0-9]{4,6}%20")
_CALLING = re.compile(r"\+(?:[ ]|%20)?\(?[1-9]")
_NAMES = tuple(
    re.compile(pattern).search
    for pattern in (
        r"p(?:ass|wd|arola)", r"ke[ny]", r"auth", r"s(?:ecret|ignature|enha)", r"b(?:earer|asic )",
        r"c(?:ookie|redential|ontrase)", r"wachtwoord", r"mot[ _]de", r"пароль", r"密码",
    )
)  # fmt: skip
"""One of them stands before each secret that is not known by its shape.

Each begins with a letter, which `re` looks for faster than for one of several.
"""
_SHAPES = tuple(
    re.compile(pattern).search
    for pattern in (
        r"eyJ", r"_[A-Za-z0-9+/]{8}", r"A(?:KIA|SIA|BIA|CCA|Iza|TATT)", r"s(?:k-|q0)", r"gl[a-z]{1,5}-",
        r"x(?:ox|app-|ai-)", r"p(?:ypi-|ul-)", r"ya29\.", r"dapi", r"hvs\.", r":AA", r"S(?:G\.|K[0-9a-f]{12})",
        r"GOCSPX", r"LTAI", r"PMAK", r"NRAK", r"FLWS",
    )
)  # fmt: skip


def find(text: str) -> list[Finding]:
    """Return what `text` holds, in its order; the offsets are into `text` as it was given."""
    return found(text, SCANNERS)


def found(text: str, scanners: Looks) -> list[Finding]:
    """Return what these scanners find, where it is certain that the others find nothing."""
    if not isinstance(text, str):
        raise TypeError(f"personal data is found in text, not in {type(text).__name__}; decode it first")
    folded, offsets = fold(text)
    spans = _spans(folded, scanners)
    findings: list[Finding] = []
    for start, end, kind in sorted(spans):
        first, last = offsets[start], end_of(text, offsets[end - 1])
        if findings and first < findings[-1].end:
            # A value that was found behind another reaches into it, and nothing of either may be left.
            findings[-1] = Finding(findings[-1].start, max(findings[-1].end, last), findings[-1].kind)
        else:
            findings.append(Finding(first, last, kind))
    return findings


def _spans(text: str, scanners: Looks) -> list[Span]:
    spans: list[Span] = []
    for _ in range(PASSES):
        text, more, scanners = _read(text, scanners)
        spans += more
        if not more:
            break
    return spans


def _read(text: str, scanners: Looks) -> tuple[str, list[Span], Looks]:
    """Return the text without what is found in it, what that is, and who has to read it again."""
    spans: list[Span] = []
    again = []
    for suspected, scanner, lasting in scanners:
        if suspected(text):
            again.append((suspected, scanner, lasting))
            more = list(_scanner(scanner)(text))
            if more:
                text = _blank(text, more)
                spans += more
        elif not lasting:
            again.append((suspected, scanner, lasting))
    return text, spans, tuple(again)


@cache
def _scanner(name: str) -> Scanner:
    scan: Scanner = import_module(f"afterward.pii.{name}").scan
    return scan


def _blank(text: str, spans: Iterable[Span]) -> str:
    """Leave of each value what its placeholder will look like to the other scanners."""
    parts, position = [], 0
    for start, end, _kind in sorted(spans):
        parts += [text[position:start], "[", "·" * (end - start - 2), "]"]
        position = end
    return "".join([*parts, text[position:]])


def _holds_secret(text: str) -> bool:
    lower = text.lower()
    return any(named(lower) for named in _NAMES) or any(shaped(text) for shaped in _SHAPES)


def _holds_joined(text: str) -> object:
    return (
        ("_" in text and _UNDERSCORED.search(text))
        or ("+" in text and _ADDED.search(text))
        or ("%" in text and _SPACED.search(text))
    )


SCANNERS: Looks = (
    (lambda text: "://" in text, "urls", True),
    (_holds_secret, "tokens", True),
    (lambda text: "@" in text or "%40" in text, "emails", True),
    (lambda text: ACCOUNT.search(classes(text)), "accounts", False),
    (lambda text: "::" in text or _GROUPS.search(text), "addresses6", True),
    (lambda text: text.count(".") > 2 and _QUAD.search(text), "addresses4", True),  # noqa: PLR2004 - of a dotted quad
    (lambda text: ("+" in text and _CALLING.search(text)) or "%2" in text, "international", True),
    (_DIGITS.search, "numbers", False),
    (_holds_joined, "joined", True),
)
"""The surest kinds first. What begins behind no letter may begin behind what was blanked; the rest has to be there."""

WITHOUT_SECRETS: Looks = tuple(one for one in SCANNERS if one[1] != "tokens")
"""For texts of which it is known already: nothing else takes as many looks."""
