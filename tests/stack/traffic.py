"""Everything that the functions of the application ever ask of AWS, provoked in a local cloud."""

import gzip
import json
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import httpx

import catalog
from afterward import Chain, Status, Task, steering
from afterward.backend import Backend
from afterward.clock import SystemClock, timestamp
from afterward.digest import KeyedDigests
from afterward.dynamodb import DynamoDBRecords
from afterward.envelope import Envelope, Link, dumps, pointer
from afterward.parcel import pack
from afterward.records import Record, queued
from afterward.s3 import S3Blobs
from afterward.settings import Settings
from afterward.sqs import SqsQueues
from csv_pipeline.dividing import planned
from csv_pipeline.layout import HEAD
from csv_pipeline.objects import LEAST_PART, PIECE, S3Objects, Segment
from csv_pipeline.scan import Chunk, Division
from csv_pipeline.work import Outcome, Share, Work
from local.cloud import LocalCloud
from tests.stack.waiting import eventually
from tests.support.postmaster import LOGIN

TASKS = tuple(one.name for one in vars(catalog).values() if isinstance(one, Task))
LARGE = {"text": "x" * 1_100_000}
"""Arguments that no message holds. No task takes them: a job that has them, or none, fails at once."""

_LATER: dict[str, Any] = {"even_if_failed": True, "delay": 900.0}

SMTP_SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:smtp"
ROW = "1,Ada Lovelace,ordinary and rather harmless text\n"


@dataclass(frozen=True)
class Traffic:
    """`outside`: the address of a server that functions may call."""

    cloud: LocalCloud
    http: httpx.Client
    outside: str

    def provoke(self) -> None:
        """Send requests and messages; most of what comes of them comes when this has returned."""
        self._mails()
        self._jobs()
        self._api()
        fetched = self._tasks()
        assert eventually(lambda: self._followed(fetched))
        # Last of all: on a busy machine megabytes make other requests wait for longer than a function does.
        self._csv()

    def break_down(self) -> None:
        """Have the jobs that requests and uploads have reserved be taken back, since their queues are gone."""
        for name in ("LongRunningTaskQueue", "ProcessCsvQueue"):
            self.cloud.client("sqs").delete_queue(QueueUrl=self.cloud.resources[name])
        self._post("/start-task/refused", items_count=1)
        self._s3.put_object(Bucket=self._bucket, Key="uploads/7/refused.csv", Body=b"a,b\n")

    # What the library asks for, whatever the task.

    def _jobs(self) -> None:
        for task in TASKS:
            self._message(self._envelope(task, "later", not_before=self._now + 3_600))
            self._lost(self._queues[task], self._envelope(task, "lost"))
            self._cancelled(task)
            self._message(self._before_all(task, "before-all"))
            self._message(self._large(task, "large"))
        self._dead_letter(self._before_all(TASKS[0], "dead"))
        self._lost(self._dead_letters, self._envelope(TASKS[0], "lost-and-dead"))
        stored = self._large(TASKS[0], "large-and-dead")
        self.cloud.client("sqs").send_message(
            QueueUrl=self._dead_letters, MessageBody=pack(stored, self._backend.blobs).body
        )
        running = self._envelope(TASKS[0], "runs")
        self._record(running, status=Status.RUNNING, lease=self._now + 3_600)
        self._dead_letter(running)

    def _envelope(self, task: str, name: str, **more: Any) -> Envelope:
        job = f"{task}-{name}"
        return Envelope(
            id=job, chain=job, task=task, arguments={}, owner=self.owner, created=timestamp(self._now), **more
        )

    def _before_all(self, task: str, name: str) -> Envelope:
        """Return a job that fails before a group of every task's, which are sent at once and run much later."""
        links = [Link(id=f"{task}-{name}-{one}", task=one, arguments={}, **_LATER) for one in TASKS]
        return self._envelope(task, name, rest=(tuple(links),))

    def _large(self, task: str, name: str) -> Envelope:
        """Return a job that fails, before two that never run, one that does, and one that no message can carry."""
        job = f"{task}-{name}"
        never = [Link(id=f"{job}-never-{number}", task="cleanup", arguments={}) for number in range(2)]
        runs = Link(id=f"{job}-runs", task=task, arguments={}, even_if_failed=True)
        return self._envelope(task, name, rest=(*never, runs, Link(id=f"{job}-last", task="cleanup", arguments=LARGE)))

    def _cancelled(self, task: str) -> None:
        envelope = self._envelope(task, "cancelled")
        steering.cancel(self._backend, self._record(envelope))
        self._message(envelope)

    def _record(self, envelope: Envelope, **changes: Any) -> Record:
        record = queued(envelope, envelope, limit=3, shards=self._backend.shards, now=self._now)
        stands = record.changed(self._now, **changes) if changes else record
        self._backend.records.add(stands)
        return stands

    def _message(self, envelope: Envelope) -> None:
        self._backend.queues.send([pack(envelope, self._backend.blobs)])

    def _lost(self, queue: str, envelope: Envelope) -> None:
        """Send a message that points at nothing."""
        body = pointer(f"envelopes/{self.owner}/{envelope.id}/gone.json", envelope)
        self.cloud.client("sqs").send_message(QueueUrl=queue, MessageBody=body)

    def _dead_letter(self, envelope: Envelope) -> None:
        self.cloud.client("sqs").send_message(QueueUrl=self._dead_letters, MessageBody=dumps(envelope))

    # What single tasks ask for.

    def _mails(self) -> None:
        """Tell the login to the mail server, which a deployment finds in a secret of its own."""
        username, password = LOGIN
        login = json.dumps({"username": username, "password": password})
        self.cloud.client("secretsmanager").create_secret(Name=SMTP_SECRET.rpartition(":")[2], SecretString=login)

    def _tasks(self) -> str:
        """Add a job of each task that somebody may add; return the id of the one that has a result."""
        for path, parameters in {
            "/send-notification/ada@example.com": {},
            "/send-email/": {"to_email": "ada@example.com", "subject": "Hello", "body": "Hello"},
            "/process/report": {},
            "/user/7/action": {"action": "login"},
            "/action/7": {"action": "login"},
        }.items():
            assert self._post(path, **parameters).status_code == 202, path
        both = {"data_url": f"{self.outside}/data", "webhook_url": f"{self.outside}/hook"}
        return str(self._post("/trigger-external-fetch/7", **both).json()["task_id"])

    def _followed(self, job: str) -> bool:
        """Get what a job has left, once it has, by the links to it."""
        links = [f"/tasks/{job}/results/{name}" for name in self.http.get(f"/tasks/{job}").json()["results"]]
        return bool(links) and all(self.http.get(link, follow_redirects=True).is_success for link in links)

    # CSV files.

    def _csv(self) -> None:
        objects = S3Objects(self._s3, self._bucket)
        many = ("id,name,note\n" + ROW * (20 * PIECE // len(ROW))).encode()
        payments = b"payment_id,paid_at,amount,currency,customer_number\nP-1,2026-11-22T14:00:00,1,CHF,4711\n"
        upload = {"file": ("payments.csv", payments)}
        assert self.http.post("/upload-csv/7", params={"rows": "payments"}, files=upload).status_code == 202
        self._packed(gzip.compress(many, 1))
        self._packed(gzip.compress(many, 1)[:-9])
        self._scanned(objects)
        self._cut_off(objects)
        self._begun_and_lost(objects)

    def _packed(self, content: bytes) -> None:
        """Upload a file that is written and joined in parts; what was written of one that is cut off is thrown away."""
        form = self._post("/upload-csv/7/url", content_type="application/gzip").json()
        assert httpx.post(form["url"], data=form["fields"], files={"file": content}).is_success

    def _scanned(self, objects: S3Objects) -> None:
        """Have a file scanned by others than divide it, which is in another encoding than its beginning seems to be."""
        content = b"id,name\n" + b"1,Ada\n" * (HEAD // 6) + "2,Zoë\n".encode("latin-1") * 2
        source = self._put("uploads/other/latin.csv", content)
        chain = self._chain("scan_csv-in-latin")
        Work(objects, chain).save_plan(planned(objects, source, "any"))
        split = Link(id="split", task="split_csv", arguments={})
        scan = self._envelope("scan_csv", "in-latin", rest=(split,))
        self._message(replace(scan, arguments={"number": 0}))

    def _cut_off(self, objects: S3Objects) -> None:
        """Have a chunk end behind the end of its file, when much of it is written already."""
        source = self._put("uploads/other/cut.csv", ("id,name,note\n" + ROW * (20 * PIECE // len(ROW))).encode())
        longer = replace(source, end=source.end + 1)
        plan = planned(objects, source, "any")
        rows = source.size  # more than there are
        chunk = Chunk(plan.layout.start, longer.end, 1, rows)
        share = Share(source=longer, rows="any", layout=plan.layout, division=Division((chunk,), rows, "utf-8"))
        Work(objects, self._chain("process_csv_chunk-cut-off")).save_share(share)
        self._message(replace(self._envelope("process_csv_chunk", "cut-off"), arguments={"number": 0}))

    def _begun_and_lost(self, objects: S3Objects) -> None:
        """Have a join go on with an upload that is over, so that it looks whether its object is there."""
        large = self._put("scratch/large.csv", b"x" * LEAST_PART)
        layout = planned(objects, self._put("uploads/other/two.csv", b"a,b\n1,2\n"), "any").layout
        share = Share(source=large, rows="any", layout=layout, division=Division((Chunk(4, 8, 1, 1),), 1, "utf-8"))
        work = Work(objects, self._chain("merge_csv-begun"))
        work.save_share(share)
        outcome = Outcome(clean=large, rejects=replace(large, end=0), counts={"kept": 1}, columns={})
        work.save_outcome(0, outcome)
        envelope = replace(self._envelope("merge_csv", "begun"), arguments={"user_id": 7})
        state = {"clean.csv": {"key": f"results/{self.owner}/lost/clean.csv", "upload": "over", "done": 1}}
        self._record(envelope, checkpoint=json.dumps({"state": state}))
        self._message(envelope)

    def _put(self, key: str, content: bytes) -> Segment:
        stored = self._s3.put_object(Bucket=self._bucket, Key=key, Body=content)
        return Segment(key, 0, len(content), stored["ETag"])

    def _chain(self, name: str) -> Chain:
        return Chain(name, owner=self.owner)

    # What the API asks for beside adding jobs.

    def _api(self) -> None:
        assert self._post("/start-task/chosen", items_count=1).status_code == 202
        for path in ("/tasks", "/users/ada@example.com/notifications", "/users/7/activity", "/users/7/statistics"):
            assert self.http.get(path).status_code == 200, path
        self._post("/tasks/chosen/cancel")
        self._record(self._envelope(TASKS[0], "never-archived"), status=Status.FAILED)
        assert not self._retried(f"{TASKS[0]}-never-archived")
        for task in TASKS:
            assert eventually(partial(self._retried, f"{task}-large"))

    def _retried(self, job: str) -> bool:
        """Run a job again, which has to be archived before."""
        return self._post(f"/tasks/{job}/retry").status_code == 202

    def _post(self, path: str, **parameters: Any) -> httpx.Response:
        return self.http.post(path, params=parameters)

    @cached_property
    def owner(self) -> str:
        """The owner of what the caller of the API adds."""
        key = self._post("/upload-csv/7/url").json()["fields"]["key"]
        return str(key.split("/")[1])

    @cached_property
    def _backend(self) -> Backend:
        settings = Settings.from_environment(self.cloud.function_environment("DeadLetter"))
        clock = SystemClock()
        return Backend(
            records=DynamoDBRecords(self.cloud.client("dynamodb"), settings.jobs_table, clock),
            queues=SqsQueues(self.cloud.client("sqs"), settings.queues, settings.dead_letter_queue),
            blobs=S3Blobs(lambda: self._s3, settings.bucket),
            digests=KeyedDigests(b""),
            clock=clock,
        )

    @property
    def _now(self) -> float:
        return self._backend.clock.now()

    @cached_property
    def _s3(self) -> Any:
        return self.cloud.client("s3")

    @property
    def _bucket(self) -> str:
        return self.cloud.resources["Bucket"]

    @property
    def _dead_letters(self) -> str:
        return self.cloud.resources["DeadLetterQueue"]

    @cached_property
    def _queues(self) -> dict[str, str]:
        return {task: self.cloud.resources[f"{''.join(map(str.capitalize, task.split('_')))}Queue"] for task in TASKS}
