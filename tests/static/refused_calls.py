"""Calls that type checkers must refuse, each line marked with mypy's code and pyright's rule."""

from fastapi import APIRouter

from afterward import Backoff, task
from afterward.background import BackgroundTasks, DurableTasks

router = APIRouter()


@task
def greet(name: str, count: int = 1) -> None:
    """Say hello."""


@task
def bill_order(number: int, /, *, urgent: bool) -> None: ...


def plain(name: str) -> None: ...


def add_all(tasks: DurableTasks) -> None:
    tasks.add_task(greet)  # refused: call-arg, reportCallIssue
    tasks.add_task(greet, 5)  # refused: arg-type, reportArgumentType
    tasks.add_task(greet, None)  # refused: arg-type, reportArgumentType
    tasks.add_task(greet, "Ada", "2")  # refused: arg-type, reportArgumentType
    tasks.add_task(greet, "Ada", 2, 3)  # refused: call-arg, reportCallIssue
    tasks.add_task(greet, "Ada", times=2)  # refused: call-arg, reportCallIssue
    tasks.add_task(greet, "Ada", name="Bob")  # refused: misc, reportCallIssue
    tasks.add_task(greet, "Ada", count="2")  # refused: arg-type, reportArgumentType
    tasks.add_task(greet, "Ada", delay=5)  # refused: call-arg, reportCallIssue
    tasks.add_task(bill_order, 1)  # refused: call-arg, reportCallIssue
    tasks.add_task(bill_order, number=1, urgent=True)  # refused: call-arg, reportCallIssue
    tasks.add_task(bill_order, 1, urgent="yes")  # refused: arg-type, reportArgumentType
    tasks.add_task(plain, "Ada")  # refused: arg-type, reportArgumentType, reportCallIssue
    tasks.add_task("greet", "Ada")  # refused: arg-type, reportArgumentType, reportCallIssue
    tasks.add_task(greet.options(id="a"), 5)  # refused: arg-type, reportArgumentType
    tasks.add_task(greet.options(id="a"))  # refused: call-arg, reportCallIssue
    greet.options("a")  # refused: call-arg, reportCallIssue
    greet.options(id=5)  # refused: arg-type, reportArgumentType
    greet.options(name="Ada")  # refused: call-arg, reportCallIssue


@router.post("/greet")
async def greet_someone(background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(greet, 5)  # refused: arg-type, reportArgumentType
    background_tasks.publish()  # refused: unused-coroutine, reportUnusedCoroutine


@task  # refused: arg-type, reportArgumentType
def returns() -> int:
    return 5


@task  # refused: arg-type, reportArgumentType
async def returns_later() -> int:
    return 5


@task(max_attempts="many")  # refused: call-overload, untyped-decorator, reportArgumentType
def many() -> None: ...


@task(retries=5)  # refused: call-overload, untyped-decorator, reportCallIssue
def retries() -> None: ...


@task(backoff=Backoff(base="1"))  # refused: arg-type, reportArgumentType
def patient() -> None: ...
