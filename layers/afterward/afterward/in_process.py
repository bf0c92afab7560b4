"""`AFTERWARD_STORE=memory`: the queues' consumer for one-file apps, in a thread of the web process."""

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

from afterward.backend import Backend
from afterward.dead_letters import DeadLetters
from afterward.declaration import REGISTRY
from afterward.memory import DEAD_LETTERS, MemoryQueues
from afterward.queues import Incoming

logger = logging.getLogger(__name__)

INVOCATION = 900.0
"""Seconds that one invocation may last, as on Lambda."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """The part of Lambda's context that a worker uses."""

    seconds: float = INVOCATION
    aws_request_id: str = "in-process"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@dataclass(slots=True)
class Consumer:
    """Hands the messages of memory queues to the workers of this process, one at a time."""

    backend: Backend
    context: Invocation = field(default_factory=Invocation)

    @property
    def queues(self) -> MemoryQueues:
        queues = self.backend.queues
        if not isinstance(queues, MemoryQueues):
            raise TypeError("only queues in memory can be consumed in process")
        return queues

    def step(self) -> bool:
        """Handle one message of each queue that has one now; say whether there was any."""
        handled = [self._handle(name) for name in self.queues.names()]
        return any(handled)

    def _handle(self, name: str) -> bool:
        received = self.queues.receive(name)
        for message in received:
            answer = self._invoke(name, message)
            kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            self.queues.delete(name, [message for message in received if message.id not in kept])
        return bool(received)

    def _invoke(self, name: str, message: Incoming) -> dict[str, Any]:
        event = {"Records": [as_record(message)]}
        if name == DEAD_LETTERS:
            return DeadLetters.run(event, self.context, self.backend)
        task = REGISTRY.get(name)
        worker = task.implemented if task else None
        if worker is None:
            self.queues.bury(message, f"task {name!r} has no implementation in this process", "NoImplementation")
            return {"batchItemFailures": []}
        return worker.run(event, self.context, self.backend)


def as_record(message: Incoming) -> dict[str, Any]:
    """Return a message in the shape in which a Lambda event brings it."""
    return {
        "eventSource": "aws:sqs",
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(int(message.sent * 1000)),
        },
        "messageAttributes": {name: {"stringValue": text} for name, text in message.attributes.items()},
    }


def start(backend: Backend) -> None:
    """Consume the backend's queues in a daemon thread for as long as the process lives."""
    threading.Thread(target=_consume, args=(Consumer(backend),), name="afterward", daemon=True).start()


def _consume(consumer: Consumer) -> None:
    queues = consumer.queues
    while True:
        if not consumer.step():
            visible = queues.next_visible()
            wait = None if visible is None else max(0.01, visible - consumer.backend.clock.now())
            queues.arrived.wait(wait)
            queues.arrived.clear()
