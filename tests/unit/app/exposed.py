"""The application used with nothing but personal data, and everything that it writes, sends and stores meanwhile."""

import asyncio
import io
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import count, cycle
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import pytest
from moto.core.models import botocore_stubber
from moto.sqs.models import sqs_backends

import process_csv
import s3_upload
import send_webhook
from activity import activity_log, statistics
from afterward.aws import client
from afterward.backend import Backend
from afterward.background import DurableTasks, store
from afterward.clock import SystemClock
from afterward.dead_letters import DeadLetters
from afterward.depends import Overrides
from afterward.digest import KeyedDigests
from afterward.dynamodb import DynamoDBRecords
from afterward.event import Context, Response
from afterward.execution import Execution
from afterward.in_process import Invocation, as_record
from afterward.job import JOB_ID
from afterward.pii import Kind
from afterward.queues import Incoming
from afterward.redrive import main as redrive
from afterward.s3 import S3Blobs
from afterward.sqs import SqsQueues
from afterward.tasks import Tasks
from afterward.testing import ManualClock
from afterward.worker import Worker
from csv_pipeline.objects import bucket_objects
from destination import PublicGuard
from inbox import table_inbox
from long_running_task import half_a_second
from mailer import SmtpMailer, smtp_mailer
from outbound import Client, public_client
from process_data import made_up_data
from scratch import bucket_scratch
from slow_task import one_second
from tests.support.cloud import BUCKET, DEAD, TABLE
from tests.support.gateway import ADA, Answer, Gateway
from tests.support.logs import configured
from tests.support.personal import ALL, ONE_EACH, VALUES, Evidence, csv_around, csv_of, packed
from tests.support.postmaster import Postmaster, postmaster
from tests.support.resolver import TableResolver
from tests.support.webserver import Connection, Request, WebServer, answer, web_server
from tests.unit.app.conftest import TASKS, Deployed, deployment

DAY = 86_400
ACCOUNT = "123456789012"
TOLD = "told"
"""The queue on which S3 tells of uploads."""

ROUNDS = 30
EMAILS = [VALUES[0].text, VALUES[1].text]
CARD = next(value for value in VALUES if value.kind == Kind.CREDIT_CARD)
ADDRESS = next(value for value in VALUES if value.kind == Kind.IP_ADDRESS)
IDS = [value.text for value in VALUES if JOB_ID.fullmatch(value.text)]
BAD_REQUEST = 400
ALIKE = {"Idempotency-Key", "callback_url"}
KEYS = cycle(packed(255, [value for value in VALUES if value.text.isascii()]))
"""One for each route will do, since all handle them alike."""

HEADERS = dict.fromkeys(
    ("authorization", "cookie", "forwarded", "from", "if-none-match", "origin", "prefer", "referer", "user-agent"), ALL
) | {"x-any": ALL, "x-forwarded-for": ALL}
CLAIMS = {"iss": ADA["iss"], "sub": EMAILS[0], "email": EMAILS[0], "ip": ADDRESS.text, "scope": "admin"}
BODIES = (
    f'{{"to_email": "{ALL}'.encode(),
    ALL.encode("utf-16"),
    json.dumps(ALL).encode(),
    json.dumps([ALL]).encode(),
    json.dumps({ALL: ALL, "to_email": ALL, "subject": [ALL], "body": {ALL: ALL}}).encode(),
)

CUSTOMER = {
    "id": "7",
    "name": "Ada",
    "email": "ada@example.com",
    "phone": "",
    "country": "GB",
    "signed_up": "2026-11-22",
    "balance": "1.50",
    "note": "",
    EMAILS[1]: "",
}
PAYMENT = {
    "payment_id": "P-1",
    "paid_at": "2026-11-22T09:30:00Z",
    "amount": "1.50",
    "currency": "EUR",
    "card": "",
    "iban": "",
    "reference": "",
    CARD.text: "",
}
NAMES = [value.text for value in VALUES]
TABLES = {
    "any": csv_of([NAMES, *(NAMES[shift:] + NAMES[:shift] for shift in range(len(NAMES))), [ALL], [*NAMES, ALL]]),
    "customers": csv_around(CUSTOMER),
    "payments": csv_around(PAYMENT),
}
"""CSV files with personal data in every cell, and in their headers, by what their rows should be."""

HEADER = csv_of([NAMES])
"""The same without rows."""

SMALL = len(TABLES["any"]) - 1
"""Bytes of a file that is scanned where it is divided: one of them is not."""

Entry = Callable[[Mapping[str, Any], Context, Backend], Response]


def broken() -> NoReturn:
    """Fail with all of it: in the words of a group, of what is in it, of its cause, and in a note."""
    try:
        raise KeyError(ALL)  # noqa: TRY301 - to have it as a cause
    except KeyError as cause:
        group = ExceptionGroup(ALL, [ValueError(ALL), OSError(5, ALL, ALL)])
        group.add_note(ALL)
        raise group from cause


def faltering(provider: Callable[[], Any]) -> Callable[[], Any]:
    """Return a provider that fails when it is asked for the first time."""
    calls = count()
    return lambda: provider() if next(calls) else broken()


def form(content: bytes) -> bytes:
    """Return a body of multipart/form-data, with all of it as the name and the type of a file, and as another field."""
    name = ALL.replace('"', '\\"')
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{ALL}\r\n'
    file = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {ALL}\r\n\r\n'
    return head.encode() + file.encode() + content + b"\r\n--b--\r\n"


@dataclass
class Story:
    """`using` are the stores of AWS at a clock that is moved; `succeeded` are the requests that were done, by route."""

    deployed: Deployed
    using: Backend
    clock: ManualClock
    web: WebServer
    office: Postmaster
    evidence: Evidence
    succeeded: dict[str, set[str]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _first: dict[str, float] = field(default_factory=dict)
    _swept: set[str] = field(default_factory=set)

    # Requests

    @property
    def gateway(self) -> Gateway:
        handler = self.deployed.api.handler

        def called(event: dict[str, Any], context: Any) -> dict[str, Any]:
            event["requestContext"]["http"] |= {"sourceIp": ADDRESS.text, "userAgent": ALL}
            return handler(event | {"cookies": [f"about={ALL}"]}, context)

        return Gateway(called, CLAIMS)

    def operations(self) -> dict[str, tuple[str, str, list[dict[str, Any]], str]]:
        """Return method, path, parameters and the body's type, if any, of each of the application's routes, by name."""
        from api import app  # noqa: PLC0415 - Mangum wants the loop that a Lambda has

        return {
            one["operationId"]: (method.upper(), path, one.get("parameters", []), _type(one))
            for path, methods in app.openapi()["paths"].items()
            for method, one in methods.items()
        }

    def ask(self, name: str, /, given: Mapping[str, str] | None = None, body: object = None, **usual: str) -> Answer:
        """Make one request of a route: what is not given, and is required, is what the route's examples have."""
        method, path, parameters, taken = self.operations()[name]
        address = self.web.url("/any", "localhost")
        needed = {"task_id": f"report-{next(self._numbers)}", "data_url": address, "webhook_url": address}
        query, headers = {"unknown": ALL}, HEADERS | ({"content-type": taken} if taken else {})
        for parameter in parameters:
            key = parameter["name"]
            value = (given or {}).get(key) or usual.get(key)
            if value is None and parameter.get("required"):
                value = needed.get(key) or str(parameter["schema"].get("examples", [7])[0])
            if value is None:
                continue
            if parameter["in"] == "path":
                path = path.replace(f"{{{key}}}", value)
            elif parameter["in"] == "query":
                query[key] = value
            else:
                headers[key.lower()] = value
        answered = self.gateway.request(method, path, query=query, headers=headers, body=body)
        if answered.status < BAD_REQUEST:
            self.succeeded.setdefault(name, set()).update(given or ())
        if name.startswith("upload"):
            self.evidence.add("answers to uploads", answered.body, str(answered.headers))
        return answered

    def sweep(self, name: str, body: object = None) -> None:
        """Put something of each kind into each parameter of a route, one after the other, and into its body.

        The first route that has a parameter gets all spellings in it. `body` is one that the route takes: a form comes
        with each request, JSON once.
        """
        method, path, parameters, takes_body = self.operations()[name]
        usual = body if isinstance(body, bytes) else BODIES[0]
        named = {parameter["name"]: parameter for parameter in parameters}
        # What all routes take alike goes along with the first request that is accepted.
        along = {one: self._texts(named.pop(one))[-1] for one in ALIKE & named.keys()}
        for parameter in named.values():
            for text in self._texts(parameter):
                answered = self.ask(name, {parameter["name"]: text} | along, usual)
                along = along if answered.status >= BAD_REQUEST else {}
        if along:
            self.ask(name, along, body)
        for junk in BODIES if takes_body else ():
            self.ask(name, None, junk)
        self.gateway.request("PATCH", path, query={"about": ALL}, headers=HEADERS)
        self.gateway.request(method, f"{path}/{EMAILS[0]}", query={"about": ALL}, headers=HEADERS)

    def _texts(self, parameter: Mapping[str, Any]) -> list[str]:
        if parameter["name"] == "Idempotency-Key":
            return [next(KEYS)]
        said = json.dumps(parameter["schema"])
        longest = re.search(r'"maxLength": (\d+)', said)
        values = ONE_EACH if said in self._swept else VALUES
        self._swept.add(said)
        texts = packed(int(longest[1]) if longest else 2_000, values)
        if "https://" in said:
            texts = [ALL, self.web.url(f"/{quote(EMAILS[0])}?token={quote(ALL, safe='')}", "localhost")]
        if "ada@" in said:
            texts = [*EMAILS, *texts]
        if '"integer"' in said:
            texts = [*texts, re.sub(r"\D", "", CARD.text)]
        return [*texts, *IDS] if parameter["name"] == "task_id" else texts

    # Work

    def healthy(self) -> dict[str, Overrides]:
        """Return what stands in for the surroundings of each task where nothing goes wrong."""
        outside = Client(PublicGuard(loopback=frozenset({self.web.port}), resolver=TableResolver()))
        mails: Overrides = {smtp_mailer: lambda: self._mailer}
        calls: Overrides = {
            public_client: lambda: outside,
            send_webhook.signing_keys: lambda: [bytes(32)],
            SystemClock: lambda: self.clock,
        }
        at_once = lambda: lambda _item: None  # noqa: E731 - what a provider gives
        return {
            "send_notification": {},
            "send_email": mails,
            "long_running_task": {half_a_second: at_once},
            "slow_task": {one_second: at_once},
            "cleanup": {},
            "process_data": {},
            "log_activity": {},
            "update_statistics": {},
            "fetch_external_data": calls,
            "send_webhook": calls,
            "action_notification": mails,
            "process_csv": {},
            "scan_csv": {},
            "split_csv": {},
            "process_csv_chunk": {},
            "merge_csv": {},
            "notify_of_failure": {},
        }

    def failing(self) -> dict[str, Overrides]:
        """Return the same where each task fails; servers fail by what they answer.

        The stages of a CSV file fail once, so that the next one has its turn, and the last of them for good.
        """
        fails = lambda: lambda _item: broken()  # noqa: E731 - as above
        return {
            **self.healthy(),
            "send_notification": {table_inbox: broken},
            "long_running_task": {half_a_second: fails},
            "slow_task": {one_second: fails},
            "cleanup": {bucket_scratch: broken},
            "process_data": {made_up_data: fails},
            "log_activity": {activity_log: broken},
            "update_statistics": {statistics: broken},
            "process_csv": {bucket_objects: faltering(bucket_objects)},
            "scan_csv": {bucket_objects: faltering(bucket_objects)},
            "split_csv": {bucket_objects: faltering(bucket_objects)},
            "process_csv_chunk": {bucket_objects: faltering(bucket_objects)},
            "merge_csv": {bucket_objects: broken},
        }

    @property
    def _mailer(self) -> SmtpMailer:
        return SmtpMailer("127.0.0.1", self.office.port, "robot@sender.example", starttls=False)

    def work(self, overrides: Mapping[str, Overrides], *more: Worker) -> None:
        """Run all that waits to its end, as Lambda does, a day after the other."""
        entries: dict[str, Entry] = {DEAD: DeadLetters.run, TOLD: _told}
        for worker in (*(import_module(name).lambda_handler for name in TASKS), *more):
            own = Worker(worker.task, worker.implementation)
            own._execution = Execution(worker.implementation, worker.needs, overrides.get(worker.task.name, {}))
            entries[worker.task.name] = own.run
        for _ in range(ROUNDS):
            if not sum(self._step(name, entry) for name, entry in entries.items()):
                return
            self._next_day()
        raise AssertionError("messages are left")

    def _next_day(self) -> None:
        """Move time on, also for messages that were sent with a delay."""
        self.clock.advance(DAY)
        for queue in sqs_backends[ACCOUNT]["us-east-1"].queues.values():
            for message in queue._messages:
                message.delay(0)

    def _step(self, name: str, entry: Entry) -> int:
        """Deliver what waits on one queue; say how many messages that were."""
        url = self.deployed.urls[name]
        sqs = self.deployed.sqs.client
        received = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"]
        ).get("Messages", [])
        if not received:
            return 0
        answered = entry({"Records": [self._record(one) for one in received]}, Invocation(10), self.using)
        kept = {one["itemIdentifier"] for one in answered["batchItemFailures"]}
        for message in received:
            about = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
            if message["MessageId"] in kept:
                sqs.change_message_visibility(**about, VisibilityTimeout=0)
            else:
                sqs.delete_message(**about)
        return len(received)

    def _record(self, message: Mapping[str, Any]) -> dict[str, Any]:
        incoming = Incoming(
            id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            body=message["Body"],
            receives=int(message["Attributes"]["ApproximateReceiveCount"]),
            sent=self._first.setdefault(message["MessageId"], self.clock.now()),
            attributes={name: one["StringValue"] for name, one in message.get("MessageAttributes", {}).items()},
        )
        record = as_record(incoming)
        record["attributes"]["MessageGroupId"] = message["Attributes"].get("MessageGroupId", "")
        return record

    def send(self, queue: str, body: str, **attributes: str) -> None:
        """Put a message on a queue that is not of this library's making."""
        beside = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}
        with self.evidence.aside():
            self.deployed.sqs.client.send_message(
                QueueUrl=self.deployed.urls[queue], MessageBody=body, MessageAttributes=beside
            )

    def put(self, key: str, content: bytes) -> None:
        """Put an object into the bucket, as somebody who has a form or a right to does."""
        with self.evidence.aside():
            client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)

    def add(self, add: Callable[[DurableTasks], object]) -> None:
        """Add jobs as an endpoint does."""
        tasks = DurableTasks(self.using, "c0ffee00c0ffee00c0ffee00c0ffee00")
        add(tasks)
        asyncio.get_event_loop().run_until_complete(tasks.publish())

    def redrive(self) -> None:
        """Have the command say what it would do."""
        for options in (["--verbose"], ["--json", "--verbose"]):
            out = io.StringIO()
            redrive(["--dry-run", *options], self.using, out)
            self.evidence.add("output of redrive", out.getvalue())

    def invoke_wrongly(self) -> None:
        """Call each function with events of other kinds: what is raised, Lambda's runtime prints."""
        workers = [import_module(name).lambda_handler for name in (*TASKS, "s3_upload")]
        handlers = [*workers, self.deployed.api.handler, DeadLetters()]
        for handler in handlers:
            for event in ({"detail": ALL}, {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": ALL}}}]}):
                try:
                    handler(event, Invocation(10))
                except Exception as error:  # noqa: BLE001 - whatever it raises is looked at
                    self.evidence.add("what functions raise", "".join(traceback.format_exception(error)))
        for body in (ALL, json.dumps({"Records": [{"eventName": ALL}]}), json.dumps({"Event": ALL})):
            message = Incoming("told", "receipt", body, 1, 0, {})
            s3_upload.lambda_handler({"Records": [as_record(message)]}, Invocation(10))

    # What is left

    def look(self) -> None:
        """Take what the stores hold and what the servers were given."""
        for table in (TABLE, "notifications", "activity", "statistics"):
            for page in client("dynamodb").get_paginator("scan").paginate(TableName=table):
                for item in page["Items"]:
                    for name, value in item.items():
                        about = " about files" if "Your CSV file" in str(value) else ""
                        self.evidence.add(f"table {table}: {name}{about}", name, *map(str, value.values()))
        s3 = client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for one in page.get("Contents", []):
                found = s3.get_object(Bucket=BUCKET, Key=one["Key"])
                for place, text in _parts(f"bucket {_place(one['Key'])}", found["Body"].read()):
                    self.evidence.add(place, text)
                names = f"bucket: names{_of_uploads(one['Key'])}"
                self.evidence.add(names, one["Key"], str(found["Metadata"]), found["ContentType"])
        for request in self.web.requests:
            kind = "webhook" if request.method == "POST" else "fetch"
            self.evidence.add(f"{kind}: address", request.target)
            self.evidence.add(f"{kind}: headers", str(request.headers))
            self.evidence.add(f"{kind}: body", request.body)
        for mail in self.office.seen:
            self.evidence.add("mails", mail.as_string(), str(mail["Subject"]), str(mail["To"]), mail.get_content())


def _type(operation: Mapping[str, Any]) -> str:
    """Return what a route's body is, as its header says it; empty where it takes none."""
    (content,) = operation.get("requestBody", {"content": [""]})["content"]
    return f"{content}; boundary=b" if content.startswith("multipart/") else content


def _told(event: Mapping[str, Any], context: Context, _using: Backend) -> Response:
    return s3_upload.lambda_handler(event, context)


def _place(key: str) -> str:
    """Return which of the bucket's objects this is one of: of results and of scratch files, of what name."""
    folder, _, rest = key.partition("/")
    if folder == "results":
        return f"results/{rest.rpartition('/')[2]}"
    if folder == "scratch":
        return "scratch/" + re.sub(r"[0-9]{5}(-[0-9a-f]{32})?", "*", rest.partition("/csv/")[2])
    return f"{folder}/"


def _of_uploads(key: str) -> str:
    return " of uploads" if key.startswith("uploads/") else ""


def _parts(place: str, raw: bytes) -> Iterator[tuple[str, str]]:
    """Tell what was archived from what is said about it."""
    if not raw or not place.endswith("archive/"):
        yield place, raw.decode(errors="replace")
        return
    letter = json.loads(raw[raw.index(b"{") : raw.rindex(b"}") + 1])  # botocore sends it in chunks
    yield "archived: body", letter.pop("body")
    yield "archived: beside the body", json.dumps(letter, ensure_ascii=False)


# What is sent to AWS


@contextmanager
def recorded(evidence: Evidence) -> Iterator[None]:
    """Take every request to AWS, by its operation and what it is about."""
    stubber = type(botocore_stubber)
    passed_on = stubber.__call__

    def record(self: Any, event_name: str, request: Any, **about: Any) -> Any:
        _, service, operation = event_name.split(".")
        body = request.body or b""
        raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else body.read()
        if hasattr(body, "seek"):
            body.seek(0)
        for place, text in _pieces(service, operation, unquote(str(request.url)), raw):
            evidence.add(place, text)
        evidence.add("headers of calls to AWS", *map(str, request.headers.items()))
        return passed_on(self, event_name, request, **about)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stubber, "__call__", record)
        yield


def _pieces(service: str, operation: str, url: str, raw: bytes) -> Iterator[tuple[str, str]]:
    if service == "s3":
        key = url.partition("?")[0].partition("amazonaws.com/")[2].removeprefix(f"{BUCKET}/")
        yield f"addresses of calls to S3{_of_uploads(key)}", url
        yield from _parts(f"{operation} to {_place(key)}", raw)
        return
    if service not in {"sqs", "dynamodb"}:
        yield f"{operation} of {service}", raw.decode(errors="replace")
        return
    body: dict[str, Any] = json.loads(raw)
    if service == "sqs":
        queue = body.get("QueueUrl", "").rpartition("/")[2]
        for entry in body.pop("Entries", [body]):
            if "MessageBody" in entry:
                yield f"{'dead letter' if queue == DEAD else 'message'}: body", entry.pop("MessageBody")
            yield f"{operation}: beside the body", json.dumps(entry)
        return
    yield f"{operation} of {', '.join(_tables(body))}", json.dumps(body, ensure_ascii=False)


def _tables(body: Mapping[str, Any]) -> list[str]:
    found = re.findall(r'"TableName": "([\w-]+)"', json.dumps(body))
    return sorted({*found, *body.get("RequestItems", {})})


@contextmanager
def story(evidence: Evidence, *more: str) -> Iterator[Story]:
    """Deploy the application, with queues for more tasks, beside servers on this machine; take all it writes."""
    log, out, err = io.StringIO(), io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")
        deployed = stack.enter_context(deployment(patch))
        urls = deployed.urls
        urls.update({name: deployed.sqs.client.create_queue(QueueName=name)["QueueUrl"] for name in (*more, TOLD)})
        _tell_of_uploads()
        using = _backend(deployed, clock := ManualClock())
        patch.setenv("JWT_ISSUER", CLAIMS["iss"])
        patch.setattr(s3_upload, "Tasks", partial(Tasks, using=using))
        patch.setattr(process_csv, "AT_HAND", SMALL)
        from api import app  # noqa: PLC0415 - Mangum wants the loop that a Lambda has

        patch.setitem(app.dependency_overrides, store, lambda: using)
        web = stack.enter_context(web_server(_outside))
        office = stack.enter_context(postmaster(tls=False))
        stack.enter_context(recorded(evidence))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        stack.enter_context(configured(log))
        for elsewhere in ("moto", "mail.log"):  # AWS, and the mail server
            patch.setattr(logging.getLogger(elsewhere), "level", logging.WARNING)
        yield Story(deployed, using, clock, web, office, evidence)
    evidence.add("log", log.getvalue())
    evidence.add("standard output", out.getvalue())
    evidence.add("standard error", err.getvalue())


def _tell_of_uploads() -> None:
    queue = {
        "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{TOLD}",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "uploads/"}]}},
    }
    client("s3").put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [queue]}
    )


def _backend(deployed: Deployed, clock: ManualClock) -> Backend:
    return Backend(
        records=DynamoDBRecords(deployed.dynamodb.client, TABLE, clock),
        queues=SqsQueues(deployed.sqs.client, deployed.urls, deployed.urls[DEAD]),
        blobs=S3Blobs(lambda: client("s3"), BUCKET),
        digests=KeyedDigests(b"a key for tests"),
        clock=clock,
    )


def _outside(request: Request, connection: Connection) -> None:
    """Answer like somebody else's server: with the address that was asked for, and a session in its redirects."""
    if request.target.startswith("/broken"):
        behaviour = answer(302, ALL.encode(), Location=f"http://10.0.0.1/{EMAILS[0]}?token=Zq81kTtm2PxY")
    elif request.target.startswith("/busy"):
        behaviour = answer(500, ALL.encode(), Retry_After=ALL.replace(";", ",").encode().decode("latin-1"))
    elif request.method == "POST":
        behaviour = answer(200, ALL.encode())
    else:
        behaviour = answer(
            200, json.dumps({"about": ALL}, ensure_ascii=False).encode(), Content_Type="application/json"
        )
    behaviour(request, connection)
