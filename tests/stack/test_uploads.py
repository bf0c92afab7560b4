"""CSV files in the application as it is deployed: every way in, the way through, and what comes out."""

import csv
import io
import json
import os
import re
import signal
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import httpx
import pytest
from botocore.config import Config

from local.account import session
from local.cloud import LocalCloud
from local.user import DevelopmentUser
from tests.stack.waiting import eventually

ROOT = Path(__file__).parents[2]
USER = "7"
CHUNK = {"ProcessCsvChunk": 8}
"""Seconds: a chunk whose worker is killed is begun anew ten seconds after them."""

ROWS = 100_000
FILLING = "x" * 80
"""A file of 10 MB: its one chunk takes some seconds, and is read in three blocks."""

CUSTOMERS = (
    b"id,name,email,phone,country,signed_up,balance,note\r\n"
    b"1,Ada,ada@example.com,,GB,2026-11-22,1.50,call +41 79 123 45 67\r\n"
    b"2,Bob,bob@example.com,,Britain,2026-11-22,1.50,\r\n"
    b"\r\n"
    b'4,Eve,eve@example.com,,CH,2026-11-22,-3,"=1+1, she says"\r\n'
)
CLEAN = (
    b"id,name,email,phone,country,signed_up,balance,note\n"
    b"1,[NAME],[EMAIL],,GB,2026-11-22,1.50,call [PHONE]\n"
    b'4,[NAME],[EMAIL],,CH,2026-11-22,-3,"\'=1+1, she says"\n'
)
REJECTS = b"row,column,value,reason\n3,country,Britain,It should be of the form ^[A-Z]{2}$\n"
SAID = "2 clean rows, 1 rejected"

MESSAGES = re.compile(
    r"Uploaded, waiting to be processed|Waiting for the upload|Splitting|[\d,]+ of [\d,]+ rows|Merging|Completed: .+"
    r"|Waiting to start|Running"
)
"""What a file's progress says; the last two are those of any job."""


@dataclass(frozen=True, slots=True)
class Application:
    """The application, whose caller is the user 7."""

    cloud: LocalCloud
    http: httpx.Client
    s3: Any

    def upload(self, content: bytes, user: int, rows: str = "any", name: str = "orders.csv") -> str:
        file = {"file": (name, content, "text/csv")}
        return accepted(self.http.post(f"/upload-csv/{user}", params={"rows": rows}, files=file))

    def progress(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/task-progress/{job}").json()
        return found

    def ended(self, job: str, within: float = 45) -> list[dict[str, Any]]:
        """Return all that the progress was seen to be, up to the chain's end."""
        seen: list[dict[str, Any]] = []

        def over() -> bool:
            seen.append(self.progress(job))
            return seen[-1]["status"] in {"completed", "failed", "cancelled"}

        eventually(over, within)
        return seen

    def result(self, job: str, name: str) -> bytes:
        """Follow the link to a result."""
        found = self.http.get(f"/tasks/{job}/results/{name}")
        assert found.status_code == 303, found.text
        return httpx.get(found.headers["location"], timeout=20).raise_for_status().content

    def results(self, job: str) -> tuple[bytes, bytes]:
        return self.result(job, "clean.csv"), self.result(job, "rejects.csv")

    def inbox(self, user: int) -> list[str]:
        found = self.http.get(f"/users/{user}/notifications").json()["notifications"]
        return [one["text"] for one in found]

    def told(self, user: int) -> str:
        """Return the one notification of a user that nobody else uses."""
        (text,) = eventually(lambda: self.inbox(user))
        return text.removeprefix(f"notification for {user}: ")

    def jobs(self, task: str) -> list[dict[str, Any]]:
        """Return the newest jobs of a task."""
        found = self.http.get("/tasks", params={"limit": 100}).json()["tasks"]
        return [one for one in found if one["task"] == task]

    def objects(self, prefix: str) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", [])]

    def expired(self, key: str) -> dict[str, Any]:
        """Sign the form that the API signs, for a time that is over."""
        kind = {"Content-Type": "text/csv"}
        form: dict[str, Any] = self.s3.generate_presigned_post(
            Bucket=self.bucket, Key=key, Fields=dict(kind), Conditions=[kind], ExpiresIn=-1
        )
        return form

    def overheard(self) -> str:
        """Have the bucket tell another queue as well, and return that."""
        sqs = self.cloud.client("sqs")
        queue = sqs.create_queue(QueueName=f"overheard-{uuid4().hex}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        told = self.s3.get_bucket_notification_configuration(Bucket=self.bucket)["QueueConfigurations"]
        also = {name: value for name, value in told[0].items() if name != "Id"} | {"QueueArn": arn}
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"QueueConfigurations": [*told, also]}
        )
        return str(queue)

    def tell_again(self, queue: str, key: str) -> None:
        """Send what was overheard of an object to the function that it was for, and wait until that has heard it."""
        sqs, own = self.cloud.client("sqs"), self.cloud.resources["S3UploadQueue"]
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
        (body,) = [one["Body"] for one in found if quote_plus(key, safe="/") in one["Body"]]
        sqs.send_message(QueueUrl=own, MessageBody=body)

    def told_of(self, job: str) -> list[str]:
        """Return what the function that hears from S3 has said about a job."""
        fields = [line.fields for line in self.cloud.logs if line.source == "S3Upload" and line.fields]
        return [one["message"] for one in fields if one.get("job_id") == job]

    @property
    def bucket(self) -> str:
        return self.cloud.resources["Bucket"]


@pytest.fixture(scope="module")
def application() -> Iterator[Application]:
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    with (
        LocalCloud(
            ROOT / "template.yaml", state=ROOT / ".local", caller=DevelopmentUser(USER), timeouts=CHUNK
        ) as cloud,
        httpx.Client(base_url=cloud.url, timeout=20) as http,
    ):
        signing: Any = session().client("s3", endpoint_url=cloud.endpoint, config=config)
        with closing(signing) as s3:
            yield Application(cloud, http, s3)


@pytest.fixture
def user() -> int:
    """A user of whom nothing is known yet."""
    return uuid4().int % 2**50 + 1


def post(form: dict[str, Any], content: bytes, **changed: str) -> httpx.Response:
    """Post a form as a browser does, with some of its fields changed."""
    file = {"file": ("orders.csv", content, "text/csv")}
    return httpx.post(form["url"], data=form["fields"] | changed, files=file, timeout=20)


def code(answer: httpx.Response) -> str:
    """Return S3's word for what is wrong."""
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


def workbook() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"):
            archive.writestr(name, "<?xml version='1.0'?>")
    return content.getvalue()


def accepted(response: httpx.Response) -> str:
    assert response.status_code == 202, response.text
    return str(response.json()["task_id"])


def test_a_file_that_comes_with_its_request(application: Application, user: int) -> None:
    """It is clean rows, rejected rows and a summary; its progress goes one way only, and its user hears of the end."""
    job = application.upload(CUSTOMERS, user, rows="customers")
    seen = application.ended(job)
    assert [one["message"] for one in seen if not MESSAGES.fullmatch(one["message"] or "")] == []
    assert [one["progress"] for one in seen] == sorted(one["progress"] for one in seen)
    assert seen[-1] == {"status": "completed", "progress": 4, "total": 4, "message": f"Completed: {SAID}"}
    assert application.results(job) == (CLEAN, REJECTS)
    assert json.loads(application.result(job, "summary.json")) == {
        "rows": {"total": 4, "clean": 2, "rejected": 1, "blank": 1},
        "columns": {
            "name": {"masked": 2},
            "email": {"masked": 2},
            "country": {"problems": 1},
            "note": {"masked": 1, "neutralised": 1},
        },
        "schema": "customers",
        "delimiter": ",",
        "encoding": "utf-8",
    }
    assert application.told(user) == f"Your CSV file is processed: {SAID}"


def test_a_file_that_is_posted(application: Application, user: int) -> None:
    """The form puts one file, once or again, and that is processed as any other."""
    answer = application.http.post(f"/upload-csv/{user}/url", params={"rows": "customers"})
    job, form = accepted(answer), answer.json()
    assert application.progress(job)["message"] == "Waiting for the upload"
    for _ in range(2):
        assert post(form, CUSTOMERS).status_code == 204
    seen = application.ended(job)
    assert seen[-1] == {"status": "completed", "progress": 4, "total": 4, "message": f"Completed: {SAID}"}
    assert application.results(job) == (CLEAN, REJECTS)
    assert application.told(user) == f"Your CSV file is processed: {SAID}"


def test_a_form_is_for_one_file(application: Application, user: int) -> None:
    """Another key, another type, no content or a form of yesterday: S3 refuses it, and nothing starts."""
    answer = application.http.post(f"/upload-csv/{user}/url")
    job, form = accepted(answer), answer.json()
    key = form["fields"]["key"]
    refused = [
        post(form, CUSTOMERS, key=key.replace(str(user), "8")),
        post(form, CUSTOMERS, **{"Content-Type": "text/html"}),
        post(form, b""),
        post(application.expired(key), CUSTOMERS),
    ]
    assert [(one.status_code, code(one)) for one in refused] == [
        (403, "AccessDenied"),
        (403, "AccessDenied"),
        (400, "EntityTooSmall"),
        (403, "AccessDenied"),
    ]
    assert application.objects(key.rpartition("/")[0].rpartition("/")[0]) == []
    # What S3 has told of would be heard of before this.
    application.ended(application.upload(CUSTOMERS, user))
    assert application.progress(job)["message"] == "Waiting for the upload"


def test_a_file_that_somebody_else_puts(application: Application) -> None:
    """It is its user's job, which is listed from when S3 has told of it, and no second one when S3 tells again."""
    told = application.overheard()
    before = {one["task_id"] for one in application.jobs("process_csv")}
    key = f"uploads/{USER}/customers/all of {uuid4().hex}+.csv"
    application.s3.put_object(Bucket=application.bucket, Key=key, Body=CUSTOMERS)

    def started() -> set[str]:
        return {one["task_id"] for one in application.jobs("process_csv")} - before

    (job,) = eventually(started)
    assert application.ended(job)[-1]["message"] == f"Completed: {SAID}"
    assert application.results(job) == (CLEAN, REJECTS)
    application.tell_again(told, key)
    eventually(lambda: "dropped: the object's jobs were started before" in application.told_of(job))
    assert started() == {job}


def test_a_file_that_is_none(application: Application, user: int) -> None:
    """A workbook that is called CSV fails with one sentence, which its user reads, too."""
    reason = "The file is an Excel workbook (XLSX); save it as CSV and upload that."
    job = application.upload(workbook(), user)
    assert application.ended(job)[-1]["status"] == "failed"
    assert application.http.get(f"/tasks/{job}").json()["reason"] == reason
    assert application.told(user) == f"Your CSV file could not be processed: {reason}"


def test_a_worker_is_killed(application: Application, user: int) -> None:
    """The chunk is begun anew, and each row is where it belongs once."""
    wrong = range(1_000, ROWS, 1_000)
    rows = [f"{number},{f'user{number}@example.com' * (number % 2)},{FILLING}" for number in range(1, ROWS + 1)]
    for number in wrong:
        rows[number - 1] += ","
    answer = application.http.post(f"/upload-csv/{user}/url")
    job = accepted(answer)
    assert post(answer.json(), "\n".join(["id,mail,note", *rows]).encode()).status_code == 204
    eventually(lambda: application.progress(job)["progress"] > 0)
    for pid in application.cloud.processes("ProcessCsvChunk"):
        os.kill(pid, signal.SIGKILL)
    assert application.progress(job)["progress"] < ROWS
    last = application.ended(job, within=90)[-1]
    assert (last["status"], last["progress"], last["total"]) == ("completed", ROWS, ROWS)
    clean, rejects = application.results(job)
    kept = [f"{number},{'[EMAIL]' * (number % 2)},{FILLING}" for number in range(1, ROWS + 1) if number not in wrong]
    assert clean.decode().splitlines() == ["id,mail,note", *kept]
    reason = "It has 4 cells, and the header has 3"
    assert [(row[0], row[-1]) for row in csv.reader(io.StringIO(rejects.decode()))] == [
        ("row", "reason"),
        *((str(number + 1), reason) for number in wrong),
    ]
    assert [one["attempt"] for one in application.jobs("process_csv_chunk")][:1] == [2]
