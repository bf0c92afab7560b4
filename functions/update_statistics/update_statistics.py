"""The worker of catalog.update_statistics."""

from typing import Annotated

import catalog
from activity import Activity, Statistics, statistics
from afterward import Depends, Job, injected


def count(
    user_id: catalog.UserId,
    action: catalog.Action,
    *,
    job: Job = injected,
    counters: Annotated[Statistics, Depends(statistics)] = injected,
) -> None:
    """Count the action, in all and on the day on which its job was accepted."""
    counters.count(Activity(user_id, action, job.created, job.id))


lambda_handler = catalog.update_statistics.worker(count)
