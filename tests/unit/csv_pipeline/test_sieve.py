"""What the sieve lets through: it may suspect too much, and never too little."""

# ruff: noqa: E501, RUF001 - rows of cells, in many scripts

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afterward.pii import Pii, find, sanitised
from afterward.pii.sieve import is_telling, masked, suspects, treated
from tests.support.pii_samples import log_lines, negatives, positives

SAMPLES = [one.text for one in (*positives(1_500), *negatives(1_500))] + log_lines(300)

PIECES = st.sampled_from(
    ["basic ", "Basic YWJjOmRlZg==", "YTpi", "bearer ", "token ", "password", "Passwort", "secret", "authorization", ", ",
     "is ", "api-key ", "--db-password hunterx", "sk-", "eyJabcde.abcd", "AKIAABCDEFGHIJKLMNOP", "xoxb-abcdefgh", "cookie",
     "kennwort", "²³", "İ", "é", "&#64;", "\\u0040", "\u200b", "abcdefgh", "ABCDEFGHIJKLM", "my ", "\n", "\0", "key-", "'",
     '"', ": ", "=", "1", "42", "@", "a.b", "//", "+", "%40", "%20", "_", "hvs.", "SG.", "negotiate ", "digest ", "key ",
     "est ", "x", "-----BEGIN PRIVATE KEY-----", "١٢٣", "12345678901", "4111 1111 1111 1111", "１２３", "DE", "89 3704",
     "::1", "10.0.0.1", "GB82 WEST 1234 5698 7654 32", "пароль", "密码", "mot de passe", "auth", "`", ">", "&"],
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=8).map("".join)


def test_nothing_that_is_found_in_the_samples_is_missed() -> None:
    """Of thousands of texts together, each in which something is found is suspected."""
    found = {text for text in SAMPLES if find(text)}
    assert len(found) > 1_000
    assert found <= {*suspects(SAMPLES)}


def test_most_plain_sentences_are_not_suspected() -> None:
    """A sieve that holds nothing back saves nothing."""
    plain = [f"the customer asked for delivery on monday, parcel {word}" for word in ("one", "two", "taken", "broken")]
    assert [*suspects([*plain, "order 12", "2024-02-03", "12.50", "write to ada@example.com"])] == [
        "write to ada@example.com"
    ]


@settings(max_examples=600, deadline=None)
@given(st.lists(TEXTS, max_size=6))
@example(["password", ": hunter22"])
@example(["a\0b@example.com", "x"])
@example(["İ", "the password is hunter22", "x"])
@example(["Authorization, basic abcd"])
@example(["basic YTpi"])
@example(["Bearer abcdefghijklm/nopqrst+uvwxyz~abc"])
@example(["x", "４１１１ １１１１ １１１１ １１１１"])
@example(["İİİİİ", "the password is hunter22", "x", "y"])
def test_whatever_is_found_was_suspected(texts: list[str]) -> None:
    """Texts that stand together are as suspect as alone."""
    suspected = {*suspects(texts)}
    assert {text for text in texts if find(text)} <= suspected <= {*texts}


@pytest.mark.parametrize(
    "pii",
    [Pii("phone", "partial"), Pii("name"), Pii("iban", "drop"), Pii("email", "hash", key=b"k"), Pii("text"), Pii("name", "keep")],
)  # fmt: skip
@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        TEXTS | st.sampled_from(["[PHONE:**1234]", "[NAME]", " ", "", "\t", "[PHONE]", "12345678", "123456789"])
    )
)
def test_columns_are_treated_as_values_are(pii: Pii, values: list[str]) -> None:
    """What a policy does to many values at once is what it does to each."""
    done = treated(pii, values)
    assert {value: done.get(value, value) for value in values} == {value: pii(value) for value in values}
    assert all(value != text for value, text in done.items())


COUNTS = st.from_regex(r"-?(?:00|1[5-9][0-9]{8}|[0-9]{1,9})(?:\.[0-9]{1,11})?", fullmatch=True).filter(
    lambda text: len(text.split(".")[0].lstrip("-")) < 12
)
NAMES = st.lists(
    st.sampled_from(
        ["phone", "mobile", "number", "my", "call", "me", "at", "ssn", "social", "card", "order", "id", "T", "F", "tel", "x",
         "account", "total", "price", "电话", "is", "direct", "line", "text", "us", "12", "Nr.", "(", ":", "US$", "1Z 9", ";", "M"],
    ),
    max_size=3,
).flatmap(lambda words: st.sampled_from(["", " ", "_", "-"]).map(lambda sign: sign.join(words)))  # fmt: skip


def test_ordinary_numbers_and_dates_are_not_suspected() -> None:
    """What most cells of a file are is not looked at more closely."""
    cells = ["7", "10000042", "99999999999", "12.50", "-104250.75", "2026-11-22", "2026-11-22T09:30:00Z", "0.0000001"]
    assert [*suspects(cells)] == []
    doubtful = ["4111111111111111", "212 555 0123", "010.020.030.040"]
    assert [*suspects(doubtful)] == doubtful


@settings(max_examples=600, deadline=None)
@given(name=NAMES, number=COUNTS)
@example(name="phone", number="2125550123")
@example(name="call me at", number="12345.67")
@example(name="my direct line", number="1234567")
@example(name="T", number="212555012")
@example(name="ssn", number="1.123456789")
def test_a_number_by_itself_is_somebodys_only_under_a_name_that_tells(name: str, number: str) -> None:
    """A name that says nothing of one number says nothing of any."""
    assert find(number) == []
    assert [*suspects([number])] == []
    assert is_telling(name) or sanitised(number, name=name) == number


def test_names_that_tell_are_known() -> None:
    """A column of phones or of passwords is looked at cell by cell, one of prices is not."""
    names = ["phone", "Call me at", "ssn", "password", "price", "order_id", "created_at", "card", "comment"]
    assert [name for name in names if is_telling(name)] == ["phone", "Call me at", "ssn", "password"]


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, max_size=6))
@example(["the password is hunter22 and the card 4111 1111 1111 1111"])
@example(["ada@example.com1234567890123456"])
def test_many_texts_are_masked_as_each_is(texts: list[str]) -> None:
    """Whatever is known of a text before it is read."""
    pii = Pii("text", "partial")
    assert all(pii(text) == other for text, other in masked(pii, texts))
