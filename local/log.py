"""One readable stream of what all functions write."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from afterward.pii import mask, sanitised

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOLD, _DIM, _RED, _YELLOW = "1", "2", "31", "33"
_LEVELS = {"ERROR": _RED, "CRITICAL": _RED, "WARNING": _YELLOW, "DEBUG": _DIM}
_SOURCES = ("36", "32", "35", "34", "33", "96", "92", "95", "94")
# What a line shows already, and what is the same in each line of a function.
_SHOWN = {"level", "message", "timestamp", "job_id", "task", "exception", "exception_name", "stack_trace"}
_CONSTANT = {"location", "service", "cold_start", "xray_trace_id", "aws_request_id", "request_id", "message_id"} | {
    f"function_{name}" for name in ("name", "memory_size", "arn", "request_id")
}
_KEPT = 20_000


@dataclass(frozen=True)
class Line:
    """One line of one function, or of the local cloud itself."""

    source: str
    text: str
    at: float = field(default_factory=time.time)
    fields: Mapping[str, Any] | None = None
    """The line's content if it is a JSON object, as structured loggers write it."""


class Log:
    """Keeps the last lines, and shows them as they come if there is a stream to show them on."""

    def __init__(self, stream: TextIO | None) -> None:
        self.lines: deque[Line] = deque(maxlen=_KEPT)
        self._stream = stream
        self._colour = stream is not None and stream.isatty() and not os.environ.get("NO_COLOR")
        self._sources: dict[str, str] = {}

    def output(self, source: str, text: str) -> None:
        """Take what a function wrote: a line, or a message of several."""
        for part in [text] if text.startswith("{") else text.replace("\xa0", " ").replace("\r", "\n").split("\n"):
            self._add(Line(source, part, fields=_fields(part)))

    def note(self, source: str, text: str) -> None:
        """Say something about a function, in the background."""
        self._add(Line(source, text), style=_DIM)

    def _add(self, line: Line, style: str | None = None) -> None:
        self.lines.append(line)
        if self._stream is None:
            return
        try:
            self._stream.write(self._shown(line, style) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None  # whoever read it is gone

    def _shown(self, line: Line, style: str | None) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(line.at)) + f".{int(line.at % 1 * 1000):03}"
        source = self._sources.setdefault(line.source, _SOURCES[len(self._sources) % len(_SOURCES)])
        # The screen is no destination: a path, a mail or what a task prints may hold what belongs to somebody.
        text = self._structured(sanitised(line.fields)) if line.fields else self._painted(mask(line.text), style)
        return f"{self._painted(at, _DIM)} {self._painted(f'{line.source:<18}', source)} {text}"

    def _structured(self, fields: Mapping[str, Any]) -> str:
        level = str(fields.get("level", ""))
        job = " ".join(str(fields[name]) for name in ("task", "job_id") if fields.get(name))
        rest = " ".join(f"{k}={v}" for k, v in fields.items() if k not in _SHOWN | _CONSTANT and v is not None)
        message = self._painted(f"{level} {fields.get('message', '')}".strip(), _LEVELS.get(level))
        text = "  ".join(part for part in (message, self._painted(job, _BOLD), self._painted(rest, _DIM)) if part)
        exception = fields.get("exception")
        return f"{text}\n{self._painted(str(exception), _LEVELS.get(level))}" if exception else text

    def _painted(self, text: str, style: str | None) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour and style and text else text


def _fields(text: str) -> Mapping[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
