"""One call of an implementation with what it needs injected: sync on the main thread, async on one event loop."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from afterward.depends import Lifetime, Needs, Overrides, Resolver, lasting_nodes

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

    def prepare(self) -> None:
        """Provide at init what lives as long as the environment: what is missing shows before any job is taken."""
        resolver = Resolver(Lifetime(), self._environment, {}, self._overrides)
        lasting = {str(number): node for number, node in enumerate(lasting_nodes(self._needs))}
        if not resolver.asynchronous(lasting):
            resolver.values(lasting)

    def run(self, arguments: inspect.BoundArguments, given: Mapping[type, Any], timeout: float | None = None) -> None:
        """Call it and close what was provided, in reverse and with the exception that ended it; then raise that.

        `timeout` in seconds ends an async implementation with TimeoutError; Lambda's deadline ends a sync one.
        """
        resolver = Resolver(Lifetime(), self._environment, given, self._overrides)
        if _is_async(self._implementation):
            self._runner.run(self._run_async(resolver, arguments, timeout))
        elif resolver.asynchronous(self._needs):
            self._run_beside_loop(resolver, arguments, timeout)
        else:
            self._run_sync(resolver, arguments, timeout)

    def close(self) -> None:
        """Close what was provided for the environment."""
        self._environment.stack.close()
        if "_runner" in self.__dict__:
            self._runner.run(self._environment.async_stack.aclose())
            self._runner.close()

    def _run_sync(self, resolver: Resolver, arguments: inspect.BoundArguments, timeout: float | None) -> None:
        error: BaseException | None = None
        with resolver.attempt.stack:
            try:
                self._call(resolver.values(self._needs), arguments, timeout)
            except BaseException as raised:
                error = raised
                raise
        _raise_swallowed(error)

    async def _run_async(self, resolver: Resolver, arguments: inspect.BoundArguments, timeout: float | None) -> None:  # noqa: ASYNC109 - a deadline, see run
        error: BaseException | None = None
        async with resolver.attempt.async_stack:
            try:
                values = await resolver.async_values(self._needs)
                work = self._implementation(*arguments.args, **arguments.kwargs, **values)
                await _within(timeout, cast("Awaitable[None]", work))
            except BaseException as raised:
                error = raised
                raise
        _raise_swallowed(error)

    def _run_beside_loop(self, resolver: Resolver, arguments: inspect.BoundArguments, timeout: float | None) -> None:
        """Run a sync implementation outside the loop that its async providers live on, so that it may start its own."""
        stack: AsyncExitStack = resolver.attempt.async_stack
        try:
            self._call(self._runner.run(resolver.async_values(self._needs)), arguments, timeout)
        except BaseException as error:
            self._runner.run(_closing(stack, error))
            raise
        self._runner.run(stack.aclose())

    def _call(self, values: Mapping[str, Any], arguments: inspect.BoundArguments, timeout: float | None) -> None:
        """Call a function that is not async itself; what it returns may be, as that of a decorator often is."""
        work = self._implementation(*arguments.args, **arguments.kwargs, **values)
        if inspect.isawaitable(work):
            self._runner.run(_within(timeout, work))

    @cached_property
    def _runner(self) -> "asyncio.Runner":
        import asyncio  # noqa: PLC0415 - 20 ms of cold start that sync tasks need not pay
        import atexit  # noqa: PLC0415 - as above

        runner = asyncio.Runner()
        atexit.register(runner.close)
        return runner


async def _within(timeout: float | None, work: Awaitable[None]) -> None:  # noqa: ASYNC109 - a deadline, see run
    import asyncio  # noqa: PLC0415 - as above

    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            await work
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"the task did not end within {timeout:.1f} seconds") from None
        raise


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
