"""The queues between the API and the tasks' Lambdas, as this library needs them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

MESSAGE_LIMIT = 1_048_576
"""Bytes of one message, and of one batch together (SQS quota since August 2025)."""

GROUP = re.compile(r"[!-~]{1,128}")
"""A MessageGroupId (SendMessage): up to 128 letters, digits and punctuation marks; the owner is one."""

MAX_DELAY = 900
"""Seconds that SQS can delay a message when it is sent."""

MAX_PUT_OFF = 43_200 - 60
"""Seconds that a message in flight is put off at most: SQS takes 12 hours, counted from when it was received."""

ATTRIBUTES = 1_024
"""Bytes kept free of the limit for what travels beside the body (trace header, reason)."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent. `delay` in seconds; what SQS cannot delay that long, the claim puts off further."""

    task: str
    body: str
    group: str
    delay: float = 0.0

    @property
    def size(self) -> int:
        return len(self.body.encode())


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as a Lambda event brings it. `sent` in seconds since the epoch; `attributes` as strings.

    `group` is its MessageGroupId, empty where it has none.
    """

    id: str
    receipt: str
    body: str
    receives: int
    sent: float
    attributes: dict[str, str]
    group: str = ""


class Queues(Protocol):
    """Where messages go. Services that do not answer raise `errors.Unavailable`."""

    def send(self, messages: list[Outgoing]) -> None:
        """Send all messages; raise Unavailable, naming the tasks, where any was refused."""

    def bury(self, message: Incoming, reason: str, error: str) -> None:
        """Send a message on to the dead-letter queue with the reason why it could not be done."""

    def put_off(self, task: str, message: Incoming, seconds: float) -> None:
        """Make a message that is in flight visible again after so many seconds (ChangeMessageVisibility)."""

    def put_off_dead_letter(self, message: Incoming, seconds: float) -> None:
        """The same for a message of the dead-letter queue."""


class Blobs(Protocol):
    """Objects that are too large for a message, or must outlive every queue."""

    def put(self, key: str, text: str) -> None: ...

    def put_once(self, key: str, text: str) -> None:
        """Write an object where none stands; an existing one is left as it is."""

    def get(self, key: str) -> str:
        """Read an object; raise BadMessage where it is gone."""

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Find the keys that begin with `prefix` and come behind `after`, in their order, page by page."""

    def put_bytes(self, key: str, body: bytes, content_type: str) -> None:
        """Write an object of any type, for `link`."""

    def link(self, key: str, seconds: int, filename: str) -> str:
        """Return a URL at which anybody who has it can download the object for so many seconds, as a file."""
