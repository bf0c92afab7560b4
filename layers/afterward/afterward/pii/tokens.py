"""Secrets: what is known by its shape, and what is named as one."""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator

from afterward.pii.finding import Kind, Span
from afterward.pii.words import words

BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
BLOCK_END = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_BODY = re.compile(r"(?:[A-Za-z0-9+/=\s:,.\-]|\\[nr])*")

_SHAPES = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    r"eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*){1,3}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|whsec_[A-Za-z0-9+/_\-]{8,}={0,2}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_\-]{16,}"
    r"|xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9\-]{8,}|xapp-[A-Za-z0-9\-]{10,}"
    r"|[srp]k_(?:live|test|prod)_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_\-]{18,}"
    r"|AIza[A-Za-z0-9_\-]{30,}|ya29\.[A-Za-z0-9_\-]{16,}|GOCSPX-[A-Za-z0-9_\-]{16,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_\-]{30,}|hf_[A-Za-z0-9]{24,}|hvs\.[A-Za-z0-9_\-]{20,}|do[opr]_v1_[a-f0-9]{40,}"
    r"|SG\.[A-Za-z0-9_\-]{14,}\.[A-Za-z0-9_\-]{14,}|SK[0-9a-f]{32}(?![0-9a-zA-Z])|sh(?:pat|pca|ppa|pss)_[A-Fa-f0-9]{20,}"
    r"|sq0(?:atp|csp|idp)-[A-Za-z0-9_\-]{16,}|dapi[0-9a-f]{32}|ATATT3[A-Za-z0-9_\-=]{30,}|AGE-SECRET-KEY-1[A-Z0-9]{40,}"
    r"|(?:r8|ntn|gsk|sbp|lin_api|dckr_pat|rubygems|figd|sntrys|nfp|fo1)_[A-Za-z0-9_\-]{24,}|(?:pul|xai)-[A-Za-z0-9]{32,}"
    r"|(?:PMAK|NRAK|FLWSECK_TEST|FLWSECK)-[A-Za-z0-9\-]{16,}"
    r"|[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}|LTAI[A-Za-z0-9]{12,24}|key-[0-9a-f]{32}(?![0-9a-z]))",
)

_SCHEME = re.compile(
    r"\b(bearer|basic|apikey|api-key|token|digest|negotiate)\s{1,3}([A-Za-z0-9._~+/\-]{4,}={0,3})", re.IGNORECASE
)
_HEADER = re.compile(r"authorization['\"\\]{0,3}\s{0,3}[:=,]\s{0,3}['\"\\]{0,3}\s?\Z", re.IGNORECASE)

_KEYS = "|".join(
    f"(?<={name})"
    for name in (
        "api", "access", "secret", "private", "encryption", "decryption", "session", "subscription", "signing",
        "account", "auth", "master", "shared", "storage", "license",
    )
)  # fmt: skip
_KEY = re.compile(
    r"(?P<password>pass(?:w(?:or)?d|phrase|wort)|pwd"
    r"|(?:(?<![a-z])|(?<=db)|(?<=user)|(?<=my)|(?<=root))pass(?=[\"'=])"
    r"|kennwort|mot[ _]de[ _]passe|contrase(?:ñ|n)a|senha|wachtwoord|parola|пароль|密码)"
    r"|(?P<token>token|secret(?:[ _.\-]?(?:access[ _.\-]?)?key(?![ _.\-]?id))?"
    rf"|(?:{_KEYS})[ _.\-]?key(?![ _.\-]?id)"
    r"|credentials?|auth(?:orization|(?<![a-z]auth)(?=[\"'=]))|x-auth|signature)",
)
_PAGING = re.compile(
    r"(?:(?:next|page|continuation|sync|cursor|client|request|change|lock|idempotency|public[_\-]?key)[ _\-]?token"
    r"|:secret)\Z",
)
"""Tokens that give access to nothing, and names of secrets: `arn:aws:secretsmanager:…:secret:shop/db-1a2b3c`."""
_GIVEN = re.compile(
    r"(?P<close>\\?[\"'`]|\])?(?: \[(?:None|\*{4,20}\w{0,4})\])?\s{0,3}"
    r"(?P<sign>>(?=[^<>\s]{1,400}</)|:=|=>|=(?!=)|:|,(?=\s?[\"'\\]))\s{0,3}"
)
_FLAG = re.compile(r"(?<![\w\-])--(?:[a-z]+-){0,3}\Z")
_FLAG_VALUE = re.compile(r" {1,2}[\"']?([^\s\"'\-][^\s\"']{2,})")
_SAID = re.compile(r"\s{1,3}(?:is|was|ist|est|es|é)(?:\s{0,2}:)?\s{1,3}", re.IGNORECASE)
_APART = re.compile(r" \"?[A-Za-z0-9!#$%^*+@._/=\-]{8,64}(?![^\s.,;!?)\"'])")
_QUOTED = re.compile(r"[bru]?(?P<mark>\\?[\"'`])(?P<value>(?:(?!(?P=mark))[^\r\n]){1,400})")
_BARE = re.compile(r"[^\s,;&\"'<>)}\]`|\u201c\u201d\u2018\u2019«»「」、]+")
_SPOKEN = re.compile(r"[^\s,;\"'<>)}\]`\u201c\u201d\u2018\u2019«»「」、]+")
_COMMON = words(
    "aws4-hmac-sha256 null none nil true false undefined required invalid incorrect wrong missing expired changed "
    "reset empty blank unset string str int bool bytes optional any input password passwd secret token tokens key "
    "value redacted masked hidden filtered removed yes no ok failed failure success succeeded field must should is "
    "was not cannot can too for and or to rejected accepted refused valid unchanged updated required' default bearer "
    "basic digest test_user unknown error mismatch verification authentication rotation rotated generated created "
    "deleted revoked refreshed enabled disabled",
)
_PLACEHOLDER = re.compile(r"(?:[*•x.\-_#]+|<.*|\[.*|\(.*|\{.*|\$.*|%[({sdr].*|:\w+|t=[0-9]+|\.\.\..*)\Z", re.IGNORECASE)
_CODE = re.compile(
    r"[A-Za-z_]+(?:\.[A-Za-z_]+)+\Z|[A-Za-z_][\w.]*[(\[]|(?:os|self|cls|settings|config|request|env|process|args|kwargs)[.\[]"
)
_SCOPED = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}(?=/)")
"""A key of AWS, before the day and the region that it signs for."""
_TOKEN_LENGTH = 6
_TOKEN_IN_PROSE = 12


_COOKIES = re.compile(r"\bcookie[\"']?\s?[:=]\s?[\"']?([^\r\n\"']{1,4096})", re.IGNORECASE)
_COOKIE = re.compile(
    r"(?<![^; ])[\w.\-]{0,40}?(?:sess(?:ion)?(?:[_\-]?id)?|sid|auth|csrf[\w\-]{0,20})=([\w.+/=%~\-]{12,})",
    re.IGNORECASE,
)


def scan(text: str) -> Iterator[Span]:
    taken = 0
    for start, end in sorted(
        {*_blocks(text), *_shapes(text), *_schemes(text), *_named(text), *_cookies(text)}, key=_first_and_longest
    ):
        if start >= taken and end - start > 2:  # noqa: PLR2004 - so that a placeholder's brackets have room
            yield start, end, Kind.SECRET
            taken = end


def _first_and_longest(span: tuple[int, int]) -> tuple[int, int]:
    return span[0], -span[1]


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    closed, end = True, 0
    for begin in BLOCK.finditer(text):
        if begin.start() < end:
            continue
        close = BLOCK_END.search(text, begin.end()) if closed else None
        closed = close is not None
        body = _BLOCK_BODY.match(text, begin.end())
        end = close.end() if close else body.end() if body else begin.end()
        yield begin.start(), len(text[:end].rstrip()) if end == len(text) else end


def _shapes(text: str) -> Iterator[tuple[int, int]]:
    for match in _SHAPES.finditer(text):
        yield match.start(), match.end() - (len(match.group()) - len(match.group().rstrip(".")))


def _schemes(text: str) -> Iterator[tuple[int, int]]:
    for match in _SCHEME.finditer(text):
        scheme, token = match.group(1).lower(), match.group(2).rstrip(".")
        in_header = _HEADER.search(text[max(0, match.start() - 28) : match.start()]) is not None
        if in_header or (scheme == "bearer" and _looks_random(token)) or (scheme == "basic" and _is_pair(token)):
            yield match.start(2), match.start(2) + len(token)


def _cookies(text: str) -> Iterator[tuple[int, int]]:
    for header in _COOKIES.finditer(text):
        for cookie in _COOKIE.finditer(header.group(1)):
            yield header.start(1) + cookie.start(1), header.start(1) + cookie.end(1)


def _looks_random(token: str) -> bool:
    return len(token) >= 8 and any(map(str.isdigit, token)) or len(token) > 24  # noqa: PLR2004, RUF021 - longer than a word


def _is_pair(token: str) -> bool:
    """Say whether it is a user and a password, as `Basic` has them."""
    try:
        pair = b64decode(token + "=" * (-len(token) % 4), validate=True).decode()
    except (Error, ValueError):
        return False
    return ":" in pair and pair.isprintable()


def _named(text: str) -> Iterator[tuple[int, int]]:
    taken = 0
    lower = text.lower()
    for key in _KEY.finditer(lower if len(lower) == len(text) else text):
        if key.start() >= taken and not _is_other(text, lower, key):
            span = _given(text, key)
            if span:
                taken = span[1]
                yield span


def _is_other(text: str, lower: str, key: re.Match[str]) -> bool:
    """Say whether it names no secret, or is what stands in a secret's place: `[SECRET]`."""
    masked = text[key.start() - 1 : key.end()] == "[SECRET" and text[key.end() : key.end() + 1] in {"]", ":"}
    return masked or _PAGING.search(lower, max(0, key.start() - 16), key.end()) is not None


def _given(text: str, key: re.Match[str]) -> tuple[int, int] | None:
    given = _GIVEN.match(text, key.end())
    if given is None:
        return _flagged(text, key) or _said(text, key)
    quoted = _QUOTED.match(text, given.end())
    if quoted and not _is_placeholder(quoted["value"], key.group()):
        return _within_quotes(text, key, quoted)
    bare = None if quoted else _BARE.match(text, given.end())
    if bare is None:
        return None
    value = bare.group().rstrip("\\?.:" if given["sign"] == ":" else "\\?.")
    scoped = _SCOPED.match(value)
    value = scoped.group() if scoped else value
    return (bare.start(), bare.start() + len(value)) if _is_given(text, key, given, value) else None


def _within_quotes(text: str, key: re.Match[str], quoted: re.Match[str]) -> tuple[int, int] | None:
    start, end = quoted.span("value")
    scheme = _SCHEME.match(text, start)
    if scheme and scheme.end() <= end:
        return scheme.span(2)
    value = quoted["value"]
    if key["token"] and not _is_token(value, key.group(), text[quoted.start() - 2 : quoted.start()]):
        return None
    if not value.strip():
        return None
    prose = " " in value and (value.split()[0].lower() in _COMMON or value.count(" ") > 3)  # noqa: PLR2004 - a sentence
    return None if prose else (start, end)


def _is_token(value: str, key: str, before: str) -> bool:
    """`"token": "a1b2c3"`, and not `"output_token": "nextToken"` nor `["Authorization", "Content-Type"]`."""
    if " " in value or len(value) < _TOKEN_LENGTH or ("," in before and not _is_mixed(value)):
        return False
    if _CODE.match(value) or value.startswith("arn:"):
        return False
    return _is_mixed(value) or len(value) > 20 or (key.startswith("secret") and value.islower())  # noqa: PLR2004 - no word


def _is_given(text: str, key: re.Match[str], given: re.Match[str], value: str) -> bool:
    if given["sign"] == ":" and value.startswith("//"):  # a scheme
        return False
    if text.endswith(value, 0, key.end()):  # name=name, as calls pass arguments on
        return False
    if _is_placeholder(value, key.group()) or _CODE.match(value) or text[given.end() + len(value) :][:1] == "(":
        return False
    if key["password"]:
        return given["sign"] != "," and (
            given["sign"] != ":" or given["close"] is not None or _is_no_word(text, given, value)
        )
    shortest = _TOKEN_LENGTH if given["sign"] != ":" or given["close"] else _TOKEN_IN_PROSE
    return len(value) >= shortest and (_is_mixed(value) or len(value) > 20) and given["sign"] != ","  # noqa: PLR2004 - no word


def _is_no_word(text: str, given: re.Match[str], value: str) -> bool:
    """`password: hunter` at a line's end is one; `password: please choose another` is none."""
    if not value.isalpha():
        return True
    following = text[given.end() + len(value) :][:12].lstrip(" ")
    return value.lower() not in _COMMON and not following[:1].isalpha()


def _is_mixed(value: str) -> bool:
    return any(map(str.isdigit, value)) and not re.fullmatch(r"[0-9.:]{1,9}|[0-9]{4}-.*", value)


def _flagged(text: str, key: re.Match[str]) -> tuple[int, int] | None:
    """`--db-password hunter2`."""
    flag = _FLAG.search(text[max(0, key.start() - 24) : key.start()])
    value = _FLAG_VALUE.match(text, key.end()) if flag else None
    return value.span(1) if value and not _is_placeholder(value[1], key.group()) else None


def _said(text: str, key: re.Match[str]) -> tuple[int, int] | None:
    """`the password is hunter2`, `with password Zq9kT2pL`."""
    said = _SAID.match(text, key.end())
    bare = _SPOKEN.match(text, said.end()) if said else _APART.match(text, key.end())
    if bare is None:
        return None
    value = bare.group().strip(' "').rstrip(".:!?")
    start = bare.end() - len(bare.group().lstrip(' "'))
    strong = len(value) >= _TOKEN_LENGTH and any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    if said is None:
        strong = strong and (value.upper() != value != value.lower() or (len(value) >= 20 and value.isalnum()))  # noqa: PLR2004 - no name
    return (start, start + len(value)) if strong and not value.startswith("[") else None


def _is_placeholder(value: str, key: str) -> bool:
    lower = value.lower()
    return lower in _COMMON or lower == key.lower() or _PLACEHOLDER.match(value) is not None
