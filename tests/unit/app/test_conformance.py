"""The API does what docs/openapi.json says: schemathesis makes requests of every kind for each of its operations.

They come through the local gateway's authorizer, which checks real tokens: nobody's, a user's and an admin's.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

import catalog
from afterward import Status
from afterward.archive import keep_job
from afterward.backend import Backend, backend
from afterward.background import store
from afterward.clock import timestamp
from afterward.digest import owner_digest
from afterward.envelope import Envelope
from afterward.records import queued
from afterward.testing import ManualClock
from local.authorizer import Authorizer
from local.gateway import challenge
from local.route import JwtAuthorizer
from local.server import Receive, Scope, Send, respond
from local.tokens import Issuer
from local.user import Refused
from tests.unit.app.conftest import Deployed

DOCUMENT = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text())

EXAMPLE = "5f2f4a38-4b0c-4c8e-9c0e-4f6f9d3f7b61"
"""The task that the document's examples speak of."""

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {"deterministic": True, "database": "none", "max-examples": 20},
        "operations": [
            {
                # A cursor is a text that the API has made; no schema tells it from others.
                "include-name": "GET /tasks",
                "checks": {"positive_data_acceptance": {"enabled": False}},
            },
            {
                # A mail comes in the query or in the body; the document cannot say that one of both is needed.
                "include-name": "POST /send-email/",
                "checks": {"positive_data_acceptance": {"enabled": False}},
            },
            {
                # Where `task` is process_data a `data_id` is needed; parameters cannot say that of one another.
                "include-name": "POST /safe-task/{user_id}",
                "checks": {"positive_data_acceptance": {"enabled": False}},
            },
        ],
    }
)

# Who may call is looked at here, and not by schemathesis, which knows no tokens that pass.
API = schemathesis.openapi.from_dict({**DOCUMENT, "security": []}, config=CONFIG)


class Callers:
    """A caller of its own for each request: what one of them has used, a key or an id, is new to the next.

    One after the other is an admin, the user whom the path names, and anybody. Each has a task under the id of the
    examples; `answers` collects the statuses of all, `named` says whether any of their paths named a user.
    """

    def __init__(self, using: Backend, issuer: Issuer) -> None:
        self.backend = using
        self.issuer = issuer
        self.answers: set[int] = set()
        self.named = False
        self._authorizer = Authorizer(issuer.keys)
        self._numbers = count()
        self._trusted = ""
        self._owner = ""

    def next(self, case: schemathesis.Case[Any]) -> str:
        """Prepare for a request, and return its token."""
        number = next(self._numbers)
        # Users of the same name are others with another issuer.
        self._trusted = f"https://issuer.localhost/{number}"
        user = str((case.path_parameters or {}).get("user_id") or "anybody") if number % 3 == 1 else "anybody"
        self.named |= "{user_id}" in case.path
        self._owner = owner_digest(self._trusted, user)
        self._give_task(case.path, number)
        times = {"iat": int(time.time()), "exp": int(time.time()) + 60}
        scope = {"scope": "admin"} if number % 3 == 0 else {}
        return self.issuer.sign({"iss": self._trusted, "aud": "afterward", "sub": user, **times, **scope})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to the API, as the gateway does, or not."""
        from api import app  # noqa: PLC0415 - the environment is there by now

        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            found = self._authorizer.authorizer(JwtAuthorizer(self._trusted, ("afterward",)), headers)
        except Refused as refused:
            answer = challenge(refused)
            await respond(send, answer.status, answer.headers, answer.body)
            return
        await app({**scope, "aws.event": {"requestContext": {"authorizer": found}}}, receive, send)

    def _give_task(self, path: str, number: int) -> None:
        if "{task_id}" not in path or path.startswith("/start-task"):
            return
        envelope = Envelope(
            id=EXAMPLE,
            task=catalog.long_running_task.name,
            owner=self._owner,
            created=timestamp(self.backend.clock.now()),
            arguments={"items_count": 1},
            chain=EXAMPLE,
        )
        now = self.backend.clock.now()
        fresh = queued(envelope, envelope, limit=1, shards=self.backend.shards, now=now)
        self.backend.records.add(replace(fresh, **_state_for(path, number)))
        keep_job(self.backend, envelope, "message-1", attempts=1)

    async def store(self) -> Backend:
        return self.backend


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer.kept(tmp_path_factory.mktemp("issuer"))


@pytest.fixture
def callers(deployed: Deployed, issuer: Issuer) -> Iterator[Callers]:
    """The API behind its gateway, with time that nobody waits for."""
    from api import app  # noqa: PLC0415 - the environment is there by now

    callers = Callers(replace(backend(), clock=ManualClock(time.time())), issuer)
    app.dependency_overrides[store] = callers.store
    yield callers
    app.dependency_overrides.clear()
    assert callers.answers & {200, 202, 303}, "nothing that was sent made the API do anything"
    assert callers.answers & {404, 422}, "nothing that was sent was refused"
    assert (403 in callers.answers) == callers.named, "whoever is another user is refused, and nobody else"


def _state_for(path: str, number: int) -> dict[str, Any]:
    """Say how the task is of which something is asked; where that does not matter, as different ones as there are."""
    if path.endswith("/cancel"):
        return {"status": Status.QUEUED}
    if path.endswith("/retry"):
        return {"status": Status.FAILED, "reason": "ValueError: no"}
    results = json.dumps({"data.json": "results/a/b/1-1/data.json"})
    return {"status": list(Status)[number % len(Status)], "total": 10, "results": results}


@API.parametrize()
@settings(suppress_health_check=[*HealthCheck])
def test_the_api_does_what_its_document_says(case: schemathesis.Case[Any], callers: Callers) -> None:
    """Whatever is sent, the answer is one of those that the document has; without a token it is the gateway's 401."""
    token = callers.next(case)
    if not callers.answers:
        refused = case.call(app=callers)
        assert (refused.status_code, refused.content) == (401, b'{"message":"Unauthorized"}')
        assert refused.headers["www-authenticate"] == ["Bearer"]
    answer = case.call_and_validate(app=callers, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code not in {401, *range(500, 600)}
    callers.answers.add(answer.status_code)
