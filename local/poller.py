"""Lambda's poller of an SQS queue: messages become events, and what the function returns says which are done.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.account import REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from local.function import Function
    from local.log import Log
    from local.runtime import Outcome
    from local.stack import QueueSource

Messages = list[dict[str, Any]]
_AT_ONCE = 10
"""Messages that SQS receives or deletes in one request."""
_LONG_POLL = 20


class Poller:
    """Polls one queue for one function, with no more batches under way than the function may run."""

    def __init__(self, source: QueueSource, function: Function, sqs: Any, threads: Executor, log: Log) -> None:
        self._source = source
        self._function = function
        self._sqs = sqs
        self._threads = threads
        self._log = log
        self._capacity = min(function.concurrency, source.concurrency or function.concurrency)
        self._under_way: set[asyncio.Task[None]] = set()
        self._done: Messages = []
        self._deletions: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Poll until cancelled, unless the function may never run; what is under way ends with it."""
        try:
            await self._poll()
        finally:
            for task in (*self._under_way, *self._deletions):
                task.cancel()

    async def _poll(self) -> None:
        while self._capacity:
            while len(self._under_way) >= self._capacity:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            try:
                for batch in await self._batches(self._capacity - len(self._under_way)):
                    _start(self._handle(batch), self._under_way)
            except (BotoCoreError, ClientError) as error:
                self._log.note(self._function.settings.name, f"{self._source.queue_url} cannot be polled: {error}")
                await asyncio.sleep(1)

    async def _batches(self, wanted: int) -> list[Messages]:
        """Receive up to so many batches: one that may wait to be full, or several that need not."""
        size = self._source.batch_size
        if self._source.window:
            return [batch] if (batch := await self._collected()) else []
        messages = await self._receive(min(_AT_ONCE, wanted * size), _LONG_POLL)
        return [messages[start : start + size] for start in range(0, len(messages), size)]

    async def _collected(self) -> Messages:
        """Gather a batch until it is full or its window is over."""
        size = self._source.batch_size
        messages = await self._receive(min(_AT_ONCE, size), _LONG_POLL)
        end = time.monotonic() + self._source.window
        while messages and len(messages) < size and (remaining := end - time.monotonic()) > 0:
            messages += await self._receive(
                min(_AT_ONCE, size - len(messages)), min(_LONG_POLL, max(1, int(remaining)))
            )
        return messages

    async def _receive(self, count: int, wait: int) -> Messages:
        received: dict[str, Any] = await self._call(
            self._sqs.receive_message,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        messages: Messages = received.get("Messages", [])
        return messages

    async def _handle(self, batch: Messages) -> None:
        event = {"Records": [record(message, self._source.queue_arn) for message in batch]}
        outcome = await self._function.invoke(json.dumps(event).encode())
        remaining = kept(outcome, {message["MessageId"] for message in batch}, partial=self._source.reports_failures)
        # What remains becomes visible again by itself; Lambda does not hurry it.
        self._delete([message for message in batch if message["MessageId"] not in remaining])

    def _delete(self, messages: Messages) -> None:
        """Delete together what is done at about the same time."""
        self._done += messages
        if self._done and all(task.done() for task in self._deletions):
            _start(self._delete_all(), self._deletions)

    async def _delete_all(self) -> None:
        while self._done:
            batch, self._done = self._done[:_AT_ONCE], self._done[_AT_ONCE:]
            entries = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(batch)]
            try:
                await self._call(self._sqs.delete_message_batch, Entries=entries)
            except (BotoCoreError, ClientError) as error:
                self._log.note(self._function.settings.name, f"Messages cannot be deleted: {error}")

    async def _call(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        bound = partial(operation, QueueUrl=self._source.queue_url, **arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, bound)


def _start(work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def record(message: Mapping[str, Any], queue_arn: str) -> dict[str, Any]:
    """Spell a message as Lambda does."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()},
        **({"md5OfMessageAttributes": md5} if (md5 := message.get("MD5OfMessageAttributes")) else {}),
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    spelled: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        spelled["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        spelled["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return spelled


def kept(outcome: Outcome, sent: set[str], *, partial: bool) -> set[str]:
    """Give the ids of the messages that are not done, by Lambda's rules for what a function returns.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
    """
    if outcome.failed:
        return sent
    if not partial:
        return set()
    try:
        failures = _failures(json.loads(outcome.payload))
    except (TypeError, ValueError, KeyError):
        return sent
    return failures if failures.issubset(sent) else sent


def _failures(returned: Any) -> set[str]:
    """Read the listed ids; nothing at all means that all went well, and anything malformed that nothing did."""
    if not returned and returned != "":
        return set()
    listed: Sequence[Any] | None = _mapping(returned).get("batchItemFailures")
    if listed is not None and not isinstance(listed, list):
        raise TypeError
    return set(_ids(listed or []))


def _ids(listed: Iterable[Any]) -> Iterable[str]:
    for failure in listed:
        identifier = _mapping(failure)["itemIdentifier"]
        if not isinstance(identifier, str):
            raise TypeError
        yield identifier


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value
