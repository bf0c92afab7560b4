"""Thousands of values at once: which texts may hold personal data, and what becomes of a column of values.

The texts are put together, and each of the finder's first looks is taken once at all of them. What it says of a text is
what it says of the text alone: NUL, which stands between them, is to none of its patterns more than an end.
"""

import re
from bisect import bisect
from collections.abc import Collection, Iterable, Iterator

from afterward.pii import finder
from afterward.pii.fields import TEXT, Pii
from afterward.pii.folding import ACCOUNT, classes, fold
from afterward.pii.masking import replaced
from afterward.pii.policy import _ENOUGH_HIDDEN, _SHOWN, Treatment

_BATCH = 65_536
"""Characters that are looked at together: what fits a processor's cache, and what folding may take memory for."""

_BORDER = re.compile("\0")
_RUN = re.compile(b"a" * 13)
"""Secrets that are known by their shape are as long, or have a sign in them."""

_SIGNS = b"0123456789@:=>_+%&?\"'\\"
_SIGN_ONLY = bytes({*range(256)} - {0, *_SIGNS})
_IN_RUNS = bytes.maketrans(b"BCDEFGHIJKLMNOPQRSTUVWXYZbcdefghijklmnopqrstuvwxyzA.-", b"a" * 53)
_TELLING = (re.compile(rb"--"), re.compile(rb"b(?:earer|asic)"))
"""Without these, and without any of the signs, no text holds anything, whatever word is in it.

Secrets are the one kind that may have no `@`, no digit and no colon. One that is named stands behind a sign or `--`, or
is said, and then has digits; one that is known by its shape has a sign or 13 letters, dots and dashes; what is left are
schemes of HTTP. A character that is not ASCII is a `?` here.
"""

_LETTERED = (*(re.compile(text) for text in ("://", "@", "::")), finder._GROUPS)  # noqa: SLF001 - what find looks at first
_NAMES = [search.__self__ for search in finder._NAMES]  # type: ignore[attr-defined]  # noqa: SLF001 - a bound method's pattern
_SHAPES = [search.__self__ for search in finder._SHAPES]  # type: ignore[attr-defined]  # noqa: SLF001 - the same
_NUMBERED = (
    *(re.compile(text) for text in ("%40", "%2")),
    finder._QUAD,  # noqa: SLF001 - what find looks at first
    finder._CALLING,  # noqa: SLF001 - the same
    finder._DIGITS,  # noqa: SLF001 - the same
    finder._UNDERSCORED,  # noqa: SLF001 - the same
    finder._ADDED,  # noqa: SLF001 - the same
    finder._SPACED,  # noqa: SLF001 - the same
)
"""What no text without a digit holds; an account number is another."""

_DIGIT = re.compile("[0-9]").search
_COUNT = re.compile(r"-?[0-9]{1,11}(?:\.[0-9]{1,11})?").fullmatch
"""What is a number and nothing else: too short for a card, and nobody's unless something is said before it."""

_SAID = tuple(f"{'2' * size}{fraction}" for fraction in ("", ".22") for size in range(5, 12))
"""Such numbers, of every size that a rule asks for: which digits they are made of matters to none."""

_NO_ALNUM = bytes(code for code in range(1, 128) if not chr(code).isalnum())


def suspects(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts in which `find` may find something; of the others it is certain that they hold nothing."""
    for batch in _batches(texts):
        yield from _suspects(batch)


def masked(pii: Pii, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the texts in which free text may hold something, each with what stands in its place: `pii(text)`."""
    for batch in _batches(texts):
        for text, secret in _suspects(batch).items():
            found = finder.found(text, finder.SCANNERS if secret else finder.WITHOUT_SECRETS)
            yield text, replaced(text, found, pii.policy()) if found else text


def is_telling(name: str) -> bool:
    """Say whether values may hold something because they have this name, though by themselves they are no suspects."""
    return any(True for _ in suspects([f"{name}: "])) or any(finder.find(f"{name}: {number}") for number in _SAID)


def treated(pii: Pii, values: Collection[str]) -> dict[str, str]:
    """Return what stands in the place of each value that does not stay: `pii(value)`."""
    if pii.kind == TEXT:
        found = dict(masked(pii, values))
    elif pii.mask == Treatment.MASK:
        found = dict.fromkeys(filter(str.strip, values), pii("value"))
    elif pii.mask == Treatment.PARTIAL:
        found = _partly(pii, values)
    else:
        found = {value: pii(value) for value in values}
    return {value: text for value, text in found.items() if text != value}


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch, size = list[str](), 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size > _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _suspects(batch: list[str]) -> dict[str, bool]:
    """Return the texts that may hold something, and whether that may be a secret."""
    told = _telling(batch)
    folded, _ = fold("\0".join(told))
    parts = folded.split("\0")
    if len(parts) != len(told):  # a NUL in one of them that was escaped
        return dict.fromkeys(told, True)
    secrets = _holders(folded, _SHAPES) | _holders(folded.lower(), _NAMES)
    numbered = [index for index, part in enumerate(parts) if _DIGIT(part) and not _COUNT(part)]
    joined = "\0".join([parts[index] for index in numbered])
    accounts = _numbers(joined, [match.start() for match in ACCOUNT.finditer(classes(joined))])
    others = {numbered[index] for index in _holders(joined, _NUMBERED) | accounts}
    return {told[index]: index in secrets for index in sorted(secrets | _holders(folded, _LETTERED) | others)}


def _telling(batch: list[str]) -> list[str]:
    """Return the texts that have any of what personal data cannot be without."""
    joined = "\0".join(batch)
    plain = joined.encode("ascii", "replace").lower()
    signs = plain.translate(None, _SIGN_ONLY).split(b"\0")
    if len(signs) != len(batch):
        return batch
    looks = [*(one.finditer(plain) for one in _TELLING), _RUN.finditer(plain.translate(_IN_RUNS))]
    telling = _numbers(joined, [match.start() for look in looks for match in look])
    return [text for index, (text, sign) in enumerate(zip(batch, signs, strict=True)) if sign or index in telling]


def _holders(joined: str, patterns: Iterable[re.Pattern[str]]) -> set[int]:
    """Return the numbers of the texts that any of the patterns is in."""
    return _numbers(joined, [match.start() for pattern in patterns for match in pattern.finditer(joined)])


def _numbers(joined: str, places: list[int]) -> set[int]:
    """Return the numbers of the texts in which these places are."""
    borders = [border.start() for border in _BORDER.finditer(joined)] if places else []
    return {bisect(borders, place) for place in places}


def _partly(pii: Pii, values: Collection[str]) -> dict[str, str]:
    """Leave of each value its last letters and digits, as `Policy.replaced` does."""
    plain = [value for value in values if value.isascii() and "[" not in value and "\0" not in value]
    shown = "\0".join(plain).encode().translate(None, _NO_ALNUM).decode().split("\0")
    short = f"[{pii.kind}]"
    found = {
        value: f"[{pii.kind}:**{one[-_SHOWN:]}]" if len(one) >= _ENOUGH_HIDDEN else short
        for value, one in zip(plain, shown, strict=False)  # of no values the join is one that is empty
    }
    blank = [value for value in plain if not value.strip()]
    others = {value: pii(value) for value in {*values}.difference(plain)}
    return found | dict(zip(blank, blank, strict=True)) | others
