"""A Lambda function on this machine."""

from __future__ import annotations

import ast
import asyncio
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import bootstrap, runtime_client, telemetry
from local.account import REGION, credentials_of
from local.errors import CannotStart
from local.packages import RUNTIME
from local.process import Process
from local.runtime import (
    PAYLOAD_LIMIT,
    RESPONSE_TOO_LARGE,
    Environment,
    Invocation,
    Outcome,
    RuntimeApi,
    exited,
    timed_out,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from local.log import Log
    from local.stack import FunctionSettings

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
_INIT_LIMIT = 10.0
_VERSION = "$LATEST"
_WARM = 0.001  # seconds; to find an environment takes less, to make one more
SLOTS = 2
"""Execution environments of a function: enough to see what running side by side does, few enough for a laptop."""


@dataclass(frozen=True)
class Code:
    """A function's settings and where what it may import is."""

    settings: FunctionSettings
    path: tuple[str, ...]
    runtime: Path | None
    """Folder of awslambdaric, or None to do without."""
    endpoint: str
    """URL of all AWS services."""
    home: Path
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables that template.yaml has not."""

    @property
    def slots(self) -> int:
        reserved = self.settings.concurrency
        return SLOTS if reserved is None else min(SLOTS, reserved)

    def command(self) -> list[str]:
        client, runtime = (RUNTIME, (str(self.runtime),)) if self.runtime else (runtime_client.__file__, ())
        # -S and -P: no installed packages, no current folder.
        return [sys.executable, "-S", "-P", bootstrap.__file__, client, self.settings.handler, *self.path, *runtime]

    def environment(self, runtime_api: str) -> dict[str, str]:
        """Make a function's variables: Lambda's, its own, and what leads here instead of to AWS. No others.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
        """
        settings = self.settings
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{python}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(settings.memory),
            "AWS_LAMBDA_FUNCTION_NAME": settings.physical_name,
            "AWS_LAMBDA_FUNCTION_VERSION": _VERSION,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{settings.physical_name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{time.strftime('%Y/%m/%d')}/[{_VERSION}]local",
            "AWS_REGION": REGION,
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TZ": ":UTC",
            **settings.variables,
            **self.more,
            **credentials_of(settings.physical_name),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_LAMBDA_RUNTIME_API": runtime_api,
            # Without a home botocore would read the developer's ~/.aws.
            "HOME": str(self.home),
            "LAMBDA_RUNTIME_DIR": str(self.runtime or Path(runtime_client.__file__).parent),
            "LAMBDA_TASK_ROOT": str(settings.folder),
            "_HANDLER": settings.handler,
        }


def check_handler(settings: FunctionSettings) -> None:
    """See that the handler exists, without running anything."""
    missing = f"The handler {settings.handler} of {settings.name} is missing:"
    module, _, name = settings.handler.rpartition(".")
    file = settings.folder / f"{module.replace('.', '/')}.py"
    if not file.is_file():
        raise CannotStart(f"{missing} there is no {file}")
    try:
        defined = _names(ast.parse(file.read_bytes()))
    except SyntaxError as error:
        raise CannotStart(f"{file}:{error.lineno}: {error.msg}") from error
    if name not in defined:
        raise CannotStart(f"{missing} {file} defines no {name}")


def _names(module: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


class Slot:
    """Room for one execution environment, which is started when needed and again when it broke.

    Its memory is not limited: RLIMIT_AS counts what is mapped, not what is used, and nothing else works everywhere.
    """

    def __init__(self, code: Code, port: int, api: RuntimeApi, log: Log, idle: float) -> None:
        self._code = code
        self._port = port
        self._api = api
        self._log = log
        self._idle = idle
        self._environment: Environment | None = None
        self._retirement: asyncio.TimerHandle | None = None
        self._reading: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        environment = self._environment
        return environment.process.pid if environment and environment.alive else None

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invocation, with an init before it if there is no environment yet."""
        if self._retirement:
            self._retirement.cancel()
        began = time.perf_counter()
        outcome = None if self.pid else await self._init(invocation)
        ready = time.perf_counter()
        if outcome is None and self._environment:
            outcome = await self._environment.invoke(invocation, self._code.settings.timeout)
        assert outcome  # noqa: S101 - an init without an outcome has left an environment
        self._report(outcome, ready - began, time.perf_counter() - ready)
        if outcome is RESPONSE_TOO_LARGE:
            self.end()  # the runtime does not survive that its response is refused
        self._retirement = asyncio.get_running_loop().call_later(self._idle, self.end)
        return outcome

    def end(self) -> None:
        if self._environment:
            self._environment.end()
        self._environment = None

    async def ended(self) -> None:
        """Wait until nothing of it is left."""
        if self._retirement:
            self._retirement.cancel()
        if self._reading:
            await asyncio.wait(self._reading)

    async def _init(self, invocation: Invocation) -> Outcome | None:
        """Start an environment; an init that takes too long is tried again within the function's own time."""
        outcome = await self._start(invocation, _INIT_LIMIT)
        if outcome is _INIT_TOOK_TOO_LONG:
            outcome = await self._start(invocation, self._code.settings.timeout)
        if outcome is _INIT_TOOK_TOO_LONG:
            return timed_out(invocation.id, self._code.settings.timeout)
        return outcome

    async def _start(self, invocation: Invocation, limit: float) -> Outcome | None:
        self.end()
        environment = self._environment = self._api.environments[self._port] = Environment(await self._start_process())
        process = environment.process
        events: set[asyncio.Future[Any]] = {environment.initialised, process.ended}
        await asyncio.wait(events, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        outcome: Outcome | None = _INIT_TOOK_TOO_LONG
        if environment.initialised.done():
            outcome = environment.initialised.result()
        elif process.ended.done():
            outcome = exited(invocation.id, process.ended.result())
        if outcome:
            self.end()
        return outcome

    async def _start_process(self) -> Process:
        ours, theirs = os.pipe()
        try:
            process = await Process.start(
                self._code.command(),
                environment={**self._code.environment(f"127.0.0.1:{self._port}"), telemetry.VARIABLE: str(theirs)},
                folder=self._code.settings.folder,
                keep=[theirs],
            )
        finally:
            os.close(theirs)
        self._log.note(self._code.settings.name, f"process {process.pid}")
        self._keep(self._read_output(process))
        self._keep(self._read_messages(ours))
        return process

    def _keep(self, reading: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(reading)
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read_output(self, process: Process) -> None:
        async for line in process.output:
            self._log.output(self._code.settings.name, line.decode(errors="replace").rstrip("\n"))
        await process.ended

    async def _read_messages(self, pipe: int) -> None:
        async for message in telemetry.messages(pipe):
            self._log.output(self._code.settings.name, message)

    def _report(self, outcome: Outcome, init: float, duration: float) -> None:
        started = f", init {init * 1000:.0f} ms" if init > _WARM else ""
        failure = f", {outcome.described()}" if outcome.failed else ""
        self._log.note(self._code.settings.name, f"{duration * 1000:.1f} ms{started}{failure}")


_INIT_TOOK_TOO_LONG = Outcome.error("Sandbox.Timedout", "init")


class Function:
    """What is invoked: events wait until one of its slots is free."""

    def __init__(self, code: Code, slots: Sequence[Slot]) -> None:
        self.settings = code.settings
        self.concurrency = len(slots)
        self._code = code
        self._slots = slots
        # The one that ran last is the one to run next: it is warm, and the others may become idle.
        self._free: asyncio.LifoQueue[Slot] = asyncio.LifoQueue()
        for slot in slots:
            self._free.put_nowait(slot)

    @property
    def pids(self) -> list[int]:
        return [slot.pid for slot in self._slots if slot.pid]

    async def invoke(self, payload: bytes) -> Outcome:
        if len(payload) > PAYLOAD_LIMIT:
            return Outcome.error(
                "RequestEntityTooLarge",
                f"{len(payload)} byte payload is too large for the invocation (limit 6291456 bytes)",
            )
        if not self._slots:
            return Outcome.error("TooManyRequestsException", "Rate Exceeded.")
        slot = await self._free.get()
        try:
            return await slot.invoke(Invocation(self.settings.arn, payload))
        finally:
            self._free.put_nowait(slot)

    def environment(self) -> Mapping[str, str]:
        return self._code.environment("127.0.0.1:0")

    async def end(self) -> None:
        for slot in self._slots:
            slot.end()
        await asyncio.gather(*(slot.ended() for slot in self._slots))
