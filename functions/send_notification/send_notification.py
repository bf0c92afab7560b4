"""The worker of catalog.send_notification."""

from typing import Annotated

import catalog
from afterward import Depends, Job, injected
from inbox import Inbox, Notification, table_inbox


def deliver(
    recipient: catalog.Recipient,
    message: catalog.Message,
    *,
    job: Job = injected,
    inbox: Annotated[Inbox, Depends(table_inbox, scope="environment")] = injected,
) -> None:
    """Put one line into the inbox. The job names the line, so another attempt writes the same one."""
    inbox.deliver(Notification(recipient, f"notification for {recipient}: {message}", job.created, job.id))


lambda_handler = catalog.send_notification.worker(deliver)
