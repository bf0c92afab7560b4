"""CSV files on their way in: with the request, or by a form; what S3 tells of either starts the job that was named."""

import base64
import calendar
import json
import logging
import time
from typing import Any

import pytest

import s3_upload
from afterward.aws import client
from afterward.in_process import Invocation, as_record
from afterward.queues import Incoming
from tests.support.cloud import BUCKET, TABLE
from tests.support.faults import Wire
from tests.support.gateway import ADA, Answer
from tests.unit.app.conftest import Deployed

LIMIT = 4_000_000
CSV = b"id,name\n1,Ada\n"


@pytest.fixture
def told(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """The application, with a bucket that tells a queue of its uploads."""
    monkeypatch.setenv("JWT_ISSUER", ADA["iss"])
    deployed.sqs.client.create_queue(QueueName="told")
    queue = {
        "QueueArn": "arn:aws:sqs:us-east-1:123456789012:told",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "uploads/"}]}},
    }
    client("s3").put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [queue]}
    )
    return deployed


def form(name: str, content: bytes, field: str = "file") -> bytes:
    """A body of multipart/form-data with one file, as browsers write it (RFC 7578)."""
    shown = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = (
        f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{shown}"\r\nContent-Type: text/csv\r\n\r\n'
    )
    return head.encode() + content + b"\r\n--b--\r\n"


def send(deployed: Deployed, body: bytes, path: str = "/upload-csv/7", key: str | None = None, **query: str) -> Answer:
    headers = {"content-type": "multipart/form-data; boundary=b"} | ({"idempotency-key": key} if key else {})
    return deployed.api.request("POST", path, query=query, body=body, headers=headers)


def hear(deployed: Deployed) -> None:
    """Give everything that S3 has told to the function that it is for."""
    url = deployed.sqs.client.get_queue_url(QueueName="told")["QueueUrl"]
    found = deployed.sqs.client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    assert found
    messages = [as_record(Incoming(one["MessageId"], "r", one["Body"], 1, 0, {})) for one in found]
    answer = s3_upload.lambda_handler({"Records": messages}, Invocation(10))
    assert answer == {"batchItemFailures": []}


def started(deployed: Deployed) -> list[str]:
    return sorted({one["id"] for one in deployed.waiting("process_csv")})


def stored(deployed: Deployed) -> dict[str, tuple[str, bytes]]:
    found = {key: client("s3").get_object(Bucket=BUCKET, Key=key) for key in deployed.objects("uploads/")}
    return {key: (one["ContentType"], one["Body"].read()) for key, one in found.items()}


def test_a_file_comes_with_its_request(told: Deployed) -> None:
    """The answer is that of the example; the file is kept, and its job waits for S3 to tell of it."""
    answer = send(told, form("orders.csv", CSV), rows="customers")
    job_id = answer.json["task_id"]
    assert answer.status == 202
    assert answer.json == {
        "message": "File orders.csv uploaded and will be processed in background",
        "task_id": job_id,
        "check_progress_url": f"/task-progress/{job_id}",
    }
    assert answer.headers["location"] == f"/tasks/{job_id}"
    ((key, kept),) = stored(told).items()
    assert key.endswith(f"/{job_id}/7/customers.csv")
    assert kept == ("text/csv", CSV)
    assert told.status(job_id)["message"] == "Uploaded, waiting to be processed"
    assert started(told) == []
    hear(told)
    (job,) = told.waiting("process_csv")
    assert (job["id"], job["arguments"]) == (job_id, {"user_id": 7, "upload": key, "rows": "customers"})


def test_a_repeated_request_starts_nothing_twice(told: Deployed) -> None:
    """Under its Idempotency-Key a repeat has the same answer; the file is put again, and is the same job's."""
    first, again = (send(told, form("orders.csv", CSV), key="k") for _ in range(2))
    assert (again.status, again.json) == (202, first.json)
    hear(told)
    later = send(told, form("orders.csv", CSV), key="k")
    assert (later.status, later.json) == (202, first.json)
    hear(told)
    assert started(told) == [first.json["task_id"]]
    assert len(stored(told)) == 1


@pytest.mark.parametrize("other", [form("orders.csv", CSV + b"2,Bob\n"), form("others.csv", CSV)])
def test_an_idempotency_key_is_one_files(told: Deployed, other: bytes) -> None:
    """Another file under the same key is refused, and not kept."""
    assert send(told, form("orders.csv", CSV), key="k").status == 202
    assert send(told, other, key="k").status == 422
    assert [content for _, content in stored(told).values()] == [CSV]


def test_two_requests_are_two_jobs(told: Deployed) -> None:
    """Without a key the same file is processed as often as it is sent."""
    ids = sorted(send(told, form("orders.csv", CSV)).json["task_id"] for _ in range(2))
    hear(told)
    assert started(told) == ids


def test_the_largest_file_is_taken(deployed: Deployed) -> None:
    """4,000,000 bytes come through to the last one."""
    content = b"a\n" * (LIMIT // 2)
    assert send(deployed, form("large.csv", content)).status == 202
    assert [kept for _, kept in stored(deployed).values()] == [content]


def test_a_larger_file_is_shown_another_way(deployed: Deployed) -> None:
    """One byte more is 413, and the problem names the route for it."""
    answer = send(deployed, form("large.csv", b"a" * (LIMIT + 1)))
    assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
    assert "more than 4,000,000 bytes" in answer.json["detail"]
    assert "POST /upload-csv/7/url" in answer.json["detail"]
    assert (stored(deployed), deployed.records()) == ({}, [])


@pytest.mark.parametrize(
    ("body", "path", "rows"),
    [
        (b"--b--\r\n", "/upload-csv/7", "any"),
        (form("", CSV), "/upload-csv/7", "any"),
        (form("orders.csv", b""), "/upload-csv/7", "any"),
        (form("orders.csv", CSV, field="other"), "/upload-csv/7", "any"),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\na,b\r\n--b--\r\n', "/upload-csv/7", "any"),
        (form("orders.csv", CSV), "/upload-csv/ada", "any"),
        (form("orders.csv", CSV), "/upload-csv/0", "any"),
        (form("orders.csv", CSV), "/upload-csv/7", "invoices"),
    ],
)
def test_what_is_no_file_is_refused(deployed: Deployed, body: bytes, path: str, rows: str) -> None:
    """422 names the place, and nothing is kept."""
    answer = send(deployed, body, path, rows=rows)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json["errors"][0]["loc"][-1] in {"file", "user_id", "rows"}
    assert (stored(deployed), deployed.records()) == ({}, [])


def test_a_body_that_is_no_form_is_refused(deployed: Deployed) -> None:
    """What cannot be read as the form that it says it is, is 400."""
    answer = send(deployed, b"no form at all")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Umsätze 2026.csv", "Umsätze 2026.csv"),
        ("a\x00b\x1b[31m\u202ecsv.csv", "ab[31mcsv.csv"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("call +41 79 123 45 67.csv", "call [PHONE].csv"),
        ("x" * 300, "x" * 255),
    ],
)
def test_a_file_is_called_what_its_sender_calls_it(
    deployed: Deployed, name: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its name is in the message alone: without control characters and personal data, and in no key, header or log."""
    caplog.set_level(logging.DEBUG)
    answer = send(deployed, form(name, CSV))
    assert answer.json["message"] == f"File {shown} uploaded and will be processed in background"
    elsewhere = json.dumps([answer.headers, [*stored(deployed)], deployed.status(answer.json["task_id"])])
    # Requests to AWS are logged by botocore in a test; a function's log has none of them.
    elsewhere += "".join(one.getMessage() for one in caplog.records if not one.name.startswith("botocore"))
    assert name.strip("./")[:9] not in elsewhere
    assert shown.strip("./")[:9] not in elsewhere


def test_a_file_that_cannot_be_kept_is_no_job(deployed: Deployed) -> None:
    """Without S3 the answer is 503 and says when to try again; nothing is promised."""
    Wire(client("s3")).refuse("PutObject", "SlowDown", status=503)
    answer = send(deployed, form("orders.csv", CSV))
    assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) >= 1
    assert deployed.records() == []


def test_a_file_that_is_kept_will_be_processed(told: Deployed) -> None:
    """Where only the record cannot be put the promise holds: S3 tells of the file."""
    told.dynamodb.refuse("PutItem", "InternalServerError", status=500)
    answer = send(told, form("orders.csv", CSV))
    assert answer.status == 202
    assert told.records() == []
    told.dynamodb.heal()
    hear(told)
    assert started(told) == [answer.json["task_id"]]


def test_s3_may_be_faster_than_the_record(told: Deployed) -> None:
    """A job that was started before its request was answered stays as it is."""
    told.dynamodb.meanwhile("PutItem", lambda: hear(told))
    answer = send(told, form("orders.csv", CSV))
    assert answer.status == 202
    assert started(told) == [answer.json["task_id"]]
    assert told.status(answer.json["task_id"])["message"] == "Waiting to start"


def test_nobody_uploads_without_a_token(deployed: Deployed) -> None:
    """Who has no verified identity gets neither of both ways."""
    nobody = deployed.api.caller(None)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert nobody.request("POST", "/upload-csv/7", body=form("a.csv", CSV), headers=headers).status == 401
    assert nobody.post("/upload-csv/7/url").status == 401
    assert stored(deployed) == {}


def policy_of(answer: Answer) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(base64.b64decode(answer.json["fields"]["policy"]))
    return read


def test_a_form_puts_one_file_under_its_key(told: Deployed) -> None:
    """The form is signed for this key, this type and up to 5 GiB, for 15 minutes; its job waits for the file."""
    before = time.time()
    answer = told.api.post("/upload-csv/7/url", rows="payments")
    job_id = answer.json["task_id"]
    assert answer.status == 202
    assert answer.headers["location"] == f"/tasks/{job_id}"
    assert (answer.json["check_progress_url"], answer.json["expires_in"]) == (f"/task-progress/{job_id}", 900)
    key = answer.json["fields"]["key"]
    assert key.endswith(f"/{job_id}/7/payments.csv")
    assert answer.json["fields"]["Content-Type"] == "text/csv"
    policy = policy_of(answer)
    assert {"key": key} in policy["conditions"]
    assert {"bucket": BUCKET} in policy["conditions"]
    assert {"Content-Type": "text/csv"} in policy["conditions"]
    assert ["content-length-range", 1, 5_368_709_120] in policy["conditions"]
    ends = time.strptime(policy["expiration"], "%Y-%m-%dT%H:%M:%SZ")
    assert 895 <= calendar.timegm(ends) - before <= 905
    assert told.api.get(f"/task-progress/{job_id}").json["message"] == "Waiting for the upload"
    assert stored(told) == {}
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=CSV)
    hear(told)
    assert started(told) == [job_id]
    assert told.status(job_id)["message"] == "Waiting to start"


@pytest.mark.parametrize("content_type", ["text/csv", "application/gzip", "application/vnd.ms-excel"])
def test_a_form_is_for_the_type_that_was_asked_for(deployed: Deployed, content_type: str) -> None:
    """What browsers call a CSV file, and a compressed one, may be said; the form then takes nothing else."""
    answer = deployed.api.post("/upload-csv/7/url", content_type=content_type)
    assert answer.json["fields"]["Content-Type"] == content_type
    assert {"Content-Type": content_type} in policy_of(answer)["conditions"]


def test_other_types_get_no_form(deployed: Deployed) -> None:
    """What is no table is refused before anything waits for it."""
    assert deployed.api.post("/upload-csv/7/url", content_type="image/png").status == 422
    assert deployed.records() == []


def test_what_nobody_posts_is_forgotten(deployed: Deployed) -> None:
    """The record of a job that waits for its file goes after six hours."""
    deployed.api.post("/upload-csv/7/url")
    (item,) = deployed.dynamodb.client.scan(TableName=TABLE)["Items"]
    assert 0 < int(item["expires"]["N"]) - time.time() <= 6 * 3_600


def test_a_form_without_a_record_is_not_given(deployed: Deployed) -> None:
    """Who could not watch the job is told to try again."""
    deployed.dynamodb.refuse("PutItem", "InternalServerError", status=500)
    answer = deployed.api.post("/upload-csv/7/url")
    assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_form_is_given_again(deployed: Deployed) -> None:
    """Under its Idempotency-Key a repeat names the same job and key, signed anew."""
    first, again = (
        deployed.api.request("POST", "/upload-csv/7/url", headers={"idempotency-key": "k"}) for _ in range(2)
    )
    assert (again.status, again.json["task_id"]) == (202, first.json["task_id"])
    assert again.json["fields"]["key"] == first.json["fields"]["key"]
    assert len(deployed.records()) == 2, "the job and the key"
