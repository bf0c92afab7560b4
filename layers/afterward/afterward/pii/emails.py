"""E-mail addresses: each `@` is looked at from both sides, as far as an address may reach."""

import re
from collections.abc import Iterator

from afterward.pii.finding import Kind, Span
from afterward.pii.words import words

_AT = re.compile(r"(?<=[\w\"'+\-.!#$%*^~])(?:@|%40)(?=[\w\[])")
_LOCAL_REACH = 64
_CJK = "\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
_LOCAL = re.compile(rf"(?:(?:(?![{_CJK}])[\w.+'!#$%*^~\-])+|[{_CJK}\w.+\-]+)\Z")
_ESCAPED = re.compile(r"[nrt][\w.+\-]")
"""What is left of a line break where JSON is quoted."""
_OPENING = re.compile(r"(?<!\w)(?:[bruBRU]{1,2}'|_)")
_QUOTED = re.compile(r'(?<![\w\\])"(?:[^"\\\r\n:{},]|\\.){1,64}"\Z')
_ASCII_END = re.compile(r"[A-Za-z0-9.+'_\-]*\Z")
_LABEL = rf"(?:[A-Za-z0-9_\u00a1-{chr(0x10FFFF)}](?:[A-Za-z0-9_\-\u00a1-{chr(0x10FFFF)}]{{0,62}}))"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{0,12}}")
_LITERAL = re.compile(r"\[(?:IPv6:[0-9A-Fa-f:.]{2,45}|[0-9]{1,3}(?:\.[0-9]{1,3}){3})\]")
_TOP = re.compile(
    r"(?:xn--[A-Za-z0-9\-]{1,58}[A-Za-z0-9]|[A-Za-z]{2,63}|(?:(?![\w])|[^\W\d_A-Za-z])(?:[^\W\d_A-Za-z]|[\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff])+)"
)
_VERSION = re.compile(r"v?[0-9]+(?:\.[0-9]|\.x\b|\.(?:alpha|beta|rc|dev|post)|-)|[0-9](?:\.[0-9])?x\.", re.IGNORECASE)
_NO_DOMAINS = words(
    "png jpg jpeg gif svg webp ico css js mjs json html htm txt log xml yaml yml tsx jsx java class jar dll exe pdf "
    "gz tar service socket timer target mount automount slice scope device path swap conf cfg ini lock csv whl go vue "
    "scss less woff ttf bmp avif",
)


def scan(text: str) -> Iterator[Span]:
    taken = 0
    for at in _AT.finditer(text):
        start, end = _local(text, taken, at.start()), _domain(text, at.end())
        start = _unwrapped(text, start, end)
        if start < at.start() and end and not _is_remote(text, start, at.start(), end):
            yield start, end, Kind.EMAIL
            taken = end


def _local(text: str, taken: int, at: int) -> int:
    reach = text[max(taken, at - _LOCAL_REACH - 2) : at]
    if reach.endswith('"'):
        quoted = _QUOTED.search(reach)
        return at - len(quoted.group()) if quoted else at
    reach = reach[-_LOCAL_REACH:]
    local = _run(reach)
    bare = local.lstrip(".+'!#$%*^~-")
    if "%" in bare:
        bare = re.split(r"%(?:3[ADadcCfF]|2[0-9AaCcFf]|40|5[BD])", bare)[-1]
    if at > len(bare) and text[at - len(bare) - 1] == "\\" and _ESCAPED.match(bare):
        bare = bare[1:]
    bare = bare.removesuffix("'") if bare.startswith("'") else bare
    return at - len(bare)


def _unwrapped(text: str, start: int, end: int) -> int:
    """Leave out what stands around an address as a pair: `b'anna@example.com'`, `_anna@example.com_`."""
    opening = _OPENING.match(text, start)
    return opening.end() if opening and text[end : end + 1] == opening.group()[-1] else start


def _run(reach: str) -> str:
    """Return what before an `@` may belong to the address; in scripts without spaces it ends with the script."""
    end = len(reach)
    start = end
    wide = end > 0 and _is_wide(reach[-1])
    while (
        start
        and (reach[start - 1].isalnum() or reach[start - 1] in "_.+'!#$%*^~-")
        and (wide or not _is_wide(reach[start - 1]))
    ):
        start -= 1
    return reach[start:]


def _is_wide(one: str) -> bool:
    return one >= "\u1100" and re.match(rf"[{_CJK}]", one) is not None


def _domain(text: str, start: int) -> int:
    """Return where the domain ends, 0 if there is none."""
    literal = _LITERAL.match(text, start)
    if literal:
        return literal.end()
    domain = _DOMAIN.match(text, start)
    if domain is None or _VERSION.match(domain.group()):
        return 0
    return _end_of(domain.group(), start)


def _end_of(domain: str, start: int) -> int:
    labels = domain.split(".")
    top = _TOP.match(labels[-1])
    while top is None and len(labels) > 1 and not labels[-1][0].isdigit():
        labels.pop()
        top = _TOP.match(labels[-1])
    if top is None or len(labels) < 2 or top.group().lower() in _NO_DOMAINS:  # noqa: PLR2004 - a name and its top
        return 0
    rest = labels[-1][top.end() :]
    if rest.strip("_") and (rest[0].isdigit() or rest[0] == "_"):
        return 0
    return start + sum(len(label) + 1 for label in labels[:-1]) + top.end()


def _is_remote(text: str, start: int, at: int, end: int) -> bool:
    """`git@github.com:owner/repository.git` is where a repository lies."""
    return text[start:at] in {"git", "hg"} and text[end : end + 1] in {":", "/"}
