"""`python -m local.redrive`: `afterward.redrive` for the jobs of the `python -m local` that runs in this folder."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local.account import CREDENTIALS, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDPOINT = Path(".local/endpoint")
"""Where the address of the local cloud's AWS services stands while it runs."""

STACK = "afterward"

_LAYERS = Path(__file__).parents[1] / "layers"


@contextmanager
def reachable(endpoint: str) -> Iterator[None]:
    """Let others find the AWS services for as long as the block lasts."""
    ENDPOINT.parent.mkdir(exist_ok=True)
    ENDPOINT.write_text(endpoint)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            # A second one in this folder may have written its own.
            if ENDPOINT.read_text() == endpoint:
                ENDPOINT.unlink()


def main() -> int:
    """Become the command; return where there is nothing for it to work on."""
    endpoint = _running()
    if endpoint is not None or {"-h", "--help"} & {*sys.argv}:
        command = [sys.executable, "-m", "afterward.redrive", "--stack", STACK, *sys.argv[1:]]
        os.execve(sys.executable, command, _environment(endpoint or ""))  # noqa: S606 - the interpreter that runs this
    print("Nothing runs here. Start it with `make run`, or name a deployed stack: --stack NAME", file=sys.stderr)
    return 2


def _running() -> str | None:
    """Return the address of what runs; a killed one has left its address behind."""
    try:
        endpoint = ENDPOINT.read_text()
        address = urlsplit(endpoint)
        socket.create_connection((address.hostname, address.port), timeout=2).close()
    except (OSError, ValueError):
        return None
    return endpoint


def _environment(endpoint: str) -> dict[str, str]:
    """Make variables that lead to the local cloud, and nowhere else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AFTERWARD_"))}
    path = [str(_LAYERS / "afterward"), str(_LAYERS / "catalog"), *filter(None, [kept.get("PYTHONPATH")])]
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "no_proxy": "127.0.0.1"}
    leading = {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": REGION, "PYTHONPATH": os.pathsep.join(path)}
    return {**kept, **CREDENTIALS, **nowhere, **leading}


if __name__ == "__main__":
    sys.exit(main())
