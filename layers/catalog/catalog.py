"""Every task of this application: what may be asked for. How each is done stands in functions/<task>/<task>.py."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from afterward import Backoff, Schedule, task
from afterward.pii import Pii


def _saying(what: str, pattern: str) -> AfterValidator:
    """Hold a text against a pattern, and say what it should be in words instead of in regular expressions."""
    matches = re.compile(pattern).fullmatch

    def check(value: str) -> str:
        if not matches(value):
            raise PydanticCustomError("text", what)
        return value

    check.pattern = pattern  # type: ignore[attr-defined]  # for who checks many texts at once: csv_pipeline.checks
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
    Pii("email"),
]
"""A valid e-mail address as the HTML standard has it; the email-validator package would double the API's import time.

https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
"""

Subject = Annotated[
    str,
    Field(min_length=1, max_length=900, json_schema_extra={"pattern": f"^{_LINE}$"}, examples=["Welcome"]),
    _saying("It should be one line without control characters", _LINE),
    Pii("text"),
]
"""One line that fits a header (RFC 5322: at most 998 characters), without control characters and line separators."""

Text = Annotated[str, Field(max_length=200_000, examples=["Hello Ada"]), Pii("text")]

Recipient = Annotated[str, Field(min_length=1, max_length=254, examples=["ada@example.com"]), Pii("text")]
"""Whose inbox: an e-mail address, or the id of a user."""

Message = Annotated[str, Field(max_length=2_000, examples=["some notification"]), Pii("text")]

ItemsCount = Annotated[int, Field(ge=1, le=10_000, examples=[10])]

Name = Annotated[
    str,
    Field(min_length=1, max_length=100, json_schema_extra={"pattern": f"^{_LINE}$"}, examples=["report"]),
    _saying("It should be one line without control characters", _LINE),
]

Seconds = Annotated[int, Field(ge=1, le=5, examples=[2])]

UserId = Annotated[int, Field(ge=1, le=2**53 - 1, examples=[7])]
"""A whole number that JavaScript reads exactly, too."""

Action = Annotated[
    str,
    Field(min_length=1, max_length=64, json_schema_extra={"pattern": f"^{_LINE}$"}, examples=["login"]),
    _saying("It should be one line without control characters", _LINE),
]

# Spelled out: what \s means differs between Python and JSON Schema.
_BLANK = r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_URL = rf"https?://[^{_BLANK}/@?#\\]+(?:[/?#][^{_BLANK}]*)?"

Url = Annotated[
    str,
    Field(
        max_length=2_048,
        json_schema_extra={"pattern": f"^{_URL}$"},
        examples=["https://data.example.com/report.json"],
    ),
    _saying("It should be an http or https address without a user name, like https://example.com/data", _URL),
]
"""Looks like an address; whether it may be called is decided where it is called, by what its name resolves to then."""

RowSchema = Literal["any", "customers", "payments"]
"""What the rows of a CSV file must be: a name in row_schemas.SCHEMAS, or "any", which asks only for a row's shape."""

ObjectKey = Annotated[str, Field(min_length=1, max_length=1_024, examples=["uploads/7/orders.csv"])]
"""The key of an object in the bucket (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

RangeNumber = Annotated[int, Field(ge=0, lt=10_000, examples=[0])]
"""Which of the ranges, or of the chunks, into which a file was divided; counted from 0."""

EventType = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", max_length=100, examples=["external_fetch"])]


@task(max_attempts=5)
def send_notification(recipient: Recipient, message: Message) -> None:
    """Deliver a message into the recipient's inbox."""


@task(max_attempts=5, backoff=Backoff(base=5, cap=1_800))
def send_email(to_email: Email, subject: Subject, body: Text) -> None:
    """Send one e-mail by SMTP."""


@task(max_attempts=5)
def long_running_task(items_count: ItemsCount) -> None:
    """Work through so many items, half a second each, and report each of them."""


@task
def slow_task(name: Name, seconds: Seconds) -> None:
    """Take so many seconds, and leave a scratch file behind."""


@task(max_attempts=5)
def cleanup(name: Name) -> None:
    """Delete the scratch files that the jobs of this chain have left behind."""


@task
def process_data(data_id: int) -> None:
    """Process what is kept under an id; one that cannot exist fails the job."""


@task(max_attempts=5)
def log_activity(user_id: UserId, action: Action) -> None:
    """Add a line to the user's activity log, exactly once."""


@task(max_attempts=5)
def update_statistics(user_id: UserId, action: Action) -> None:
    """Count an action in the user's statistics, exactly once."""


@task(max_attempts=5, backoff=Backoff(base=5, cap=900))
def fetch_external_data(user_id: UserId, data_url: Url) -> None:
    """Get what lies at an address and keep it as the job's result."""


STANDARD_WEBHOOKS = Schedule(5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds between the attempts: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
"""


@task(max_attempts=10, backoff=STANDARD_WEBHOOKS)
def send_webhook(url: Url, event: EventType, data: Mapping[str, JsonValue]) -> None:
    """Post how the jobs before it in its chain went: `event` with their outcome behind it, signed."""


@task(max_attempts=5)
def action_notification(user_id: UserId, action: Action) -> None:
    """Log an action and mail it to the user."""


@task(max_attempts=5, unit="rows")
def process_csv(user_id: UserId, upload: ObjectKey, rows: RowSchema) -> None:
    """Find out how an uploaded CSV file is written, and divide it among jobs that process its chunks."""


@task(max_attempts=5)
def scan_csv(number: RangeNumber) -> None:
    """Find where records begin in one range of a large file."""


@task(max_attempts=5)
def split_csv() -> None:
    """Put the scans of a large file together, and divide it among jobs that process its chunks."""


@task(max_attempts=5)
def process_csv_chunk(number: RangeNumber) -> None:
    """Validate and sanitise the rows of one chunk, and write its clean and its rejected rows."""


@task(max_attempts=5)
def merge_csv(user_id: UserId) -> None:
    """Join what the chunks have left into one clean file, one of rejects and a summary, and notify the user."""


@task(max_attempts=5)
def notify_of_failure(recipient: Recipient, what: Message) -> None:
    """Tell somebody why the chain before it did not complete, if it did not."""
