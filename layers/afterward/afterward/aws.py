"""The one botocore session: clients with short timeouts, and what an error of theirs means for a job.

Clients come from botocore itself, since boto3's own layer is import time that buys nothing here. A gateway gives a
request 30 seconds; the timeouts below leave a refused publish an answer well before that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from afterward.errors import Unavailable

CONFIG = Config(
    connect_timeout=1,
    read_timeout=1.5,
    retries={"mode": "standard", "total_max_attempts": 3},
    # Requests are built by this library and covered by its tests; checking them again is a third of botocore's time.
    parameter_validation=False,
)

_S3 = CONFIG.merge(
    # Links lead to the bucket's own region: the global address redirects during a new bucket's first day, and a
    # redirect breaks the signature.
    Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
)

_PASSING = ("Conflict", "Exceeded", "InProgress", "Internal", "SlowDown", "Throttl", "Timeout", "Unavailable")
_PASSING_STATUSES = frozenset({408, 409, 429})
"""What passes by itself, by parts of its code and by its status (request timeout, conflict, too many requests). Other
answers of the kind 4xx will be the same in a moment."""


@cache
def session() -> botocore.session.Session:
    return botocore.session.get_session()


@cache
def client(service: str) -> Any:
    """Return the process's client of a service; they share one session, since a second session costs 70 ms."""
    return session().create_client(service, config=_S3 if service == "s3" else CONFIG)


@cache
def bulk_client() -> Any:
    """Return a client of S3 for objects of any size: a copy within S3 may take a minute, and many run at once."""
    return session().create_client("s3", config=_S3.merge(Config(read_timeout=60, max_pool_connections=32)))


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def refused_by(service: str, error: ClientError | BotoCoreError) -> Unavailable:
    """Name the service and the kind of its refusal; the details go to the log, by the exception's cause."""
    kind = code_of(error) if isinstance(error, ClientError) else type(error).__name__
    lasting = isinstance(error, ClientError) and not _passes(error)
    return Unavailable(
        f"{service} did not take the request ({kind})", retry_after=30 if lasting else 2, lasting=lasting
    )


def _passes(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status in _PASSING_STATUSES or status >= 500 or any(part in code_of(error) for part in _PASSING)  # noqa: PLR2004 - the server's errors


@contextmanager
def answering(service: str) -> Iterator[None]:
    """Raise errors.Unavailable where a call of the service fails."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise refused_by(service, error) from error
