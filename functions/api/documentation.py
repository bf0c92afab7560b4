"""What OpenAPI says of this application besides its routes."""

from collections.abc import Callable
from typing import Any

TAGS = {
    "notifications": "Into an inbox, and out of it.",
    "e-mail": "By SMTP.",
    "long tasks": "With progress, under an id that the client chooses.",
    "chains": "Tasks that run one after the other.",
    "actions": "A task with services of its own.",
    "activity": "Recorded exactly once.",
    "external data": "Fetched from elsewhere, and told to others.",
    "uploads": "CSV files of up to 5 GiB, checked and cleaned.",
    "jobs": "Every task that was accepted is a job: watch it, list it, cancel it, run it again.",
}

SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A token of the issuer that the deployment trusts. The local cloud asks for one with AUTH=1.",
}

_HEADERS = {
    "webhook-id": "The same in every attempt: what came before under this id has been handled.",
    "webhook-timestamp": "When this attempt was made, in seconds since the epoch.",
    "webhook-signature": "One or more signatures with spaces between them: `v1,` and the base64 of an HMAC-SHA-256.",
}

_BODY = {
    "type": "object",
    "required": ["type", "timestamp", "data"],
    "properties": {
        "type": {"type": "string", "description": "What happened, and how it ended.", "examples": ["task.completed"]},
        "timestamp": {"type": "string", "format": "date-time", "description": "When it ended."},
        "data": {
            "type": "object",
            "required": ["task_id", "status"],
            "properties": {
                "task_id": {"type": "string", "description": "The id that the 202 gave."},
                "task": {"type": "string", "description": "The task's name, for a `callback_url`."},
                "status": {"enum": ["completed", "failed", "cancelled"], "type": "string"},
                "failed_task_id": {"type": "string", "description": "The job that failed, where one did."},
            },
        },
    },
}

WEBHOOK = {
    "operationId": "task_ended",
    "summary": "Task Ended",
    "description": "What is posted to a `callback_url` or `webhook_url`, by Standard Webhooks 1.0. It is tried "
    "ten times over three days until it is answered with 2xx, or with 410, which ends it.",
    "tags": ["jobs"],
    "parameters": [
        {"name": name, "in": "header", "required": True, "description": said, "schema": {"type": "string"}}
        for name, said in _HEADERS.items()
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
    "responses": {"2XX": {"description": "It has arrived."}, "410": {"description": "No more of these, please."}},
}


def documented(build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Add who may call, what the tags mean, and the webhook that is sent."""
    document = build()
    # Which FastAPI makes by itself of an endpoint's form.
    document["components"]["schemas"]["Body_upload_csv"]["description"] = "A form with one file in it."
    document["components"]["securitySchemes"] = {"token": SECURITY}
    tags = [{"name": name, "description": said} for name, said in TAGS.items()]
    return document | {"security": [{"token": []}], "tags": tags, "webhooks": {"task_ended": {"post": WEBHOOK}}}
