import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterward.backend import Backend
from afterward.envelope import Envelope, Link, dumps, job_of, loads, pointer, stored_at
from afterward.errors import BadMessage, NewerMessage
from afterward.parcel import pack, unpack
from afterward.queues import ATTRIBUTES, MESSAGE_LIMIT
from tests.support.cloud import Cloud
from tests.support.faults import refused_by_sqs
from tests.support.jobs import FIRST, OWNER, SECOND, THIRD, envelope, link

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def full() -> Envelope:
    return envelope(
        version=2,
        arguments={"text": "héllo", "number": 1.5, "none": None, "nested": {"list": [True]}},
        run=3,
        leg=4,
        not_before=12.5,
        group="vip",
        digest="d1",
        links=4,
        named={"2": "chosen"},
        broken_by="job-0",
        broken_as="cancelled",
        ended=11.5,
        join="job-1#3",
        member=1,
        members=2,
        even_if_failed=True,
        rest=[
            link(SECOND, "job-2", delay=2.5, group="own"),
            link(THIRD, "job-3", even_if_failed=True, version=7),
            (link(SECOND, "job-4"), link(THIRD, "job-5", callback=True)),
        ],
    )


def body(**changes: Any) -> str:
    """Return the full envelope's message with some of its values replaced, or left out where they are `...`."""
    value = json.loads(dumps(full())) | changes
    return json.dumps({name: one for name, one in value.items() if one is not ...})


def test_an_envelope_is_read_as_it_was_written() -> None:
    """Everything that the worker needs survives the queue."""
    assert loads(dumps(full())) == full()


def test_an_envelope_names_its_format() -> None:
    """A reader of another version can tell."""
    assert json.loads(dumps(full()))["afterward"] == 1


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_arguments_travel_through_sqs(arguments: dict[str, Any]) -> None:
    """Whatever JSON can say arrives, and no character of it is one that SQS refuses."""
    about = envelope(arguments=arguments)
    written = dumps(about)
    assert not refused_by_sqs(written)
    assert loads(written).arguments == arguments


@pytest.mark.parametrize("text", ["\x00", "\x1b[0m", "\ufffe", "\uffff", "\ufffd", "\U0001f600", "a\tb\nc"])
def test_characters_that_sqs_refuses_arrive_all_the_same(cloud: Cloud, text: str) -> None:
    """They are escaped on the way."""
    about = envelope(arguments={"text": text})
    cloud.backend.queues.send([pack(about, cloud.backend.blobs)])
    (message,) = cloud.waiting(FIRST)
    assert unpack(message.body, cloud.backend.blobs).arguments == {"text": text}


def test_unknown_keys_are_left_out() -> None:
    """A rollback reads what the newer code wrote in the same format."""
    rest = [{"id": "job-2", "task": SECOND, "arguments": {}, "later": 1}]
    assert loads(body(later="x", rest=rest)).rest == (Link(id="job-2", task=SECOND, arguments={}),)


def test_an_envelope_without_its_optional_keys_has_their_defaults() -> None:
    """The oldest shape of the format stays readable."""
    minimal = {"afterward": 1, "owner": "o", "id": "i", "task": "t", "created": "c", "arguments": {}}
    assert loads(json.dumps(minimal)) == Envelope(owner="o", id="i", task="t", created="c", arguments={})


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "the message is not JSON"),
        ("{", "the message is not JSON"),
        ("[" * 100_000, "the message is not JSON"),
        ("[]", "the message is not an Afterward envelope"),
        ('"afterward"', "the message is not an Afterward envelope"),
        ('{"Message": "from elsewhere"}', "the message is not an Afterward envelope"),
        (body(afterward=2), "the envelope has format 2, and this code knows format 1"),
        (body(afterward="x" * 1_000), "the envelope has format 'x{39}, and this code"),
        (body(owner=...), "the envelope lacks owner$"),
        (body(id=..., task=..., arguments=..., created=...), "the envelope lacks id, task, arguments, created$"),
        (body(rest=[{"task": "t"}]), "the envelope lacks id, arguments$"),
        (body(rest={}), "`rest` is not a list"),
        (body(rest=[1]), "`rest` is not an object"),
        (body(run="1"), "the envelope's `run` has the wrong type"),
        (body(arguments=[]), "the envelope's `arguments` has the wrong type"),
        (body(not_before=None), "the envelope's `not_before` has the wrong type"),
        (body(not_before=float("inf")), "the message is not JSON"),
        (body(not_before=float("nan")), "the message is not JSON"),
        (body(rest=[{"id": 1, "task": "t", "arguments": {}}]), "the envelope's `id` has the wrong type"),
    ],
)
def test_what_is_no_envelope_says_why(message: str, reason: str) -> None:
    """The reason is kept with the dead letter."""
    with pytest.raises(BadMessage, match=reason):
        loads(message)


def test_a_successor_carries_what_is_behind_it() -> None:
    """It is the link's job, in the same chain and run, on its first leg."""
    (next_one,) = full().successors(0, broken_by="", broken_as="", now=96.5)
    assert (next_one.id, next_one.task, next_one.version, next_one.arguments) == ("job-2", SECOND, 1, {"text": "hello"})
    assert (next_one.owner, next_one.run, next_one.leg, next_one.group, next_one.chain) == (OWNER, 3, 0, "own", "job-1")
    assert (next_one.not_before, next_one.broken_by, next_one.even_if_failed) == (99.0, "", False)
    assert (next_one.ended, next_one.links, next_one.named) == (96.5, 4, {"2": "chosen"})
    assert [one.id for one in next_one.behind] == ["job-3", "job-4", "job-5"]


def test_a_successor_may_skip_links() -> None:
    """What was skipped is not behind it any more."""
    (last,) = full().successors(1, broken_by="job-1", broken_as="failed", now=96.5)
    assert (last.id, last.broken_by, last.even_if_failed, last.version) == ("job-3", "job-1", True, 7)
    assert [one.id for one in last.behind] == ["job-4", "job-5"]


def test_a_pointer_says_where_the_envelope_lies() -> None:
    """And whose job it is; a message with its envelope in it points nowhere, and names its job all the same."""
    body = pointer("envelopes/x", full())
    assert stored_at(body) == "envelopes/x"
    named = job_of(body)
    assert named is not None
    assert named == job_of(dumps(full()))
    for name in ("owner", "id", "run", "digest", "join", "member", "members"):
        assert getattr(named, name) == getattr(full(), name)
    assert (named.arguments, named.rest) == ({}, ())
    assert stored_at(dumps(full())) is None
    assert stored_at('{"afterward": 1, "stored": 5}') is None


# Parcels: the same contract over both kinds of blobs


def sized(size: int) -> Envelope:
    """Return an envelope whose body has this many bytes."""
    bare = len(dumps(envelope(arguments={"text": ""})).encode())
    return envelope(arguments={"text": "x" * (size - bare)})


def test_a_parcel_that_fits_carries_its_envelope(stores: Backend) -> None:
    """The message goes to the task's queue, in the owner's group, with its delay."""
    out = pack(sized(MESSAGE_LIMIT - ATTRIBUTES), stores.blobs, 5)
    assert (out.task, out.group, out.delay) == (FIRST, OWNER, 5)
    assert out.size == MESSAGE_LIMIT - ATTRIBUTES
    assert stored_at(out.body) is None


def test_a_parcel_that_is_too_large_lies_in_a_blob(stores: Backend) -> None:
    """One byte more and the message points at it; the worker gets the same envelope."""
    about = sized(MESSAGE_LIMIT - ATTRIBUTES + 1)
    out = pack(about, stores.blobs)
    assert stored_at(out.body) == f"envelopes/{OWNER}/job-1/1-0.json"
    assert out.size < 200
    assert unpack(out.body, stores.blobs) == about


def test_bytes_count_and_not_characters(stores: Backend) -> None:
    """Text that is short in characters may be too large for SQS."""
    out = pack(envelope(arguments={"text": "é" * (MESSAGE_LIMIT // 2)}), stores.blobs)
    assert stored_at(out.body) is not None


def test_legs_and_runs_do_not_overwrite_each_other(stores: Backend) -> None:
    """Each has a place of its own."""
    large = {"text": "x" * MESSAGE_LIMIT}
    keys = {pack(envelope(arguments=large, run=run, leg=leg), stores.blobs).body for run in (1, 2) for leg in (0, 1)}
    assert len(keys) == 4


def test_a_group_may_be_chosen(stores: Backend) -> None:
    """`fairness` stands in for the owner."""
    assert pack(envelope(group="vip"), stores.blobs).group == "vip"


def test_a_parcel_whose_blob_is_gone_says_so(stores: Backend) -> None:
    """No attempt could make it work."""
    with pytest.raises(BadMessage, match="is gone from S3"):
        unpack(pointer("envelopes/gone.json", full()), stores.blobs)


@pytest.mark.parametrize("body", ["hello", "{}", '{"afterward": 1, "owner": "o", "id": "i", "run": "1", "digest": ""}'])
def test_what_names_no_job_names_none(body: str) -> None:
    """Half a name is none."""
    assert job_of(body) is None


@pytest.mark.parametrize(("made", "kind"), [(2, NewerMessage), (0, BadMessage), ("2", BadMessage)])
def test_an_envelope_of_newer_code_is_told_apart(made: Any, kind: type[BadMessage]) -> None:
    """Its code may be on its way; what has no format at all will never be read."""
    with pytest.raises(BadMessage, match="this code knows format 1") as raised:
        loads(json.dumps({"afterward": made}))
    assert type(raised.value) is kind
