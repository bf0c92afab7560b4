"""Messages and their handlers, over both kinds of stores: deliver until nothing is left that can be delivered now."""

from afterward import Discard
from afterward.backend import Backend
from afterward.dead_letters import DeadLetters
from afterward.memory import DEAD_LETTERS, MemoryBlobs, MemoryQueues
from afterward.queues import Incoming
from afterward.s3 import S3Blobs
from afterward.sqs import SqsQueues
from afterward.worker import Worker
from tests.support.cloud import BUCKET
from tests.support.jobs import DECLARED, FIRST, SECOND, THIRD, deliver

Handler = Worker | DeadLetters

LETTERS = DeadLetters()


class Works:
    """Workers of all three tasks: they note what ran, by its text, and fail for good where the text is in `failing`."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.ran: list[str] = []
        self.workers = [Worker(DECLARED[name], self._work) for name in (FIRST, SECOND, THIRD)]

    def drain(self, using: Backend) -> None:
        drain(using, *self.workers, LETTERS)

    def _work(self, text: str) -> None:
        self.ran.append(text)
        if text in self.failing:
            raise Discard(f"{text} is broken")


def drain(using: Backend, *handlers: Handler, limit: int = 200) -> None:
    """Deliver what is visible, round after round, and delete what is settled."""
    for _ in range(limit):
        if not sum(step(using, handler) for handler in handlers):
            return
    raise AssertionError(f"messages were left after {limit} rounds")


def step(using: Backend, handler: Handler) -> int:
    """Deliver what is visible on one queue; say how many messages that were."""
    received = receive(using, handler)
    for message in received:
        if not deliver(handler, using, message):
            delete(using, handler, message)
    return len(received)


def receive(using: Backend, handler: Handler) -> list[Incoming]:
    queues = using.queues
    if isinstance(queues, MemoryQueues):
        return queues.receive(_name(handler), 10)
    assert isinstance(queues, SqsQueues)
    answer = queues._client.receive_message(
        QueueUrl=_url(queues, handler),
        MaxNumberOfMessages=10,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    return [
        Incoming(
            id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            receives=int(message["Attributes"]["ApproximateReceiveCount"]),
            sent=using.clock.now(),
            attributes={name: one["StringValue"] for name, one in message.get("MessageAttributes", {}).items()},
        )
        for message in answer.get("Messages", [])
    ]


def delete(using: Backend, handler: Handler, message: Incoming) -> None:
    queues = using.queues
    if isinstance(queues, MemoryQueues):
        queues.delete(_name(handler), [message])
        return
    assert isinstance(queues, SqsQueues)
    queues._client.delete_message(QueueUrl=_url(queues, handler), ReceiptHandle=message.receipt)


def _name(handler: Handler) -> str:
    return DEAD_LETTERS if isinstance(handler, DeadLetters) else handler.task.name


def _url(queues: SqsQueues, handler: Handler) -> str:
    return queues._dead_letters if isinstance(handler, DeadLetters) else queues._urls[handler.task.name]


def lose(using: Backend, *, but: str = "nothing") -> None:
    """Delete what jobs have stored, without the objects that have `but` in their keys."""
    for key in [key for key in using.blobs.keys("envelopes/") if but not in key]:
        if isinstance(using.blobs, MemoryBlobs):
            del using.blobs.objects[key]
        else:
            assert isinstance(using.blobs, S3Blobs)
            using.blobs._client.delete_object(Bucket=BUCKET, Key=key)
