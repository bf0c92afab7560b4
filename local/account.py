"""The one account of the local cloud, and how to call it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = "123456789012"
REGION = "us-east-1"
# moto takes any; that they are not empty is botocore's wish.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": "local"}
RIGHTS = "/_rights"
"""Where `local.aws` takes what functions may do; no bucket can be called so."""


def credentials_of(function: str) -> dict[str, str]:
    """Return the credentials of a function by its physical name, which is its access key: so it is known who asks."""
    return {**CREDENTIALS, "AWS_ACCESS_KEY_ID": function}


def session() -> boto3.Session:
    """Open a session that knows nothing of the developer's own AWS settings."""
    nowhere = (None, None, os.devnull, None)
    core = botocore.session.Session(
        session_vars={"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere}
    )
    core.set_credentials(*CREDENTIALS.values())
    return boto3.Session(botocore_session=core, region_name=REGION)


class Account:
    """Clients for the services, as moto serves them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = session()
        self._clients: list[Any] = []

    def client(self, service: str, *, connections: int = 10) -> Any:
        """Make a client; it does not retry, since nothing here fails that would not fail again."""
        config = Config(
            max_pool_connections=connections,
            parameter_validation=False,
            proxies={},
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        )
        make: Any = self._session.client
        client = make(service, endpoint_url=self.url, config=config)
        self._clients.append(client)
        return client

    def restrict(self, roles: Mapping[str, Any]) -> None:
        """Hold callers back, by their access keys, from what `local.guard.told` does not grant them."""
        request = Request(f"{self.url}{RIGHTS}", json.dumps(roles).encode(), method="PUT")  # noqa: S310 - http
        urlopen(request).close()  # noqa: S310 - the same

    def close(self) -> None:
        for client in self._clients:
            client.close()
