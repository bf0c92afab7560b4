"""Fields of models and columns of files: what prints and dumps masked, and what stays clear for the code."""

import asyncio
import copy
import dataclasses
import json
import logging
import pickle
import pprint
import re
import subprocess
import sys
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    SerializeAsAny,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json
from typing_extensions import TypeAliasType, TypedDict

from afterward import injected, task
from afterward.background import DurableTasks
from afterward.codec import REVEAL, Codec, travelling_signature
from afterward.pii.fields import Pii, columns
from afterward.pii.finding import Kind
from afterward.pii.masking import mask
from afterward.pii.policy import Policy, Treatment
from afterward.pii.schemas import CLEAR
from afterward.testing import ManualClock, MemoryJobs, Trial

ADA = "ada@example.com"
CARD = "4111 1111 1111 1111"
KEY = b"0123456789abcdef"

Email = Annotated[str, Pii("email")]
HiddenEmail = Annotated[SecretStr, Pii("email", mask="partial")]


def no_key() -> bytes:
    raise AssertionError("no secret is needed here")


HASHED = Policy(Treatment.HASH, key=KEY)

CELLS: list[tuple[Pii, str, str]] = [
    (Pii("email"), ADA, "[EMAIL]"),
    (Pii("EMAIL"), "no address at all", "[EMAIL]"),
    (Pii(Kind.EMAIL, Treatment.MASK), ADA, "[EMAIL]"),
    (Pii("credit_card", mask="partial"), CARD, "[CREDIT_CARD:**1111]"),
    (Pii("credit_card", mask="partial"), "4111", "[CREDIT_CARD]"),
    (Pii("name"), "Ada Lovelace", "[NAME]"),
    (Pii("name", mask="partial"), "Ada Lovelace", "[NAME:**lace]"),
    (Pii("name", mask="drop"), "Ada Lovelace", ""),
    (Pii("name", mask="keep"), " Ada Lovelace ", " Ada Lovelace "),
    (Pii("email", mask="hash", key=KEY), ADA, HASHED.replaced(ADA, Kind.EMAIL)),
    (Pii("email", mask="hash", key=lambda: KEY), f" {ADA.upper()} ", HASHED.replaced(ADA, Kind.EMAIL)),
    (Pii("iban", mask="hash", key=KEY), "x", HASHED.replaced("X", Kind.IBAN)),
    (Pii("email", mask="mask", key=no_key), ADA, "[EMAIL]"),
    (Pii("text"), f"ask {ADA} or Bob", "ask [EMAIL] or Bob"),
    (Pii("text", mask="drop"), f"ask {ADA} or Bob", "ask  or Bob"),
    (Pii("text", mask="keep"), f"ask {ADA} or Bob", f"ask {ADA} or Bob"),
    (Pii("text", mask="partial"), f"paid with {CARD}", "paid with [CREDIT_CARD:**1111]"),
    (Pii("text", mask="hash", key=KEY), f"ask {ADA}", f"ask {HASHED.replaced(ADA, Kind.EMAIL)}"),
    (Pii("name"), "", ""),
    (Pii("name"), "  ", "  "),
    (Pii("name", mask="hash", key=KEY), "", ""),
    (Pii("text"), "", ""),
]


@pytest.mark.parametrize(("pii", "value", "treated"), CELLS)
def test_a_cell(pii: Pii, value: str, treated: str) -> None:
    """A whole value is treated under its kind, free text where something is found; nothing stays nothing."""
    assert pii(value) == treated


@pytest.mark.parametrize(("pii", "value", "treated"), CELLS)
def test_treating_twice_is_treating_once(pii: Pii, value: str, treated: str) -> None:
    """What one dump has written, the next one leaves: the hash of a hash would join nothing."""
    assert pii(pii(value)) == treated


@pytest.mark.parametrize("value", ["[EMAIL:**lace]", "[NAME:lace]", "[NAME] x", "[NAME:**Lovelace]", "[NAME:h12]"])
def test_what_only_looks_treated_is_treated(value: str) -> None:
    """Nothing longer than a placeholder is taken for one."""
    assert Pii("name", mask="hash", key=KEY)(value) != value


@pytest.mark.parametrize("kind", [*Kind, "name"])
def test_hashes_join(kind: str) -> None:
    """The hash of a word is that of a kind with this name, other for another key, and the value is not in it."""
    one, other = (Pii(kind, mask="hash", key=key)("value 12345") for key in (KEY, b"other"))
    assert re.fullmatch(rf"\[{kind.upper()}:h[0-9a-f]{{24}}\]", one)
    assert one != other
    assert one == Pii(kind.lower(), mask="hash", key=KEY)("value 12345")


@given(st.text(min_size=1).filter(str.strip), st.sampled_from(["email", "name", "credit_card"]))
def test_nothing_of_a_value_is_left(value: str, kind: str) -> None:
    """Any text at all in a field is masked, whether it is what its kind says or not."""
    assert Pii(kind)(value) == f"[{kind.upper()}]"
    assert repr(TypeAdapter(Annotated[str, Pii(kind)]).validate_python(value)) == f"'[{kind.upper()}]'"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (lambda: Pii(""), "one word"),
        (lambda: Pii("e-mail"), "one word like 'email', 'name' or 'text', got 'e-mail'"),
        (lambda: Pii("two words"), "one word"),
        (lambda: Pii("[NAME]"), "one word"),
        (lambda: Pii("name\n"), "one word"),
        (lambda: Pii(None), "one word"),  # type: ignore[arg-type]
        (lambda: Pii("email", mask="stars"), "one of 'mask', 'partial', 'drop', 'hash', 'keep', got 'stars'"),
        (lambda: Pii("email", mask=None), "one of"),  # type: ignore[arg-type]
        (lambda: Pii("email", mask="hash"), r"Pii\('email', mask='hash'\) needs a key"),
        (lambda: Pii("email", mask="hash", key=b""), "needs a key"),
        (lambda: Pii("email", mask="hash", key="words"), "a key is bytes, or a function that returns them, got str"),  # type: ignore[arg-type]
    ],
)
def test_bad_declarations(declared: Callable[[], Pii], said: str) -> None:
    """What could not work is said where it is declared."""
    with pytest.raises(ValueError, match=said):
        declared()


@pytest.mark.parametrize("key", ["words", b"", None])
def test_a_key_that_is_none(key: Any) -> None:
    """A function that returns no key is refused, without what it returned; a dump fails instead of going clear."""
    pii = Pii("email", mask="hash", key=lambda: key)
    with pytest.raises(ValueError, match="the key for hashes of 'email' must be bytes, and not empty"):
        pii(ADA)
    adapter: TypeAdapter[str] = TypeAdapter(Annotated[str, pii])
    with pytest.raises(PydanticSerializationError) as refusal:
        adapter.dump_json(ADA)
    assert ADA not in str(refusal.value)


def test_a_policy_is_a_value() -> None:
    """Policies are compared, hashed and printed as values; a key is never printed."""
    assert Pii("email", mask="hash", key=KEY) == Pii(Kind.EMAIL, Treatment.HASH, KEY)
    assert len({Pii("email"), Pii("EMAIL"), Pii("email", mask="drop")}) == 2
    assert "0123" not in repr(Pii("email", mask="hash", key=KEY))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Pii("email").mask = "keep"  # type: ignore[misc]


def lower(value: str) -> str:
    return value.lower()


def same(value: Any) -> Any:
    return value


Named = NewType("Named", str)
Alias = TypeAliasType("Alias", Email)
AliasedText = TypeAliasType("AliasedText", str)

FIELDS: list[Any] = [
    Email,
    Annotated[str, Pii("email"), Field(max_length=20)],
    Annotated[str, Field(max_length=20), Pii("email")],
    Annotated[str, Pii("email"), Field(max_length=20, min_length=1, pattern="@")],
    Annotated[str, Pii("email"), Field(max_length=20), Field(pattern="@")],
    Annotated[str, Field(pattern="@"), Pii("email")],
    Annotated[str, Pii("email"), StringConstraints(strip_whitespace=True, to_lower=True, pattern="@", strict=True)],
    Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern="@", strict=True), Pii("email")],
    Annotated[str, Pii("email"), Field(strict=True)],
    Annotated[str, Pii("email"), "a remark"],
    Annotated[str, Pii("email"), AfterValidator(same)],
    Annotated[str, Pii("email"), BeforeValidator(same)],
    Annotated[str, AfterValidator(lower), Pii("email")],
    Annotated[str, BeforeValidator(same), Pii("email"), Field(max_length=20, pattern="^a")],
    Annotated[str | None, Pii("email"), Field(max_length=20, pattern="^a")],
    Annotated[Email | None, Field(max_length=20, pattern="^a")],
    Email | None,
    int | Email,
    Annotated[Annotated[str, Pii("name", mask="keep")], Pii("email")],
    Annotated[Named, Pii("email")],
    Annotated[AliasedText, Pii("email")],
    Annotated[AliasedText, Pii("email"), Field(pattern="@")],
    Alias,
    Annotated[SecretStr, Pii("email")],
    Annotated[SecretStr | None, Pii("email")],
    Annotated[SecretStr, Pii("email"), Field(max_length=20)],
    Annotated[SecretStr, Field(max_length=20), Pii("email")],
]


@pytest.mark.parametrize("annotation", FIELDS)
def test_a_field(annotation: Any) -> None:
    """Wherever the policy stands among what else is said of a field: it prints and dumps masked, and is clear."""

    class Model(BaseModel):
        value: annotation

    for made in (Model(value=ADA), Model.model_validate_json(json.dumps({"value": ADA}))):
        assert repr(made) in {"Model(value='[EMAIL]')", "Model(value=SecretStr('[EMAIL]'))"}
        assert ADA not in str(made) + pprint.pformat(made)
        assert ADA in {made.value, getattr(made.value, "get_secret_value", str)()}
        for dumped in (made.model_dump(), made.model_dump(mode="json"), json.loads(made.model_dump_json())):
            assert dumped == {"value": "[EMAIL]"}
        assert json.loads(made.model_dump_json(serialize_as_any=True)) == {"value": "[EMAIL]"}
        assert ADA not in repr(made.model_dump(serialize_as_any=True))
        for context in (CLEAR, REVEAL, {**REVEAL, "more": 1}):
            assert made.model_dump(context=context) == {"value": ADA}
            assert type(made.model_dump(context=context)["value"]) is str
            assert json.loads(made.model_dump_json(context=context)) == {"value": ADA}


@pytest.mark.parametrize("annotation", FIELDS)
def test_a_type_adapter(annotation: Any) -> None:
    """Types dump as fields do, also a value that was never validated."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    assert adapter.dump_json(adapter.validate_python(ADA)) == b'"[EMAIL]"'
    if annotation != int | Email:
        assert adapter.dump_json(ADA) == b'"[EMAIL]"'
        assert adapter.dump_python(ADA, context=CLEAR) == ADA


@pytest.mark.parametrize(
    "context", [None, {}, {"pii": "masked"}, {"pii": True}, {"afterward": "envelope"}, "clear", ["pii"]]
)
def test_no_other_context_reveals(context: Any) -> None:
    """Only the word for it, to the letter, gives the clear value."""
    assert TypeAdapter(Email).dump_python(ADA, context=context) == "[EMAIL]"


@pytest.mark.parametrize(("pii", "value", "treated"), CELLS)
def test_fields_are_treated_as_cells_are(pii: Pii, value: str, treated: str) -> None:
    """The very same object is the policy of a field and of a column; printing needs no key."""
    adapter: TypeAdapter[str] = TypeAdapter(Annotated[str, pii])
    made = adapter.validate_python(value)
    assert adapter.dump_python(made) == json.loads(adapter.dump_json(made)) == treated
    printed = treated if pii.mask != "hash" else pii.printing()(value)
    assert repr(made) == repr(printed)
    assert made == value


def test_printing_asks_for_no_secret() -> None:
    """A hash is not printed: a traceback must not wait for a key from elsewhere."""
    pii = Pii("email", mask="hash", key=no_key)
    assert repr(TypeAdapter(Annotated[str, pii]).validate_python(ADA)) == "'[EMAIL]'"
    assert str(TypeAdapter(Annotated[SecretStr, pii]).validate_python(ADA)) == "[EMAIL]"


def test_nothing_stays_nothing() -> None:
    """None has nothing to mask, whatever is done with values."""
    for treatment in ("mask", "partial", "drop", "keep"):
        adapter: TypeAdapter[str | None] = TypeAdapter(Annotated[str | None, Pii("email", mask=treatment)])
        assert adapter.validate_python(None) is None
        assert adapter.dump_json(None) == b"null"


def test_what_is_kept_is_left_alone() -> None:
    """A field that is kept is what it would be without a policy."""
    assert type(TypeAdapter(Annotated[str, Pii("email", mask="keep")]).validate_python(ADA)) is str
    assert str(TypeAdapter(Annotated[SecretStr, Pii("email", mask="keep")]).validate_python(ADA)) == "**********"
    adapter: TypeAdapter[SecretStr] = TypeAdapter(Annotated[SecretStr, Pii("email", mask="keep")])
    assert adapter.dump_json(SecretStr(ADA)) == f'"{ADA}"'.encode()


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (list[str], "list"),
        (dict[str, str], "dict"),
        (int, "int"),
        (Any, "any"),
        (Literal["a"], "literal"),
        (str | int, "union"),
    ],
)
def test_only_texts_have_policies(annotation: Any, kind: str) -> None:
    """A policy on anything else is refused where the model is declared, with the place where it belongs."""
    with pytest.raises(TypeError, match=rf"Pii stands on a str or a SecretStr, not on .* \(a schema of type {kind}\)"):
        TypeAdapter(Annotated[annotation, Pii("email")])


def validated() -> Any:
    return TypeAdapter(Email).validate_python(ADA)


USES: list[tuple[str, Callable[[Any], Any], Any]] = [
    (
        "equality",
        lambda value: (value == ADA, value == ADA, hash(value) == hash(ADA), {ADA: 1}[value]),
        (True, True, True, 1),
    ),
    ("str", str, ADA),
    (
        "format",
        lambda value: (f"{value}", "%s" % value, f"{value:>16}", format(value)),  # noqa: UP031 - each way
        (ADA, ADA, f" {ADA}", ADA),
    ),
    ("json", lambda value: json.dumps({value: value}), json.dumps({ADA: ADA})),
    (
        "length and parts",
        lambda value: (len(value), value[:3], value + "!", "".join([value])),  # noqa: FLY002 - one of its ways to copy
        (15, "ada", f"{ADA}!", ADA),
    ),
    (
        "methods",
        lambda value: (value.upper(), value.partition("@")[0], value.encode()),
        (ADA.upper(), "ada", ADA.encode()),
    ),
    ("a path", lambda value: Path("/", value).name, ADA),
    ("a pattern", lambda value: re.fullmatch(r"(\w+)@.*", value), None),
    (
        "a request",
        lambda value: httpx.Request("POST", "http://x", json={"to": value}).content,
        b'{"to":"ada@example.com"}',
    ),
]


@pytest.mark.parametrize(
    ("use", "expected"), [one[1:] for one in USES if one[2]], ids=[one[0] for one in USES if one[2]]
)
def test_code_gets_the_value(use: Callable[[Any], Any], expected: Any) -> None:
    """The type says `str`: whoever uses it as one gets what it holds, and plain texts from it."""
    assert use(validated()) == expected


def test_a_mail_goes_to_the_address() -> None:
    """A message's header has the address, not the mask."""
    message = EmailMessage()
    message["To"] = validated()
    assert message["To"].addresses[0].addr_spec == ADA
    assert f"To: {ADA}".encode() in message.as_bytes()


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, *(lambda value, n=n: pickle.loads(pickle.dumps(value, n)) for n in range(2, 6))],  # noqa: S301 - its own
)
@pytest.mark.parametrize("annotation", [Email, HiddenEmail, Annotated[str, Pii("email", mask="hash", key=lambda: KEY)]])
def test_copies(annotation: Any, copied: Callable[[Any], Any]) -> None:
    """Copies print masked as well, whatever the policy's key is."""
    made = TypeAdapter(annotation).validate_python(ADA)
    again = copied(made)
    assert (again, repr(again), type(again)) == (made, repr(made), type(made))


def test_reprs_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    """What shows a value for those who look for an error shows its mask."""
    value = validated()
    logging.getLogger("test").warning("%r in %s", value, [value])
    shown = [caplog.text, f"{value!r}", f"{value!a}", repr({"to": [value]}), pprint.pformat([value] * 9), f"{[value]}"]
    shown.append(str(KeyError(value)))
    assert ADA not in "".join(shown)
    assert all("[EMAIL]" in one for one in shown)


def test_hidden_values_print_masked_in_every_way() -> None:
    """A SecretStr shows what its policy leaves, and gives the value to who asks for it."""
    made = TypeAdapter(HiddenEmail).validate_python(ADA)
    assert f"{made} {made!r}" == "[EMAIL:**ecom] SecretStr('[EMAIL:**ecom]')"
    assert made.get_secret_value() == ADA
    assert made == SecretStr(ADA) == made
    assert hash(made) == hash(SecretStr(ADA))
    assert made != ADA


class Address(BaseModel):
    street: Annotated[str, Pii("address")]


@pydantic_dataclass
class Owner:
    name: Annotated[str, Pii("name")]


class Box(TypedDict):
    email: Email


class Everything(BaseModel):
    emails: list[Email]
    by_name: dict[str, Email]
    by_email: dict[Email, int]
    address: Address
    owner: Owner
    box: Box
    pair: tuple[Email, int]
    hidden: list[HiddenEmail]


EVERYTHING: dict[str, Any] = {
    "emails": [ADA],
    "by_name": {"Ada": ADA},
    "by_email": {ADA: 1},
    "address": {"street": "1 Main St"},
    "owner": {"name": "Ada L"},
    "box": {"email": ADA},
    "pair": (ADA, 1),
    "hidden": [ADA],
}


def test_wherever_it_stands() -> None:
    """In lists, keys and values, nested models, dataclasses and TypedDicts fields are masked; and clear when asked."""
    made = Everything.model_validate(EVERYTHING)
    masked = made.model_dump()
    for shown in (repr(made), str(made), repr(masked), made.model_dump_json()):
        assert not re.search(r"ada@|Main St|Ada L", shown)
    assert masked["emails"] == ["[EMAIL]"]
    assert masked["by_email"] == {"[EMAIL]": 1}
    assert masked["address"] == {"street": "[ADDRESS]"}
    assert made.model_dump(context=CLEAR) == EVERYTHING
    assert Everything.model_validate_json(made.model_dump_json(context=CLEAR)) == made
    assert repr(made.model_copy(deep=True)) == repr(made)


class Loose(BaseModel):
    anything: Any = None
    json_value: JsonValue = None
    model: SerializeAsAny[BaseModel] = Address(street="x")


def test_a_validated_value_is_masked_where_a_field_says_nothing() -> None:
    """What was validated carries its policy into `Any`; a field that says it is a text gives a text."""
    made = Loose(anything=[validated()], model=Address(street="1 Main St"))
    assert made.model_dump(mode="json")["anything"] == ["[EMAIL]"]
    assert made.model_dump(context=CLEAR)["anything"] == [ADA]
    assert made.model_dump()["model"] == {"street": "[ADDRESS]"}
    assert to_json([validated()]) == b'["[EMAIL]"]'


SCHEMAS: list[tuple[Any, Any]] = [
    (Email, str),
    (HiddenEmail, SecretStr),
    (Annotated[str | None, Pii("email")], str | None),
    (Annotated[str, Pii("email"), Field(max_length=9, pattern="@")], Annotated[str, Field(max_length=9, pattern="@")]),
    (Annotated[str, Field(max_length=9, title="To"), Pii("email")], Annotated[str, Field(max_length=9, title="To")]),
]


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@pytest.mark.parametrize(("annotation", "plain"), SCHEMAS)
def test_json_schemas(annotation: Any, plain: Any, mode: Literal["validation", "serialization"]) -> None:
    """A policy changes nothing of what a type says of itself."""
    assert TypeAdapter(annotation).json_schema(mode=mode) == TypeAdapter(plain).json_schema(mode=mode)


def quoting(value: str) -> str:
    raise ValueError(f"{value} is taken")


def custom(value: str) -> str:
    raise PydanticCustomError("taken", "{what} is taken", {"what": value})


def asserting(value: str) -> str:
    raise AssertionError(f"{{{value}}} is taken")


HASHING = Pii("email", mask="hash", key=no_key)
TOO_LONG = "String should have at most 3 characters"
TOO_MANY = "Value should have at most 3 items after validation, not"
NO_MATCH = "String should match pattern '^x'"
NO_TEXT = "Input should be a valid string"
TAKEN = "{[EMAIL]} is taken"
REFUSALS: list[tuple[Any, Any, str, str]] = [
    (Annotated[str, Field(max_length=3), Pii("email")], ADA, "string_too_long", TOO_LONG),
    (Annotated[str, Pii("email"), Field(max_length=3)], ADA, "string_too_long", TOO_LONG),
    (Annotated[str, Pii("email"), Field(pattern="^x")], ADA, "string_pattern_mismatch", NO_MATCH),
    (Annotated[Email | None, Field(pattern="^x")], ADA, "string_pattern_mismatch", NO_MATCH),
    (Annotated[str, AfterValidator(quoting), Pii("email")], ADA, "value_error", "Value error, [EMAIL] is taken"),
    (Annotated[str, AfterValidator(custom), Pii("email")], ADA, "taken", "[EMAIL] is taken"),
    (Annotated[str, AfterValidator(asserting), Pii("email")], ADA, "assertion_error", f"Assertion failed, {TAKEN}"),
    (Email, [ADA], "string_type", NO_TEXT),
    (Email, ADA.encode() + b"\xff", "string_unicode", f"{NO_TEXT}, unable to parse raw data as a unicode string"),
    (Email, None, "string_type", NO_TEXT),
    (Annotated[str, Pii("text")], {ADA: 1}, "string_type", NO_TEXT),
    (Annotated[str, Field(max_length=3), Pii("text")], f"ask {ADA}", "string_too_long", TOO_LONG),
    (Annotated[str, Field(max_length=3), HASHING], ADA, "string_too_long", TOO_LONG),
    (Annotated[SecretStr, Field(max_length=3), Pii("email")], SecretStr(ADA), "too_long", f"{TOO_MANY} 15"),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value", "kind", "said"), REFUSALS)
def test_refusals_show_no_value(annotation: Any, value: Any, kind: str, said: str) -> None:
    """The errors are Pydantic's, in their places, with the mask for what was given."""

    class Model(BaseModel):
        values: list[annotation]

    with pytest.raises(ValidationError) as refusal:
        Model(values=[value])
    (found,) = refusal.value.errors(include_url=False)
    assert (found["type"], found["msg"], found["loc"]) == (kind, said, ("values", 0))
    assert refusal.value.__context__ is None
    for shown in (str(refusal.value), repr(refusal.value.errors()), refusal.value.json()):
        assert "ada" not in shown


def test_what_a_policy_cannot_hide() -> None:
    """A missing neighbour shows its model's input, and a later validator its own, until the model hides inputs."""

    class Open(BaseModel):
        email: Email
        name: str

        @field_validator("email")
        @classmethod
        def known(cls, value: str) -> str:
            if value != ADA:
                raise ValueError("unknown")
            return value.upper()

    class Hiding(Open, hide_input_in_errors=True):
        pass

    assert "'ADA@EXAMPLE.COM'" in repr(Open(email=ADA, name="x"))
    assert Open(email=ADA, name="x").model_dump()["email"] == "[EMAIL]"
    for given_ in ({"email": ADA}, {"email": f"x{ADA}", "name": "x"}):
        with pytest.raises(ValidationError, match=ADA):
            Open.model_validate(given_)
        with pytest.raises(ValidationError) as refusal:
            Hiding.model_validate(given_)
        assert ADA not in str(refusal.value)


def test_what_a_policy_cannot_hold() -> None:
    """A constraint behind a validator behind a policy takes the policy off: this is Pydantic's chain, see the guide."""
    lost = Annotated[str, Pii("email"), AfterValidator(same), Field(pattern="@")]
    kept = Annotated[str, AfterValidator(same), Pii("email"), Field(pattern="@")]
    assert TypeAdapter(lost).dump_python(ADA) == ADA
    assert TypeAdapter(kept).dump_python(ADA) == "[EMAIL]"


class Customer(BaseModel):
    email: Email = Field(max_length=30)
    phone: Annotated[str | None, Pii("phone", mask="partial")] = None


def posted(app: FastAPI, content: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.post("/customers", json=content)

    return asyncio.run(send())


def test_a_route() -> None:
    """A request gives the clear value, an answer is masked; a refusal shows a mask, and OpenAPI says nothing of it."""
    app, got = FastAPI(), []

    @app.post("/customers", response_model=Customer)
    async def create(customer: Customer) -> Any:
        got.append(customer.email)
        return customer if customer.phone else customer.model_dump(context=CLEAR)

    phone = "+44 20 7946 0958"
    assert posted(app, {"email": ADA, "phone": phone}).json() == {
        "email": "[EMAIL]",
        "phone": "[PHONE:**0958]",
    }
    assert posted(app, {"email": ADA}).json() == {"email": "[EMAIL]", "phone": None}
    assert got == [ADA, ADA]
    refused = posted(app, {"email": ADA * 3})
    assert refused.status_code == 422
    assert ADA not in refused.text
    schema = app.openapi()["components"]["schemas"]["Customer"]["properties"]
    assert schema == {
        "email": {"type": "string", "maxLength": 30, "title": "Email"},
        "phone": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Phone"},
    }


CARRIED: list[tuple[Any, Any, Any]] = [
    (Email, ADA, ADA),
    (Email, validated(), ADA),
    (Annotated[str, Pii("email", mask="drop")], ADA, ADA),
    (Annotated[str, Pii("email", mask="hash", key=no_key)], ADA, ADA),
    (Annotated[str, Pii("text")], f"ask {ADA}", f"ask {ADA}"),
    (Email | None, None, None),
    (list[Email], [ADA], [ADA]),
    (dict[Email, Email], {ADA: ADA}, {ADA: ADA}),
    (HiddenEmail, SecretStr(ADA), ADA),
    (HiddenEmail, TypeAdapter(HiddenEmail).validate_python(ADA), ADA),
    (list[HiddenEmail | None], [SecretStr(ADA), None], [ADA, None]),
    (Customer, Customer(email=ADA, phone="1"), {"email": ADA, "phone": "1"}),
    (Everything, Everything.model_validate(EVERYTHING), {**EVERYTHING, "pair": [ADA, 1]}),
]


@pytest.mark.parametrize(("annotation", "value", "encoded"), CARRIED)
def test_arguments_travel_clear(annotation: Any, value: Any, encoded: Any) -> None:
    """What a task is given arrives as it was, and prints masked there."""

    def carry(value: Any) -> None: ...

    carry.__annotations__["value"] = annotation
    codec = Codec("task carry", travelling_signature("task carry", carry, injected))
    assert codec.encode(value) == {"value": encoded}
    arrived = codec.decode(codec.encode(value))
    assert arrived.args == (value,)
    assert ADA not in repr(arrived)


SENT: list[Any] = []


@task(name="pii_send")
def send(to: Email, customer: Customer, hidden: HiddenEmail) -> None:
    SENT.extend([to, customer.email, hidden.get_secret_value(), f"{to!r} {customer} {hidden}"])


def test_a_task_gets_the_clear_values() -> None:
    """A mail does not go to a mask: through the queue, and in a trial, a task gets what was passed."""
    tasks = DurableTasks.in_memory(clock=ManualClock())
    tasks.add_task(send, ADA, Customer(email=ADA), TypeAdapter(HiddenEmail).validate_python(ADA))
    jobs = MemoryJobs(tasks)
    asyncio.run(jobs.publish_and_drain())
    assert SENT[:3] == [ADA, ADA, ADA]
    assert ADA not in SENT[3]
    Trial().run(send, ADA, Customer(email=ADA), SecretStr(ADA))
    assert SENT[4:7] == [ADA, ADA, ADA]


class Row(BaseModel):
    model_config = ConfigDict(validate_by_name=True)

    plain: str
    count: int | None
    email: Email
    again: Annotated[Email, Pii("email", mask="drop")]
    maybe: Annotated[str, Pii("phone")] | None = None
    aliased: Alias = Field("", alias="E-mail")
    choice: Annotated[str, Pii("name")] = Field("", validation_alias=AliasChoices("Name", AliasPath("Names", 0)))
    tags: list[Annotated[str, Pii("text")]] = []


ROW = {
    "email": Pii("email"),
    "again": Pii("email", mask="drop"),
    "maybe": Pii("phone"),
    "E-mail": Pii("email"),
    "aliased": Pii("email"),
    "Name": Pii("name"),
    "Names": Pii("name"),
    "choice": Pii("name"),
    "tags": Pii("text"),
}


@dataclasses.dataclass
class PlainRow:
    email: "Email"
    count: int = 0


class TupleRow(NamedTuple):
    email: Email
    rows: int = 0


class ByAlias(BaseModel):
    model_config = ConfigDict(alias_generator=str.title)
    email: Email


@pytest.mark.parametrize(
    ("row", "policies"),
    [
        (Row, ROW),
        (PlainRow, {"email": Pii("email")}),
        (TupleRow, {"email": Pii("email")}),
        (Box, {"email": Pii("email")}),
        (Owner, {"name": Pii("name")}),
        (ByAlias, {"Email": Pii("email")}),
        (BaseModel, {}),
    ],
)
def test_columns(row: Any, policies: dict[str, Pii]) -> None:
    """A row's policies are found by the names that its fields have in a file."""
    assert columns(row) == policies


def test_a_column_with_two_policies() -> None:
    """Two policies beside each other are refused: which one is meant cannot be told."""

    class Unclear(BaseModel):
        who: Email | Annotated[str, Pii("name")]

    with pytest.raises(ValueError, match=r"who has more than one policy: .*EMAIL.*NAME"):
        columns(Unclear)


def test_columns_need_no_pydantic() -> None:
    """A process that masks the columns of a file does not pay for Pydantic."""
    code = """
import sys
from dataclasses import dataclass
from typing import Annotated
import afterward.pii
from afterward.pii.fields import Pii, columns
@dataclass
class Row:
    email: Annotated[str, Pii("email")]
print(columns(Row)["email"]("x"), *{"pydantic", "pydantic_core"} & sys.modules.keys())
"""
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[EMAIL]"


def test_free_text_is_masked_as_text_is() -> None:
    """A field of free text and `mask` give the same."""
    text = f"{ADA} paid with {CARD}"
    assert Pii("text")(text) == mask(text)


def test_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    """The example of the guide prints what stands below each of its prints."""
    docs = Path(__file__).parents[3] / "docs"
    guide = "".join(path.read_text() for path in sorted(docs.glob("personal_data*.md")))
    (example,) = re.findall(r"(?ms)^```python\n(from typing import Annotated\n.*?)^```$", guide)
    exec(example.replace("from afterward.pii import Pii", "from afterward.pii.fields import Pii"), {})  # noqa: S102 - it is ours
    assert capsys.readouterr().out.splitlines() == re.findall(r"(?m)^# (.*)$", example)
