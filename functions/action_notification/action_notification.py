"""The worker of catalog.action_notification: a task whose services are injected, as FastAPI injects an endpoint's."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Protocol

import catalog
from activity import Activity, ActivityLog, Statistics, activity_log, statistics
from afterward import Depends, Job, injected
from mailer import Connection, SmtpMailer, mail_of, smtp_mailer


class ActivityService(Protocol):
    """What keeps what users do."""

    def log(self, user_id: int, action: str) -> None: ...


class EmailService(Protocol):
    """What mails users."""

    def send(self, to_email: str, subject: str, body: str) -> None: ...


@dataclass(frozen=True, slots=True)
class JobActivity:
    """Logs one line for the job and counts it, together with its end: exactly once, and never for a job that failed."""

    activities: ActivityLog
    counters: Statistics
    job: Job

    def log(self, user_id: int, action: str) -> None:
        activity = Activity(user_id, action, self.job.created, self.job.id)
        self.activities.add(activity)
        self.counters.count(activity)


@dataclass(frozen=True, slots=True)
class JobMail:
    """Sends the job's mail, the same in every attempt, over a connection that is there already."""

    connection: Connection
    job: Job

    def send(self, to_email: str, subject: str, body: str) -> None:
        self.connection.send(mail_of(self.job, self.connection.sender, to_email, subject, body))


def activity_service(
    job: Job,
    activities: Annotated[ActivityLog, Depends(activity_log)],
    counters: Annotated[Statistics, Depends(statistics)],
) -> ActivityService:
    """Provide the log and the statistics that the API reads."""
    return JobActivity(activities, counters, job)


def email_service(
    job: Job, mailer: Annotated[SmtpMailer, Depends(smtp_mailer, scope="environment")]
) -> Iterator[EmailService]:
    """Provide a connection for one attempt, which is closed when that is over, however it ends."""
    with mailer.connected() as connection:
        yield JobMail(connection, job)


def notify(
    user_id: catalog.UserId,
    action: catalog.Action,
    *,
    activity: Annotated[ActivityService, Depends(activity_service)] = injected,
    email: Annotated[EmailService, Depends(email_service)] = injected,
) -> None:
    """Log the action and mail it: the log is written once, the mail may repeat itself under its Message-ID."""
    activity.log(user_id, action)
    email.send(f"user{user_id}@example.com", "Action Performed", f"You performed: {action}")


lambda_handler = catalog.action_notification.worker(notify)
