"""Implementations that type checkers must accept."""

from typing import Annotated, Any, Protocol

import fastapi

from afterward import Depends, Job, Progress, injected, task
from afterward.testing import Attempt, Trial


class Mailer(Protocol):
    def send(self, text: str) -> None: ...


def mailer() -> Mailer: ...  # type: ignore[empty-body]  # pyright: ignore[reportReturnType]


@task
def greet(name: str, count: int = 1) -> None:
    """Say hello."""


@task
def measure(name: str, /, *rest: int, unit: str, **more: int) -> None: ...


@task
async def refresh(url: str) -> None: ...


@task
def in_place(name: str, *, mailer: Annotated[Mailer, Depends(mailer)] = injected, job: Job = injected) -> None:
    mailer.send(f"{job.id}: {name}")


@task
async def in_place_async(name: str, *, progress: Progress = injected) -> None:
    progress.report(1, 1, name)


def plain(name: str, count: int = 1) -> None: ...


async def asynchronous(name: str, count: int = 1) -> None: ...


def with_mailer(name: str, count: int = 1, *, mailer: Annotated[Mailer, Depends(mailer)] = injected) -> None:
    mailer.send(name)


def with_fastapis(
    name: str, count: int = 1, *, mailer: Annotated[Mailer, fastapi.Depends(mailer)] = injected
) -> None: ...


async def with_everything(
    name: str,
    count: int = 1,
    *,
    mailer: Annotated[Mailer, Depends(mailer, use_cache=False, scope="environment")] = injected,
    progress: Progress = injected,
    job: Job = injected,
) -> None: ...


def wider(name: str | None, count: float = 1) -> None: ...


def measured(name: str, /, *rest: int, unit: str, **more: int) -> None: ...


def fetch(url: str) -> None: ...


class Deliver:
    def __call__(self, name: str, count: int = 1) -> None: ...


handlers = [
    greet.worker(plain),
    greet.worker(asynchronous),
    greet.worker(with_mailer),
    greet.worker(with_fastapis),
    greet.worker(with_everything),
    greet.worker(wider),
    greet.worker(Deliver().__call__),
    measure.worker(measured),
    refresh.worker(fetch),
    in_place.worker(),
    in_place_async.worker(),
]


def lambda_would_call(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    return handlers[0](event, context)


def tried() -> Attempt:
    Trial().run(fetch, "https://example.com")
    Trial().run(in_place, "Ada")
    Trial().run(in_place_async, name="Ada")
    Trial().run(asynchronous, "Ada", count=2)
    return Trial(overrides={mailer: lambda: None}).run(with_mailer, "Ada", 1)


def called_directly(outbox: Mailer) -> None:
    with_mailer("Ada", 1, mailer=outbox)
