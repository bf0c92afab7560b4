"""Child processes that do not outlive the local cloud."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Process:
    """A child in a process group of its own, so that Ctrl-C reaches only us, and what it starts ends with it.

    Its standard input is the lifeline that `bootstrap.die_with_parent` watches.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.ended = asyncio.ensure_future(self._wait())

    @classmethod
    async def start(
        cls, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, keep: Sequence[int] = ()
    ) -> Process:
        return cls(
            await asyncio.create_subprocess_exec(
                *arguments,
                env=environment,
                cwd=folder,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=1 << 24,
                start_new_session=True,
                pass_fds=keep,
            )
        )

    @property
    def output(self) -> asyncio.StreamReader:
        """Both of its outputs, in the order they were written."""
        assert self._process.stdout  # noqa: S101 - it is a pipe
        return self._process.stdout

    def kill(self) -> None:
        """End it and all that it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _wait(self) -> int:
        status = await self._process.wait()
        self.kill()
        return status
