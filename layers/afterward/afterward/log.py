"""Structured logs: one JSON object a line on Lambda, with the job that the line belongs to.

The library logs by the standard library; on Lambda the root handler gets Powertools' formatter, so that every logger of
every package writes the same shape.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_context: ContextVar[dict[str, str]] = ContextVar("afterward_log_context", default={})  # noqa: B039 - never changed in place


@contextmanager
def context(**keys: str) -> Iterator[None]:
    """Add keys to every line that is logged inside."""
    token = _context.set(_context.get() | keys)
    try:
        yield
    finally:
        _context.reset(token)


def configure() -> None:
    """Make the root logger write JSON by Powertools' formatter; POWERTOOLS_LOG_LEVEL and _SERVICE_NAME set it up."""
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter  # noqa: PLC0415 - on Lambda only

    root = logging.getLogger()
    handlers = root.handlers or [logging.StreamHandler()]
    for handler in handlers:
        handler.setFormatter(LambdaPowertoolsFormatter(service=os.environ.get("POWERTOOLS_SERVICE_NAME", "afterward")))
        handler.addFilter(_add_context)
    root.handlers = handlers
    # Where credentials came from; every request to AWS; the path of every request to the API.
    for talkative in ("botocore", "urllib3", "mangum"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    root.setLevel(os.environ.get("POWERTOOLS_LOG_LEVEL", "INFO").upper())


def _add_context(record: logging.LogRecord) -> bool:
    for name, value in _context.get().items():
        record.__dict__.setdefault(name, value)
    return True
