"""How AWS's services say that somebody is not allowed to do something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from local.policies import Right

Response = tuple[int, list[tuple[bytes, bytes]], bytes]


@dataclass(frozen=True)
class Refusal:
    """`user` is the ARN of who asked.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    """

    user: str
    asked: Right

    def answer(self, environ: dict[str, Any]) -> Response:
        """Return the response in the protocol of the service."""
        service = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[0]
        if not service:
            body = b"" if environ["REQUEST_METHOD"] == "HEAD" else self.xml.encode()
            return 403, [(b"content-type", b"application/xml")], body
        told = {"__type": "com.amazon.coral.service#AccessDeniedException", "message": self.message}
        headers = [(b"content-type", b"application/x-amz-json-1.0")]
        if service == "AmazonSQS":  # which spoke another protocol once, and has kept its errors and their status
            return 403, [*headers, (b"x-amzn-query-error", b"AccessDenied;Sender")], json.dumps(told).encode()
        return 400, headers, json.dumps(told).encode()

    @property
    def message(self) -> str:
        action, resource = self.asked.action, self.asked.resource
        return (
            f"User: {self.user} is not authorized to perform: {action} on resource: {resource} "
            f"because no identity-based policy allows the {action} action"
        )

    @property
    def xml(self) -> str:
        error = f"<Error><Code>AccessDenied</Code><Message>{escape(self.message)}</Message></Error>"
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'
