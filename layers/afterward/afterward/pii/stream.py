"""Streams: line by line, and a line of any length in windows, so that memory is bounded.

A window begins with a little of what has already been written, since words before a number tell what it is, and its
last part is only looked at: what is found there may go on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from afterward.pii.finder import find
from afterward.pii.finding import Finding, Kind
from afterward.pii.masking import mask
from afterward.pii.policy import Policy
from afterward.pii.tokens import BLOCK, BLOCK_END

WINDOW = 64 * 1024
_CONTEXT = 256
_AHEAD = 8 * 1024
_BODY = re.compile(r"[\s>|\"'+]*(?:[A-Za-z0-9+/=]*|[A-Za-z\-]{2,20}: .{0,80})(?:\\[nr]|[\s\"',+])*")
"""A line of a key, or one of its headers."""


def mask_stream(source: BinaryIO, target: BinaryIO, policy: Policy | None = None) -> None:
    """Copy UTF-8 text without what the policy takes out; bytes that are no UTF-8 stay as they are."""
    lines = Lines(policy or Policy())
    target.writelines(lines.masked(part).encode("utf-8", "surrogateescape") for part in _parts(source))
    target.write(lines.rest().encode("utf-8", "surrogateescape"))
    target.flush()


def _parts(source: BinaryIO) -> Iterator[str]:
    """Yield lines with their ends; of long ones parts, cut between characters."""
    held = b""
    while line := source.readline(WINDOW):
        held += line
        cut = len(held) if held.endswith(b"\n") else _boundary(held)
        yield held[:cut].decode("utf-8", "surrogateescape")
        held = held[cut:]
    yield held.decode("utf-8", "surrogateescape")


def _boundary(data: bytes) -> int:
    """Return where the last character begins, if it may be incomplete."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] >= 0xC0:  # noqa: PLR2004 - the first byte of a longer character
            return len(data) - back
        if data[-back] < 0x80:  # noqa: PLR2004 - ASCII
            break
    return len(data)


@dataclass(slots=True)
class Lines:
    """What is known of the line that is being read."""

    policy: Policy
    _held: str = field(default="", init=False)
    _context: int = field(default=0, init=False)
    _in_value: bool = field(default=False, init=False)
    _in_block: bool = field(default=False, init=False)

    def masked(self, part: str) -> str:
        if part.endswith("\n"):
            return self._line(part)
        self._held += self._without_value(part)
        return self._window() if len(self._held) > self._context + WINDOW + _AHEAD else ""

    def rest(self) -> str:
        return self._line("")

    def _line(self, part: str) -> str:
        text = self._held + self._without_value(part)
        masked = self._replaced(text, find(text), len(text))
        self._held, self._context, self._in_value = "", 0, False
        return masked

    def _without_value(self, part: str) -> str:
        """Leave out the rest of a value that was longer than a window."""
        if self._in_value:
            end = re.search(r"[\s\"'<>]|\Z", part)
            part = part[end.start() :] if end else ""
            self._in_value = not part
        return part

    def _window(self) -> str:
        found = find(self._held)
        cut = len(self._held) - _AHEAD
        for one in found:
            if one.start < cut < one.end:
                self._in_value = one.end == len(self._held)
                cut = one.end
        masked = self._replaced(self._held[:cut], found, cut)
        kept = max(0, cut - _CONTEXT)
        self._held, self._context = self._held[kept:], cut - kept
        return masked

    def _replaced(self, text: str, found: list[Finding], end: int) -> str:
        if self._in_block or BLOCK.search(text, self._context):
            return self._block(text)
        parts, position = [], self._context
        for one in found:
            if one.end > position and one.start < end:
                parts += [text[position : one.start], self.policy.replaced(text[one.start : one.end], one.kind)]
                position = one.end
        return "".join([*parts, text[position:end]])

    def _block(self, text: str) -> str:
        """Take out a private key that is spread over lines: only its first line says what it is."""
        new, parts = text[self._context :], []
        while new:
            inside, new = (self._inside if self._in_block else self._outside)(new)
            parts.append(inside)
        return "".join(parts)

    def _outside(self, new: str) -> tuple[str, str]:
        begin = BLOCK.search(new)
        if begin is None:
            return mask(new, self.policy), ""
        self._in_block = True
        return mask(new[: begin.start()], self.policy) + self.policy.replaced(begin.group(), Kind.SECRET), new[
            begin.end() :
        ]

    def _inside(self, new: str) -> tuple[str, str]:
        """Leave the key at its end, or where something else goes on: what begins may have been cut off."""
        end = BLOCK_END.search(new)
        self._in_block = end is None and _BODY.fullmatch(new) is not None
        if end:
            return "", new[end.end() :]
        return ("\n" if new.endswith("\n") else "", "") if self._in_block else ("", new)
