"""The key of the hashes that stand for personal data in clean files: the same value is the same hash in all of them."""

import os
from functools import lru_cache
from time import monotonic

from afterward import Retry
from afterward.errors import SettingError
from afterward.settings import required

MAX_AGE = 300
"""Seconds for which the key is kept, so that a rotation is noticed."""

SHORTEST = 32
"""Characters: who could guess the key could find out by trying which number a hash is of."""


def hash_key() -> bytes:
    """Return the key in the secret that PII_HASH_SECRET names; asked for each value, and so read where there is one.

    Raises errors.SettingError where the variable or the key is wrong, and Retry where the secret cannot be read now.
    """
    return _key(required(os.environ, "PII_HASH_SECRET"), int(monotonic()))


@lru_cache(maxsize=1)
def _key(arn: str, _second: int) -> bytes:
    """Ask Powertools' cache once a second: for each value that would take three times as long as its hash."""
    from aws_lambda_powertools.utilities import parameters  # noqa: PLC0415 - imports boto3

    try:
        key: str | bytes = parameters.get_secret(arn, max_age=MAX_AGE)
    except parameters.GetParameterError as error:
        raise Retry("the key for hashes could not be read from Secrets Manager") from error
    if not isinstance(key, str) or len(key) < SHORTEST:
        raise SettingError(f"the secret that PII_HASH_SECRET names must be a text of at least {SHORTEST} characters")
    return key.encode()
