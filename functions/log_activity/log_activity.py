"""The worker of catalog.log_activity."""

from typing import Annotated

import catalog
from activity import Activity, ActivityLog, activity_log
from afterward import Depends, Job, injected


def log(
    user_id: catalog.UserId,
    action: catalog.Action,
    *,
    job: Job = injected,
    activities: Annotated[ActivityLog, Depends(activity_log)] = injected,
) -> None:
    """Log the action with the time at which its job was accepted."""
    activities.add(Activity(user_id, action, job.created, job.id))


lambda_handler = catalog.log_activity.worker(log)
