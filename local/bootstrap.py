"""The first thing that runs in a function's process, before anything of the function.

Started as `python -S -P bootstrap.py CLIENT HANDLER PATH...`: with -S and -P nothing but the standard library is on
`sys.path`, so what can be imported afterwards is what is named here, as on Lambda. CLIENT is the runtime that talks
to the Runtime API: the module awslambdaric, or the path of a script that stands in for it.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import threading


def die_with_parent() -> None:
    """End this process and its children when the parent does, however it ends: standard input is a pipe that it holds.

    PR_SET_PDEATHSIG would do on Linux only, and follows the thread that started the child, not the process.
    """
    lifeline = os.dup(0)
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - each cold start would wait for pathlib
        os.dup2(null.fileno(), 0)
    threading.Thread(target=_wait_for_the_end_of, args=(lifeline,), daemon=True).start()


def _wait_for_the_end_of(lifeline: int) -> None:
    os.read(lifeline, 1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(os.getpgrp(), signal.SIGKILL)


def main(client: str, handler: str, *path: str) -> None:
    """Become the function's runtime."""
    die_with_parent()
    # Where Lambda's locale is not installed, Python has found another and said so.
    os.environ.pop("LC_CTYPE", None)
    sys.path[:0] = path
    sys.argv[:] = [client, handler]
    if client == "awslambdaric":
        runpy.run_module(client, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(client, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
