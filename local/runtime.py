"""The Lambda Runtime API, and the execution environments that use it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.server import Receive, Scope, Send, body_of, respond

if TYPE_CHECKING:
    from local.process import Process

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB each for the event and for the response
PAYLOAD_LIMIT = 6 * 1024 * 1024 + 100
_INVOCATION = "/2018-06-01/runtime/invocation/"
_INIT_ERROR = "/2018-06-01/runtime/init/error"
_JSON = [(b"content-type", b"application/json")]


@dataclass(frozen=True)
class Outcome:
    """What came of an invocation: what the handler returned, or Lambda's description of the error."""

    payload: bytes
    failed: bool = False

    @classmethod
    def error(cls, error_type: str, message: str) -> Outcome:
        return cls(json.dumps({"errorType": error_type, "errorMessage": message}).encode(), failed=True)

    def described(self) -> str:
        """Put an error into a few words."""
        error = json.loads(self.payload)
        return f"{error.get('errorType')}: {error.get('errorMessage')}"


@dataclass(frozen=True)
class Invocation:
    """An event on its way to a handler."""

    arn: str
    payload: bytes
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def headers(self, deadline: float) -> list[tuple[bytes, bytes]]:
        trace = f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Parent={uuid.uuid4().hex[:16]};Sampled=0"
        named = {
            "Lambda-Runtime-Aws-Request-Id": self.id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.arn,
            "Lambda-Runtime-Trace-Id": trace,
        }
        return [*_JSON, *((name.encode(), value.encode()) for name, value in named.items())]


class Environment:
    """A process that asks for invocations, one after the other."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.initialised: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        """Done when the runtime asks for its first event, or reports why it cannot."""
        self._killed = False
        self._next: asyncio.Queue[tuple[Invocation, float] | None] = asyncio.Queue()
        self._outcomes: dict[str, asyncio.Future[Outcome]] = {}

    @property
    def alive(self) -> bool:
        return not self._killed and not self.process.ended.done()

    async def invoke(self, invocation: Invocation, seconds: float) -> Outcome:
        """Give the runtime an event; whatever happens to the process meanwhile is the outcome."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._outcomes[invocation.id] = outcome
        self._next.put_nowait((invocation, time.time() + seconds))
        events: set[asyncio.Future[Any]] = {outcome, self.process.ended}
        try:
            await asyncio.wait(events, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._outcomes[invocation.id]
            if not outcome.done():
                self.end()
        if outcome.done():
            return outcome.result()
        if self.process.ended.done():
            return exited(invocation.id, self.process.ended.result())
        return timed_out(invocation.id, seconds)

    def end(self) -> None:
        """Kill the process, as Lambda does when there is no extension to tell."""
        self._killed = True
        self.process.kill()
        self._next.put_nowait(None)

    async def next(self) -> tuple[Invocation, float] | None:
        """Wait for the next event; None when there will be none and the process that asked is gone."""
        if not self.initialised.done():
            self.initialised.set_result(None)
        work = await self._next.get()
        if work is None:
            await self.process.ended
        return work

    def finish(self, invocation: str, outcome: Outcome) -> bool:
        waiting = self._outcomes.get(invocation)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(outcome)
        return True

    def fail(self, outcome: Outcome) -> None:
        if not self.initialised.done():
            self.initialised.set_result(outcome)


def exited(invocation: str, status: int) -> Outcome:
    """Describe a process that ended by itself or was killed from outside, in Lambda's words."""
    signalled = "killed" if -status == signal.SIGKILL else str(-status)
    how = f"exit status {status}" if status > 0 else f"signal: {signalled}"
    why = f"exited with error: {how}" if status else "exited without providing a reason"
    return Outcome.error("Runtime.ExitError", f"RequestId: {invocation} Error: Runtime {why}")


def timed_out(invocation: str, seconds: float) -> Outcome:
    return Outcome.error(
        "Sandbox.Timedout", f"RequestId: {invocation} Error: Task timed out after {seconds:.2f} seconds"
    )


class RuntimeApi:
    """The ASGI application; each environment calls it on a port of its own, by which it is known."""

    def __init__(self) -> None:
        self.environments: dict[int, Environment] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        environment = self.environments.get(scope["server"][1])
        if environment is None:
            await respond(send, 410, [], b"")
        elif scope["path"] == f"{_INVOCATION}next":
            await self._next(environment, send)
        else:
            body = await body_of(receive, PAYLOAD_LIMIT)
            await respond(send, self._posted(environment, scope["path"], body), _JSON, b'{"status":"OK"}')

    async def _next(self, environment: Environment, send: Send) -> None:
        work = await environment.next()
        if work is None:
            await respond(send, 410, [], b"")
            return
        invocation, deadline = work
        await respond(send, 200, invocation.headers(deadline), invocation.payload)

    def _posted(self, environment: Environment, path: str, body: bytes | None) -> int:
        if path == _INIT_ERROR:
            environment.fail(Outcome(body or b"{}", failed=True))
            return 202
        invocation, _, kind = path.removeprefix(_INVOCATION).partition("/")
        outcome = RESPONSE_TOO_LARGE if body is None else Outcome(body, failed=kind == "error")
        if not environment.finish(invocation, outcome):
            return 400
        return 413 if body is None else 202


RESPONSE_TOO_LARGE = Outcome.error(
    "Function.ResponseSizeTooLarge",
    f"Response payload size exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes).",
)
