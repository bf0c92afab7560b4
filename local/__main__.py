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
  {url}        the application; {who}

  curl -X POST '{url}/send-notification/you@example.com?message=Hello'{header}

  Mails go to {mails}. Ctrl-C ends everything.
"""

_NO_TOKENS = {"who": "you are the user developer", "header": ""}
_TOKENS = {
    "who": "who calls it needs a token: make token USER=7",
    "header": ' \\\n    -H "Authorization: Bearer $(make token USER=7)"',
}


def main() -> int:
    """Serve; the result is the exit status."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _serve(options)
    except KeyboardInterrupt:
        return 0
    except ModuleNotFoundError as error:
        return _refuse(
            f"The package {error.name} is missing from {sys.prefix}. Install what is needed with: make setup"
        )


def _serve(options: argparse.Namespace) -> int:
    from local.authorizer import Authorizer  # noqa: PLC0415 - here a missing package can be said in one line
    from local.cloud import LocalCloud  # noqa: PLC0415 - the same
    from local.errors import CannotStart  # noqa: PLC0415 - the same
    from local.redrive import reachable  # noqa: PLC0415 - the same
    from local.tokens import Issuer  # noqa: PLC0415 - the same
    from local.user import DevelopmentUser  # noqa: PLC0415 - the same

    state = Path(".local")
    mails = state / "mails"
    try:
        caller = Authorizer(Issuer.kept(state).keys) if options.auth else DevelopmentUser()
        with (
            LocalCloud(
                port=options.port,
                stream=sys.stdout,
                mails=mails,
                caller=caller,
                allow_loopback=options.allow_loopback,
                timeouts=options.timeout,
            ) as cloud,
            reachable(cloud.endpoint),
        ):
            told = _TOKENS if options.auth else _NO_TOKENS
            print(_READY.format(url=cloud.url, mails=mails, **told), flush=True)
            threading.Event().wait()
    except CannotStart as error:
        return _refuse(str(error))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="Serve the application of template.yaml on this machine."
    )
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or 8000, help="default: $PORT or 8000")
    parser.add_argument(
        "--allow-loopback",
        type=_ports,
        default=(),
        metavar="PORT,PORT",
        help="ports of this machine that functions may call as they may call public addresses",
    )
    parser.add_argument(
        "--auth", action="store_true", help="demand tokens, as the deployed API does; local.tokens prints them"
    )
    parser.add_argument(
        "--timeout", type=int, metavar="SECONDS", help="timeout of all functions that work off a queue, for a try"
    )
    return parser.parse_args()


def _ports(text: str) -> tuple[int, ...]:
    ports = [port.strip() for port in text.split(",") if port.strip()]
    if not all(port.isascii() and port.isdigit() and 0 < int(port) < 2**16 for port in ports):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of ports like 9000,9001")
    return tuple(map(int, ports))


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
