"""Structured logs: one JSON object a line on Lambda, with the job that the line belongs to.

The library logs by the standard library; on Lambda the root handler gets Powertools' formatter, so that every logger of
every package writes the same shape.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from afterward.pii import find, mask, sanitised
from afterward.pii.logs import install
from afterward.pii.values import LENGTH

if TYPE_CHECKING:
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

logger = logging.getLogger(__name__)

_USUAL = frozenset({"level", "location", "message", "timestamp", "service"})
"""What the formatter itself keeps."""

_context: ContextVar[dict[str, str]] = ContextVar("afterward_log_context", default={})  # noqa: B039 - never changed in place


@contextmanager
def context(**keys: str) -> Iterator[None]:
    """Add keys to every line that is logged inside; an id may have been chosen by somebody who knows no better."""
    token = _context.set(_context.get() | {name: mask(value) for name, value in keys.items()})
    try:
        yield
    finally:
        _context.reset(token)


def configure() -> None:
    """Make the root logger write JSON by Powertools' formatter, and every logger without personal data.

    What Python itself would print, of warnings and of errors in threads, is logged, too. POWERTOOLS_LOG_LEVEL and
    POWERTOOLS_SERVICE_NAME set it up.
    """
    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter  # noqa: PLC0415 - on Lambda only

    install()
    LambdaPowertoolsFormatter.serialize = _serialized  # type: ignore[method-assign]  # for every formatter there is
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
    logging.captureWarnings(capture=True)
    threading.excepthook, sys.unraisablehook = _thread_failed, _not_raised


def _serialized(self: "LambdaPowertoolsFormatter", log: Any) -> str:
    """Write a line without personal data, also in what no record has had: keys that are kept, what a filter has added.

    Most lines hold nothing, which the whole line shows in a fraction of the time that its fields take one by one.
    """
    kept = {*self.get_current_keys(), *self.thread_safe_get_current_keys()} - _USUAL
    line: str
    if kept.isdisjoint(log):
        line = self.json_serializer(log)
        if len(line) <= LENGTH and not find(line):
            return line
    line = self.json_serializer(sanitised(log))
    return line


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit:
        logger.error("a thread has failed", exc_info=failed.exc_value)


def _not_raised(ignored: "sys.UnraisableHookArgs") -> None:
    # Without the object, which Python names: its repr may hold anything, and asking for it may fail again.
    logger.error("an error could not be raised: %s", ignored.err_msg or "in a destructor", exc_info=ignored.exc_value)


def _add_context(record: logging.LogRecord) -> bool:
    for name, value in _context.get().items():
        record.__dict__.setdefault(name, value)
    return True
