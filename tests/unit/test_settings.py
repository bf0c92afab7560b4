"""What a process is told from outside: variables, the digest's key, and the backend made of them."""

import logging
import threading

import botocore.session
import pytest
from moto import mock_aws

from afterward import aws
from afterward.backend import backend
from afterward.digest import KeyedDigests, SecretDigests, owner_digest
from afterward.dynamodb import DynamoDBRecords
from afterward.errors import SettingError, Unavailable
from afterward.memory import MemoryRecords
from afterward.s3 import S3Blobs
from afterward.settings import Settings, number, on_lambda, required
from afterward.sqs import SqsQueues
from tests.support.cloud import Cloud
from tests.support.faults import Wire

URL = "https://sqs.us-east-1.amazonaws.com/123456789012/"

VARIABLES = {
    "AFTERWARD_JOBS_TABLE": "jobs",
    "AFTERWARD_BUCKET": "bucket",
    "AFTERWARD_DEAD_LETTER_QUEUE": URL + "dead",
    "AFTERWARD_QUEUE_SEND_EMAIL": URL + "mail",
    "AFTERWARD_QUEUE_X2": URL + "x2",
    "SOMETHING_ELSE": "ignored",
}


def test_settings_are_read_from_the_environment() -> None:
    """Queues by the names of their tasks, defaults where there are any."""
    settings = Settings.from_environment(VARIABLES)
    assert settings == Settings(
        jobs_table="jobs",
        bucket="bucket",
        dead_letter_queue=URL + "dead",
        queues={"send_email": URL + "mail", "x2": URL + "x2"},
        listing_shards=4,
        digest_secret="",
    )


def test_optional_settings_are_read_too() -> None:
    """The template sets them."""
    more = {"AFTERWARD_LISTING_SHARDS": "16", "AFTERWARD_DIGEST_SECRET": "arn:secret"}
    settings = Settings.from_environment(VARIABLES | more)
    assert (settings.listing_shards, settings.digest_secret) == (16, "arn:secret")


@pytest.mark.parametrize("name", ["AFTERWARD_JOBS_TABLE", "AFTERWARD_BUCKET", "AFTERWARD_DEAD_LETTER_QUEUE"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_setting_names_itself(name: str, value: str | None) -> None:
    """A blank one is missing as well."""
    without = {key: one for key, one in VARIABLES.items() if key != name} | ({} if value is None else {name: value})
    with pytest.raises(SettingError, match=f"environment variable {name} is not set"):
        Settings.from_environment(without)


def test_a_queue_may_be_named() -> None:
    """Its name stands for the queue beside the dead letters, in the same account and region."""
    settings = Settings.from_environment(VARIABLES | {"AFTERWARD_QUEUE_X2": "stack-X2Queue-1A_b"})
    assert settings.queues == {"send_email": URL + "mail", "x2": URL + "stack-X2Queue-1A_b"}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("AFTERWARD_DEAD_LETTER_QUEUE", "mail", "URL"),
        ("AFTERWARD_DEAD_LETTER_QUEUE", "arn:aws:sqs:us-east-1:123456789012:mail", "URL"),
        ("AFTERWARD_QUEUE_SEND_EMAIL", "arn:aws:sqs:us-east-1:123456789012:mail", "name or the URL"),
        ("AFTERWARD_QUEUE_SEND_EMAIL", "m" * 81, "name or the URL"),
        ("AFTERWARD_QUEUE_SEND_EMAIL", "mail.fifo", "name or the URL"),
    ],
)
def test_what_is_no_queue_names_itself(name: str, value: str, wanted: str) -> None:
    """An ARN is the usual mistake."""
    with pytest.raises(SettingError, match=f"{name} must be the {wanted} of a queue, got '{value}'"):
        Settings.from_environment(VARIABLES | {name: value})


@pytest.mark.parametrize("value", ["", "0", "65", "-1", "4.0", "four", "٤", "²", "9" * 30])
def test_a_number_out_of_bounds_names_itself(value: str) -> None:
    """Whatever it is that is no number."""
    with pytest.raises(SettingError, match="AFTERWARD_LISTING_SHARDS must be a whole number from 1 to 64"):
        Settings.from_environment(VARIABLES | {"AFTERWARD_LISTING_SHARDS": value})


def test_single_variables_can_be_read_the_same_way() -> None:
    """Functions read their own variables with the same words."""
    assert required({"SMTP_HOST": " mail "}, "SMTP_HOST") == "mail"
    assert number({}, "SMTP_PORT", default=587, least=1, most=65_535) == 587
    assert number({"SMTP_PORT": "25"}, "SMTP_PORT", default=587, least=1, most=65_535) == 25


def test_a_lambda_environment_knows_that_it_is_one() -> None:
    """By the address of its runtime."""
    assert on_lambda({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"})
    assert not on_lambda({"AWS_LAMBDA_FUNCTION_NAME": "somewhere else"})


# Digests


def test_a_digest_is_the_same_for_the_same_value() -> None:
    """The order of an object's keys does not matter, that of a list does."""
    digests = KeyedDigests(b"key")
    assert digests.of({"a": 1, "b": [1, "é"]}) == digests.of({"b": [1, "é"], "a": 1})
    assert digests.of([1, 2]) != digests.of([2, 1])
    assert digests.of("1") != digests.of(1)


def test_a_digest_depends_on_its_key() -> None:
    """Whoever reads the table cannot try arguments out."""
    assert KeyedDigests(b"key").of("value") != KeyedDigests(b"other").of("value")


def test_an_owner_is_named_by_issuer_and_subject() -> None:
    """Stable, without the raw subject in it, and no two pairs look alike."""
    one = owner_digest("https://issuer", "ada")
    assert one == owner_digest("https://issuer", "ada") == "f9eb46555c7fb128f4a8401c6ab01681"
    assert len({one, owner_digest("https://issue", "rada"), owner_digest("https://issuer", "bob")}) == 3


@pytest.fixture
def secrets(cloud: Cloud) -> Wire:
    """Secrets Manager, by the client that the library itself makes and keeps."""
    return Wire(aws.client("secretsmanager"))


def test_the_digests_key_is_fetched_once(secrets: Wire) -> None:
    """When the first digest is needed, and kept."""
    arn = secrets.client.create_secret(Name="digest", SecretString="a key")["ARN"]
    digests = SecretDigests(arn)
    assert secrets.counts["GetSecretValue"] == 0
    assert digests.of("value") == digests.of("value") == KeyedDigests(b"a key").of("value")
    assert secrets.counts["GetSecretValue"] == 1


def test_a_key_that_cannot_be_had_is_unavailable_until_it_can(secrets: Wire) -> None:
    """The next request tries again."""
    arn = secrets.client.create_secret(Name="digest", SecretString="a key")["ARN"]
    digests = SecretDigests(arn)
    secrets.refuse("GetSecretValue", "InternalServiceError", status=500)
    with pytest.raises(Unavailable, match="Secrets Manager did not take the request"):
        digests.of("value")
    secrets.heal()
    assert digests.of("value") == KeyedDigests(b"a key").of("value")


def test_a_key_that_nobody_named_is_a_missing_setting() -> None:
    """Said when an id is chosen; functions that choose none do not need it."""
    with pytest.raises(SettingError, match="AFTERWARD_DIGEST_SECRET is not set"):
        SecretDigests("").of("value")


# The backend


def test_the_backend_is_made_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's stores by default, made once."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        made = backend()
        assert backend() is made
        kinds = (made.records, made.queues, made.blobs, made.digests)
        assert [type(one) for one in kinds] == [DynamoDBRecords, SqsQueues, S3Blobs, SecretDigests]
        with pytest.raises(Unavailable, match="ResourceNotFoundException"):
            made.records.get("owner", "job")
        with pytest.raises(Unavailable, match="NoSuchBucket"):
            made.blobs.put("key", "text")


def test_a_backend_without_its_settings_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing falls back to memory by itself."""
    monkeypatch.delenv("AFTERWARD_JOBS_TABLE", raising=False)
    with pytest.raises(SettingError, match="AFTERWARD_JOBS_TABLE"):
        backend()


def test_an_unknown_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing mistake must not lose jobs."""
    monkeypatch.setenv("AFTERWARD_STORE", "Memory")
    with pytest.raises(SettingError, match="AFTERWARD_STORE must be 'aws' or 'memory', got 'Memory'"):
        backend()


def test_a_store_in_memory_says_that_it_is_not_durable(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It runs jobs in a thread of this process, which does not keep it alive."""
    monkeypatch.setenv("AFTERWARD_STORE", "memory")
    with caplog.at_level(logging.WARNING, "afterward"):
        made = backend()
    assert isinstance(made.records, MemoryRecords)
    assert "lost when it ends" in caplog.text
    assert [one.daemon for one in threading.enumerate() if one.name == "afterward"][-1] is True


def test_clients_share_a_session_and_give_up_soon() -> None:
    """A gateway waits thirty seconds; a second session would cost time at every cold start."""
    client = aws.client("sqs")
    assert aws.client("sqs") is client
    assert isinstance(aws.session(), botocore.session.Session)
    config = client.meta.config
    assert (config.connect_timeout + config.read_timeout) * config.retries["total_max_attempts"] < 10
