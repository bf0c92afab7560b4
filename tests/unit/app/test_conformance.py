"""The API does what docs/openapi.json says: schemathesis makes requests of every kind for each of its operations."""

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
from afterward.background import owner, store
from afterward.clock import timestamp
from afterward.envelope import Envelope
from afterward.records import queued
from afterward.testing import ManualClock
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

# API Gateway has checked the token before a request comes to the API, which is given the owner here.
API = schemathesis.openapi.from_dict({**DOCUMENT, "security": []}, config=CONFIG)


class Callers:
    """A caller of its own for each request: what one of them has used, a key or an id, is new to the next.

    Each has a task under the id of the examples; `answers` collects the statuses of all.
    """

    def __init__(self, using: Backend) -> None:
        self.backend = using
        self.answers: set[int] = set()
        self._numbers = count()
        self._owner = ""

    def next(self, path: str) -> None:
        number = next(self._numbers)
        self._owner = f"{number:032x}"
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

    async def owner(self) -> str:
        return self._owner

    async def store(self) -> Backend:
        return self.backend


@pytest.fixture
def callers(deployed: Deployed) -> Iterator[Callers]:
    """The API with owners to choose, and with time that nobody waits for."""
    from api import app  # noqa: PLC0415 - the environment is there by now

    callers = Callers(replace(backend(), clock=ManualClock(time.time())))
    app.dependency_overrides |= {owner: callers.owner, store: callers.store}
    yield callers
    app.dependency_overrides.clear()
    assert callers.answers & {200, 202, 303}, "nothing that was sent made the API do anything"
    assert callers.answers & {404, 422}, "nothing that was sent was refused"


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
    """Whatever is sent, the answer is one of those that the document has, as the document describes it."""
    from api import app  # noqa: PLC0415 - as above

    callers.next(case.path)
    callers.answers.add(case.call_and_validate(app=app).status_code)
