"""An end to a whole exchange: the timeouts of sockets start anew with every byte, and those of names do not exist."""

import io
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds until then; raise TimeoutError where it is over."""
        seconds = self.at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the time is over")
        return seconds

    def within(self, call: Callable[[], T]) -> T:
        """Wait no longer for a call that cannot be told when to end; its thread ends when the call does."""
        outcome: Future[T] = Future()

        def work() -> None:
            try:
                outcome.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                outcome.set_exception(error)

        left = self.left()
        threading.Thread(target=work, name="within", daemon=True).start()
        return outcome.result(left)


class Punctual:
    """As much of a connected socket as http.client uses, no part of which waits beyond the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self))

    def recv_into(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        return self._sock.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            self._sock.settimeout(self._deadline.left())
            left = left[self._sock.send(left[:_PIECE]) :]

    def settimeout(self, _seconds: float | None) -> None:
        """Keep to the deadline."""

    def close(self) -> None:
        """Leave it to whoever has opened the socket: http.client closes it before the body is read."""


class _Incoming(io.RawIOBase):
    def __init__(self, sock: Punctual) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._sock.recv_into(buffer)
