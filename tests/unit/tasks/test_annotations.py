"""Which parameters a task may have: what cannot travel is refused where it is declared, with words that help."""

import sys
from typing import Any

import pytest

from afterward import UsageError
from afterward.annotations import refusal
from tests.unit.tasks.conftest import Written

ACCEPTED = [
    "int",
    "str",
    "float",
    "bool",
    "bytes",
    "None",
    "int | None",
    "Optional[str]",
    "Union[int, str]",
    "list[int]",
    "typing.List[int]",
    "dict[str, list[int]]",
    "tuple[int, ...]",
    "tuple[int, str]",
    "tuple[()]",
    "typing.Tuple[()]",
    "set[str]",
    "frozenset[int]",
    "typing.Sequence[int]",
    "typing.Mapping[str, int]",
    "typing.Deque[int]",
    "datetime.datetime",
    "datetime.date",
    "datetime.time",
    "datetime.timedelta",
    "decimal.Decimal",
    "Literal['a', 'b']",
    "Annotated[str, 'a note']",
    "Colour",
    "Order",
    "Address",
    "Point",
    "Movie",
    "Nothing",
    "Pair2",
    "UserId",
    "Box[int]",
    "pydantic.SecretStr",
    "pydantic.SecretStr | None",
    "pydantic.Secret[int]",
    "pydantic.JsonValue",
    "pydantic.AnyUrl",
    "list['Order']",
    "Alias",
    "Pair[int]",
    "Tree",
    "typing.Pattern[str]",
    "re.Pattern[str]",
    "re.Pattern",
    "pathlib.Path",
    "uuid.UUID",
    "Own",
]

TYPES = """
import asyncio, io, pathlib, re, typing, uuid
import pydantic, typing_extensions
from typing import Generic, TypeVar
T = TypeVar("T")

class Colour(enum.Enum):
    RED = "red"

class Address(pydantic.BaseModel):
    street: str

class Order(pydantic.BaseModel):
    address: Address
    lines: list[int] = []

@dataclass
class Point:
    x: int
    where: "Address | None" = None

class Movie(typing_extensions.TypedDict):
    title: str
    year: typing.NotRequired[int]

class BadMovie(typing_extensions.TypedDict):
    crew: list

class Nothing(typing_extensions.TypedDict): ...

class Pair2(NamedTuple):
    left: int
    right: int

@dataclass
class Box(Generic[T]):
    content: T
    label: typing.ClassVar[Any] = None

class Tree(pydantic.BaseModel):
    children: "list[Tree]" = []

class Own:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        return handler(str)

class Session: ...

@dataclass
class Holder:
    session: Session

class Loose(pydantic.BaseModel):
    extra: Any

UserId = NewType("UserId", int)
BadId = NewType("BadId", Session)
Alias = typing_extensions.TypeAliasType("Alias", "list[int]")
BadAlias = typing_extensions.TypeAliasType("BadAlias", list[Any])
Pair = typing_extensions.TypeAliasType("Pair", tuple[T, T], type_params=(T,))
BadPair = typing_extensions.TypeAliasType("BadPair", Callable[[T], T], type_params=(T,))
"""


@pytest.mark.parametrize("annotation", ACCEPTED)
def test_what_can_travel(written: Written, annotation: str) -> None:
    """Whatever Pydantic can write as JSON and read again may be a parameter."""
    module = written(f"{TYPES}\n@task\ndef carry(value: {annotation}) -> None: ...")
    assert module.carry.codec._adapter


ELSEWHERE = "cannot travel in a message; pass its id or its data, and open it inside the task with afterward.Depends"

REFUSED = {
    "Any": "Any says nothing about what travels; name the type, or use pydantic.JsonValue",
    "object": "object says nothing about what travels; name the type, or use pydantic.JsonValue",
    "Callable": "a function cannot travel; pass its name or an enum",
    "Callable[[int], str]": "a function cannot travel",
    "typing.Callable[..., Any]": "a function cannot travel",
    "list": "a bare list says nothing about what is in it; write list\\[...\\]",
    "dict": "a bare dict says nothing about what is in it; write dict\\[...\\]",
    "tuple": "a bare tuple says nothing",
    "set": "a bare set says nothing",
    "frozenset": "a bare frozenset says nothing",
    "typing.List": "a bare list says nothing",
    "typing.Dict": "a bare dict says nothing",
    "typing.Tuple": "a bare tuple says nothing",
    "typing.Sequence": "a bare Sequence says nothing",
    "typing.Mapping": "a bare Mapping says nothing",
    "list[Any]": "Any says nothing",
    "dict[str, object]": "object says nothing",
    "list[list]": "a bare list says nothing",
    "int | Any": "Any says nothing",
    "Optional[Callable]": "a function cannot travel",
    "Annotated[Any, 'note']": "Any says nothing",
    "Alias | BadAlias": "Any says nothing",
    "BadPair[int]": "a function cannot travel",
    "BadId": f"Session {ELSEWHERE}",
    "Session": f"Session {ELSEWHERE}",
    "Holder": f"Holder.session: Session {ELSEWHERE}",
    "Box[Session]": f"Session {ELSEWHERE}",
    "BadMovie": "BadMovie.crew: a bare list says nothing",
    "Loose": "Loose.extra: Any says nothing",
    "list[Loose]": "Loose.extra: Any says nothing",
    "io.BytesIO": "BytesIO is an open file, which cannot travel; store the file in S3 and pass its key",
    "io.TextIOWrapper": "TextIOWrapper is an open file",
    "typing.IO[bytes]": "IO is an open file",
    "typing.BinaryIO": "BinaryIO is an open file",
    "asyncio.Queue[int]": f"Queue {ELSEWHERE}",
    "type[int]": f"type {ELSEWHERE}",
    "Exception": f"Exception {ELSEWHERE}",
    "fastapi.UploadFile": "UploadFile belongs to the request, which is over when the job runs; store the file in S3",
    "list[fastapi.UploadFile]": "UploadFile belongs to the request",
    "fastapi.Request": "Request belongs to the request, which is over when the job runs; pass the values that",
    "fastapi.Request | None": "Request belongs to the request",
    "fastapi.WebSocket": "WebSocket belongs to the request",
    "starlette.requests.HTTPConnection": "HTTPConnection belongs to the request",
    "fastapi.Response": "Response belongs to the request.*a job runs after the response has left",
    "fastapi.responses.JSONResponse": "JSONResponse belongs to the request",
    "fastapi.BackgroundTasks": "BackgroundTasks belongs to the request.*chain them where they are added",
    "Progress": r"Progress is injected: put it after a `\*`, with the default `injected`",
}


@pytest.mark.parametrize(("annotation", "said"), REFUSED.items())
def test_what_cannot_travel(written: Written, annotation: str, said: str) -> None:
    """What cannot be written into a message is refused at import, naming the parameter and what to do instead."""
    with pytest.raises(UsageError, match=f"task carry: parameter `value`: {said}"):
        written(f"import fastapi, starlette.requests\n{TYPES}\n@task\ndef carry(value: {annotation}) -> None: ...")


def test_a_parameter_needs_an_annotation(written: Written) -> None:
    """Without an annotation nobody knows how the value travels."""
    with pytest.raises(UsageError, match="task carry: parameter `value` needs an annotation: it says how the value"):
        written("@task\ndef carry(value) -> None: ...")
    with pytest.raises(UsageError, match="parameter `values` needs an annotation"):
        written("@task\ndef carry(*values) -> None: ...")


def test_an_annotation_must_be_resolvable(written: Written) -> None:
    """A name that is only known to the type checker is refused where the task is declared."""
    source = "from __future__ import annotations\n@task\ndef carry(value: Unknown) -> None: ..."
    with pytest.raises(UsageError, match="task carry: name 'Unknown' is not defined; annotations must be resolvable"):
        written(source)
    with pytest.raises(UsageError, match="Box: name 'Unknown' is not defined; annotations must be resolvable"):
        written("@dataclass\nclass Box:\n    content: 'Unknown'\n@task\ndef carry(value: Box) -> None: ...")


def test_an_injected_parameter_is_none_of_the_arguments(written: Written) -> None:
    """A parameter with Depends but without the default `injected` would silently be an argument; it is refused."""
    source = "@task\ndef carry(value: Annotated[str, Depends(str)]) -> None: ..."
    with pytest.raises(UsageError, match="parameter `value` is injected, so its default must be `injected`"):
        written(source)
    with pytest.raises(UsageError, match="parameter `value` is injected, so its default must be `injected`"):
        written("import fastapi\n@task\ndef carry(value: str = fastapi.Depends(str)) -> None: ...")


def test_string_annotations_are_resolved(written: Written) -> None:
    """`from __future__ import annotations` changes nothing."""
    module = written("""
        from __future__ import annotations

        class Colour(enum.Enum):
            RED = "red"

        @task
        def paint(colour: Colour, *, coats: int | None = None) -> None: ...
        """)
    encoded = module.paint.codec.encode(module.Colour.RED, coats=2)
    assert encoded == {"colour": "red", "coats": 2}
    assert module.paint.codec.decode(encoded).args == (module.Colour.RED,)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement came with Python 3.12")
def test_type_statements(written: Written) -> None:
    """Aliases of PEP 695 are looked through, generic and recursive ones too."""
    module = written("""
        type Ids = list[int]
        type Pair[T] = tuple[T, T]
        type Nested = dict[str, Nested] | int

        @task
        def carry(ids: Ids, pair: Pair[str], nested: Nested) -> None: ...
        """)
    encoded = module.carry.codec.encode([1], ("a", "b"), {"a": {"b": 1}})
    assert module.carry.codec.decode(encoded).args == ([1], ("a", "b"), {"a": {"b": 1}})
    with pytest.raises(UsageError, match="Any says nothing"):
        written("type Loose = list[Any]\n@task\ndef carry(value: Loose) -> None: ...")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Pydantic takes it")
def test_the_older_typeddict_is_refused(written: Written) -> None:
    """Before Python 3.12 Pydantic needs the TypedDict of typing_extensions, which is said at import."""
    source = "class Movie(TypedDict):\n    title: str\n@task\ndef carry(value: Movie) -> None: ..."
    with pytest.raises(UsageError, match=r"parameter `value`: Movie: use typing_extensions\.TypedDict"):
        written(source)


@pytest.mark.parametrize("annotation", [1, "a string", ..., []])
def test_what_is_no_type_is_left_to_pydantic(annotation: Any) -> None:
    """Forward references and things that are no annotation at all are not judged here."""
    assert refusal(annotation) is None
