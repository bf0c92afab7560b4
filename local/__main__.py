"""`python -m local`: serve the application of template.yaml until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_READY = """
  {url}/docs   what the application can do
  {url}        the application; you are the user {user}

  curl -X POST '{url}/send-notification/you@example.com?message=Hello'

  Mails go to {mails}. Ctrl-C ends everything.
"""


def main() -> int:
    """Serve; the result is the exit status."""
    port = _port()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _serve(port)
    except KeyboardInterrupt:
        return 0
    except ModuleNotFoundError as error:
        return _refuse(
            f"The package {error.name} is missing from {sys.prefix}. Install what is needed with: make setup"
        )


def _serve(port: int) -> int:
    from local.cloud import LocalCloud  # noqa: PLC0415 - here a missing package can be said in one line
    from local.errors import CannotStart  # noqa: PLC0415 - the same

    mails = Path(".local/mails")
    try:
        with LocalCloud(port=port, stream=sys.stdout, mails=mails) as cloud:
            print(_READY.format(url=cloud.url, user="developer", mails=mails), flush=True)
            threading.Event().wait()
    except CannotStart as error:
        return _refuse(str(error))
    return 0


def _port() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="Serve the application of template.yaml on this machine."
    )
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or 8000, help="default: $PORT or 8000")
    port: int = parser.parse_args().port
    return port


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # Ending takes a moment, in which a second Ctrl-C must leave nothing behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
