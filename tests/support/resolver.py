"""`socket.getaddrinfo` without a network."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class TableResolver:
    """Answers for names by `names`, each answer once and the last one again and again; reads numbers as libc does.

    `asked` holds what was looked up.
    """

    names: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int, *_: Any) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        earlier = self.asked.count(host)
        self.asked.append(host)
        if answers := self.names.get(host.rstrip(".")):
            return [_row(address, port) for address in answers[min(earlier, len(answers) - 1)]]
        return [_row(host if ":" in host else _number(host), port)]


def _number(host: str) -> str:
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


def _row(address: str, port: int) -> tuple[int, int, int, str, tuple[Any, ...]]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)
