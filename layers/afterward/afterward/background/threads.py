"""Blocking calls from a coroutine."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from afterward.settings import on_lambda

P = ParamSpec("P")
T = TypeVar("T")


async def off_the_loop(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function: inline on Lambda, where one request has the process to itself, else in a thread."""
    if on_lambda():
        return function(*args, **kwargs)
    return await run_in_threadpool(function, *args, **kwargs)
