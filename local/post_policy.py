"""What S3 checks of a form that is posted to it, and moto does not: its signature, and its policy's every condition.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from local.account import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RANGE = "content-length-range"

_UNCHECKED = {"file", "policy", "x-amz-signature"}
"""Fields that no condition need name."""


@dataclass(frozen=True)
class Refusal:
    """An error as S3 answers it."""

    status: int
    code: str
    message: str
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def xml(self) -> str:
        about = {"Code": self.code, "Message": self.message, **self.more}
        tags = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in about.items())
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{tags}</Error>'


@dataclass(frozen=True)
class Form:
    """What was posted to a bucket; names of fields are in lower case."""

    bucket: str
    fields: Mapping[str, str]
    size: int

    def refusal(self) -> Refusal | None:
        """Say why S3 would not take it, if it would not."""
        return next(self._refusals(), None)

    def _refusals(self) -> Iterator[Refusal]:
        if "policy" not in self.fields:
            yield _denied("Access Denied")
            return
        if not hmac.compare_digest(self._signature(), self.fields.get("x-amz-signature", "")):
            yield Refusal(403, "SignatureDoesNotMatch", "The signature is not that of the policy.")
            return
        policy = json.loads(base64.b64decode(self.fields["policy"]))
        if datetime.fromisoformat(policy["expiration"]) <= datetime.now(UTC):
            yield _denied("Invalid according to Policy: Policy expired.")
        conditions = [_spelled(condition) for condition in policy["conditions"]]
        for kind, name, value in conditions:
            yield from self._length(int(name), int(value)) if kind == _RANGE else self._failed(kind, str(name), value)
        named = {str(name).removeprefix("$").lower() for kind, name, _ in conditions if kind != _RANGE}
        extra = [name for name in self.fields if name not in named | _UNCHECKED and not name.startswith("x-ignore-")]
        if extra:
            yield _denied(f"Invalid according to Policy: Extra input fields: {', '.join(extra)}")

    def _failed(self, kind: str, name: str, value: str) -> Iterator[Refusal]:
        found = {**self.fields, "bucket": self.bucket}.get(name.removeprefix("$").lower(), "")
        if not (found.startswith(value) if kind == "starts-with" else found == value):
            failed = json.dumps([kind, name, value])
            yield _denied(f"Invalid according to Policy: Policy Condition failed: {failed}")

    def _length(self, least: int, most: int) -> Iterator[Refusal]:
        proposed = {"ProposedSize": self.size}
        if self.size > most:
            message = "Your proposed upload exceeds the maximum allowed size"
            yield Refusal(400, "EntityTooLarge", message, {**proposed, "MaxSizeAllowed": most})
        if self.size < least:
            message = "Your proposed upload is smaller than the minimum allowed size"
            yield Refusal(400, "EntityTooSmall", message, {**proposed, "MinSizeAllowed": least})

    def _signature(self) -> str:
        """Sign the policy as its maker has: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html."""
        key = f"AWS4{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}".encode()
        for part in self.fields.get("x-amz-credential", "").split("/")[1:]:
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, self.fields["policy"].encode(), "sha256").hexdigest()


def _spelled(condition: Any) -> tuple[str, Any, Any]:
    """Return a condition as the list of three, which an object of one member stands for."""
    if isinstance(condition, dict):
        ((name, value),) = condition.items()
        return "eq", f"${name}", value
    kind, name, value = condition
    return kind, name, value


def _denied(message: str) -> Refusal:
    return Refusal(403, "AccessDenied", message)
