"""What can go wrong with one call to AWS, and how it is made to."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from tests.faults.lives import Call
from tests.support.faults import Sent, answer_of, error_of

PassOn = Callable[[], AWSResponse]


class Fault(StrEnum):
    """Each hits one call. `OUT` lasts: the service cannot be reached until that process has ended."""

    REFUSED = "refused"
    THROTTLED = "throttled"
    CONFLICT = "conflict"
    OUT = "out"
    REPLY_LOST = "reply-lost"
    REPLIES_LOST = "replies-lost"
    KILLED_BEFORE = "killed-before"
    KILLED_AFTER = "killed-after"


COSTLY = frozenset({Fault.REFUSED, Fault.OUT, Fault.KILLED_BEFORE, Fault.KILLED_AFTER})
"""Faults that may cost an attempt; all others pass before its time does, and what is forbidden does not pass at all."""

DYNAMODB, SQS, S3 = "dynamodb", "sqs", "s3"

SINGLE_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
WRITES = SINGLE_WRITES | {"TransactWriteItems"}
SENDS = frozenset({"SendMessage", "SendMessageBatch"})

_THROTTLED = {DYNAMODB: ("ThrottlingException", 400), SQS: ("RequestThrottled", 400), S3: ("SlowDown", 503)}


@dataclass(frozen=True, slots=True)
class Point:
    """A call that a workload makes: the how manieth, of which service and operation, and in whose process."""

    number: int
    service: str
    operation: str
    actor: str

    @property
    def faults(self) -> list[Fault]:
        """What can happen to it; only writes of items conflict."""
        return [fault for fault in Fault if fault is not Fault.CONFLICT or self.operation in WRITES]

    def __str__(self) -> str:
        return f"{self.number:02}-{self.operation}-of-{self.actor}"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at one call."""

    point: Point
    fault: Fault

    def __str__(self) -> str:
        return f"{self.point}-{self.fault}"

    def hit(self, call: Call, request: AWSPreparedRequest, sent: Sent, carry_out: PassOn) -> AWSResponse:
        """Answer one HTTP request of the call that is hit, or of one that `OUT` still hits."""
        url, service = str(request.url), self.point.service
        match self.fault:
            case Fault.REFUSED:
                return error_of(request, "AccessDenied" if service == S3 else "AccessDeniedException", 400)
            case Fault.THROTTLED:
                return error_of(request, *_THROTTLED[service])
            case Fault.CONFLICT:
                return _conflict(request, sent)
            case Fault.OUT:
                raise EndpointConnectionError(endpoint_url=url)
            case Fault.REPLY_LOST if call.tries > 1:
                return carry_out()
            case Fault.REPLY_LOST | Fault.REPLIES_LOST:
                carry_out()
                raise ReadTimeoutError(endpoint_url=url)
            case Fault.KILLED_BEFORE:
                raise call.life.kill()
            case Fault.KILLED_AFTER:
                carry_out()
                raise call.life.kill()


def _conflict(request: AWSPreparedRequest, sent: Sent) -> AWSResponse:
    """Answer as where another transaction is writing one of the items at this moment."""
    if sent.operation in SINGLE_WRITES:
        return error_of(request, "TransactionConflictException", 400)
    codes = ["TransactionConflict", *["None"] * (len(sent.body["TransactItems"]) - 1)]
    kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    reasons = [{"Code": one} for one in codes]
    return answer_of(request, 400, json.dumps({"__type": kind, "message": "planned", "CancellationReasons": reasons}))
