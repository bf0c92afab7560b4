"""`Depends` in one attempt and over several: nesting, caching, closing, overriding."""

import asyncio
import contextlib
import functools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from inspect import Signature
from typing import Annotated, Any

import fastapi
import pytest

from afterward import Depends, Job, Progress, Retry, injected
from afterward.depends import needs_of
from afterward.errors import Continue, Stopped
from afterward.execution import Execution
from afterward.testing import Trial

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


class Connection:
    """One connection; `number` says how many were opened before."""

    def __init__(self) -> None:
        self.number = sum(line.startswith("open") for line in LOG)
        LOG.append(f"open {self.number}")


def connection() -> Iterator[Connection]:
    opened = Connection()
    try:
        yield opened
    except BaseException as error:
        LOG.append(f"roll back {opened.number}: {type(error).__name__}")
        raise
    finally:
        LOG.append(f"close {opened.number}")


async def async_connection() -> AsyncIterator[Connection]:
    opened = Connection()
    try:
        yield opened
    except BaseException as error:
        LOG.append(f"roll back {opened.number}: {type(error).__name__}")
        raise
    finally:
        LOG.append(f"close {opened.number}")


Opened = Annotated[Connection, Depends(connection)]
AsyncOpened = Annotated[Connection, Depends(async_connection)]


def users(opened: Opened) -> Iterator[str]:
    LOG.append(f"users on {opened.number}")
    yield "users"
    LOG.append("no more users")


async def orders(opened: Opened, progress: Progress, job: Job) -> str:
    LOG.append(f"orders of {job.id} on {opened.number}")
    return "orders"


def run(implementation: Callable[..., Any], **overrides: Any) -> None:
    Trial(**overrides).run(implementation)


def execution(implementation: Callable[..., Any]) -> Execution:
    return Execution(implementation, needs_of("task", implementation, Signature(), (Progress, Job)))


def attempt(of: Execution, timeout: float | None = None) -> None:
    of.run(Signature().bind(), {Progress: Progress(), Job: Job("job-1", "task", "")}, timeout)


def test_providers_nest_and_are_shared() -> None:
    """A provider gets what it depends on, and one attempt shares what was made."""

    def work(*, users: Annotated[str, Depends(users)] = injected, opened: Opened = injected) -> None:
        LOG.append(f"work with {users} on {opened.number}")

    run(work)
    assert LOG == ["open 0", "users on 0", "work with users on 0", "no more users", "close 0"]


def test_every_attempt_gets_its_own() -> None:
    """What was made for one attempt is closed with it and made anew for the next."""

    def work(*, opened: Opened = injected) -> None:
        LOG.append(f"work on {opened.number}")

    one = execution(work)
    attempt(one)
    attempt(one)
    assert LOG == ["open 0", "work on 0", "close 0", "open 1", "work on 1", "close 1"]


def test_without_cache_everyone_gets_their_own() -> None:
    """`use_cache=False` makes a new one for this place only; all others still share theirs."""

    def work(
        *,
        first: Opened = injected,
        own: Annotated[Connection, Depends(connection, use_cache=False)] = injected,
        second: Opened = injected,
    ) -> None:
        assert first is second is not own

    run(work)
    assert LOG == ["open 0", "open 1", "close 1", "close 0"]


class Boom(Exception):
    pass


ENDINGS = [Boom, Retry, Continue, Stopped, KeyboardInterrupt, SystemExit]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("provider", [connection, async_connection])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_generators_are_closed_with_the_exception(
    ending: type[BaseException], provider: Callable[[], Any], kind: str
) -> None:
    """What ended the attempt, giving back included, is thrown into generators in reverse order, and raised."""

    def failing(
        *,
        outer: Annotated[Connection, Depends(provider)] = injected,
        inner: Annotated[Connection, Depends(provider, use_cache=False)] = injected,
    ) -> None:
        raise ending

    async def failing_later(
        *,
        outer: Annotated[Connection, Depends(provider)] = injected,
        inner: Annotated[Connection, Depends(provider, use_cache=False)] = injected,
    ) -> None:
        await asyncio.sleep(0)
        raise ending

    with pytest.raises(ending):
        run(failing if kind == "sync" else failing_later)
    name = ending.__name__
    assert ["open 0", "open 1", f"roll back 1: {name}", "close 1", f"roll back 0: {name}", "close 0"] == LOG


def swallowing() -> Iterator[None]:
    with contextlib.suppress(BaseException):
        yield


async def async_swallowing() -> AsyncIterator[None]:
    with contextlib.suppress(BaseException):
        yield


def broken() -> None:
    raise Boom


@pytest.mark.parametrize("ending", [Boom, Stopped])
@pytest.mark.parametrize("provider", [swallowing, async_swallowing])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_provider_cannot_make_a_failure_a_success(
    ending: type[BaseException], provider: Callable[[], Any], kind: str
) -> None:
    """An exception that a generator swallows ends the attempt all the same."""

    def failing(*, _: Annotated[None, Depends(provider)] = injected) -> None:
        raise ending

    async def failing_later(*, _: Annotated[None, Depends(provider)] = injected) -> None:
        raise ending

    with pytest.raises(ending):
        run(failing if kind == "sync" else failing_later)


@pytest.mark.parametrize("provider", [swallowing, async_swallowing])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_provider_cannot_hide_another_ones_failure(provider: Callable[[], Any], kind: str) -> None:
    """A provider that fails fails the attempt, even inside a generator that swallows exceptions."""

    def work(
        *, first: Annotated[None, Depends(provider)] = injected, second: Annotated[None, Depends(broken)] = injected
    ) -> None:
        LOG.append("work")

    async def work_later(
        *, first: Annotated[None, Depends(provider)] = injected, second: Annotated[None, Depends(broken)] = injected
    ) -> None:
        LOG.append("work")

    with pytest.raises(Boom):
        run(work if kind == "sync" else work_later)
    assert LOG == []


def closing_badly() -> Iterator[None]:
    yield
    raise Boom


async def async_closing_badly() -> AsyncIterator[None]:
    yield
    raise Boom


@pytest.mark.parametrize("provider", [closing_badly, async_closing_badly])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_generator_that_fails_at_its_end_fails_the_attempt(provider: Callable[[], Any], kind: str) -> None:
    """A commit that fails behind the work is a failure of the attempt."""

    def work(*, _: Annotated[None, Depends(provider)] = injected) -> None:
        LOG.append("work")

    async def work_later(*, _: Annotated[None, Depends(provider)] = injected) -> None:
        LOG.append("work")

    with pytest.raises(Boom):
        run(work if kind == "sync" else work_later)
    assert LOG == ["work"]


def closing_badly_on_failure() -> Iterator[None]:
    try:
        yield
    except KeyError:
        raise Boom from None


async def async_closing_badly_on_failure() -> AsyncIterator[None]:
    try:
        yield
    except KeyError:
        raise Boom from None


@pytest.mark.parametrize("provider", [closing_badly_on_failure, async_closing_badly_on_failure])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_generator_may_say_what_a_failure_means(provider: Callable[[], Any], kind: str) -> None:
    """What a generator raises instead of the exception that it got is what the attempt ends with."""

    def work(*, _: Annotated[None, Depends(provider)] = injected) -> None:
        raise KeyError

    async def work_later(*, _: Annotated[None, Depends(provider)] = injected) -> None:
        raise KeyError

    with pytest.raises(Boom):
        run(work if kind == "sync" else work_later)


def test_sync_and_async_providers_mix() -> None:
    """An async task takes sync providers, a sync task async ones, and providers each other."""

    async def work(*, orders: Annotated[str, Depends(orders)] = injected, opened: AsyncOpened = injected) -> None:
        LOG.append(f"work with {orders} on {opened.number}")

    run(work)
    assert LOG == ["open 0", "orders of job-1 on 0", "open 1", "work with orders on 1", "close 1", "close 0"]


def test_a_sync_task_may_run_a_loop_beside_its_async_providers() -> None:
    """`asyncio.run` works in a sync task, on the main thread, whatever its providers are."""

    def work(*, opened: AsyncOpened = injected) -> None:
        assert threading.current_thread() is threading.main_thread()
        asyncio.run(asyncio.sleep(0))
        LOG.append(f"work on {opened.number}")

    run(work)
    assert LOG == ["open 0", "work on 0", "close 0"]


def test_async_providers_of_two_attempts_share_one_loop() -> None:
    """What lives on the loop for longer than an attempt finds the same loop in the next one."""
    loops = []

    async def client() -> AsyncIterator[asyncio.AbstractEventLoop]:
        loops.append(asyncio.get_running_loop())
        yield loops[0]
        LOG.append("client closed")

    async def work(
        *, loop: Annotated[asyncio.AbstractEventLoop, Depends(client, scope="environment")] = injected
    ) -> None:
        assert loop is asyncio.get_running_loop()

    one = execution(work)
    attempt(one)
    attempt(one)
    assert len(loops) == 1
    assert LOG == []
    one.close()
    assert LOG == ["client closed"]


@pytest.mark.parametrize("provider", [connection, async_connection])
def test_the_environments_own_outlive_an_attempt(provider: Callable[[], Any]) -> None:
    """`scope="environment"` makes one for all attempts, those that failed too, and closes it at the end."""

    def work(*, opened: Annotated[Connection, Depends(provider, scope="environment")] = injected) -> None:
        LOG.append(f"work on {opened.number}")
        raise Boom

    one = execution(work)
    for _ in range(2):
        with pytest.raises(Boom):
            attempt(one)
    assert LOG == ["open 0", "work on 0", "work on 0"]
    one.close()
    assert LOG[3:] == ["close 0"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_environments_own_can_be_made_before_the_first_attempt(kind: str) -> None:
    """A Lambda's init provides what lasts, also what is needed by what does not, so that a mistake shows there."""

    def repository(opened: Annotated[Connection, Depends(connection, scope="environment")]) -> Connection:
        LOG.append("repository")
        return opened

    def work(*, repository: Annotated[Connection, Depends(repository)] = injected, own: Opened = injected) -> None:
        LOG.append(f"work on {repository.number} and {own.number}")

    async def work_later(
        *, repository: Annotated[Connection, Depends(repository)] = injected, own: Opened = injected
    ) -> None:
        LOG.append(f"work on {repository.number} and {own.number}")

    one = execution(work if kind == "sync" else work_later)
    one.prepare()
    assert LOG == ["open 0"]
    attempt(one)
    one.close()
    assert LOG[1:] == ["repository", "open 1", "work on 0 and 1", "close 1", "close 0"]


def test_what_needs_a_loop_is_made_in_the_first_attempt() -> None:
    """An async provider of the environment waits for the loop that it will live on."""

    async def work(*, opened: Annotated[Connection, Depends(async_connection, scope="environment")] = injected) -> None:
        LOG.append(f"work on {opened.number}")

    one = execution(work)
    one.prepare()
    assert LOG == []
    attempt(one)
    one.close()
    assert LOG == ["open 0", "work on 0", "close 0"]


def test_what_the_environment_could_not_open_is_tried_again() -> None:
    """A provider that failed is not remembered as one that gave something."""
    tries = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise Boom
        return "open"

    def work(*, opened: Annotated[str, Depends(flaky, scope="environment")] = injected) -> None:
        LOG.append(opened)

    one = execution(work)
    with pytest.raises(Boom):
        attempt(one)
    attempt(one)
    assert LOG == ["open"]


def test_fastapis_depends_means_the_same() -> None:
    """A provider that endpoints use too, marked with FastAPI's own Depends, works in a task, nested or as a default."""

    def settings() -> str:
        LOG.append("settings")
        return "settings"

    def service(settings: str = fastapi.Depends(settings)) -> str:
        return f"service with {settings}"

    def work(
        *,
        service: Annotated[str, fastapi.Depends(service)] = injected,
        again: Annotated[str, fastapi.Depends(settings, use_cache=False)] = injected,
        scoped: Annotated[str, fastapi.Depends(settings, scope="request")] = injected,
    ) -> None:
        LOG.append(service)

    run(work)
    assert LOG == ["settings", "settings", "service with settings"]


def test_fastapi_need_not_be_there() -> None:
    """Recognising FastAPI's Depends imports no FastAPI."""
    code = """
import sys
from typing import Annotated
from afterward import Depends, injected
from afterward.testing import Trial
def name() -> str: return "Ada"
def work(*, name: Annotated[str, Depends(name)] = injected) -> None: print(name)
Trial().run(work)
print(*{"fastapi", "starlette", "asyncio"} & sys.modules.keys())
"""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Ada", "asyncio"]  # asyncio comes with the test tool, not with the provider


class Repository:
    def __init__(self, opened: Opened, table: str = "users") -> None:
        self.opened = opened
        self.table = table


class Multiplied:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, repository: Annotated[Repository, Depends()]) -> str:
        return repository.table * self.factor


class AsyncMultiplied(Multiplied):
    async def __call__(self, repository: Annotated[Repository, Depends()]) -> str:  # type: ignore[override]
        return repository.table * self.factor


class Yielded(Multiplied):
    def __call__(self, repository: Annotated[Repository, Depends()]) -> Iterator[str]:  # type: ignore[override]
        yield repository.table * self.factor
        LOG.append("yielded")


def joined(separator: str, repository: Annotated[Repository, Depends()]) -> str:
    return separator.join(repository.table)


async def async_joined(separator: str, repository: Annotated[Repository, Depends()]) -> str:
    return separator.join(repository.table)


@pytest.mark.parametrize(
    ("provider", "given"),
    [
        (Multiplied(2), "usersusers"),
        (AsyncMultiplied(2), "usersusers"),
        (Yielded(2), "usersusers"),
        (functools.partial(joined, "-"), "u-s-e-r-s"),
        (functools.partial(joined, separator="-"), "u-s-e-r-s"),
        (functools.partial(async_joined, "-"), "u-s-e-r-s"),
        (Multiplied(2).__call__, "usersusers"),
        (dict, {}),
    ],
)
def test_every_callable_can_provide(provider: Callable[..., Any], given: object) -> None:
    """Classes, callable objects, bound methods and partials provide as functions do, with what they need themselves."""
    seen: list[object] = []

    def work(*, value: Annotated[Any, Depends(provider)] = injected) -> None:
        seen.append(value)

    run(work)
    assert seen == [given]
    assert provider is dict or LOG[-1] == "close 0"


def test_overrides_stand_in_for_providers() -> None:
    """A test gives its own providers, nested ones, async ones and generators too."""

    async def stand_in() -> AsyncIterator[str]:
        yield "stand-in"
        LOG.append("stand-in closed")

    def work(*, users: Annotated[str, Depends(users)] = injected, opened: Opened = injected) -> None:
        LOG.append(f"work with {users} on {opened}")

    run(work, overrides={users: lambda: "nobody", connection: stand_in})
    assert LOG == ["work with nobody on stand-in", "stand-in closed"]
    LOG.clear()

    def repository(users: Annotated[str, Depends(users)]) -> str:
        return f"repository of {users}"

    def nested(*, repository: Annotated[str, Depends(repository)] = injected) -> None:
        LOG.append(repository)

    run(nested, overrides={users: stand_in})
    assert LOG == ["repository of stand-in", "stand-in closed"]


def test_an_override_ends_with_its_attempt() -> None:
    """What stands in for a provider of the environment is made for each attempt."""

    def work(*, opened: Annotated[Connection, Depends(connection, scope="environment")] = injected) -> None:
        LOG.append(str(opened))

    numbers = iter(("first", "second"))
    needs = needs_of("task", work, Signature(), ())
    one = Execution(work, needs, {connection: lambda: next(numbers)})
    attempt(one)
    attempt(one)
    assert LOG == ["first", "second"]


def test_an_async_task_ends_before_the_deadline() -> None:
    """A coroutine that does not end in time is cancelled, cleans up, and says how long it had."""

    async def work(*, opened: AsyncOpened = injected) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            LOG.append("cleaned up")

    with pytest.raises(TimeoutError, match=r"the task did not end within 0\.0 seconds"):
        attempt(execution(work), timeout=0.01)
    assert LOG == ["open 0", "cleaned up", "roll back 0: TimeoutError", "close 0"]


def test_a_timeout_of_the_tasks_own_is_its_own() -> None:
    """A TimeoutError that the task raises itself stays as it is."""

    async def work() -> None:
        raise TimeoutError("the server did not answer")

    with pytest.raises(TimeoutError, match="the server did not answer"):
        attempt(execution(work), timeout=30)


def test_what_a_decorator_returns_is_awaited() -> None:
    """A plain function that returns a coroutine, as a decorated async one does, is awaited and not dropped."""

    async def work(name: str, *, opened: Opened = injected) -> None:
        await asyncio.sleep(0)
        LOG.append(f"work of {name} on {opened.number}")

    @functools.wraps(work)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return work(*args, **kwargs)

    Trial().run(decorated, "Ada")
    assert LOG == ["open 0", "work of Ada on 0", "close 0"]


def test_callable_objects_can_be_async_implementations() -> None:
    """An object whose `__call__` is async is awaited."""

    class Work:
        async def __call__(self) -> None:
            LOG.append("work")

    attempt(execution(Work()))
    assert LOG == ["work"]
