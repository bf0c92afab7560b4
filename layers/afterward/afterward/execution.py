"""One call of an implementation with what it needs injected: sync on the main thread, async on one event loop."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from afterward.depends import Lifetime, Needs, Overrides, Resolver

if TYPE_CHECKING:
    import asyncio

Implementation = Callable[..., Awaitable[None] | None]


class Execution:
    """Calls `implementation` any number of times; what is provided for the environment lives until `close`."""

    def __init__(self, implementation: Implementation, needs: Needs, overrides: Overrides | None = None) -> None:
        self._implementation = implementation
        self._needs = needs
        self._overrides = overrides or {}
        self._environment = Lifetime()

    def run(self, arguments: inspect.BoundArguments, given: Mapping[type, Any], timeout: float | None = None) -> None:
        """Call it and close what was provided, in reverse and with the exception that ended it; then raise that.

        `timeout` in seconds ends an async implementation with TimeoutError; Lambda's deadline ends a sync one.
        """
        resolver = Resolver(Lifetime(), self._environment, given, self._overrides)
        if _is_async(self._implementation):
            self._runner.run(self._run_async(resolver, arguments, timeout))
        elif resolver.asynchronous(self._needs):
            self._run_beside_loop(resolver, arguments)
        else:
            self._run_sync(resolver, arguments)

    def close(self) -> None:
        """Close what was provided for the environment."""
        self._environment.stack.close()
        if "_runner" in self.__dict__:
            self._runner.run(self._environment.async_stack.aclose())
            self._runner.close()

    def _run_sync(self, resolver: Resolver, arguments: inspect.BoundArguments) -> None:
        error: BaseException | None = None
        with resolver.attempt.stack:
            values = resolver.values(self._needs)
            try:
                self._implementation(*arguments.args, **arguments.kwargs, **values)
            except BaseException as raised:
                error = raised
                raise
        _raise_swallowed(error)

    async def _run_async(self, resolver: Resolver, arguments: inspect.BoundArguments, timeout: float | None) -> None:  # noqa: ASYNC109 - a deadline, see run
        import asyncio  # noqa: PLC0415 - 20 ms of cold start that sync tasks need not pay

        error: BaseException | None = None
        async with resolver.attempt.async_stack:
            values = await resolver.async_values(self._needs)
            try:
                async with asyncio.timeout(timeout):
                    await cast("Awaitable[None]", self._implementation(*arguments.args, **arguments.kwargs, **values))
            except BaseException as raised:
                error = raised
                raise
        _raise_swallowed(error)

    def _run_beside_loop(self, resolver: Resolver, arguments: inspect.BoundArguments) -> None:
        """Run a sync implementation outside the loop that its async providers live on, so that it may start its own."""
        stack: AsyncExitStack = resolver.attempt.async_stack
        try:
            values = self._runner.run(resolver.async_values(self._needs))
            self._implementation(*arguments.args, **arguments.kwargs, **values)
        except BaseException as error:
            self._runner.run(_closing(stack, error))
            raise
        self._runner.run(stack.aclose())

    @cached_property
    def _runner(self) -> "asyncio.Runner":
        import asyncio  # noqa: PLC0415 - as above
        import atexit  # noqa: PLC0415 - as above

        runner = asyncio.Runner()
        atexit.register(runner.close)
        return runner


async def _closing(stack: AsyncExitStack, error: BaseException) -> None:
    try:
        await stack.__aexit__(type(error), error, error.__traceback__)
    except BaseException as raised:
        if raised is not error:
            raise


def _raise_swallowed(error: BaseException | None) -> None:
    """Raise what a provider swallowed: whether an attempt succeeded is the task's word, not its providers'."""
    if error is not None:
        raise error


def _is_async(implementation: Implementation) -> bool:
    return inspect.iscoroutinefunction(implementation) or inspect.iscoroutinefunction(type(implementation).__call__)
