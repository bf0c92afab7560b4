"""What a request's body may be: looked at before anything that is made for good bodies gets to see it."""

import json
import math
import re
from collections.abc import MutableMapping
from itertools import accumulate
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from afterward.background.problems import ProblemResponse

JSON = 2_500_000
"""Bytes: 200,000 characters, each of which JSON may write in twelve bytes, and some room around them."""

FORM = 6_000_000
"""Bytes of a form with a file: more than comes through Lambda, whose events of 6 MB have it in base64."""

DEPTH = 32
"""Objects and arrays that may stand in each other: more than people write, and fewer than any parser stumbles over."""

_NO_UTF8 = "it is not in UTF-8"

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BESIDE_BRACKETS = re.compile(r"[^\[\]{}]+")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


class BodyLimits:
    """ASGI middleware that refuses bodies: too many bytes (413), or JSON that is read differently by different readers.

    `app.add_middleware(BodyLimits)`. The limit is `form` bytes for a form and `json` for all else. JSON is UTF-8, at
    most DEPTH levels deep, has no name twice in one object, and no numbers that are none or beyond a double (400). What
    is no JSON at all is left to FastAPI's own 422. A body is read as a whole before the app begins.
    """

    def __init__(self, app: ASGIApp, *, json: int = JSON, form: int = FORM) -> None:
        self._app = app
        self._json = json
        self._form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = _kind(scope)
        limit = self._form if kind in {"multipart/form-data", "application/x-www-form-urlencoded"} else self._json
        received = _Received(receive)
        fits = _declared(scope) <= limit and await received.fits(limit)
        if not fits:
            await ProblemResponse(413, f"The body has more than {limit:,} bytes")(scope, receive, send)
        elif _is_json(kind) and (fault := fault_of(received.body)):
            await ProblemResponse(400, f"The body cannot be read: {fault}")(scope, receive, send)
        else:
            await self._app(scope, received.again, send)


class _Received:
    """A body, and what comes behind it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._message: Message | None = None
        self._body = bytearray()

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    async def fits(self, limit: int) -> bool:
        """Read to the end, or until it is clear that there is too much."""
        more = True
        while more and len(self._body) <= limit:
            message = await self._receive()
            if message["type"] != "http.request":  # the client has gone
                self._message = message
                return True
            self._body += message.get("body", b"")
            more = message.get("more_body", False)
        self._message = {"type": "http.request", "body": self.body, "more_body": False}
        return len(self._body) <= limit

    async def again(self) -> Message:
        """Give the app what was read, once."""
        message, self._message = self._message, None
        return message or await self._receive()


def fault_of(body: bytes) -> str:
    """Return what is wrong with JSON beside its syntax, "" where nothing is."""
    if b"\0" in body:  # which only UTF-16 and UTF-32 have; Python's parser would take them
        return _NO_UTF8
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _NO_UTF8
    if _depth(text) > DEPTH:
        return f"it is more than {DEPTH} levels deep"
    try:
        json.loads(text, object_pairs_hook=_object, parse_float=_number, parse_int=_number, parse_constant=_constant)
    except json.JSONDecodeError:
        return ""  # which FastAPI says better, with the place
    except ValueError as error:
        return str(error)
    return ""


def _depth(text: str) -> int:
    brackets = _BESIDE_BRACKETS.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _constant(_name: str) -> NoReturn:
    raise ValueError("a number is none that JSON has")


def _kind(scope: MutableMapping[str, Any]) -> str:
    return Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()


def _is_json(kind: str) -> bool:
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _declared(scope: MutableMapping[str, Any]) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if re.fullmatch("[0-9]{1,18}", length) else 0
