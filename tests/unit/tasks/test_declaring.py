"""`@task`: what can be declared, what cannot, and what the refusal says."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from afterward import Task, UsageError, task
from afterward.declaration import REGISTRY
from afterward.errors import BadMessage
from tests.unit.tasks.conftest import Written


def refused(written: Written, source: str) -> str:
    with pytest.raises(UsageError) as refusal:
        written(source)
    return str(refusal.value)


def test_a_bare_declaration_is_named_for_its_function(written: Written) -> None:
    """`@task` alone declares a task under the function's name, with its docstring."""
    greet = written('@task\ndef greet(name: str) -> None:\n    """Say hello."""').greet
    assert isinstance(greet, Task)
    assert (greet.name, greet.__doc__, greet.__name__) == ("greet", "Say hello.", "greet")
    assert REGISTRY["greet"] is greet
    assert repr(greet) == "<task greet(name: str)>"


def test_a_declaration_with_options(written: Written) -> None:
    """Name, attempts, version and earlier names are given to the decorator."""
    greet = written('@task(name="hello", max_attempts=7, version=2, aliases=("hi",))\ndef greet() -> None: ...').greet
    assert (greet.name, greet.max_attempts, greet.version) == ("hello", 7, 2)
    assert REGISTRY["hello"] is REGISTRY["hi"] is greet
    assert "greet" not in REGISTRY


def test_a_declaration_cannot_be_called(written: Written) -> None:
    """Calling a declaration is never a silent no-op: it says how to add it, and which import was probably wrong."""
    greet = written("@task\ndef greet(name: str) -> None: ...").greet
    with pytest.raises(UsageError, match=r"greet is a declaration; add it with afterward\.background\.BackgroundTasks"):
        greet("Ada")
    with pytest.raises(UsageError, match=r"was fastapi\.BackgroundTasks imported\?"):
        greet(name="Ada")


@pytest.mark.parametrize("body", ["...", "pass", '"""Only words."""', '"""Words."""\n    ...', "return None", "return"])
@pytest.mark.parametrize("word", ["def", "async def"])
def test_a_function_without_statements_only_declares(written: Written, word: str, body: str) -> None:
    """A docstring, `...`, `pass` or a bare return is no body, so the implementation comes from elsewhere."""
    module = written(f"@task\n{word} greet(name: str) -> None:\n    {body}\n\ndef hello(name: str) -> None: ...")
    assert module.greet.body is None
    assert module.greet.worker(module.hello).label == f"{module.__name__}.hello"


@pytest.mark.parametrize(
    "body", ["print(name)", "raise NotImplementedError", "name.upper()", "return print(name)", "return 0"]
)
@pytest.mark.parametrize("word", ["def", "async def"])
def test_a_function_with_statements_is_its_own_implementation(written: Written, word: str, body: str) -> None:
    """A task may carry its body in place; its worker needs no implementation then."""
    module = written(f"@task\n{word} greet(name: str) -> None:\n    {body}")
    assert module.greet.worker().label == f"{module.__name__}.greet"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("greet = task(lambda: None)", "a lambda cannot be a task.*declare a function"),
        (
            "class Greeter:\n    @task\n    def greet(self) -> None: ...",
            "Greeter.greet is a method or a nested function.*top of a module",
        ),
        (
            "def outer():\n    @task\n    def greet() -> None: ...\nouter()",
            "greet is a method or a nested function.*top of a module",
        ),
        ("@task\nclass Greeter: ...", "declares a plain function, not Greeter"),
        (
            "import functools\ngreet = task(functools.partial(print, 1))",
            "declares a plain function, not functools.partial",
        ),
        ("@task('greet')\ndef greet() -> None: ...", "declares a plain function, not 'greet'"),
        ("@task\ndef greet() -> None:\n    yield", "task greet yields; a task returns None"),
        ("@task\nasync def greet() -> None:\n    yield", "task greet yields; a task returns None"),
        ("@task\ndef greet() -> int: ...", "task greet must return None: results are effects, or objects whose key"),
        ("@task(max_attempts=0)\ndef greet() -> None: ...", "max_attempts and version from 1 up, got 0 and 1"),
        ("@task(version=0)\ndef greet() -> None: ...", "max_attempts and version from 1 up, got 3 and 0"),
        ("@task(name='Greet')\ndef greet() -> None: ...", "task name 'Greet' must be a lower-case Python name"),
        ("@task(name='')\ndef Greet() -> None: ...", "task name 'Greet' must be a lower-case Python name"),
        ("@task(name='a-b')\ndef greet() -> None: ...", "task name 'a-b' must be"),
        (f"@task(name='{'a' * 65}')\ndef greet() -> None: ...", "of up to 64 characters"),
        ("@task(aliases=('Old',))\ndef greet() -> None: ...", "task name 'Old' must be"),
        (
            "@task\ndef greet() -> None: ...\n@task(name='greet')\ndef other() -> None: ...",
            "task name 'greet' is declared twice",
        ),
        (
            "@task\ndef greet() -> None: ...\n@task(aliases=('greet',))\ndef other() -> None: ...",
            "task name 'greet' is declared twice",
        ),
    ],
)
def test_what_cannot_be_declared(written: Written, source: str, said: str) -> None:
    """What another process could not find again, or what makes no task, is refused at import in words that help."""
    with pytest.raises(UsageError, match=said):
        written(source)


def test_a_name_belongs_to_one_module(written: Written) -> None:
    """Two modules cannot declare the same task; the message names both."""
    first = written("@task\ndef greet() -> None: ...")
    said = refused(written, "@task\ndef greet() -> None: ...")
    assert f"'greet' is declared twice: in {first.__name__} and in written_" in said


def test_a_module_may_be_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reloading a module declares its tasks anew, as a development server does."""
    (tmp_path / "reloaded_tasks.py").write_text("from afterward import task\n@task\ndef greet_again() -> None: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_tasks")
    before = module.greet_again
    importlib.reload(module)
    assert REGISTRY.pop("greet_again") is module.greet_again is not before
    del sys.modules["reloaded_tasks"]


def test_a_failed_declaration_leaves_no_name_behind(written: Written) -> None:
    """A declaration that is refused because of an alias takes none of its names."""
    refused(written, "@task(aliases=('Old',))\ndef greet_nobody() -> None: ...")
    assert "greet_nobody" not in REGISTRY


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"id": "a", "key": "b"}, "give id= or key=, not both"),
        ({"delay": -1.0}, "delay must be seconds from 0 up, got -1.0"),
        ({"delay": float("inf")}, "delay must be seconds from 0 up, got inf"),
        ({"delay": float("nan")}, "delay must be seconds from 0 up, got nan"),
        ({"fairness": "a b"}, "fairness must be 1 to 128 printable ASCII characters without spaces"),
        ({"fairness": "a" * 129}, "fairness must be 1 to 128"),
        ({"id": "a/b"}, "job id 'a/b' must be 1 to 128 letters, digits"),
        ({"id": ""}, "job id '' must be"),
        ({"key": ""}, "key must not be empty"),
    ],
)
def test_options_that_make_no_sense(written: Written, options: dict[str, object], said: str) -> None:
    """Options of one call are checked where they are given."""
    greet = written("@task\ndef greet() -> None: ...").greet
    with pytest.raises((UsageError, ValueError), match=said):
        greet.options(**options)


def test_options_hold_for_one_call_only(written: Written) -> None:
    """`options` gives a task for one call and leaves the declared one as it is."""
    greet = written("@task\ndef greet() -> None: ...").greet
    once = greet.options(delay=5, even_if_failed=True, fairness="vip")
    assert (once.call_options.delay, once.call_options.fairness, once.name) == (5, "vip", "greet")
    assert greet.call_options.delay == 0


def test_a_group_names_nobody(written: Written) -> None:
    """Whoever is treated fairly by an address is so by its digest, the same in each call; other groups stay."""
    greet = written("@task\ndef greet() -> None: ...").greet
    names = ("ada", "ada", "bob")
    ada, again, bob = (greet.options(fairness=f"{name}@example.com").call_options.fairness for name in names)
    assert ada == again != bob
    assert re.fullmatch("[0-9a-f]{32}", ada)
    assert greet.options(fairness="tenant-7").call_options.fairness == "tenant-7"


def test_a_plain_function_is_no_declaration() -> None:
    """The decorator's own misuse as a call on something else is named."""
    with pytest.raises(UsageError, match="declares a plain function, not"):
        task(print)


def test_versions_are_upcast_one_by_one(written: Written) -> None:
    """Arguments of older versions pass through every upcast up to the version of the code."""
    greet = written("""
        @task(version=3)
        def greet(first: str, last: str, title: str = "Dr") -> None: ...

        @greet.upcast(1)
        def _split(arguments: dict) -> dict:
            first, _, last = arguments["name"].partition(" ")
            return {"first": first, "last": last}

        @greet.upcast(2)
        def _title(arguments: dict) -> dict:
            return arguments | {"title": "Countess"}
        """).greet
    assert greet.arguments(1, {"name": "Ada Lovelace"}).arguments == {
        "first": "Ada",
        "last": "Lovelace",
        "title": "Countess",
    }
    assert greet.arguments(3, {"first": "Ada", "last": "Lovelace"}).args == ("Ada", "Lovelace", "Dr")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (3, "the job was made for version 3 of greet, and this code is version 2"),
        (1, "greet has no upcast from version 1, which this job was made for"),
    ],
)
def test_a_version_that_nobody_knows_can_never_run(written: Written, version: int, said: str) -> None:
    """A job of a newer version, or of an older one without its upcast, is a dead letter that says so."""
    greet = written("@task(version=2)\ndef greet() -> None: ...").greet
    with pytest.raises(BadMessage, match=said):
        greet.arguments(version, {})


@pytest.mark.parametrize("version", [0, 2, 3])
def test_there_is_nothing_to_upcast_from(written: Written, version: int) -> None:
    """An upcast from a version that never was, or that is the code's own, is refused."""
    greet = written("@task(version=2)\ndef greet() -> None: ...").greet
    with pytest.raises(UsageError, match=f"task greet has version 2, so there is nothing to upcast from {version}"):
        greet.upcast(version)
