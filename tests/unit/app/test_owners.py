"""Whose jobs: a caller sees and steers their own, and `sub` stands in nothing that is kept, sent or logged."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

import catalog
from afterward import Discard, Results, injected
from afterward.aws import client
from afterward.dead_letters import DeadLetters
from afterward.digest import owner_digest
from afterward.in_process import Invocation, as_record
from afterward.queues import Incoming
from afterward.tasks import Tasks
from afterward.worker import Worker
from tests.support.cloud import BUCKET, DEAD, TABLE
from tests.support.gateway import ADA, Answer, Gateway, user
from tests.support.logs import configured
from tests.support.personal import Evidence
from tests.unit.app.conftest import TASKS, Deployed
from tests.unit.app.exposed import recorded
from tests.unit.app.test_access import FORM, ROUTES, all_of, call
from tests.unit.app.test_processing import CLEANUP, no_work, slow

SEVEN, EIGHT = user("7"), user("8")

STRANGERS = [EIGHT, ADA, SEVEN | {"iss": "https://other.example.com"}]
"""Another user, an admin, who may act for users but has no jobs of theirs, and who has the same name elsewhere."""

JOB_ROUTES = [
    ("GET", "/task-progress/{task_id}"),
    ("GET", "/tasks/{task_id}"),
    ("POST", "/tasks/{task_id}/cancel"),
    ("POST", "/tasks/{task_id}/retry"),
    ("GET", "/tasks/{task_id}/results/{name}"),
]
"""Every route that shows or steers one job."""


def storing(items_count: catalog.ItemsCount, *, results: Results = injected) -> None:
    """Leave one object."""
    results.store("data.json", json.dumps(items_count).encode(), "application/json")


def failing(items_count: catalog.ItemsCount) -> None:
    """Fail for good."""
    raise Discard("there is nothing to count")


def archive(deployed: Deployed) -> None:
    """Hand the dead letters to their handler."""
    url = deployed.urls[DEAD]
    for one in deployed.sqs.client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        record = as_record(Incoming(one["MessageId"], one["ReceiptHandle"], one["Body"], 1, 0, {}))
        assert DeadLetters()({"Records": [record]}, Invocation(10)) == {"batchItemFailures": []}


def rows(deployed: Deployed) -> Any:
    return sorted(deployed.dynamodb.client.scan(TableName=TABLE)["Items"], key=str)


def start(api: Gateway, task_id: str, items: int = 1) -> Answer:
    return api.post(f"/start-task/{task_id}", items_count=items)


def owner(claims: dict[str, str]) -> str:
    return owner_digest(claims["iss"], claims["sub"])


def of_each_kind(deployed: Deployed, api: Gateway) -> list[str]:
    """Return the ids of jobs that wait, have left a result, have failed and are archived, wait for an upload."""
    assert start(api, "left").status == 202
    deployed.run(Worker(catalog.long_running_task, storing))
    assert start(api, "failed").status == 202
    deployed.run(Worker(catalog.long_running_task, failing))
    archive(deployed)
    assert start(api, "queued").status == 202
    upload = api.post("/upload-csv/7/url").json["task_id"]
    assert [api.get(f"/tasks/{one}").json["status"] for one in ("queued", "left", "failed", upload)] == [
        "queued",
        "completed",
        "failed",
        "queued",
    ]
    return ["queued", "left", "failed", upload]


def test_every_route_about_one_job_is_known(deployed: Deployed) -> None:
    """No route that takes a `task_id` is missing above, but for the one that makes the job."""
    from api import app  # noqa: PLC0415 - Mangum wants the loop that a Lambda has

    found = [one for one in all_of(app.routes) if isinstance(one, APIRoute) and "{task_id}" in one.path]
    named = {(method, one.path) for one in found for method in one.methods or ()}
    assert named == {*JOB_ROUTES, ("POST", "/start-task/{task_id}")}


def test_a_stranger_finds_no_job(deployed: Deployed) -> None:
    """Whatever its state and whoever asks, a job of somebody else is the same 404 as one that is not there."""
    mine = deployed.api.caller(SEVEN)
    ids = of_each_kind(deployed, mine)
    before = rows(deployed)
    for method, path in JOB_ROUTES:
        for stranger in STRANGERS:
            theirs = deployed.api.caller(stranger)
            absent = theirs.request(method, path.format(task_id="absent", name="data.json"))
            assert (absent.status, absent.json["detail"]) == (404, "Task not found")
            for task_id in ids:
                assert theirs.request(method, path.format(task_id=task_id, name="data.json")) == absent
    assert rows(deployed) == before
    assert mine.get("/tasks/left/results/data.json").status == 303
    assert mine.post("/tasks/queued/cancel").status == 200
    assert mine.post("/tasks/failed/retry").status == 202


def test_a_stranger_lists_no_job(deployed: Deployed) -> None:
    """The list holds one's own, and so it does from a place in somebody else's list."""
    mine = deployed.api.caller(SEVEN)
    of_each_kind(deployed, mine)
    cursor = mine.get("/tasks", limit=1).json["next"]
    for stranger in STRANGERS:
        theirs = deployed.api.caller(stranger)
        for query in ({}, {"cursor": cursor}):
            answer = theirs.get("/tasks", **query)
            assert (answer.status, answer.json) == (200, {"tasks": [], "next": None})


def test_an_idempotency_key_is_its_callers(deployed: Deployed) -> None:
    """Under the same key everybody has jobs of their own, and hears nothing of what others have sent under it."""

    def send(claims: dict[str, str], message: str) -> Answer:
        headers = {"idempotency-key": "the-same"}
        path, query = "/send-notification/ada@example.com", {"message": message}
        return deployed.api.caller(claims).request("POST", path, query=query, headers=headers)

    first, again = send(SEVEN, "hello"), send(SEVEN, "hello")
    assert first.json == again.json
    for number, stranger in enumerate(STRANGERS):
        answer = send(stranger, f"another {number}")
        assert answer.status == 202
        assert answer.json["task_id"] != first.json["task_id"]
    assert send(SEVEN, "another").status == 422
    jobs = [key for key in deployed.records() if not key.startswith("request#")]
    assert sorted(key.split("#")[0] for key in jobs) == sorted(map(owner, [SEVEN, *STRANGERS]))


def test_one_chosen_id_is_a_job_for_each(deployed: Deployed) -> None:
    """The ids of different owners never collide: each has a record, a message and a result, and steers its own."""
    callers = [SEVEN, *STRANGERS]
    for items, claims in enumerate(callers, 1):
        assert start(deployed.api.caller(claims), "report-1", items).status == 202
        assert start(deployed.api.caller(claims), "report-1", items).status == 409
    assert len({one["owner"] for one in deployed.waiting("long_running_task")}) == len(callers)
    assert sorted(deployed.records()) == sorted(f"{owner(claims)}#report-1" for claims in callers)
    assert deployed.api.caller(EIGHT).post("/tasks/report-1/cancel").status == 200
    deployed.run(Worker(catalog.long_running_task, storing))
    expected = {owner(claims): "cancelled" if claims is EIGHT else "completed" for claims in callers}
    assert {owner(one): deployed.api.caller(one).get("/tasks/report-1").json["status"] for one in callers} == expected
    left = deployed.objects("results/")
    assert sorted({*expected} - {owner(EIGHT)}) == sorted(key.split("/")[1] for key in left)
    for claims in (SEVEN, ADA):
        link = deployed.api.caller(claims).get("/tasks/report-1/results/data.json").headers["location"]
        assert f"/results/{owner(claims)}/report-1/" in link


def test_what_is_kept_of_one_id_lies_apart(deployed: Deployed) -> None:
    """Archives of failed jobs and envelopes too large for a message are each owner's, and a retry runs one's own."""
    for items, claims in enumerate((SEVEN, EIGHT), 1):
        assert start(deployed.api.caller(claims), "report-1", items).status == 202
    deployed.run(Worker(catalog.long_running_task, failing))
    archive(deployed)
    owners = sorted(owner(claims) for claims in (SEVEN, EIGHT))
    assert deployed.objects("archive/") == [f"archive/{one}/report-1/1.json" for one in owners]
    client("sqs").purge_queue(QueueUrl=deployed.urls["long_running_task"])
    assert deployed.api.caller(EIGHT).post("/tasks/report-1/retry").status == 202
    (again,) = deployed.waiting("long_running_task")
    assert (again["owner"], again["arguments"]) == (owner(EIGHT), {"items_count": 2})
    for one in owners:
        tasks = Tasks(one)
        for number in range(8):
            mail = catalog.send_email.options(id="large") if number == 0 else catalog.send_email
            tasks.add_task(mail, "ada@example.com", one, "x" * 200_000)
        tasks.publish()
    names = [key.split("/")[1] for key in deployed.objects("envelopes/")]
    assert sorted(names) == owners


def test_scratch_files_of_one_id_lie_apart(deployed: Deployed) -> None:
    """Chains of different owners under one id leave files of their own, and clean up none of another's."""
    for claims in (SEVEN, EIGHT):
        tasks = Tasks(owner(claims))
        tasks.add_task(catalog.slow_task.options(id="chain-1"), "report", 1)
        if claims is SEVEN:
            tasks.add_task(catalog.cleanup.options(even_if_failed=True), "report")
        tasks.publish()
    deployed.run(slow(no_work))
    assert len(deployed.objects("scratch/")) == 2
    deployed.run(CLEANUP)
    assert deployed.objects("scratch/") == [f"scratch/{owner(EIGHT)}/chain-1/chain-1"]


# `sub`

NAME = "wanda-unmistakable"


def requests() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Return a request of every route."""
    yield from ROUTES
    yield "POST", "/send-notification/ada@example.com", {"message": "hello"}
    yield "POST", "/send-email/", {"to_email": "ada@example.com", "subject": "Hello", "body": "Hello"}
    yield "POST", "/process/report", {}
    yield "POST", "/start-task/report-1", {"items_count": "1"}
    yield "GET", "/tasks", {}
    for method, path in JOB_ROUTES:
        yield method, path.format(task_id="report-1", name="data.json"), {}


def test_sub_stands_nowhere(deployed: Deployed) -> None:
    """No key, record, message, group or log line has it, and no answer: there is a digest of it in its place.

    But for what a caller names themselves: the number in a path stands in tables and in keys of uploads, as a user's.
    """
    from api import app  # noqa: PLC0415 - Mangum wants the loop that a Lambda has

    evidence, log = Evidence(), io.StringIO()
    wanda = deployed.api.caller(user(NAME, scope="admin", email=f"{NAME}@example.com"))
    routes = [one for one in all_of(app.routes) if isinstance(one, APIRoute)]
    asked = [*requests()]
    assert len({(method, path) for method, path, _ in asked}) == sum(len(one.methods or ()) for one in routes)
    with recorded(evidence), configured(log), pytest.MonkeyPatch.context() as patch:
        patch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")
        for method, path, query in asked:
            answer = call(wanda, method, path, query)
            assert answer.status in {200, 202, 404, 409}, (path, answer.body)
            evidence.add("answers", answer.body, str(answer.headers))
        deployed.run(slow(no_work))
        deployed.run(Worker(catalog.long_running_task, failing))
        archive(deployed)
    evidence.add("log", log.getvalue())
    for table in (TABLE, "activity", "notifications", "statistics"):
        evidence.add(table, str(deployed.dynamodb.client.scan(TableName=table)["Items"]))
    for task in (*TASKS, DEAD):
        found = deployed.sqs.client.receive_message(
            QueueUrl=deployed.urls[task], AttributeNames=["All"], MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        evidence.add("messages", str(found.get("Messages")))
    for key in deployed.objects(""):
        evidence.add("objects", key, client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    assert not [place for place, texts in evidence.texts.items() if "wanda" in "\n".join(texts).lower()]
    named = owner(user(NAME))
    seen = {place for place, texts in evidence.texts.items() if named in "\n".join(texts)}
    assert {TABLE, "messages", "objects", "SendMessage: beside the body"} <= seen
    assert "POST /start-task/{task_id} 202" in log.getvalue()


def test_a_form_is_posted_where_only_its_job_reads(deployed: Deployed) -> None:
    """Two users who upload under the same key of theirs have objects of their own, named for their owners."""
    for claims in (SEVEN, EIGHT):
        headers = {"content-type": "multipart/form-data; boundary=b", "idempotency-key": "the-same"}
        api, path = deployed.api.caller(claims), f"/upload-csv/{claims['sub']}"
        assert api.request("POST", path, body=FORM, headers=headers).status == 202
        form = api.request("POST", f"{path}/url", headers={"idempotency-key": "another"}).json
        assert form["fields"]["key"].startswith(f"uploads/{owner(claims)}/{form['task_id']}/{claims['sub']}/")
    assert {key.split("/")[1] for key in deployed.objects("uploads/")} == {owner(SEVEN), owner(EIGHT)}
