"""Every task of this application: what may be asked for. How each is done stands in functions/<task>/<task>.py."""

from typing import Annotated

from pydantic import Field

from afterward import Backoff, task

Email = Annotated[
    str,
    Field(
        max_length=254,
        pattern=r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
        r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$",
        examples=["ada@example.com"],
    ),
]
"""A valid e-mail address as the HTML standard has it; the email-validator package would double the API's import time.

https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
"""

Subject = Annotated[
    str,
    Field(min_length=1, max_length=900, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$", examples=["Welcome"]),
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
