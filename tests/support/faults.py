"""Faults on the way between a real botocore client and AWS.

A `Wire` takes the place of the client's last hook before the network. It passes each request on (to moto, or where
none is active to the client's own HTTP session), unless a fault is planned: the service refuses, it cannot be reached,
it does what was asked but its reply is lost, or somebody else is faster. botocore's own retries stay as they are, but
without pauses.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from xml.sax.saxutils import escape

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.retries.standard import register_retry_handler
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

ALWAYS = 1_000_000

_ONE_AT_A_TIME = Lock()
"""moto in process is not meant for threads: a transaction that is refused puts back what others wrote meanwhile."""

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """One HTTP request that left the client; `body` is its JSON, empty where it has none."""

    operation: str
    url: str
    body: Body


Fault = Callable[[AWSPreparedRequest, Sent, Callable[[], AWSResponse]], AWSResponse]
"""What becomes of a request: `(request, sent, pass_on)`; `pass_on()` carries it out and returns the answer."""


@dataclass(slots=True)
class _Planned:
    operation: str
    fault: Fault
    skip: int
    times: int

    def takes(self, operation: str) -> bool:
        """Say whether the fault is due for this request, and count it down."""
        if operation != self.operation or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class Wire:
    """`sent` holds every request that left the client, repeats by botocore included."""

    client: Any
    attempts: int = 3
    sent: list[Sent] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)

    def __post_init__(self) -> None:
        events = self.client.meta.events
        events.unregister("before-send", botocore_stubber)
        events.register("before-send", self._send)
        _retry_without_pauses(self.client, self.attempts)

    def refuse(self, operation: str, code: str, *, status: int = 400, times: int = ALWAYS, skip: int = 0) -> None:
        """Answer with an error and do nothing of what was asked."""
        self._plan(operation, lambda request, _sent, _pass_on: error_of(request, code, status), times, skip)

    def cut(self, operation: str, *, times: int = ALWAYS, skip: int = 0) -> None:
        """Be out of reach: the request does not arrive."""

        def unreachable(request: AWSPreparedRequest, *_: object) -> AWSResponse:
            raise EndpointConnectionError(endpoint_url=str(request.url))

        self._plan(operation, unreachable, times, skip)

    def lose(self, operation: str, *, times: int = 1, skip: int = 0) -> None:
        """Do what was asked, and lose the reply."""

        def lost(request: AWSPreparedRequest, _sent: Sent, pass_on: Callable[[], AWSResponse]) -> AWSResponse:
            pass_on()
            raise ReadTimeoutError(endpoint_url=str(request.url))

        self._plan(operation, lost, times, skip)

    def meanwhile(self, operation: str, call: Callable[[], object], *, skip: int = 0) -> None:
        """Let somebody else be faster: `call` comes just before the request; then the next fault has its turn."""

        def overtaken(request: AWSPreparedRequest, sent: Sent, pass_on: Callable[[], AWSResponse]) -> AWSResponse:
            call()
            return self._handle(request, sent, pass_on)

        self._plan(operation, overtaken, 1, skip)

    def shorten(self, operation: str, *, most: int = 1) -> None:
        """Answer a query with no more than this, and say that there is more, as DynamoDB does after 1 MB."""

        def shortened(request: AWSPreparedRequest, sent: Sent, pass_on: Callable[[], AWSResponse]) -> AWSResponse:
            request.body = json.dumps(sent.body | {"Limit": min(most, sent.body["Limit"])}).encode()
            return pass_on()

        self._plan(operation, shortened, ALWAYS, 0)

    def leave_unread(self, *, most: int = 1, times: int = 1) -> None:
        """Answer a BatchGetItem with no more than this and name the other keys, as DynamoDB does under load."""

        def partly(request: AWSPreparedRequest, sent: Sent, pass_on: Callable[[], AWSResponse]) -> AWSResponse:
            ((table, asked),) = sent.body["RequestItems"].items()
            now, later = asked["Keys"][:most], asked["Keys"][most:]
            request.body = json.dumps({"RequestItems": {table: asked | {"Keys": now}}}).encode()
            answer: Body = json.loads(pass_on().content) if now else {"Responses": {}}
            return answer_of(request, 200, json.dumps(answer | {"UnprocessedKeys": {table: {"Keys": later}}}))

        self._plan("BatchGetItem", partly, times, 0)

    def fail_entries(self, *indexes: int, times: int = 1) -> None:
        """Refuse these entries of a SendMessageBatch and take the others."""

        def partly(request: AWSPreparedRequest, sent: Sent, pass_on: Callable[[], AWSResponse]) -> AWSResponse:
            entries = sent.body["Entries"]
            refused = [entry["Id"] for index, entry in enumerate(entries) if index in indexes]
            taken = [entry for entry in entries if entry["Id"] not in refused]
            answer: Body = {"Successful": []}
            if taken:
                request.body = json.dumps(sent.body | {"Entries": taken}).encode()
                answer = json.loads(pass_on().content)
            failed = [{"Id": one, "SenderFault": False, "Code": "InternalError"} for one in refused]
            return answer_of(request, 200, json.dumps(answer | {"Failed": failed}))

        self._plan("SendMessageBatch", partly, times, 0)

    def cancel_transaction(self, *codes: str, times: int = 1) -> None:
        """Cancel a TransactWriteItems for these reasons, one for each of its items."""
        kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
        text = json.dumps(
            {"__type": kind, "message": "planned", "CancellationReasons": [{"Code": one} for one in codes]}
        )
        self._plan("TransactWriteItems", lambda request, _sent, _pass_on: answer_of(request, 400, text), times, 0)

    def heal(self) -> None:
        """Forget every fault that is planned."""
        self._planned.clear()

    @property
    def counts(self) -> Counter[str]:
        """How many requests of each operation were sent."""
        return Counter(one.operation for one in self.sent)

    def bodies(self, operation: str) -> list[Body]:
        return [one.body for one in self.sent if one.operation == operation]

    def _plan(self, operation: str, fault: Fault, times: int, skip: int) -> None:
        self._planned.append(_Planned(operation, fault, skip, times))

    def _send(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        sent = Sent(operation, str(request.url), _json(request.body))
        self.sent.append(sent)

        def pass_on() -> AWSResponse:
            with _ONE_AT_A_TIME:
                answer = _refusal_of_sqs(request, sent) or botocore_stubber(event_name, request)
            return answer or self.client._endpoint.http_session.send(request)

        return self._handle(request, sent, pass_on)

    def _handle(self, request: AWSPreparedRequest, sent: Sent, pass_on: Callable[[], AWSResponse]) -> AWSResponse:
        planned = next((one for one in self._planned if one.takes(sent.operation)), None)
        return planned.fault(request, sent, pass_on) if planned else pass_on()


def _retry_without_pauses(client: Any, attempts: int) -> None:
    service = client.meta.service_model.service_id.hyphenize()
    handler = register_retry_handler(client, attempts)
    events = client.meta.events
    events.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")
    events.register(f"needs-retry.{service}", lambda **about: None if handler.needs_retry(**about) is None else 0)


def _json(body: object) -> Body:
    if not isinstance(body, bytes) or not body.startswith(b"{"):
        return {}
    read: Body = json.loads(body)
    return read


def error_of(request: AWSPreparedRequest, code: str, status: int) -> AWSResponse:
    """Return the error of a service in its own form."""
    if "s3." in str(request.url):
        return answer_of(request, status, f"<Error><Code>{escape(code)}</Code><Message>planned</Message></Error>")
    return answer_of(request, status, json.dumps({"__type": code, "message": "planned"}))


def answer_of(request: AWSPreparedRequest, status: int, text: str) -> AWSResponse:
    return AWSResponse(str(request.url), status, HTTPHeaders(), MockRawResponse(text))


# What SQS refuses and moto 5.2.5 takes. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html

_LIMIT = 1_048_576


def _refusal_of_sqs(request: AWSPreparedRequest, sent: Sent) -> AWSResponse | None:
    if sent.operation not in {"SendMessage", "SendMessageBatch"}:
        return None
    entries = sent.body.get("Entries", [sent.body])
    if any(refused_by_sqs(text) for entry in entries for text in _texts(entry)):
        return error_of(request, "InvalidMessageContents", 400)
    if any(not text for entry in entries for text in _texts(entry)):
        return error_of(request, "InvalidParameterValue", 400)
    if sum(_size(entry) for entry in entries) > _LIMIT:
        return error_of(request, "AWS.SimpleQueueService.BatchRequestTooLong", 400)
    return None


def _texts(entry: Body) -> Iterator[str]:
    yield entry["MessageBody"]
    yield from (attribute["StringValue"] for attribute in entry.get("MessageAttributes", {}).values())


def _size(entry: Body) -> int:
    attributes = entry.get("MessageAttributes", {})
    beside = (name + one["DataType"] + one["StringValue"] for name, one in attributes.items())
    return sum(len(text.encode()) for text in (entry["MessageBody"], *beside))


def refused_by_sqs(text: str) -> str:
    """Return the characters of a text that SQS takes neither in a body nor in an attribute."""
    return "".join(
        char
        for char in text
        if not (char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char >= "\U00010000")
    )
