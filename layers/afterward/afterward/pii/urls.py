"""URLs that carry credentials; one that does not is left alone."""

import re
from collections.abc import Iterator

from afterward.pii.finding import Kind, Span

_SCHEME = re.compile(r"[A-Za-z0-9+.\-]{2,24}\Z")
_REST = re.compile(
    r"(?:(?!,[A-Za-z][A-Za-z0-9+.\-]{1,20}://)[^\s<>\"`{}\\^|·\u201c\u201d\u2018\u2019«»「」、\uff0c\uff1b])+"
)
_USERINFO = re.compile(r"[^/?#]*@")
_AUTHORITY = re.compile(r"[^/?#;]*")
_FIELD = re.compile(r"[,;]")
_MORE = re.compile(r"&[\w.\-]{1,40}=")
_SECRET_USER = re.compile(r"(?=[a-z0-9_\-]*[A-Z])(?=[A-Z0-9_\-]*[a-z])[A-Za-z0-9_\-]{16,}@|[A-Za-z0-9_\-]{20,}@")
_PARAMETER = re.compile(
    r"[?&#;](?:[\w.\-]{0,40}(?:%5B|\[))?"
    r"(?:[\w.\-]{0,40}?(?:token|secret|passw(?:or)?d|passwd|pwd|api[_\-]?key|access[_\-]?key(?:id)?|signature|credentials?|jwt|"
    r"private[_\-]?key|secret[_\-]?key|client[_\-]?secret|password|session[_\-]?key)"
    r"|auth|authorization|bearer|pass|otp|hmac|sig|key|sid|session(?:_?id)?|x-amz-credential|ticket|sas|code|apikey|app_?id|magic|invite_code)"
    r"(?:%5D|\])?=([^&#;\s]+)",
    re.IGNORECASE,
)
_PAGING = re.compile(r"(?:page|next|continuation|sync|cursor|cancel(?:lation)?)[_\-]?token", re.IGNORECASE)
_LONG_ENOUGH = {
    "key": 12,
    "appid": 24,
    "app_id": 24,
    "sid": 12,
    "session": 16,
    "code": 12,
    "auth": 6,
    "otp": 4,
    "ticket": 12,
    "magic": 8,
    "sig": 6,
}
_HOOKS = re.compile(
    r"hooks\.slack\.com/(?:services|workflows|triggers)/\w|discord(?:app)?\.com/api/webhooks/\d+/[\w\-]|api\.telegram\.org/bot\d+:"
    r"|outlook\.office\.com/webhook/|webhook\.office\.com/webhookb2/|eyJ[\w\-]{6,}\.[\w\-]{6,}\.",
)
_NO_VALUE = re.compile(
    r"(?:\*+|x+|\.+|%2a+|redacted|null|none|undefined|true|false|\[.*|<.*|\$.*|%5b.*|%7b.*|:\w+)\Z", re.IGNORECASE
)
_CLOSING = {")": "(", "]": "["}


def scan(text: str) -> Iterator[Span]:
    position = text.find("://")
    while position >= 0:
        start, end = _extent(text, position)
        last = _credentials_end(text[position + 3 : end]) if start < position else 0
        if last:
            end = _trimmed(text, position + 3, position + 3 + _record_end(text[position + 3 : end], last))
            end -= text[start - 1 : start] == text[end - 1] == "_"
            yield start, end, Kind.URL
        position = text.find("://", max(end, position + 3))


def _extent(text: str, position: int) -> tuple[int, int]:
    scheme = _SCHEME.search(text[max(0, position - 24) : position])
    if scheme is None:
        return position, position
    word = scheme.group().lstrip("0123456789+.-")
    rest = _REST.match(text, position + 3)
    end = _trimmed(text, position + 3, rest.end() if rest else position + 3)
    return position - len(word), end


def _trimmed(text: str, start: int, end: int) -> int:
    """Leave out what belongs to the sentence: a full stop, a bracket that was opened before."""
    while end > start:
        last = text[end - 1]
        opening = _CLOSING.get(last)
        if last not in ".,;:!?'*" and not (opening and text.count(opening, start, end) < text.count(last, start, end)):
            break
        end -= 1
    return end


def _credentials_end(rest: str) -> int:
    """Return an offset at which a URL's last credentials are not over yet, 0 if it has none."""
    hook = _HOOKS.search(rest)
    ends = [hook.end()] if hook else []
    ends += [parameter.start(1) + 1 for parameter in _PARAMETER.finditer(rest) if _is_credential(parameter)]
    userinfo = _USERINFO.match(rest)
    if userinfo and _has_password(rest, userinfo.group()[:-1]):
        authority = _AUTHORITY.match(rest, userinfo.end())
        ends.append(authority.end() if authority else userinfo.end())
    return max(ends, default=0)


def _record_end(rest: str, last: int) -> int:
    """Return where the URL ends within a record whose fields are parted by commas or semicolons."""
    comma = _FIELD.search(rest, last)
    return comma.start() if comma and not _MORE.search(rest, comma.end()) else len(rest)


def _has_password(rest: str, userinfo: str) -> bool:
    if rest.startswith("[") or (":" not in userinfo.rstrip(":") and not _SECRET_USER.match(rest)):
        return False
    return _NO_VALUE.match(userinfo.partition(":")[2] or userinfo) is None


def _is_credential(parameter: re.Match[str]) -> bool:
    value = parameter.group(1).partition("[")[0]  # what is masked is no part of it
    name = parameter.group()[1 : parameter.start(1) - parameter.start() - 1].lower()
    if not value or _NO_VALUE.match(value) or _PAGING.search(name):
        return False
    return len(value) >= _LONG_ENOUGH.get(name, 1)
