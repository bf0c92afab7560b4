"""The worker of catalog.notify_of_failure."""

import catalog
from afterward import Chain, Children, Status, injected


def notify(
    recipient: catalog.Recipient, what: catalog.Message, *, chain: Chain = injected, children: Children = injected
) -> None:
    """Say what the record of the job that failed says; where all went well, there is nothing to tell."""
    if chain.status is not Status.COMPLETED:
        why = chain.reason or f"it was {chain.status}"
        children.add_task(catalog.send_notification.options(even_if_failed=True), recipient, f"{what}: {why}")


lambda_handler = catalog.notify_of_failure.worker(notify)
