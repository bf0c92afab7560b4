"""The worker of catalog.send_webhook: Standard Webhooks 1.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import JsonValue

import catalog
from afterward import Chain, Depends, Discard, Job, Retry, injected
from afterward.clock import Clock, SystemClock
from afterward.errors import SettingError
from afterward.pii import sanitised
from afterward.settings import required
from destination import outcome
from outbound import Client, public_client

SECONDS = 15.0
"""For all of it; what the specification recommends at least, and well below the function's own timeout."""

LONGEST_WAIT = 86_400.0
"""Seconds: a receiver may ask for more patience, but does not get it."""

GONE = 410
"""The receiver wants no more of these."""

PREFIX = "whsec_"
KEY = range(24, 65)
"""Bytes of a signing key."""

_WAITING = frozenset({429, 503})


def secret_arn() -> str:
    """Provide the ARN in WEBHOOK_SECRET; at init, so that a function without one does not come up."""
    return required(os.environ, "WEBHOOK_SECRET")


def signing_keys(arn: Annotated[str, Depends(secret_arn, scope="environment")]) -> list[bytes]:
    """Provide the keys in the secret, several while they are rotated; kept for five minutes, to notice a rotation."""
    from aws_lambda_powertools.utilities import parameters  # noqa: PLC0415 - imports boto3

    try:
        return keys_of(parameters.get_secret(arn, max_age=300))
    except parameters.GetParameterError as error:
        raise Retry("the signing key could not be read from Secrets Manager") from error


def keys_of(secret: str) -> list[bytes]:
    """Read one or more keys, with spaces between them; what is wrong is said without them."""
    try:
        keys = [_decoded(key.removeprefix(PREFIX)) for key in secret.split()]
    except ValueError:
        keys = []
    if not keys or not all(len(key) in KEY for key in keys):
        raise SettingError(
            "the secret that WEBHOOK_SECRET names must be the base64 of 24 to 64 bytes, or several of these with "
            "spaces between them"
        )
    return keys


def _decoded(key: str) -> bytes:
    """Read base64 with or without its padding, as the libraries of receivers do."""
    return base64.b64decode(key.rstrip("=") + "=" * (-len(key.rstrip("=")) % 4), validate=True)


def signatures(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Sign once with each key."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    made = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return " ".join(f"v1,{one}" for one in made)


def content(event: str, data: Mapping[str, JsonValue], chain: Chain, job: Job) -> bytes:
    """Say how the chain went so far, without personal data. Nothing here differs between two attempts."""
    outcome = {"task_id": chain.id, "status": chain.status}
    failed = {"failed_task_id": chain.broken_by} if chain.broken_by else {}
    message = {
        "type": f"{event}.{chain.status}",
        "timestamp": chain.ended or job.created,
        "data": {**sanitised(data), **outcome, **failed},
    }
    return json.dumps(message, separators=(",", ":")).encode()


def post(  # noqa: PLR0913 - three are the task's, the others are injected
    url: catalog.Url,
    event: catalog.EventType,
    data: Mapping[str, JsonValue],
    *,
    chain: Chain = injected,
    job: Job = injected,
    keys: Annotated[list[bytes], Depends(signing_keys)] = injected,
    client: Annotated[Client, Depends(public_client, scope="environment")] = injected,
    clock: Annotated[Clock, Depends(SystemClock)] = injected,
) -> None:
    """Post it under an id that stays the same over attempts, so that a receiver notices what it has had before."""
    body, message_id, timestamp = content(event, data, chain, job), f"msg_{job.id}", int(clock.now())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(keys, message_id, timestamp, body),
    }
    with outcome():
        answer = client.post(url, body, headers, seconds=SECONDS)
    if answer.good:
        return
    reason = f"{answer.host} answered {answer.status}"
    if answer.status == GONE:
        raise Discard(f"{reason}: it wants no more webhooks")
    asked = answer.retry_after(clock.now()) if answer.status in _WAITING else 0.0
    raise Retry(reason, at_least=min(LONGEST_WAIT, asked))


lambda_handler = catalog.send_webhook.worker(post)
