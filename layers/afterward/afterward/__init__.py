"""Durable background tasks for FastAPI on AWS Lambda.

Names are imported when they are first used: a process pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from afterward import startup

if TYPE_CHECKING:
    from afterward.children import Children as Children
    from afterward.declaration import Task as Task
    from afterward.declaration import task as task
    from afterward.depends import Depends as Depends
    from afterward.depends import injected as injected
    from afterward.effects import Effects as Effects
    from afterward.errors import AfterwardError as AfterwardError
    from afterward.errors import Discard as Discard
    from afterward.errors import IdTaken as IdTaken
    from afterward.errors import Retry as Retry
    from afterward.errors import Unavailable as Unavailable
    from afterward.errors import UsageError as UsageError
    from afterward.job import Chain as Chain
    from afterward.job import Job as Job
    from afterward.job import Status as Status
    from afterward.progress import Progress as Progress
    from afterward.results import Results as Results
    from afterward.retry import Backoff as Backoff
    from afterward.retry import Schedule as Schedule

_HOMES = {
    "Children": "children",
    "Task": "declaration",
    "task": "declaration",
    "Depends": "depends",
    "injected": "depends",
    "Effects": "effects",
    "AfterwardError": "errors",
    "Discard": "errors",
    "IdTaken": "errors",
    "Retry": "errors",
    "Unavailable": "errors",
    "UsageError": "errors",
    "Chain": "job",
    "Job": "job",
    "Status": "job",
    "Progress": "progress",
    "Results": "results",
    "Backoff": "retry",
    "Schedule": "retry",
}

__all__ = [  # noqa: PLE0604 - the names stand once, above
    *_HOMES,
]

startup.begin()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
