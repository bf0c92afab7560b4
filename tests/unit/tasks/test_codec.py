"""Arguments on their way into a message and out of it again."""

import datetime as dt
import decimal
import json
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, NamedTuple, NewType, NotRequired
from uuid import UUID

import pytest
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
)
from typing_extensions import TypeAliasType, TypedDict

from afterward import UsageError, injected
from afterward.codec import REVEAL, Codec, travelling_signature
from afterward.errors import BadMessage
from tests.unit.tasks.conftest import Written


def codec_of(function: Any) -> Codec:
    return Codec("task carry", travelling_signature("task carry", function, injected))


def codec_for(annotation: Any) -> Codec:
    def carry(value: Any) -> None: ...

    carry.__annotations__["value"] = annotation
    return codec_of(carry)


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Word(StrEnum):
    YES = "yes"


class Address(BaseModel):
    street: str
    since: dt.date | None = None


class Order(BaseModel):
    address: Address
    lines: list[tuple[int, decimal.Decimal]] = []


@dataclass
class Point:
    x: int
    where: Address | None = None


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: str


UserId = NewType("UserId", int)
Nested = TypeAliasType("Nested", "dict[str, Nested] | int")
PAST = dt.datetime(2026, 11, 22, 14, 0, 0, 123456, tzinfo=dt.UTC)
EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))

TRAVELLERS: list[tuple[Any, Any, Any]] = [
    (int, 2**70, 2**70),
    (float, 0.1, 0.1),
    (float, 3, 3.0),
    (bool, True, True),
    (str, 'a "quoted" line\r\n\x00 \u2028 𝄞', 'a "quoted" line\r\n\x00 \u2028 𝄞'),
    (None, None, None),
    (bytes, b"\xff\x00plain", "_wBwbGFpbg=="),
    (list[bytes], [b"\xff"], ["_w=="]),
    (int | None, None, None),
    (int | str, "5", "5"),
    (str | int, 5, 5),
    (float | int, 1, 1),
    (bool | int, 1, 1),
    (tuple[int, ...], (1, 2), [1, 2]),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (set[int], {1}, [1]),
    (frozenset[str], frozenset({"a"}), ["a"]),
    (dict[int, str], {1: "a"}, {"1": "a"}),
    (dict[dt.date, int], {PAST.date(): 1}, {"2026-11-22": 1}),
    (dt.datetime, PAST, "2026-11-22T14:00:00.123456Z"),
    (dt.datetime, PAST.astimezone(EAST), "2026-11-22T19:30:00.123456+05:30"),
    (dt.datetime, PAST.replace(tzinfo=None), "2026-11-22T14:00:00.123456"),
    (dt.date, PAST.date(), "2026-11-22"),
    (dt.time, dt.time(9, 30), "09:30:00"),
    (dt.timedelta, dt.timedelta(days=-1, microseconds=1), "-PT23H59M59.999999S"),
    (decimal.Decimal, decimal.Decimal("1.10"), "1.10"),
    (Fraction, Fraction(1, 3), "1/3"),
    (UUID, UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (PurePosixPath, PurePosixPath("/a/b"), "/a/b"),
    (IPv4Address, IPv4Address("10.0.0.1"), "10.0.0.1"),
    (AnyUrl, AnyUrl("https://example.com/a"), "https://example.com/a"),
    (Colour, Colour.RED, "red"),
    (Size, Size.SMALL, 1),
    (Word, Word.YES, "yes"),
    (Order, Order(address=Address(street="A")), {"address": {"street": "A", "since": None}, "lines": []}),
    (Point, Point(1, Address(street="A")), {"x": 1, "where": {"street": "A", "since": None}}),
    (Movie, {"title": "Alien"}, {"title": "Alien"}),
    (list[Movie], [{"title": "Alien", "year": 1979}], [{"title": "Alien", "year": 1979}]),
    (Pair, Pair(1, "a"), [1, "a"]),
    (UserId, UserId(7), 7),
    (JsonValue, {"a": [1, None, {"b": 1.5}]}, {"a": [1, None, {"b": 1.5}]}),
    (Nested, {"a": {"b": 1}}, {"a": {"b": 1}}),
    (Annotated[int, Field(gt=0)], 1, 1),
    (Point | Movie, {"title": "Alien"}, {"title": "Alien"}),
]


@pytest.mark.parametrize(("annotation", "value", "encoded"), TRAVELLERS)
def test_what_arrives_is_what_was_passed(annotation: Any, value: Any, encoded: Any) -> None:
    """A value is written as JSON and read again as the same value of the same type."""
    codec = codec_for(annotation)
    written = codec.encode(value)
    assert written == {"value": encoded}
    read = codec.decode(json.loads(json.dumps(written))).arguments["value"]
    assert read == value
    assert type(read) is type(value) or annotation is float


class Login(BaseModel):
    user: str
    password: SecretStr


SECRETS: list[tuple[Any, Any, Any]] = [
    (SecretStr, SecretStr("open"), "open"),
    (SecretStr | None, SecretStr("open"), "open"),
    (SecretStr, SecretStr(""), ""),
    (SecretStr, SecretStr("**********"), "**********"),
    (SecretBytes, SecretBytes(b"\xffopen"), "_29wZW4="),
    (list[SecretStr], [SecretStr("open")], ["open"]),
    (dict[str, SecretStr], {"a": SecretStr("open")}, {"a": "open"}),
    (Login, Login(user="ada", password=SecretStr("open")), {"user": "ada", "password": "open"}),
    (list[Login], [Login(user="ada", password=SecretStr("open"))], [{"user": "ada", "password": "open"}]),
    (Secret[int], Secret[int](5), 5),
    (Secret[dt.date], Secret[dt.date](PAST.date()), "2026-11-22"),
    (tuple[SecretStr, Fraction], (SecretStr("open"), Fraction(1, 3)), ["open", "1/3"]),
]


@pytest.mark.parametrize(("annotation", "value", "encoded"), SECRETS)
def test_masked_types_are_clear_in_the_envelope(annotation: Any, value: Any, encoded: Any) -> None:
    """A secret's mask is for logs; the task gets what is behind it, however deep it lies."""
    codec = codec_for(annotation)
    written = codec.encode(value)
    assert written == {"value": encoded}
    assert codec.decode(written).args == (value,)


def test_a_masked_type_of_ones_own_may_ask_for_whom_it_is_written() -> None:
    """A serializer sees in its context that it writes for the envelope."""
    seen = []

    def mask(value: str, info: Any) -> str:
        seen.append(info.context)
        return value if info.context == REVEAL else "***"

    assert codec_for(Annotated[str, PlainSerializer(mask)]).encode("open") == {"value": "open"}
    assert seen == [REVEAL]


class Animal(BaseModel):
    name: str


class Dog(Animal):
    breed: str


class Utf8(BaseModel):
    content: bytes


@dataclass
class Parcel:
    content: bytes


class Base64(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    content: bytes


class Renamed(BaseModel):
    inner: int = Field(alias="outer")
    validated: int = Field(validation_alias="other")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.inner


class Forgetful(BaseModel):
    kept: int
    lost: int = Field(exclude=True)


CHANGED: list[tuple[Any, Any, str]] = [
    (int, "5", "argument `value` would not arrive as it was passed: str comes back as int"),
    (tuple[int, ...], [1], "list comes back as tuple"),
    (list[int], (1, 2), "tuple comes back as list"),
    (Animal, Dog(name="Rex", breed="pug"), "Dog comes back as Animal"),
    (decimal.Decimal | str, "1.5", "str comes back as Decimal"),
    (str | bytes, b"a", "bytes comes back as str"),
    (float, float("nan"), "invalid arguments: `value`"),
    (float, float("inf"), "invalid arguments: `value`"),
    (int, None, "invalid arguments: `value`: Input should be a valid integer"),
    (int, "five", "invalid arguments: `value`"),
    (Annotated[int, Field(gt=0)], 0, "invalid arguments: `value`: Input should be greater than 0"),
    (Movie, {"title": "Alien", "rating": 5}, "dict comes back as dict, or with another value"),
    (str, "\ud800", "cannot be written as JSON"),
    (Utf8, Utf8(content=b"\xff"), "cannot be written as JSON: .*invalid utf-8"),
    (Forgetful, Forgetful(kept=1, lost=2), "invalid arguments: `value.lost`: Field required"),
    (str, object(), "cannot be written as JSON"),
    (dict[tuple[int, int], int], {(1, 2): 3}, "invalid arguments: `value"),
]


@pytest.mark.parametrize(("annotation", "value", "said"), CHANGED)
def test_what_would_not_arrive_is_refused_when_it_is_added(annotation: Any, value: Any, said: str) -> None:
    """The caller is told at add_task, not the worker's log, when the task would get something else."""
    with pytest.raises(UsageError, match=f"task carry: .*{said}"):
        codec_for(annotation).encode(value)


def test_bytes_inside_a_model_are_the_models_matter() -> None:
    """A model's own configuration says how its bytes are written."""
    codec = codec_for(Base64)
    assert codec.decode(codec.encode(Base64(content=b"\xff"))).args == (Base64(content=b"\xff"),)


def test_bytes_inside_a_dataclass_travel() -> None:
    """A plain dataclass or TypedDict, which has no configuration, writes its bytes as an argument does."""
    codec = codec_for(Parcel)
    assert codec.encode(Parcel(b"\xff")) == {"value": {"content": "_w=="}}
    assert codec.decode(codec.encode(Parcel(b"\xff"))).args == (Parcel(b"\xff"),)


def test_aliases_are_for_the_web() -> None:
    """A model travels under its fields' own names, and what is computed from them does not travel."""
    value = Renamed.model_validate({"outer": 1, "other": 2})
    codec = codec_for(Renamed)
    assert codec.encode(value) == {"value": {"inner": 1, "validated": 2}}
    assert codec.decode(codec.encode(value)).args == (value,)


def test_a_secret_does_not_stand_in_a_refusal() -> None:
    """The refusal of a secret that does not fit does not show it."""
    with pytest.raises(UsageError) as refusal:
        codec_for(Annotated[SecretStr, Field(max_length=3)]).encode(SecretStr("hunter2"))
    assert "hunter2" not in str(refusal.value)


def every_kind(first: int, /, second: str, *rest: int, third: bool, fourth: float = 0.5, **more: str) -> None: ...


def test_every_kind_of_parameter() -> None:
    """Positional-only, variadic and keyword-only parameters arrive where they were passed."""
    codec = codec_of(every_kind)
    encoded = codec.encode(1, "a", 2, 3, third=True, x="y")
    assert encoded == {
        "first": 1,
        "second": "a",
        "rest": [2, 3],
        "third": True,
        "fourth": 0.5,
        "more": {"x": "y"},
    }
    bound = codec.decode(encoded)
    assert bound.args == (1, "a", 2, 3)
    assert bound.kwargs == {"third": True, "fourth": 0.5, "x": "y"}


def test_variadic_parameters_may_be_empty() -> None:
    """Nothing given for `*args` and `**kwargs` arrives as nothing."""
    codec = codec_of(every_kind)
    bound = codec.decode(codec.encode(1, "a", third=False))
    assert bound.args == (1, "a")
    assert bound.kwargs == {"third": False, "fourth": 0.5}


def test_keywords_and_positions_mean_the_same() -> None:
    """Arguments given by name arrive as those given by position."""

    def carry(left: int, right: int = 2) -> None: ...

    codec = codec_of(carry)
    assert codec.encode(1) == codec.encode(left=1, right=2) == {"left": 1, "right": 2}


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'left'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"middle": 2}, "got an unexpected keyword argument 'middle'"),
        ((1,), {"left": 1}, "multiple values for argument 'left'"),
    ],
)
def test_arguments_must_fit_the_signature(args: tuple[int, ...], kwargs: dict[str, int], said: str) -> None:
    """What a call could not bind, add_task refuses with the words that a call would have used."""

    def carry(left: int, right: int = 2) -> None: ...

    with pytest.raises(UsageError, match=f"task carry: {said}"):
        codec_of(carry).encode(*args, **kwargs)


def test_an_injected_parameter_cannot_be_passed() -> None:
    """What is injected does not travel."""

    def carry(left: int, *, right: int = injected) -> None: ...

    with pytest.raises(UsageError, match="unexpected keyword argument 'right'"):
        codec_of(carry).encode(1, right=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "`left`: Field required"),
        ({"left": "secret"}, "`left`: Input should be a valid integer"),
        ({"left": 1, "middle": 2}, "`middle`: Extra inputs are not permitted"),
        ({"left": 1, "more": [{"street": 5}]}, r"`more\.0\.street`: Input should be a valid string"),
    ],
)
def test_a_message_is_validated_again(arguments: Any, said: str) -> None:
    """A worker refuses arguments that do not fit, naming the place and never the value."""

    def carry(left: int, more: list[Address] | None = None) -> None: ...

    with pytest.raises(BadMessage, match=f"invalid arguments: {said}") as refusal:
        codec_of(carry).decode(arguments)
    assert "secret" not in str(refusal.value)


def test_a_parameter_with_a_default_may_be_added_later() -> None:
    """A job that was queued before a parameter with a default was added runs with the default."""

    def carry(left: int, right: int = 2, *, third: int = 3) -> None: ...

    bound = codec_of(carry).decode({"left": 1})
    assert (bound.args, bound.kwargs) == ((1, 2), {"third": 3})


def test_schemas_are_built_on_first_use(written: Written) -> None:
    """Declaring a task builds no schema."""
    greet = written("@task\ndef greet(name: str) -> None: ...").greet
    assert "_adapter" not in vars(greet.codec)
    greet.codec.encode("Ada")
    assert "_adapter" in vars(greet.codec)


def test_declaring_imports_no_pydantic() -> None:
    """A process that only declares tasks pays neither for Pydantic nor for any AWS client."""
    code = """
import sys
import afterward
@afterward.task
def greet(name: str, count: int | None = None) -> None: ...
print(*{"pydantic", "pydantic_core", "botocore", "fastapi", "asyncio"} & sys.modules.keys())
"""
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_type_that_pydantic_does_not_know_is_named(written: Written) -> None:
    """What only Pydantic can find out is said at first use, with the task's name."""
    module = written("class Text(str): ...\n@task\ndef carry(value: Text) -> None: ...")
    with pytest.raises(UsageError, match=r"task carry: .*Text"):
        module.carry.codec.encode("a")


def test_a_model_whose_fields_cannot_be_resolved_is_named(written: Written) -> None:
    """A model with a forward reference that leads nowhere is said at first use, with the task's name."""
    module = written("""
        import pydantic

        class Box(pydantic.BaseModel):
            content: "Unknown"

        @task
        def carry(value: list[Box]) -> None: ...
        """)
    with pytest.raises(UsageError, match="task carry: name 'Unknown' is not defined"):
        module.carry.codec.encode([])
