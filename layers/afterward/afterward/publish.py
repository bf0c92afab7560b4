"""Step 1 of the way of a job: accepting it, so that it is durable before the caller is told so.

Ids made here are *sent first, then put*: the message carries everything and the worker makes a missing record, so there
is no moment in which a promised job has no message, and a refused send leaves nothing behind. Ids chosen by the caller
are *put first*, on the condition that they are free; if the send then fails, the record is taken back.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from afterward.backend import Backend
from afterward.envelope import Envelope, Link, link_fields
from afterward.errors import AfterwardError, IdTaken, Unavailable
from afterward.parcel import pack
from afterward.records import Held, Record, queued

if TYPE_CHECKING:
    from afterward.envelope import Json

logger = logging.getLogger(__name__)

DERIVED = uuid.UUID("6f0c9f0e-52d5-5d6e-9d0b-3f1c9a4be7a1")
"""Namespace (RFC 9562, version 5) of ids that follow from others: a repeat of a request must name the same jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One `add_task`, checked and encoded. `chosen`: the id comes from the caller, by `id=` or from `key=`.

    `replayable`: finding the same call under that id is success, as an idempotency key promises.
    """

    id: str
    task: str
    created: str
    version: int
    arguments: Mapping[str, "Json"]
    max_attempts: int
    chosen: bool = False
    replayable: bool = False
    even_if_failed: bool = False
    delay: float = 0.0
    group: str = ""


def derived_id(*parts: str) -> str:
    return str(uuid.uuid5(DERIVED, "\n".join(parts)))


def publish(backend: Backend, owner: str, chains: Sequence[Sequence[Call]]) -> None:
    """Make the jobs of all chains durable, or raise: Unavailable (nothing is promised) or IdTaken.

    Costs one message per chain, in batches of 10 per queue, and one conditional put or one transaction per 100 records.
    """
    now = backend.clock.now()
    promises = [_Promise(_envelope(owner, chain, now), chain) for chain in chains if chain]
    made: list[Record] = []
    try:
        due = [due for promise in promises if (due := _reserve(backend, promise, made, now)) is not None]
        backend.queues.send([pack(one.envelope, backend.blobs, one.calls[0].delay) for one in due])
    except AfterwardError:
        _take_back(backend, made)
        raise
    reserved = {record.id for record in made}
    _put(backend, [record for one in due for record in one.records(backend, now) if record.id not in reserved])
    for promise in promises:
        if promise.repeated and not promise.calls[0].replayable:
            raise IdTaken(promise.envelope.id)


@dataclass(slots=True)
class _Promise:
    """One chain on its way to being accepted. `repeated`: the same chain was accepted before, under a chosen id."""

    envelope: Envelope
    calls: Sequence[Call]
    repeated: bool = False

    def records(self, backend: Backend, now: float) -> list[Record]:
        links = zip((self.envelope, *self.envelope.rest), self.calls, strict=True)
        return [
            queued(self.envelope, link, limit=call.max_attempts, shards=backend.shards, now=now) for link, call in links
        ]


def _reserve(backend: Backend, promise: _Promise, made: list[Record], now: float) -> _Promise | None:
    """Put the records of the chosen ids first; return the promise if its message must be sent, None if it is under way.

    A repeat that finds its job with no attempt begun sends again: the first request may have died between put and send,
    or could not take back every record of a chain that it had put.
    """
    if not any(call.chosen for call in promise.calls):
        return promise
    promise.envelope = replace(promise.envelope, digest=_digest(backend, promise))
    records = promise.records(backend, now)
    chosen = [record for record, call in zip(records, promise.calls, strict=True) if call.chosen]
    ids = [record.id for record in records]
    for record in chosen:
        if ids.count(record.id) > 1:
            raise IdTaken(record.id)
        made.append(record)  # before the answer: what is written by a put whose reply is lost has to be taken back too
        outcome = backend.records.add(record)
        if isinstance(outcome, Held):
            made.remove(record)
            stands = outcome.record
            if stands is None or (stands.digest, stands.chain) != (record.digest, record.chain):
                raise IdTaken(record.id)
            if record is records[0]:
                promise.repeated = True
                promise.envelope = replace(promise.envelope, run=stands.run)
                return promise if stands.untouched else None
    return promise


def _digest(backend: Backend, promise: _Promise) -> str:
    return backend.digests.of([[call.task, dict(call.arguments)] for call in promise.calls])


def _take_back(backend: Backend, made: list[Record]) -> None:
    """Remove what was put first; a record that cannot be removed is completed by the repeat that the 503 asks for."""
    for record in made:
        try:
            backend.records.remove(record)
        except Unavailable:
            logger.exception("the record of a refused job could not be taken back", extra={"job_id": record.id})


def _put(backend: Backend, records: list[Record]) -> None:
    """Write the records of jobs whose message is sent: the promise holds, so a failure does not fail the request."""
    if not records:
        return
    try:
        backend.records.add_all(records)
    except Unavailable:
        logger.exception("records will be made by their workers", extra={"job_id": records[0].id})


def _envelope(owner: str, chain: Sequence[Call], now: float) -> Envelope:
    head = chain[0]
    return Envelope(
        **link_fields(head),
        owner=owner,
        created=head.created,
        not_before=now + head.delay if head.delay else 0.0,
        group=head.group,
        chain=head.id,
        rest=tuple(Link(**link_fields(call)) for call in chain[1:]),
    )
