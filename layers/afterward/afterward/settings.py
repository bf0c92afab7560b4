"""What a function is told by its environment variables, read once; a missing or malformed one is named."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from afterward.errors import SettingError

QUEUE = "AFTERWARD_QUEUE_"

QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""What SQS lets a standard queue be called (CreateQueue)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`queues`: URLs by task name, from `AFTERWARD_QUEUE_<TASK>`; `digest_secret` where clients choose ids or keys."""

    jobs_table: str
    bucket: str
    dead_letter_queue: str
    queues: Mapping[str, str]
    listing_shards: int
    digest_secret: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        jobs_table = required(environment, "AFTERWARD_JOBS_TABLE")
        dead_letters = _url(environment, "AFTERWARD_DEAD_LETTER_QUEUE")
        beside = dead_letters.rpartition("/")[0]
        queues = {name: _url(environment, name, beside) for name in environment if name.startswith(QUEUE)}
        return cls(
            jobs_table=jobs_table,
            bucket=required(environment, "AFTERWARD_BUCKET"),
            dead_letter_queue=dead_letters,
            queues={name.removeprefix(QUEUE).lower(): url for name, url in queues.items()},
            listing_shards=number(environment, "AFTERWARD_LISTING_SHARDS", default=4, least=1, most=64),
            digest_secret=environment.get("AFTERWARD_DIGEST_SECRET", ""),
        )


def required(environment: Mapping[str, str], name: str) -> str:
    """Return a variable's value, or raise SettingError where it is missing or blank."""
    value = environment.get(name, "").strip()
    if not value:
        raise SettingError(
            f"environment variable {name} is not set; template.yaml sets it for every function that needs it"
        )
    return value


def number(environment: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """Return a variable's value as a whole number within bounds, or raise SettingError."""
    text = environment.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise SettingError(f"environment variable {name} must be a whole number from {least} to {most}, got {text!r}")
    return int(text)


def _url(environment: Mapping[str, str], name: str, beside: str = "") -> str:
    """Return a queue's URL; a queue's name stands for the one that lies `beside` the dead letters.

    Lambda gives all variables together 4 KB, and a name takes a third of what a URL does.
    """
    value = required(environment, name)
    if beside and QUEUE_NAME.fullmatch(value):
        return f"{beside}/{value}"
    if urlsplit(value).scheme not in {"http", "https"}:
        kind = "name or the URL" if beside else "URL"
        raise SettingError(f"environment variable {name} must be the {kind} of a queue, got {value!r}")
    return value


def on_lambda(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is a Lambda environment, whose init phase is the time to read settings."""
    return "AWS_LAMBDA_RUNTIME_API" in environment
