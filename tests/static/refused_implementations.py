"""Implementations that type checkers must refuse, each line marked with mypy's code and pyright's rule."""

from typing import Annotated

from afterward import Depends, Job, injected, task
from afterward.testing import Trial


@task
def greet(name: str, count: int = 1) -> None:
    """Say hello."""


@task
def collect(name: str, **more: int) -> None: ...


@task
def measure(name: str, /, *, unit: str) -> None: ...


def lacks_one(name: str) -> None: ...


def lacks_all() -> None: ...


def has_one_more(name: str, extra: str, count: int = 1) -> None: ...


def has_one_more_keyword(name: str, count: int = 1, *, extra: str) -> None: ...


def has_another_type(name: int, count: int = 1) -> None: ...


def has_a_narrower_type(name: str, count: bool = True) -> None: ...


def has_another_name(who: str, count: int = 1) -> None: ...


def has_another_order(count: int = 1, name: str = "") -> None: ...


def lacks_the_default(name: str, count: int) -> None: ...


def has_keywords(name: str, *, count: int = 1) -> None: ...


def returns_something(name: str, count: int = 1) -> int:
    return count


async def returns_something_later(name: str, count: int = 1) -> int:
    return count


def injects_beside_keywords(name: str, *, job: Job = injected, **more: int) -> None: ...


def has_another_unit(name: str, /, *, unit: int) -> None: ...


def injects(name: str, count: int, *, text: Annotated[str, Depends(str)] = injected) -> None: ...


greet.worker(lacks_one)  # refused: arg-type, reportArgumentType
greet.worker(lacks_all)  # refused: arg-type, reportArgumentType
greet.worker(has_one_more)  # refused: arg-type, reportArgumentType
greet.worker(has_one_more_keyword)  # refused: arg-type, reportArgumentType
greet.worker(has_another_type)  # refused: arg-type, reportArgumentType
greet.worker(has_a_narrower_type)  # refused: arg-type, reportArgumentType
greet.worker(has_another_name)  # refused: arg-type, reportArgumentType
greet.worker(has_another_order)  # refused: arg-type, reportArgumentType
greet.worker(lacks_the_default)  # refused: arg-type, reportArgumentType
greet.worker(has_keywords)  # refused: arg-type, reportArgumentType
greet.worker(returns_something)  # refused: arg-type, reportArgumentType
greet.worker(returns_something_later)  # refused: arg-type, reportArgumentType
greet.worker("deliver")  # refused: arg-type, reportArgumentType
greet.worker(implementation=injects)  # refused: call-arg, reportCallIssue
collect.worker(injects_beside_keywords)  # refused: arg-type, reportArgumentType
measure.worker(has_another_unit)  # refused: arg-type, reportArgumentType
Trial().run(injects, "Ada")  # refused: call-arg, reportCallIssue
Trial().run(injects, "Ada", "2")  # refused: arg-type, reportArgumentType
Trial().run(injects, "Ada", 2, text=5)  # refused: arg-type, reportArgumentType
Depends(str, scope="request")  # refused: arg-type, reportArgumentType
