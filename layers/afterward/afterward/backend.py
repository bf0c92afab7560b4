"""The stores that one process works with: AWS's by the environment variables, or the ones in memory."""

import logging
import os
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from afterward.clock import Clock, SystemClock
from afterward.errors import SettingError

if TYPE_CHECKING:
    from afterward.digest import Digests
    from afterward.queues import Blobs, Queues
    from afterward.records import Records

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Everything that accepting and running jobs needs. `shards` spreads the listing of an owner's jobs."""

    records: "Records"
    queues: "Queues"
    blobs: "Blobs"
    digests: "Digests"
    clock: Clock = field(default_factory=SystemClock)
    shards: int = 4


@cache
def backend() -> Backend:
    """Return this process's backend, made on first use (in a Lambda: at init).

    `AFTERWARD_STORE=memory` runs jobs inside this process; without it the variables of `afterward.settings` are needed.
    """
    store = os.environ.get("AFTERWARD_STORE", "aws")
    if store == "memory":
        return _in_process()
    if store != "aws":
        raise SettingError(f"environment variable AFTERWARD_STORE must be 'aws' or 'memory', got {store!r}")
    return _on_aws()


def _on_aws() -> Backend:
    from afterward.aws import client  # noqa: PLC0415 - botocore stays away from processes that work in memory
    from afterward.digest import SecretDigests  # noqa: PLC0415 - as above
    from afterward.dynamodb import DynamoDBRecords  # noqa: PLC0415 - as above
    from afterward.s3 import S3Blobs  # noqa: PLC0415 - as above
    from afterward.settings import Settings  # noqa: PLC0415 - as above
    from afterward.sqs import SqsQueues  # noqa: PLC0415 - as above

    settings, clock = Settings.from_environment(), SystemClock()
    return Backend(
        records=DynamoDBRecords(client("dynamodb"), settings.jobs_table, clock),
        queues=SqsQueues(client("sqs"), settings.queues, settings.dead_letter_queue),
        blobs=S3Blobs(lambda: client("s3"), settings.bucket),
        digests=SecretDigests(settings.digest_secret),
        clock=clock,
        shards=settings.listing_shards,
    )


def in_memory(clock: Clock | None = None) -> Backend:
    """Return a backend of its own in this process's memory; nothing runs its jobs but `afterward.testing` or a test."""
    from afterward.digest import KeyedDigests  # noqa: PLC0415 - hashing, and only where it is used
    from afterward.memory import MemoryBlobs, MemoryQueues, MemoryRecords  # noqa: PLC0415 - never on Lambda's path

    clock = clock or SystemClock()
    return Backend(
        records=MemoryRecords(clock),
        queues=MemoryQueues(clock),
        blobs=MemoryBlobs(),
        digests=KeyedDigests(os.urandom(32)),
        clock=clock,
    )


def _in_process() -> Backend:
    from afterward.in_process import start  # noqa: PLC0415 - threads, and only where they are asked for

    logger.warning("AFTERWARD_STORE=memory: jobs run inside this process and are lost when it ends")
    made = in_memory()
    start(made)
    return made
