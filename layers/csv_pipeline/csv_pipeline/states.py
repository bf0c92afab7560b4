"""What bytes of a CSV file mean, given the state in which the file is before them.

The rules are those of Python's csv module: a quote opens a field only where the field begins, `""` in it is a quote,
and what follows its closing quote goes on unquoted. All that matters of a file can be told from its *runs* of quotes:

- a run of an even number changes nothing;
- an odd one behind a delimiter or a line end opens a field, or closes the one that is open;
- an odd one behind any other byte closes the field that is open, and is part of the text where none is.

So a file is read by a few passes of `bytes` methods that leave only line ends and runs, and not byte by byte.
"""

import re
from enum import StrEnum

TILE = 65_536
"""Bytes to read at once: they stay in the processor's cache over all passes."""

_OPENING, _CLOSING = b"\r", b'"'
"""What runs become: line ends are all LF by then, so CR is free."""

_QUOTED = re.compile(rb'\r\n*+[\r"]')
_REST = bytes(set(range(256)) - set(b'\r\n"'))


class State(StrEnum):
    """Between two bytes of a file.

    RECORD: a record begins. RETURN: the same behind a CR, so that a following LF belongs to the record before. FIELD:
    another field begins. PLAIN: in a field, outside quotes. QUOTED: inside quotes. QUOTE: behind a quote in there,
    which closes the field unless another one follows.
    """

    RECORD = "record"
    RETURN = "return"
    FIELD = "field"
    PLAIN = "plain"
    QUOTED = "quoted"
    QUOTE = "quote"


class Reader:
    """Reads files with this delimiter: one ASCII character, neither a quote nor CR or LF."""

    def __init__(self, delimiter: str) -> None:
        self._opening = delimiter.encode("ascii") + b'"'
        self._behind = {10: State.RECORD, 13: State.RETURN, ord(delimiter): State.FIELD}

    def read(self, state: State, data: bytes) -> tuple[State, int]:
        """Return the state behind `data`, and how many records end in it. A record ends with its CR or LF."""
        body = data.strip(b'"')
        leading = len(data) - len(data.lstrip(b'"'))
        state = _behind_quotes(state, leading)
        if not body:
            return state, 0
        quoted, ended = self._read(body, quoted=state is State.QUOTED)
        if state is State.RETURN and body.startswith(b"\n"):
            ended -= 1
        state = State.QUOTED if quoted else self._behind.get(body[-1], State.PLAIN)
        return _behind_quotes(state, len(data) - leading - len(body)), ended

    def behind(self, record: int, state: State, data: bytes) -> int:
        """Return where the 1st, 2nd, … record that ends in `data` has ended, behind a LF that belongs to its CR.

        `data` must hold the end of that record. The work is that of reading `data` once more, at most.
        """
        at, rest = 0, data
        while len(rest) > 1:
            half = rest[: len(rest) // 2]
            after, ended = self.read(state, half)
            if ended >= record:
                rest = half
            else:
                at, record, state, rest = at + len(half), record - ended, after, rest[len(half) :]
        return at + (2 if data[at : at + 2] == b"\r\n" else 1)

    def _read(self, body: bytes, *, quoted: bool) -> tuple[bool, int]:
        """Return whether a quoted field is open behind `body`, which has no quote at either end, and its line ends."""
        if b'"' not in body:
            return quoted, 0 if quoted else _line_ends(body)
        runs = (_OPENING if quoted else b"") + self._runs(body)
        # A quoted field without line ends is as good as none: what closes it leads outside in any case.
        runs = runs.replace(_OPENING + _CLOSING, _CLOSING)
        outside, still_open, _ = _QUOTED.sub(b"", runs).partition(_OPENING)
        return bool(still_open), outside.count(b"\n")

    def _runs(self, body: bytes) -> bytes:
        if b"\r" in body:
            body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        body = body.replace(b'""', b"").replace(b'\n"', b"\n" + _OPENING).replace(self._opening, _OPENING)
        return body.translate(None, _REST)


def _behind_quotes(state: State, count: int) -> State:
    if state is State.PLAIN or not count:
        return state
    if state is State.QUOTED:
        count += 1
    elif state is State.QUOTE:
        count += 2
    return State.QUOTED if count % 2 else State.QUOTE


def _line_ends(body: bytes) -> int:
    ends = body.count(b"\n")
    return ends + body.count(b"\r") - body.count(b"\r\n") if b"\r" in body else ends
