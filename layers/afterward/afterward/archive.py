"""What is kept of jobs that failed or were cancelled: their envelopes, so that they can be looked at and run again.

One object per run, `archive/<owner>/<job>/<run>.json`, written once.
"""

import json
from typing import Any

from afterward.backend import Backend
from afterward.clock import timestamp
from afterward.envelope import Envelope, dumps, loads
from afterward.errors import BadMessage
from afterward.records import Record


def keep(backend: Backend, name: str, message: str, body: str, about: dict[str, Any]) -> None:
    """Archive the body of a message; what stands under the name already stays."""
    letter = {"archived": timestamp(backend.clock.now()), "message": message, "body": body}
    backend.blobs.put_once(_key(name), json.dumps(letter | about))


def keep_job(backend: Backend, envelope: Envelope, message: str, **told: str | int) -> None:
    """Archive a job whole, also where its message only points at its envelope; `told`: attempts, reason, error."""
    about = {"owner": envelope.owner, "job": envelope.id, "task": envelope.task, "run": envelope.run}
    keep(backend, _name(envelope), message, dumps(envelope), about | told)


def kept(backend: Backend, record: Record) -> Envelope | None:
    """Return the envelope of the record's run, or None where it is not archived.

    Raises BadMessage where it has a format that this code does not know.
    """
    try:
        letter = backend.blobs.get(_key(_name(record)))
    except BadMessage:
        return None
    return loads(json.loads(letter)["body"])


def _name(job: Envelope | Record) -> str:
    return f"{job.owner}/{job.id}/{job.run}"


def _key(name: str) -> str:
    return f"archive/{name}.json"
