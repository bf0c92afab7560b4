"""Envelopes on their way into a message: those too large for one lie in S3, and the message points at them."""

from collections.abc import Iterable

from afterward.envelope import Envelope, dumps, dumps_rest, loads, pointer, stored_at
from afterward.queues import ATTRIBUTES, MESSAGE_LIMIT, Blobs, Outgoing


def pack_all(envelopes: Iterable[Envelope], blobs: Blobs) -> list[Outgoing]:
    """Return the messages of envelopes, each with its own delay. What follows a group is written once for all of it."""
    written: dict[int, str] = {}
    return [
        pack(
            one,
            blobs,
            one.delay,
            rest=written.get(id(one.rest)) or written.setdefault(id(one.rest), dumps_rest(one.rest)),
        )
        for one in list(envelopes)
    ]


def pack(envelope: Envelope, blobs: Blobs, delay: float = 0.0, *, rest: str | None = None) -> Outgoing:
    """Return the message of an envelope, storing its body first where SQS would refuse it."""
    body = dumps(envelope, rest)
    if len(body.encode()) > MESSAGE_LIMIT - ATTRIBUTES:
        key = f"envelopes/{envelope.owner}/{envelope.id}/{envelope.run}-{envelope.leg}.json"
        blobs.put(key, body)
        body = pointer(key, envelope)
    return Outgoing(envelope.task, body, envelope.group or envelope.owner, delay)


def unpack(body: str, blobs: Blobs) -> Envelope:
    """Return the envelope of a message, or raise BadMessage with the reason why there is none."""
    key = stored_at(body)
    return loads(body if key is None else blobs.get(key))
