"""Logs as a function has them on Lambda, for as long as a test wants them."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from afterward import log
from afterward.pii.logs import uninstall

_TALKATIVE = ("botocore", "urllib3", "mangum")


@contextmanager
def configured(stream: TextIO) -> Iterator[None]:
    """Write the logs of all packages there, set up by `log.configure()`; everything is as it was at the end."""
    root = logging.getLogger()
    handlers, level, levels = root.handlers, root.level, {name: logging.getLogger(name).level for name in _TALKATIVE}
    hooks, serialize = (threading.excepthook, sys.unraisablehook), LambdaPowertoolsFormatter.serialize
    root.handlers = [handler := logging.StreamHandler(stream)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            log.configure()
            yield
    finally:
        handler.close()
        threading.excepthook, sys.unraisablehook = hooks
        LambdaPowertoolsFormatter.serialize = serialize  # type: ignore[method-assign]
        logging.captureWarnings(capture=False)
        uninstall()
        root.handlers, root.level = handlers, level
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
