"""`task.worker()`: which implementations a declaration takes, and what the refusal of the others says."""

import functools

import pytest

from afterward import UsageError
from tests.unit.tasks.conftest import Written

DECLARED = """
import fastapi
from typing import Iterator

@task
def greet(name: str, count: int = 1) -> None: ...

@task
def measure(name: str, /, *rest: int, unit: str, **more: int) -> None: ...

class Mailer: ...

def mailer() -> Mailer:
    return Mailer()

def of_the_request(request: fastapi.Request) -> str:
    return request.url.path

def by_header(token: Annotated[str, fastapi.Header()] = "") -> str:
    return token

def by_query(token: str = fastapi.Query("")) -> str:
    return token

def bearer(token: Annotated[str, fastapi.Depends(fastapi.security.HTTPBearer())]) -> str:
    return token

def nested(path: Annotated[str, fastapi.Depends(of_the_request)]) -> str:
    return path

def unfillable(text: str) -> str:
    return text

def circle(other: "Annotated[str, Depends(circle)]" = "") -> str:
    return other

def late(value: "Unknown") -> str:
    return value

def per_attempt(progress: Progress) -> str:
    return ""

def long_lived(text: Annotated[str, Depends(per_attempt)]) -> str:
    return text
"""

REFUSED = {
    "name: str": "the implementation lacks the declared parameter `count`",
    "name: str, count: int, extra: str": (
        r"parameter `extra` is not declared by the task; declare it there, or mark it with Annotated\[..., Depends"
    ),
    "name: str, count: int, extra: str = 'x'": "parameter `extra` is not declared by the task",
    "name: str, count: int = 2": "parameter `count` has another default than the task's",
    "name: str = 'Ada', count: int = 1": "parameter `name` has another default than the task's",
    "name: str, *, count: int = 1": "parameter `count` is keyword-only, but declared as positional or keyword",
    "count: int, name: str": "the implementation has the parameters in another order than declared",
    "*args: object, **kwargs: object": "parameter `args` is not declared by the task",
    "name: str, count: int, mailer: Annotated[Mailer, Depends(mailer)] = injected": (
        r"injected parameter `mailer` must be keyword-only: put it after a `\*`"
    ),
    "name: str, count: int, *, mailer: Annotated[Mailer, Depends(mailer)]": (
        "parameter `mailer` is injected, so its default must be `injected`"
    ),
    "name: str, count: int, *, mailer: Annotated[Mailer, Depends(mailer)] = None": (
        "parameter `mailer` is injected, so its default must be `injected`"
    ),
    "name: str, count: int, *, mailer: Mailer = fastapi.Depends(mailer)": (
        "parameter `mailer` is injected, so its default must be `injected`"
    ),
    "name: str, count: int, *, mailer: Mailer = injected": (
        r"parameter `mailer` cannot be injected: annotate it with Annotated\[..., Depends\(...\)\] or as one"
    ),
    "name: str, count: int, *, mailer=injected": "parameter `mailer` cannot be injected",
    "count: int = 1, *, name: Annotated[str, Depends(str)] = injected": (
        "the implementation lacks the declared parameter `name`"
    ),
}


@pytest.mark.parametrize(("parameters", "said"), REFUSED.items())
def test_implementations_that_do_not_fit(written: Written, parameters: str, said: str) -> None:
    """What a type checker cannot see is refused at import, naming the task, the implementation and the parameter."""
    with pytest.raises(UsageError, match=rf"task greet: written_\d+\.deliver: .*{said}"):
        written(f"{DECLARED}\ndef deliver({parameters}) -> None: ...\ngreet.worker(deliver)")


REFUSED_PROVIDERS = {
    "Depends(5)": ": Depends needs a callable, got 5",
    "Depends(of_the_request)": (
        " → of_the_request needs the Request, which is over when the job runs; pass its values as arguments"
    ),
    "Depends(nested)": " → nested → of_the_request needs the Request",
    "Depends(by_header)": " → by_header needs the Header, which is over",
    "Depends(by_query)": " → by_query needs the Query, which is over",
    "Depends(bearer)": " → bearer → .*HTTPBearer.* needs the HTTPConnection",
    "Depends(unfillable)": " → unfillable needs `text`, which nothing provides: give it a default or a Depends",
    "Depends(long_lived, scope='environment')": (
        " → long_lived outlives the attempt, so it cannot depend on what ends with it"
    ),
    "Depends(str, use_cache=False, scope='environment')": (
        " → str is made once for the environment, so it cannot have use_cache=False"
    ),
    "Depends(circle)": " → circle: circle depends on itself",
    "Depends(late)": " → late: name 'Unknown' is not defined; annotations must be resolvable at import",
}


@pytest.mark.parametrize(("marker", "said"), REFUSED_PROVIDERS.items())
def test_providers_that_cannot_provide(written: Written, marker: str, said: str) -> None:
    """A provider that needs the request, or what nobody gives, is refused at import with the way that leads to it."""
    parameters = f"name: str, count: int, *, x: Annotated[str, {marker}] = injected"
    with pytest.raises(UsageError, match=rf"task greet: written_\d+\.deliver: parameter `x`{said}"):
        written(f"{DECLARED}\ndef deliver({parameters}) -> None: ...\ngreet.worker(deliver)")


@pytest.mark.parametrize(
    "implementation",
    [
        "def deliver(name: str, count: int) -> None: ...",
        "def deliver(name: str, count: int = 1) -> None: ...",
        "async def deliver(name: str, count: int = 1) -> None: ...",
        "def deliver(name: str, count: int, *, progress: Progress = injected, job: Job = injected) -> None: ...",
        "class Deliver:\n    def __call__(self, name: str, count: int) -> None: ...\ndeliver = Deliver()",
        "import functools\ndef deliver(name: str, count: int) -> None: ...\ndeliver = functools.partial(deliver)",
        *(
            f"def deliver(name: str, count: int, *, mailer: Annotated[Mailer, {marker}] = injected) -> None: ..."
            for marker in ("Depends(mailer)", "Depends()", "fastapi.Depends()", "fastapi.Security(mailer)")
        ),
    ],
)
def test_implementations_that_fit(written: Written, implementation: str) -> None:
    """An implementation has the declared parameters, and keyword-only ones that are injected."""
    module = written(f"{DECLARED}\n{implementation}")
    assert module.greet.worker(module.deliver).task is module.greet


def test_every_kind_of_parameter_can_be_declared(written: Written) -> None:
    """Positional-only, variadic and keyword-only parameters are implemented as they are declared."""
    module = written(f"""{DECLARED}
def deliver(name: str, /, *rest: int, unit: str, **more: int) -> None: ...
def injects(name: str, /, *rest: int, unit: str, progress: Progress = injected, **more: int) -> None: ...
def other(name: str, *rest: int, unit: str, **more: int) -> None: ...
""")
    with pytest.raises(UsageError, match="parameter `name` is positional or keyword, but declared as positional-only"):
        module.measure.worker(module.other)
    with pytest.raises(UsageError, match=r"a task with \*\*keywords gets nothing injected: a caller may use"):
        module.measure.worker(module.injects)
    assert module.measure.worker(module.deliver)


def test_there_is_one_implementation(written: Written) -> None:
    """A second implementation is refused, naming both; asking again for the same one gives the same worker."""
    module = written(f"""{DECLARED}
def deliver(name: str, count: int) -> None: ...
def other(name: str, count: int) -> None: ...
""")
    worker = module.greet.worker(module.deliver)
    with pytest.raises(UsageError, match=r"task greet has two implementations: written_\d+\.deliver and other"):
        module.greet.worker(module.other)
    assert module.greet.worker(module.deliver) is worker
    assert module.greet.options(delay=1).implemented is worker


def test_a_declaration_needs_an_implementation(written: Written) -> None:
    """A task without a body has no worker until it gets one."""
    module = written(DECLARED)
    assert module.greet.implemented is None
    for implementation in ((), (module.greet,), (module.measure,)):
        with pytest.raises(UsageError, match=r"task greet has no body in place; give worker\(\) its implementation"):
            module.greet.worker(*implementation)


def test_a_body_in_place_is_the_only_implementation(written: Written) -> None:
    """A task with a body takes no other implementation, and needs none to be made."""
    module = written("@task\ndef greet(name: str) -> None:\n    print(name)\ndef other(name: str) -> None: ...")
    with pytest.raises(UsageError, match="task greet has its body in place already, so other would never run"):
        module.greet.worker(module.other)
    assert module.greet.implemented is module.greet.worker()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("name: str, progress: Progress = injected", r"injected parameter `progress` must be keyword-only"),
        ("name: str, *, mailer: dict[str, str] = injected", "parameter `mailer` cannot be injected"),
        ("name: str, *, x: Annotated[str, Depends(of_the_request)] = injected", "→ of_the_request needs the Request"),
    ],
)
def test_a_body_in_place_is_checked_where_it_stands(written: Written, parameters: str, said: str) -> None:
    """What a body in place cannot get injected is refused at import, whether or not this process runs the task."""
    with pytest.raises(UsageError, match=f"task wave: .*{said}"):
        written(f"{DECLARED}\n@task\ndef wave({parameters}) -> None:\n    print(name)")


def test_implementations_may_be_decorated(written: Written) -> None:
    """A decorator that keeps the signature, as functools.wraps does, keeps the implementation valid."""
    module = written(DECLARED)

    def deliver(name: str, count: int) -> None: ...

    @functools.wraps(deliver)
    def decorated(*args: object, **kwargs: object) -> None: ...

    assert module.greet.worker(decorated)
