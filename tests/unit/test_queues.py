"""The contract of the queues, held by both of them; below it what only SQS asks for."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from afterward.backend import Backend
from afterward.errors import Unavailable, UsageError
from afterward.memory import DEAD_LETTERS, MemoryQueues
from afterward.queues import ATTRIBUTES, MESSAGE_LIMIT, Incoming, Outgoing, Queues
from afterward.testing import ManualClock
from tests.support.cloud import DEAD, Cloud
from tests.support.faults import refused_by_sqs
from tests.support.jobs import FIRST, SECOND, THIRD

Waiting = Callable[[str], list[Incoming]]


@pytest.fixture
def waiting(stores: Backend, request: pytest.FixtureRequest) -> Waiting:
    """What is visible in a queue now, dead letters under DEAD."""
    if isinstance(stores.queues, MemoryQueues):
        queues = stores.queues
        return lambda name: queues.receive(DEAD_LETTERS if name == DEAD else name, 10)
    cloud: Cloud = request.getfixturevalue("cloud")
    return cloud.waiting


@pytest.fixture
def queues(stores: Backend) -> Queues:
    return stores.queues


def out(task: str = FIRST, body: str = "body", delay: float = 0.0) -> Outgoing:
    return Outgoing(task, body, "owner", delay)


def received(receipt: str = "receipt", body: str = "body") -> Incoming:
    return Incoming("message-1", receipt, body, 1, 0.0, {})


def bodies(messages: list[Incoming]) -> list[str]:
    return sorted(message.body for message in messages)


# The contract


def test_messages_go_to_the_queues_of_their_tasks(queues: Queues, waiting: Waiting) -> None:
    """One call sends to several queues."""
    queues.send([out(FIRST, "a"), out(SECOND, "b"), out(FIRST, "c")])
    assert [bodies(waiting(name)) for name in (FIRST, SECOND, THIRD)] == [["a", "c"], ["b"], []]


def test_no_messages_are_no_work(queues: Queues, waiting: Waiting) -> None:
    """Sending nothing is allowed."""
    queues.send([])
    assert waiting(FIRST) == []


def test_a_delayed_message_is_not_there_yet(queues: Queues, waiting: Waiting) -> None:
    """It is hidden until its time."""
    queues.send([out(delay=0.5), out(body="now")])
    assert bodies(waiting(FIRST)) == ["now"]


def test_a_dead_letter_says_why_it_is_one(queues: Queues, waiting: Waiting) -> None:
    """The reason, the kind of error and the id under which it failed travel beside it."""
    queues.bury(received(), "no such user", "Discard")
    (letter,) = waiting(DEAD)
    assert letter.body == "body"
    assert letter.attributes == {"reason": "no such user", "error": "Discard", "message": "message-1"}


def test_a_dead_letter_keeps_its_group(cloud: Cloud) -> None:
    """One owner's ten thousand failures hold up nobody else's archiving; what has no group gets none."""
    cloud.backend.queues.bury(replace(received(), group="owner"), "reason", "Error")
    cloud.backend.queues.bury(received(), "reason", "Error")
    assert [body.get("MessageGroupId") for body in cloud.sqs.bodies("SendMessage")] == ["owner", None]


def test_a_dead_letter_without_words_is_buried_all_the_same(queues: Queues, waiting: Waiting) -> None:
    """SQS refuses empty attributes, so there are none."""
    queues.bury(received(), "", "")
    assert [letter.attributes for letter in waiting(DEAD)] == [{"message": "message-1"}]


def test_a_message_that_is_put_off_is_hidden(queues: Queues, waiting: Waiting) -> None:
    """Whoever gives it back says for how long."""
    queues.send([out()])
    (message,) = waiting(FIRST)
    queues.put_off(FIRST, message, 30)
    assert waiting(FIRST) == []


def test_a_message_that_is_put_off_by_nothing_is_there_again(queues: Queues, waiting: Waiting) -> None:
    """Zero, and what is less than it, means now."""
    queues.send([out()])
    for seconds in (0, -5):
        (message,) = waiting(FIRST)
        queues.put_off(FIRST, message, seconds)
    assert len(waiting(FIRST)) == 1


def test_a_dead_letter_may_be_put_off_too(queues: Queues, waiting: Waiting) -> None:
    """While an attempt of its job still runs, say."""
    queues.bury(received(), "reason", "Error")
    (letter,) = waiting(DEAD)
    queues.put_off_dead_letter(letter, 30)
    assert waiting(DEAD) == []


# Memory's own: a consumer in the same process


def test_a_received_message_is_hidden_until_it_is_deleted(clock: ManualClock) -> None:
    """It comes again when nobody settles it, with a higher count and a new receipt."""
    queues = MemoryQueues(clock)
    queues.send([out()])
    (once,) = queues.receive(FIRST)
    assert (queues.receive(FIRST), queues.next_visible()) == ([], clock.now() + 60)
    clock.advance(60)
    (twice,) = queues.receive(FIRST)
    assert (once.receives, twice.receives, once.id == twice.id) == (1, 2, True)
    queues.put_off(FIRST, once, 0)
    assert queues.receive(FIRST) == [], "an old receipt no longer counts"
    queues.delete(FIRST, [twice])
    assert (queues.names(), queues.next_visible()) == ([], None)


def test_messages_are_received_one_by_one_unless_more_are_asked_for(clock: ManualClock) -> None:
    """The limit is the batch size."""
    queues = MemoryQueues(clock)
    queues.send([out(body=str(index)) for index in range(5)])
    assert [len(queues.receive(FIRST)), len(queues.receive(FIRST, 3)), len(queues.receive(FIRST, 3))] == [1, 3, 1]
    assert queues.names() == [FIRST]
    assert len(queues.waiting(FIRST)) == 5


# SQS's own


def test_one_message_costs_one_plain_call(cloud: Cloud) -> None:
    """A single message needs no batch."""
    cloud.backend.queues.send([out()])
    assert cloud.sqs.counts == {"SendMessage": 1}


def test_many_messages_cost_one_call_per_queue_and_ten(cloud: Cloud) -> None:
    """The least that SQS allows."""
    cloud.backend.queues.send([out(FIRST)] * 11 + [out(SECOND)] * 10 + [out(THIRD)])
    assert cloud.sqs.counts == {"SendMessageBatch": 2, "SendMessage": 2}


def test_a_batch_stays_within_the_limit_of_sqs(cloud: Cloud) -> None:
    """Large messages go in as many batches as they need."""
    cloud.backend.queues.send([out(body="x" * (MESSAGE_LIMIT // 2))] * 5)
    assert cloud.sqs.counts == {"SendMessageBatch": 2, "SendMessage": 1}


def test_messages_travel_in_the_group_of_their_owner(cloud: Cloud) -> None:
    """Fair queues know by it whose turn it is."""
    cloud.backend.queues.send([out()])
    assert cloud.sqs.bodies("SendMessage")[0]["MessageGroupId"] == "owner"


@pytest.mark.parametrize(("delay", "seconds"), [(0.2, 1), (5, 5), (900, 900), (901, 900), (1e9, 900)])
def test_a_delay_is_whole_seconds_up_to_fifteen_minutes(cloud: Cloud, delay: float, seconds: int) -> None:
    """What SQS cannot delay that long, the claim puts off further."""
    cloud.backend.queues.send([out(delay=delay)])
    assert cloud.sqs.bodies("SendMessage")[0]["DelaySeconds"] == seconds


def test_what_a_batch_refuses_is_sent_again(cloud: Cloud) -> None:
    """Only the refused entries, and they arrive once."""
    cloud.sqs.fail_entries(0, 2)
    cloud.backend.queues.send([out(body=str(index)) for index in range(4)])
    assert bodies(cloud.waiting(FIRST)) == ["0", "1", "2", "3"]
    assert [len(body["Entries"]) for body in cloud.sqs.bodies("SendMessageBatch")] == [4, 2]


def test_what_a_batch_keeps_refusing_is_unavailable(cloud: Cloud) -> None:
    """The caller learns how many messages of which task."""
    cloud.sqs.fail_entries(0, times=2)
    with pytest.raises(Unavailable, match=f"SQS refused 1 of 3 messages for {FIRST}"):
        cloud.backend.queues.send([out(body=str(index)) for index in range(3)])


@pytest.mark.parametrize("status", [400, 503])
def test_a_refusal_of_sqs_is_unavailable(cloud: Cloud, status: int) -> None:
    """Nothing was sent."""
    cloud.sqs.refuse("SendMessage", "ServiceUnavailable", status=status)
    with pytest.raises(Unavailable, match=re.escape("SQS did not take the request (ServiceUnavailable)")):
        cloud.backend.queues.send([out()])
    assert cloud.waiting(FIRST) == []


def test_sqs_out_of_reach_is_unavailable(cloud: Cloud) -> None:
    """For every operation."""
    for operation in ("SendMessage", "SendMessageBatch", "ChangeMessageVisibility"):
        cloud.sqs.cut(operation)
    queues = cloud.backend.queues
    operations: list[Callable[[], object]] = [
        lambda: queues.send([out()]),
        lambda: queues.send([out(), out()]),
        lambda: queues.bury(received(), "reason", "Error"),
        lambda: queues.put_off(FIRST, received(), 5),
        lambda: queues.put_off_dead_letter(received(), 5),
    ]
    for operate in operations:
        with pytest.raises(Unavailable, match="EndpointConnectionError"):
            operate()


def test_a_task_without_a_queue_names_its_variable(cloud: Cloud) -> None:
    """A template block that was forgotten is found by its name."""
    with pytest.raises(
        UsageError, match="task 'core_fourth' has no queue here: AFTERWARD_QUEUE_CORE_FOURTH is not set"
    ):
        cloud.backend.queues.send([out("core_fourth")])


@pytest.mark.parametrize(("seconds", "timeout"), [(-1, 0), (0.1, 1), (59.5, 60), (43_139.5, 43_140), (1e6, 43_140)])
def test_a_message_is_put_off_no_longer_than_sqs_can(cloud: Cloud, seconds: float, timeout: int) -> None:
    """Twelve hours from the receipt, with a minute to spare for the attempt itself."""
    cloud.backend.queues.send([out()])
    (message,) = cloud.waiting(FIRST)
    cloud.backend.queues.put_off(FIRST, message, seconds)
    assert cloud.sqs.bodies("ChangeMessageVisibility")[0]["VisibilityTimeout"] == timeout


def test_a_reason_with_characters_that_sqs_refuses_is_told(cloud: Cloud) -> None:
    """The words of an exception may hold anything; a dead letter is buried all the same."""
    cloud.backend.queues.bury(received(), "\x1b[31mred\x00 \ufffe\ud800 ok", "Odd\x01Error")
    (letter,) = cloud.waiting(DEAD)
    assert not refused_by_sqs("".join(letter.attributes.values()))
    assert letter.attributes["reason"] == "\ufffd[31mred\ufffd \ufffd\ufffd ok"


@pytest.mark.parametrize("char", ["x", "é", "\U0001f600"])
def test_the_largest_message_can_be_buried_with_a_long_reason(cloud: Cloud, char: str) -> None:
    """What travels beside the body fits into what `pack` keeps free."""
    body = "x" * (MESSAGE_LIMIT - ATTRIBUTES)
    cloud.backend.queues.bury(received(body=body), char * 2_000, "E" * 200)
    (letter,) = cloud.waiting(DEAD)
    assert letter.attributes["reason"].startswith(char * 100)
    assert letter.body == body
