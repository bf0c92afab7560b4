"""The worker of catalog.send_email."""

from typing import Annotated

import catalog
from afterward import Depends, Job, injected
from mailer import Mailer, mail_of, smtp_mailer


def deliver(
    to_email: catalog.Email,
    subject: catalog.Subject,
    body: catalog.Text,
    *,
    job: Job = injected,
    mailer: Annotated[Mailer, Depends(smtp_mailer, scope="environment")] = injected,
) -> None:
    """Send one mail, which is the same in every attempt."""
    mailer.send(mail_of(job, mailer.sender, to_email, subject, body))


lambda_handler = catalog.send_email.worker(deliver)
