import hashlib
import hmac
from dataclasses import FrozenInstanceError

import pytest

from afterward.pii import Kind, Policy, Treatment, find, mask

TEXT = "anna@example.com paid by 4111 1111 1111 1111 from 203.0.113.7"


def test_a_value_is_masked_by_its_kind() -> None:
    assert mask(TEXT) == "[EMAIL] paid by [CREDIT_CARD] from [IP_ADDRESS]"


def test_a_text_without_a_value_is_given_back_as_it_is() -> None:
    text = "order 1234567 shipped"
    assert mask(text) is text


def test_each_kind_has_its_treatment() -> None:
    policy = Policy(
        kinds={Kind.EMAIL: Treatment.DROP, Kind.CREDIT_CARD: Treatment.PARTIAL, Kind.IP_ADDRESS: Treatment.KEEP}
    )
    assert mask(TEXT, policy) == " paid by [CREDIT_CARD:**1111] from 203.0.113.7"
    assert mask("call +1 212 555 0123", policy) == "call [PHONE]"


def test_the_last_four_of_a_short_value_would_be_most_of_it() -> None:
    assert mask("password=abc123!", Policy(Treatment.PARTIAL)) == "password=[SECRET]"


def test_a_hash_joins_the_spellings_of_a_value_and_tells_nothing_without_the_key() -> None:
    policy = Policy(Treatment.HASH, key=b"one")
    grouped, bare = mask("4111 1111 1111 1111", policy), mask("4111111111111111", policy)
    digest = hmac.new(b"one", b"CREDIT_CARD\n4111111111111111", hashlib.sha256).hexdigest()
    assert grouped == bare == f"[CREDIT_CARD:h{digest[:24]}]"
    assert mask("4111111111111111", Policy(Treatment.HASH, key=b"other")) != bare
    assert mask("Anna@Example.com", policy) == mask("anna@example.com", policy)
    assert mask("DE89 3704 0044 0532 0130 00", policy) == mask("de89370400440532013000", policy)


def test_a_hash_needs_a_key_and_does_not_show_it() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Policy(kinds={Kind.EMAIL: Treatment.HASH})
    assert "sesame" not in repr(Policy(Treatment.HASH, key=b"sesame"))


def test_names_from_settings_will_do_and_unknown_ones_are_refused() -> None:
    policy = Policy(default="drop", kinds={"EMAIL": "keep"})  # type: ignore[arg-type, dict-item]
    assert mask("anna@example.com 203.0.113.7", policy) == "anna@example.com "
    with pytest.raises(ValueError, match="blur"):
        Policy(default="blur")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SHOE_SIZE"):
        Policy(kinds={"SHOE_SIZE": Treatment.DROP})  # type: ignore[dict-item]


def test_a_policy_cannot_be_changed() -> None:
    kinds = {Kind.EMAIL: Treatment.KEEP}
    policy = Policy(kinds=kinds)
    kinds[Kind.EMAIL] = Treatment.DROP
    assert policy.treatment(Kind.EMAIL) is Treatment.KEEP
    with pytest.raises(FrozenInstanceError):
        policy.default = Treatment.KEEP  # type: ignore[misc]
    with pytest.raises(TypeError):
        policy.kinds[Kind.EMAIL] = Treatment.DROP  # type: ignore[index]


def test_all_kinds_have_a_placeholder_that_is_no_finding() -> None:
    for kind in Kind:
        assert find(f"value [{kind}] and '[{kind}:**1234]', [{kind}:h{'0a9b' * 6}]") == []
