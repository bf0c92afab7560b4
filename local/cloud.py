"""The local cloud as one object, for `python -m local` and for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

from local import packages, schedule
from local.account import CREDENTIALS, REGION, Account
from local.errors import CannotStart
from local.function import Code, Function, Slot, check_handler
from local.gateway import Gateway
from local.guard import SAYS_REFUSED
from local.log import Line, Log
from local.mail import Mail, Mailbox, receiving
from local.poller import Poller
from local.process import Process
from local.route import routes_of
from local.runtime import Outcome, RuntimeApi
from local.server import listen, port_of, serving
from local.user import AUDIENCE, ISSUER, Caller, DevelopmentUser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
    from types import TracebackType

    from local.policies import Right
    from local.stack import FunctionSettings, Stack

_Result = TypeVar("_Result")


def local_parameters(smtp_port: int) -> dict[str, str]:
    """Give the template's parameters what they are on this machine; the others keep their Default."""
    return {
        "JwtAudience": AUDIENCE,
        "JwtIssuer": ISSUER,
        "SmtpHost": "127.0.0.1",
        "SmtpPort": str(smtp_port),
        "SmtpSender": "afterward@localhost.localdomain",
        "SmtpStartTls": "never",
    }


class LocalCloud:
    """Runs a template for as long as a `with` block lasts.

    `port=0` takes any free port; `parameters` overrides the template's; `stream` shows the log; `mails` is a folder
    that keeps the mails; `state` is one that keeps installed packages for the next run; `caller` says who calls the
    API; `idle` is after how many seconds an unused execution environment ends; `own_runtime` does without
    awslambdaric; schedules fire `pace` times as often; functions that call public addresses may call the ports in
    `allow_loopback` on this machine as well; `timeouts` are seconds instead of the template's, by a function's logical
    id, or one number for all functions that work off a queue; `used` is a file that gets a line of JSON, a function, an
    action and a resource, when a right that a policy grants is used first.
    """

    def __init__(  # noqa: PLR0913 - each has a default that serves
        self,
        template: Path = Path("template.yaml"),
        *,
        port: int = 0,
        parameters: Mapping[str, str] | None = None,
        stream: TextIO | None = None,
        mails: Path | None = None,
        state: Path | None = None,
        caller: Caller | None = None,
        idle: float = 60,
        own_runtime: bool = False,
        pace: float = 1,
        allow_loopback: Sequence[int] = (),
        timeouts: Mapping[str, int] | int | None = None,
        used: Path | None = None,
    ) -> None:
        self._template = template.resolve()
        self._port = port
        self._parameters = parameters or {}
        self._mails = mails
        self._state = (state or self._template.parent / ".local").resolve()
        self._caller = caller or DevelopmentUser()
        self._idle = idle
        self._own_runtime = own_runtime
        self._pace = pace
        self._allow_loopback = allow_loopback
        self._timeouts = {} if timeouts is None else timeouts
        self._used = used
        self._log = Log(stream)
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="local-cloud", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything; it is over when this returns."""
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    @property
    def url(self) -> str:
        """Address of the HTTP API."""
        return self._url

    @property
    def endpoint(self) -> str:
        """Address of all AWS services."""
        return self._account.url

    @property
    def mails(self) -> list[Mail]:
        """Mails that were sent, in their order."""
        return list(self._mailbox.mails)

    @property
    def logs(self) -> list[Line]:
        """Lines that functions have written, and what the local cloud had to say about them."""
        return list(self._log.lines)

    @property
    def rights(self) -> Mapping[str, Sequence[Right]]:
        """What each function may do, by its role."""
        return {name: role.rights for name, role in self._stack.roles.items()}

    @property
    def refusals(self) -> list[str]:
        """What functions were kept from doing."""
        return [line.text for line in self._log.lines if line.source == "aws" and line.text.startswith(SAYS_REFUSED)]

    @property
    def resources(self) -> Mapping[str, str]:
        """What `Ref` gives for each resource: a queue's URL, a table's name."""
        return self._stack.resources

    def client(self, service: str) -> Any:
        """Make a boto3 client for one of the AWS services."""
        return self._account.client(service)

    def invoke(self, function: str, event: object) -> Outcome:
        """Invoke a function and wait for what comes of it."""
        return self._call(self._functions[function].invoke(json.dumps(event).encode()))

    def processes(self, function: str) -> list[int]:
        """Give the pids of a function's execution environments."""
        return self._functions[function].pids

    def function_environment(self, function: str) -> Mapping[str, str]:
        """Give the variables that a function's processes start with."""
        return self._functions[function].environment()

    def _call(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task() or asyncio.Task(asyncio.sleep(0))
        async with AsyncExitStack() as running:
            await self._start(running)
            self._ready.set_result(None)
            await asyncio.Event().wait()

    async def _start(self, running: AsyncExitStack) -> None:
        entrance = running.enter_context(listen(self._port))
        self._url = f"http://127.0.0.1:{port_of(entrance)}"
        await self._receive_mails(running)
        self._account = await running.enter_async_context(_aws(self._log, self._used))
        self._stack = await asyncio.to_thread(self._create)
        self._functions = await self._start_functions(running)
        gateway = Gateway(routes_of(self._stack.apis), self._functions, self._caller, self._log)
        await running.enter_async_context(serving(gateway, [entrance]))
        await running.enter_async_context(self._events())

    async def _receive_mails(self, running: AsyncExitStack) -> None:
        folder = self._mails or Path(running.enter_context(tempfile.TemporaryDirectory(prefix="mails-")))
        self._mailbox = Mailbox(folder, self._log)
        listening = running.enter_context(listen())
        self._smtp_port = port_of(listening)
        await running.enter_async_context(receiving(self._mailbox, listening))

    def _create(self) -> Stack:
        # SAM's translator takes as long to import as moto to start; here they do it side by side.
        from local.stack import create  # noqa: PLC0415
        from local.template import load  # noqa: PLC0415
        from local.timeouts import retimed  # noqa: PLC0415

        template = load(self._template, {**local_parameters(self._smtp_port), **self._parameters})
        return create(retimed(template, self._timeouts), self._account, self._url)

    async def _start_functions(self, running: AsyncExitStack) -> dict[str, Function]:
        codes = await asyncio.to_thread(self._codes)
        api = RuntimeApi()
        rooms = [[listen() for _ in range(code.slots)] for code in codes]
        await running.enter_async_context(serving(api, [entrance for room in rooms for entrance in room]))
        functions = {}
        for code, room in zip(codes, rooms, strict=True):
            slots = [Slot(code, port_of(entrance), api, self._log, self._idle) for entrance in room]
            functions[code.settings.name] = function = Function(code, slots)
            running.push_async_callback(function.end)
        return functions

    def _codes(self) -> list[Code]:
        cache = self._state / "packages"
        runtime = None if self._own_runtime else packages.runtime(cache)
        home = self._state / "home"
        home.mkdir(parents=True, exist_ok=True)
        functions = self._stack.functions.values()
        for settings in functions:
            check_handler(settings)
        more = {"OUTBOUND_ALLOW_LOOPBACK": ",".join(map(str, self._allow_loopback))} if self._allow_loopback else {}
        return [
            Code(settings, _path(settings, cache), runtime, self._account.url, home, more) for settings in functions
        ]

    @asynccontextmanager
    async def _events(self) -> AsyncIterator[None]:
        """Turn messages and the clock into invocations."""
        threads = ThreadPoolExecutor(max_workers=2 * len(self._stack.sources) + 2, thread_name_prefix="sqs")
        sqs = self._account.client("sqs", connections=2 * len(self._stack.sources) + 2)
        works = [
            Poller(source, self._functions[source.function], sqs, threads, self._log).run()
            for source in self._stack.sources
        ]
        works += [
            schedule.run(each, schedule.target_of(each, self._functions), self._pace) for each in self._stack.schedules
        ]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            threads.shutdown(wait=False, cancel_futures=True)


def _path(settings: FunctionSettings, cache: Path) -> tuple[str, ...]:
    """Order what a function may import: its folder, then its layers, of which the last lies on top."""
    return tuple(
        entry for folder in (settings.folder, *reversed(settings.layers)) for entry in packages.path_of(folder, cache)
    )


@asynccontextmanager
async def _aws(log: Log, used: Path | None = None) -> AsyncIterator[Account]:
    """Run moto for as long as the block lasts."""
    with listen() as listening:
        listening.set_inheritable(True)
        url = f"http://127.0.0.1:{port_of(listening)}"
        process = await Process.start(
            [sys.executable, "-m", "local.aws", str(listening.fileno()), *([str(used)] if used else [])],
            environment={**_without_aws(os.environ), **CREDENTIALS, "AWS_DEFAULT_REGION": REGION},
            folder=Path(__file__).parents[1],
            keep=[listening.fileno()],
        )
    last = asyncio.create_task(_read(process, log))
    account = Account(url)
    try:
        yield account
    except CannotStart:
        if process.ended.done():
            raise CannotStart(f"moto ended: {await last}") from None
        raise
    finally:
        process.kill()
        await process.ended
        await last
        account.close()


async def _read(process: Process, log: Log) -> str:
    """Log what moto has to say; the last of it is why it ended."""
    text = ""
    async for line in process.output:
        text = line.decode(errors="replace").strip()
        log.note("aws", text)
    return text


def _without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "MOTO_"))}
