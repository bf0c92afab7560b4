"""Afterward's side of FastAPI: `from afterward.background import BackgroundTasks` (was: `from fastapi import …`)."""

from afterward.background import deferred as deferred  # before anything imports FastAPI
from afterward.background.caller import Caller, caller, owner
from afterward.background.limits import BodyLimits
from afterward.background.listing import LISTING, Listed, TaskList
from afterward.background.problems import install, problem, problems
from afterward.background.request_log import RequestLog
from afterward.background.responses import Accepted, accepted, accepted_response
from afterward.background.status import Found, JobStatus, TaskProgress, found
from afterward.background.steering import CANCELLING, DOWNLOADING, RETRYING, ResultName, Steering
from afterward.background.store import store
from afterward.background.tasks import BackgroundTasks, DurableTasks, Links, durable_tasks, links
from afterward.background.watch import WATCHING, Shown, Watch, Watched

__all__ = [
    "CANCELLING",
    "DOWNLOADING",
    "LISTING",
    "RETRYING",
    "WATCHING",
    "Accepted",
    "BackgroundTasks",
    "BodyLimits",
    "Caller",
    "DurableTasks",
    "Found",
    "JobStatus",
    "Links",
    "Listed",
    "RequestLog",
    "ResultName",
    "Shown",
    "Steering",
    "TaskList",
    "TaskProgress",
    "Watch",
    "Watched",
    "accepted",
    "accepted_response",
    "caller",
    "durable_tasks",
    "found",
    "install",
    "links",
    "owner",
    "problem",
    "problems",
    "store",
]
