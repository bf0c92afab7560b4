"""Does what its event says."""

import importlib
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

STARTED = time.time()


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    (what, value), *_ = event.items()
    return _ACTIONS[what](value, context)


def _import(name: str, _context: Any) -> str | None:
    return str(importlib.import_module(name).__file__)


def _sleep(seconds: float, context: Any) -> float:
    time.sleep(seconds)
    return float(context.get_remaining_time_in_millis())


def _log(text: str, _context: Any) -> None:
    print(text)
    print(text, file=sys.stderr)
    logging.getLogger().error("%s\nin two lines", text)


def _fail(text: str, _context: Any) -> None:
    raise ValueError(text)


def _context(name: str, context: Any) -> Any:
    return getattr(context, name)


_ACTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "context": _context,
    "environment": lambda _, __: dict(os.environ),
    "exit": lambda status, _: os._exit(status),
    "fail": _fail,
    "import": _import,
    "large": lambda size, _: "x" * size,
    "log": _log,
    "path": lambda _, __: sys.path,
    "pid": lambda _, __: os.getpid(),
    "remaining": lambda _, context: context.get_remaining_time_in_millis(),
    "sleep": _sleep,
    "started": lambda _, __: STARTED,
    "stdin": lambda _, __: sys.stdin.read(),
    "sys.exit": lambda status, _: sys.exit(status),
    "unserialisable": lambda _, __: object(),
}
