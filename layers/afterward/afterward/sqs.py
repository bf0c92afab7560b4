"""Queues in Amazon SQS, by the low-level client."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from afterward.aws import answering
from afterward.errors import Unavailable, UsageError
from afterward.queues import MAX_DELAY, MAX_PUT_OFF, MESSAGE_LIMIT, Incoming, Outgoing

BATCH = 10
"""Entries of one SendMessageBatch (service quota)."""

REASON, ERROR = 750, 100
"""Bytes of a reason and of an exception's name that travel beside a dead letter: less than `queues.ATTRIBUTES`."""

_REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What SQS takes neither in a body nor in an attribute (SendMessage: XML's character set)."""


class SqsQueues:
    """`urls` by task name; standard queues, with the owner as MessageGroupId so that they are fair queues.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """

    def __init__(self, client: Any, urls: Mapping[str, str], dead_letters: str) -> None:
        self._client = client
        self._urls = urls
        self._dead_letters = dead_letters

    def send(self, messages: list[Outgoing]) -> None:
        for url, chosen in groupby(sorted(messages, key=self._url), key=self._url):
            for batch in _batches(list(chosen)):
                if len(batch) == 1:
                    self._call("send_message", QueueUrl=url, **_entry(batch[0]))
                else:
                    self._send_together(url, batch)

    def bury(self, message: Incoming, reason: str, error: str) -> None:
        told = {"reason": _told(reason, REASON), "error": _told(error, ERROR), "message": message.id}
        # One owner's failures hold up nobody else's archiving.
        group = {"MessageGroupId": message.group} if message.group else {}
        self._call(
            "send_message",
            QueueUrl=self._dead_letters,
            MessageBody=message.body,
            MessageAttributes={
                # SQS refuses empty values.
                name: {"DataType": "String", "StringValue": text}
                for name, text in told.items()
                if text
            },
            **group,
        )

    def put_off(self, task: str, message: Incoming, seconds: float) -> None:
        self._change(self._url_of(task), message, seconds)

    def put_off_dead_letter(self, message: Incoming, seconds: float) -> None:
        self._change(self._dead_letters, message, seconds)

    def _change(self, url: str, message: Incoming, seconds: float) -> None:
        timeout = max(0, min(MAX_PUT_OFF, math.ceil(seconds)))
        self._call("change_message_visibility", QueueUrl=url, ReceiptHandle=message.receipt, VisibilityTimeout=timeout)

    def _send_together(self, url: str, batch: list[Outgoing]) -> None:
        entries = [_entry(message) | {"Id": str(index)} for index, message in enumerate(batch)]
        for _ in range(2):
            failed = self._call("send_message_batch", QueueUrl=url, Entries=entries).get("Failed", [])
            if not failed:
                return
            refused = {one["Id"] for one in failed}
            entries = [entry for entry in entries if entry["Id"] in refused]
        raise Unavailable(f"SQS refused {len(entries)} of {len(batch)} messages for {batch[0].task}")

    def _url(self, message: Outgoing) -> str:
        return self._url_of(message.task)

    def _url_of(self, task: str) -> str:
        try:
            return self._urls[task]
        except KeyError:
            variable = f"AFTERWARD_QUEUE_{task.upper()}"
            raise UsageError(f"task {task!r} has no queue here: {variable} is not set") from None

    def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        call: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        with answering("SQS"):
            return call(**request)


def _told(text: str, limit: int) -> str:
    return _REFUSED.sub("\ufffd", text).encode()[:limit].decode(errors="ignore")


def _batches(messages: list[Outgoing]) -> Iterator[list[Outgoing]]:
    batch: list[Outgoing] = []
    for message in messages:
        if batch and (len(batch) == BATCH or sum(one.size for one in batch) + message.size > MESSAGE_LIMIT):
            yield batch
            batch = []
        batch.append(message)
    yield batch


def _entry(message: Outgoing) -> dict[str, Any]:
    entry: dict[str, Any] = {"MessageBody": message.body, "MessageGroupId": message.group}
    if message.delay > 0:
        entry["DelaySeconds"] = min(MAX_DELAY, math.ceil(message.delay))
    return entry
