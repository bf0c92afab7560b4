"""Afterward's side of FastAPI: `from afterward.background import BackgroundTasks` (was: `from fastapi import …`)."""

from afterward.background import deferred as deferred  # before anything imports FastAPI
from afterward.background.caller import owner
from afterward.background.problems import install
from afterward.background.responses import Accepted, accepted, accepted_response
from afterward.background.status import Found, JobStatus, TaskProgress, found
from afterward.background.store import store
from afterward.background.tasks import BackgroundTasks, DurableTasks, Links, durable_tasks, links

__all__ = [
    "Accepted",
    "BackgroundTasks",
    "DurableTasks",
    "Found",
    "JobStatus",
    "Links",
    "TaskProgress",
    "accepted",
    "accepted_response",
    "durable_tasks",
    "found",
    "install",
    "links",
    "owner",
    "store",
]
