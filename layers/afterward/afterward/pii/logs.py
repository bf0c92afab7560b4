"""What is logged, by any logger for any handler, masked where its record is made.

`Logger.makeRecord` is the only place that the loggers of all packages share, Powertools' included, and that sees all of
a line: the message with its arguments, the fields, the exception. A filter or a formatter belongs to one handler.
"""

import logging
from typing import Any

from afterward.pii.values import sanitised, sanitised_error

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_UNTOLD = "a line that could not be looked through for personal data, and is left out"

_make_record = logging.Logger.makeRecord


def install() -> None:
    """Mask what any logger of this process logs from now on; called again, it changes nothing."""
    logging.Logger.makeRecord = _masked_record  # type: ignore[method-assign]  # see above


def uninstall() -> None:
    """Log everything as it is again, for tests."""
    logging.Logger.makeRecord = _make_record  # type: ignore[method-assign]


def _masked_record(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _make_record(self, *args, **kwargs)
    try:
        _clean(record)
    except Exception:  # noqa: BLE001 - a line must neither fail the task nor leave as it is
        record.msg, record.args, record.exc_info, record.exc_text, record.stack_info = _UNTOLD, (), None, None, None
        for name in record.__dict__.keys() - _OWN:
            del record.__dict__[name]
    return record


def _clean(record: logging.LogRecord) -> None:
    if isinstance(record.msg, str) or record.args:
        # Together, since a value may be spread over the message and its arguments.
        told = record.getMessage()
        if (masked := sanitised(told)) != told:
            record.msg, record.args = masked, ()
    else:
        record.msg = sanitised(record.msg)
    for name in record.__dict__.keys() - _OWN:
        record.__dict__[name] = sanitised(record.__dict__[name], name=name)
    if record.exc_info and record.exc_info[1] is not None:
        error = sanitised_error(record.exc_info[1])
        record.exc_info = (type(error), error, error.__traceback__)
    if record.stack_info:
        record.stack_info = sanitised(record.stack_info)
