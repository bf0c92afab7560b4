"""Every task of this application: what may be asked for. How each is done stands in functions/<task>/<task>.py."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from afterward import Backoff, task


def _saying(what: str, pattern: str) -> AfterValidator:
    """Hold a text against a pattern, and say what it should be in words instead of in regular expressions."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise PydanticCustomError("text", what)
        return value

    return AfterValidator(check)


_ADDRESS = (
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*"

Email = Annotated[
    str,
    Field(max_length=254, json_schema_extra={"pattern": f"^{_ADDRESS}$"}, examples=["ada@example.com"]),
    _saying("It should be an e-mail address, like ada@example.com", _ADDRESS),
]
"""A valid e-mail address as the HTML standard has it; the email-validator package would double the API's import time.

https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
"""

Subject = Annotated[
    str,
    Field(min_length=1, max_length=900, json_schema_extra={"pattern": f"^{_LINE}$"}, examples=["Welcome"]),
    _saying("It should be one line without control characters", _LINE),
]
"""One line that fits a header (RFC 5322: at most 998 characters), without control characters and line separators."""

Text = Annotated[str, Field(max_length=200_000, examples=["Hello Ada"])]

Recipient = Annotated[str, Field(min_length=1, max_length=254, examples=["ada@example.com"])]
"""Whose inbox: an e-mail address, or the id of a user."""

Message = Annotated[str, Field(max_length=2_000, examples=["some notification"])]

ItemsCount = Annotated[int, Field(ge=1, le=10_000, examples=[10])]


@task(max_attempts=5)
def send_notification(recipient: Recipient, message: Message) -> None:
    """Deliver a message into the recipient's inbox."""


@task(max_attempts=5, backoff=Backoff(base=5, cap=1_800))
def send_email(to_email: Email, subject: Subject, body: Text) -> None:
    """Send one e-mail by SMTP."""


@task(max_attempts=5)
def long_running_task(items_count: ItemsCount) -> None:
    """Work through so many items, half a second each, and report each of them."""
