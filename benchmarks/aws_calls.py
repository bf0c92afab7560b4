"""What AWS is asked and what it bills for each job, beside the same work written by hand.

Counted by hooks in the clients that do it, against moto in this process. Ends with 1 where a bound is broken: accepting
one job takes 2 calls; N jobs with ids of ours take one call per 25 records and one per 10 messages of a queue at most;
running a short job takes 2 writes, and nothing of SQS.
"""

import importlib
import json
import logging
import math
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[1]
FOLDERS = (".", "layers/afterward", "layers/catalog", "functions/api", "benchmarks/handwritten")
sys.path[:0] = [str(ROOT / folder) for folder in FOLDERS]

from moto import mock_aws

import catalog
from afterward import Progress, aws, injected
from afterward.backend import Backend, backend
from afterward.clock import timestamp
from afterward.dynamodb import DynamoDBRecords
from afterward.in_process import Invocation
from afterward.job import new_id
from afterward.publish import Call, publish
from afterward.testing import ManualClock
from afterward.worker import Worker
from benchmarks._cloud import Cloud, Event, Queue
from benchmarks._meter import Meter, Usage
from local import patches

OWNER = "189c6b075a2f6ebbf677ddc5e7871727"
MANY = (1, 10, 25, 100, 1000)

TIMEOUT = 10.0
LARGE = "x" * 200_000

clock = ManualClock(time.time())
"""What workers and tasks go by, so that nothing here waits."""

refusals = [ConnectionError("the mail server does not answer")]


def deliver(recipient: catalog.Recipient, message: catalog.Message) -> None:
    """Do nothing: only what it costs to run a task counts here."""


def send(to_email: catalog.Email, subject: catalog.Subject, body: catalog.Text) -> None:
    """Fail once, whatever the mail."""
    del to_email, subject, body
    if refusals:
        raise refusals.pop()


def work(items_count: catalog.ItemsCount, *, progress: Progress = injected) -> None:
    """Take half a second per item, as functions/long_running_task does."""
    for _ in progress.track(range(items_count)):
        clock.sleep(0.5)


class Handler(Protocol):
    """A function of Lambda's."""

    def __call__(self, event: Event, context: Any, /) -> Event: ...


def invoke(handler: Handler, event: Event, *, answer: int = 202) -> None:
    """Ask an API, and end where it does not answer as it should: what it did not do costs nothing."""
    got = handler(event, Invocation())
    if got["statusCode"] != answer:
        sys.exit(f"{event['rawPath']} was answered with {got}")


@dataclass
class Report:
    """Prints a row for everything that was done since the row before it, and remembers whether a bound was broken."""

    meter: Meter
    broken: bool = field(default=False, init=False)

    def heading(self, text: str) -> None:
        print(f"\n{text:58}  jobs  calls          WRU    RRU  64 KB")

    def row(
        self, text: str, jobs: int = 1, *, most: float = math.inf, exactly: Mapping[str, int] | None = None
    ) -> None:
        """Hold the calls against a bound: their number, or which ones they have to be."""
        used = self.meter.read()
        broken = used.calls > most or (exactly is not None and used.operations != exactly)
        bound = f"= {sum(exactly.values())}" if exactly else f"≤ {most}" if most < math.inf else ""
        numbers = f"{jobs:6}{used.calls:7}  {bound:6}{used.writes:7g}{used.reads:7g}{used.chunks:7}"
        print(f"  {text:56}{numbers}   {_listed(used)}{'  BROKEN' if broken else ''}")
        self.broken |= broken


def _listed(used: Usage) -> str:
    listed = [f"{count} {name}" for name, count in sorted(used.operations.items())]
    return ", ".join(listed + [f"(+ {used.of_the_task} of the task's own)"] * (used.of_the_task > 0))


def request(case: str, path: str = "", query: str = "", body: str | None = None) -> Event:
    """Return an event of events/, for another path or body."""
    event: Event = json.loads((ROOT / "events" / f"api.{case}.json").read_text())
    event["rawPath"] = event["requestContext"]["http"]["path"] = path or event["rawPath"]
    event["rawQueryString"] = query or event["rawQueryString"]
    return event if body is None else event | {"body": body}


def mail(body: str) -> dict[str, str]:
    return {"to_email": "ada@example.com", "subject": "Hello", "body": body}


def call(task: str, arguments: Mapping[str, Any]) -> Call:
    return Call(id=new_id(), task=task, created=timestamp(clock.now()), version=1, arguments=arguments, max_attempts=5)


def independent(number: int) -> list[list[Call]]:
    """Return so many jobs, a third of them for each queue."""
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("send_notification", {"recipient": "ada@example.com", "message": "hello"}),
        ("send_email", mail("hello")),
        ("long_running_task", {"items_count": 10}),
    ]
    return [[call(*kinds[index % 3])] for index in range(number)]


def bound(number: int) -> int:
    per_queue = [len(range(first, number, 3)) for first in range(3)]
    return math.ceil(number / 25) + sum(math.ceil(waiting / 10) for waiting in per_queue)


def accepting(report: Report, api: Handler, using: Backend) -> None:
    report.heading("Accepting")
    invoke(api, request("send_notification"))
    report.row("1 job: POST /send-notification", exactly={"PutItem": 1, "SendMessage": 1})
    invoke(api, request("send_email_json", body=json.dumps(mail(LARGE))))
    report.row("1 job of 200 kB: POST /send-email", most=2)
    publish(using, OWNER, [[call("send_email", mail(LARGE)) for _ in range(6)]])
    report.row("a chain of 6 jobs of 200 kB, more than a message holds", 6)


def accepting_chosen(report: Report, api: Handler) -> None:
    """Accept under ids of the client."""
    first, second = (f"/start-task/{uuid.uuid4()}" for _ in range(2))
    invoke(api, request("start_task", first))
    report.row("1 job under a chosen id, the first of its environment")
    invoke(api, request("start_task", second))
    report.row("1 job under a chosen id", most=2)
    invoke(api, request("start_task", second), answer=409)
    report.row("the same id again: 409")
    invoke(api, request("task_status_unknown", second.replace("start-task", "tasks")), answer=200)
    report.row("its status: GET /tasks/{task_id}")


def accepting_many(report: Report, api: Handler, using: Backend) -> None:
    report.heading("Accepting many, over 3 queues")
    for number in MANY:
        publish(using, OWNER, independent(number))
        report.row(f"{number} independent", number, most=bound(number))
    for _ in range(100):
        invoke(api, request("send_notification"))
    report.row("by hand: 100", 100)


def settle(worker: Worker, event: Event, using: Backend) -> int:
    """Deliver an event until nothing of it comes back; return how often that was."""
    for deliveries in range(1, 100):
        if not worker.run(event, Invocation(TIMEOUT), using)["batchItemFailures"]:
            return deliveries
        clock.advance(60)
    sys.exit(f"{worker.task.name} does not end")


def running(report: Report, queues: Mapping[str, Queue], using: Backend) -> None:
    report.heading("Running")
    worker, queue = catalog.send_notification.worker(deliver), queues["send_notification"]
    settle(worker, queue.event(), using)
    report.row("1 short job", exactly={"UpdateItem": 2})
    publish(using, OWNER, [[call("send_notification", {"recipient": "a", "message": "b"})] for _ in range(10)])
    report.meter.read()
    event = queue.event(10)
    settle(worker, event, using)
    report.row("10 short jobs in one event", 10, exactly={"UpdateItem": 20})
    settle(worker, event, using)
    report.row("the same event once more", 10)
    settle(catalog.send_email.worker(send), queues["send_email"].event(), using)
    report.row("1 job of 200 kB that fails once and is tried again")


def running_long(report: Report, queue: Queue, using: Backend) -> None:
    worker = catalog.long_running_task.worker(work)
    for items in (10, 120):
        publish(using, OWNER, [[call("long_running_task", {"items_count": items})]])
        report.meter.read()
        event = queue.event(10)
        invocations = settle(worker, event | {"Records": event["Records"][-1:]}, using)
        report.row(f"1 job of {items // 2} s with progress, in {invocations} invocation{'s' * (invocations > 1)}")


def running_by_hand(report: Report, api: Handler, handler: Handler, queue: Queue) -> None:
    for _ in range(10):
        invoke(api, request("send_notification"))
    report.meter.read()
    for number in (1, 10):
        handler(queue.event(number), Invocation())
        report.row(f"by hand: {number} short job{'s in one event' * (number > 1)}", number)


def moving(standing: Backend, table: str) -> Backend:
    """Return the same backend with the clock that moves."""
    return replace(standing, clock=clock, records=DynamoDBRecords(aws.client("dynamodb"), table, clock))


def handler_of(module: str) -> Handler:
    handler: Handler = importlib.import_module(module).lambda_handler
    return handler


def main() -> bool:
    """Print the table; say whether every bound was kept."""
    logging.disable()
    cloud = Cloud()
    os.environ.update(cloud.environment)
    report = Report(Meter(cloud))
    using = moving(backend(), cloud.environment["AFTERWARD_JOBS_TABLE"])
    api, by_hand, worker_by_hand = map(handler_of, ("api", "handwritten_api", "handwritten_worker"))
    accepting(report, api, using)
    accepting_chosen(report, api)
    invoke(by_hand, request("send_notification"))
    report.row("by hand: 1 job")
    running(report, cloud.queues, using)
    running_long(report, cloud.queues["long_running_task"], using)
    running_by_hand(report, by_hand, worker_by_hand, cloud.queues["handwritten_send_notification"])
    accepting_many(report, by_hand, using)
    return not report.broken


if __name__ == "__main__":
    patches.apply(lambda _queue: None)  # or moto copies the table for every transaction
    with mock_aws():
        sys.exit(not main())
