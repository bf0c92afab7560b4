"""SQS events as Lambda delivers them.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from afterward import log
from afterward.errors import UsageError
from afterward.queues import Incoming

logger = logging.getLogger(__name__)


class Context(Protocol):
    """What this library uses of Lambda's context object."""

    @property
    def aws_request_id(self) -> str: ...
    def get_remaining_time_in_millis(self) -> int: ...


class GiveBack(Exception):
    """The message stays on its queue: it is listed in `batchItemFailures`."""


Response = dict[str, list[dict[str, str]]]


def messages(event: Any) -> Iterator[Incoming]:
    """Yield the messages of an event, or raise UsageError where it is none of SQS."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list) or not all(_of_sqs(record) for record in records):
        raise UsageError("this function takes SQS events; see the examples in events/")
    for record in records:
        attributes = record.get("attributes", {})
        yield Incoming(
            id=record["messageId"],
            receipt=record["receiptHandle"],
            body=record["body"],
            receives=int(attributes.get("ApproximateReceiveCount", 1)),
            sent=int(attributes.get("SentTimestamp", 0)) / 1000,
            attributes={
                name: value.get("stringValue", "") for name, value in record.get("messageAttributes", {}).items()
            },
            group=attributes.get("MessageGroupId", ""),
        )


def _of_sqs(record: Any) -> bool:
    return isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs"


def settle_all(event: Mapping[str, Any], settle: Callable[[Incoming], None]) -> Response:
    """Settle message by message, and return the partial batch response that keeps those that are not done with.

    Whatever one message raises costs only itself.
    """
    kept: list[str] = []
    for message in messages(event):
        with log.context(message_id=message.id):
            try:
                settle(message)
            except GiveBack:
                kept.append(message.id)
            except Exception:
                logger.exception("the message stays on its queue")
                kept.append(message.id)
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in kept]}
