"""Personal data goes where it was sent and nowhere else, by every route and task, in all that they write."""

import base64
import gzip
import io
import json
import logging
import warnings
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from afterward.background import DurableTasks
from afterward.pii import Kind
from afterward.pii.logs import uninstall
from catalog import notify_of_failure, send_notification, update_statistics
from routes.notification import inbox
from tests.support.cloud import DEAD
from tests.support.logs import configured
from tests.support.personal import ALL, VALUES, Evidence, packed, told
from tests.unit.app import outspoken
from tests.unit.app.conftest import TASKS
from tests.unit.app.exposed import CARD, EMAILS, HEADER, IDS, TABLES, Story, broken, form, story
from tests.unit.app.outspoken import CHOSEN, STATE

ADDED = ("send_notification", "start_task", "process", "safe_task", "perform_action", "record_action")
"""Routes that add tasks, given TEXTS."""

TEXTS = {"message": ALL, "name": packed(100)[0], "action": packed(64)[0], "email": EMAILS[0]}
MAIL = {"to_email": EMAILS[0], "subject": ALL[:900], "body": ALL}

HOLDS_ALL = {
    "message: body": "the envelope, on the queue of its task",
    "dead letter: body": "the envelope, on its way to the archive",
    "archived: body": "the envelope, or what was no job, in the archive",
    "PutObject to envelopes/": "envelopes that do not travel in a message: children, before they are sent",
    "bucket envelopes/": "the same",
    "PutItem of notifications": "the inbox: where a notification was sent",
    "table notifications: text": "the inbox",
    "PutObject to results/data.json": "what was fetched, for the one who has asked for it",
    "bucket results/data.json": "the same",
    "PutObject to uploads/": "the file as it was sent",
    "bucket uploads/": "the same",
    "bucket: names of uploads": "what a file is called by whoever puts it into the bucket; the API gives no such names",
    "addresses of calls to S3 of uploads": "the same, where the file is read",
    "PutObject to scratch/unpacked.csv": "a packed file, which cannot be read in parts",
    "bucket scratch/unpacked.csv": "the same, of a file that could not be processed",
    "PutObject to scratch/plan.json": "where the file is, and its columns as it names them",
    "bucket scratch/plan.json": "the same, of a file that could not be processed",
    "PutObject to scratch/division.json": "where the file is, and its columns as it names them",
    "bucket scratch/division.json": "the same, of a file that could not be processed",
    "fetch: address": "where data was to be fetched from",
    "webhook: address": "where a webhook was to be sent",
    "mails": "the mail that was to be sent",
}
"""Where all that was sent belongs, and why."""

HOLDS_SOME = {
    "table notifications: recipient": "whose inbox it is",
    "Query of notifications": "whose inbox is read",
    "GetItem of jobs": "which job a caller asks for: reading keeps nothing, and no job is added under such an id",
}
"""Where some of it belongs."""

HOLDS_A_USERS_NUMBER = {
    "Query of activity": "whose activity is read",
    "Query of statistics": "whose statistics are read",
    "TransactWriteItems of activity, jobs": "whose activity it is",
    "TransactWriteItems of jobs, statistics": "whose statistics they are",
    "TransactWriteItems of activity, jobs, statistics": "both",
    "table activity: user": "whose activity it is",
    "table statistics: user": "whose statistics they are",
    "answers to uploads": "whose upload it is: a part of its key",
    "table notifications: text about files": "whose inbox it is",
}
"""A `user_id` is the number by which the application knows a user, also where it could be a card's."""

HOLDS_A_CHOSEN_ID = {
    "message: body",
    "dead letter: body",
    "archived: body",
    "TransactWriteItems of jobs",
    "UpdateItem of jobs",
    "addresses of calls to S3",
    "bucket: names",
    "table jobs: pk",
    "table jobs: chain",
    "table jobs: results",
    "PutObject to envelopes/",
    "bucket envelopes/",
}
"""An id that an application chooses by `options(id=)` is its own, and names the job; the route that lets callers choose
refuses such ones."""

HOLDS_STATE = {"UpdateItem of jobs"}
"""A checkpoint is the task's own, and comes back to it as it was."""

SAYS_KINDS = {
    "log",
    "standard output",
    "output of redrive",
    "table jobs: message",
    "table jobs: reason",
    "table activity: action",
    "table statistics: id",
    "PutObject to scratch/",
    "PutObject to scratch/parts/*/clean.csv",
    "PutObject to scratch/parts/*/rejects.csv",
    "PutObject to scratch/chunks/*.json",
    "bucket results/clean.csv",
    "bucket results/rejects.csv",
    "bucket results/summary.json",
    "answers to uploads",
    "table notifications: text about files",
    "SendMessage: beside the body",
    "archived: beside the body",
}
"""Where masks stand in the place of what was said."""

NEVER_TAKEN = {
    "start_task.task_id": "refused, since it would stand in keys and logs",
    "cancel_task.task_id": "no job has such an id",
    "retry_task.task_id": "the same",
    "task_progress.task_id": "the same",
    "task_result.task_id": "the same",
    "task_status.task_id": "the same",
    "task_result.name": "no result has such a name",
    "tasks.cursor": "the API's own text",
    "safe_task.task": "one of two words",
    "tasks.limit": "a number up to 100",
    "read_activity.limit": "the same",
    "read_notifications.limit": "the same",
    "read_statistics.days": "a number up to 366",
    "start_task.items_count": "a number up to 10,000",
    "upload_csv.rows": "one of three words",
    "upload_csv_url.rows": "the same",
    "upload_csv_url.content_type": "the same",
}
"""Parameters that take no personal data, and why."""


@dataclass(frozen=True)
class Played:
    """`told` are the values that were found, by place."""

    story: Story
    told: dict[str, list[str]]


@pytest.fixture(scope="module")
def played() -> Played:
    """Use the whole application, once for all tests."""
    evidence = Evidence()
    with story(evidence, *outspoken.NAMES) as running:
        sweep(running)
        misbehave(running)
        speak(running)
        disturb(running)
        upload(running)
        running.work(running.healthy(), *outspoken.WORKERS)
        fail(running)
        running.invoke_wrongly()
        running.look()
    return Played(running, dict(evidence.told([*VALUES, CHOSEN, STATE])))


def sweep(running: Story) -> None:
    """Put everything into every parameter of every route."""
    bodies = {"send_email": MAIL, "upload_csv": form(HEADER)}
    for name in running.operations():
        running.sweep(name, bodies.get(name))
    running.ask("tasks")
    running.ask("send_email", MAIL)
    running.ask("send_email", body=MAIL)


def misbehave(running: Story) -> None:
    """Have the API meet services that refuse, and code that fails."""
    from api import app  # noqa: PLC0415 - Mangum wants the loop that a Lambda has

    sqs, dynamodb = running.deployed.sqs, running.deployed.dynamodb
    sqs.refuse("SendMessage", "AccessDeniedException")
    assert {running.ask(name, TEXTS).status for name in ADDED} == {503}
    sqs.heal()
    dynamodb.refuse("PutItem", "AccessDeniedException")
    assert running.ask("send_notification", TEXTS).status == 202
    dynamodb.heal()
    app.dependency_overrides[inbox] = broken
    assert running.ask("read_notifications", {"user_id": EMAILS[0]}).status == 500
    del app.dependency_overrides[inbox]


def speak(running: Story) -> None:
    """Add tasks that tell what they are given."""

    def add(tasks: DurableTasks) -> None:
        tasks.add_task(outspoken.speak.options(id=CHOSEN.text, fairness=EMAILS[0]), ALL)
        tasks.add_task(outspoken.beget.options(key=ALL), ALL)

    def add_failing(tasks: DurableTasks) -> None:
        group = tasks.group()
        for how in ("discard", "retry", "exit", "group"):
            group.add_task(outspoken.fail, ALL, how)

    running.add(add)
    running.add(add_failing)


def disturb(running: Story) -> None:
    """Leave messages on the queues that are no jobs, or not those of their queue's task."""
    job = json.loads(next(body for body in running.evidence.texts["message: body"] if '"send_email"' in body))
    wrong = [{"task": "no_such_task"}, {"version": 99}, {"arguments": {ALL: ALL}}]
    told_by_s3 = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": ALL}}}]}
    junk = (ALL, json.dumps(ALL), json.dumps({"v": ALL}), json.dumps(told_by_s3))
    for body in (*junk, *(json.dumps(job | about) for about in wrong)):
        running.send("send_email", body)
        running.send(DEAD, body)
        running.send(DEAD, body, reason=ALL, error="ValueError")


def upload(running: Story) -> None:
    """Have CSV files come with a request, by a form, and by somebody who puts them into the bucket under any name."""
    assert running.ask("upload_csv", body=form(TABLES["payments"]), rows="payments").status == 202
    assert running.ask("upload_csv", body=form(HEADER), rows="customers").status == 202
    posted = running.ask("upload_csv_url", rows="customers").json["fields"]["key"]
    running.put(posted, TABLES["customers"])
    running.put(f"uploads/{CARD.compact}/{ALL}", gzip.compress(TABLES["any"]))
    running.put(f"uploads/{EMAILS[0]}/{ALL}", HEADER)


def fail(running: Story) -> None:
    """Have each task fail with everything in its errors, and run again what has failed."""
    office, busy = running.office, running.web.url("/busy", "localhost")
    leaving = running.web.url(f"/broken?about={EMAILS[0]}", "localhost")
    office.replies["RCPT"] = [f"451 4.7.1 <{EMAILS[0]}>: {ALL}", *[f"550 5.1.1 <{EMAILS[0]}>: {ALL}"] * 9]
    asked = [running.ask(name, TEXTS) for name in ADDED]
    asked.append(running.ask("send_email", MAIL))
    asked.append(running.ask("safe_task", TEXTS, task="process_data", data_id="7"))
    asked.append(running.ask("safe_task", TEXTS | {"data_id": f"-{CARD.compact}"}, task="process_data"))
    asked.append(running.ask("trigger_external_fetch", {"data_url": leaving, "webhook_url": busy}))
    jobs = [str(one.json["task_id"]) for one in asked]
    running.add(lambda tasks: tasks.add_task(update_statistics, 7, TEXTS["action"]))
    running.add(tell_too_much)
    running.put(f"uploads/7/{ALL}", gzip.compress(TABLES["any"]))
    running.work(running.failing())
    running.redrive()
    for job in (*jobs[:2], *jobs[-3:]):
        running.ask("retry_task", task_id=job)
    running.ask("cancel_task", task_id=jobs[0])
    running.ask("retry_task", task_id=jobs[0])
    office.replies.clear()
    running.work(running.healthy())
    for job in jobs:
        for name in ("task_status", "task_progress"):
            running.ask(name, {"If-None-Match": ALL, "Prefer": f"wait=1; about={ALL}"}, task_id=job)
    fetched = running.ask("trigger_external_fetch")
    running.work(running.healthy())
    running.ask("task_result", task_id=fetched.json["task_id"], name="data.json")


def tell_too_much(tasks: DurableTasks) -> None:
    """Have a failure told of in more words than a notification can have."""
    tasks.add_task(send_notification, EMAILS[0], ALL)
    tasks.add_task(notify_of_failure.options(even_if_failed=True), EMAILS[0], (ALL * 4)[:2_000])


def test_every_route_is_used(played: Played) -> None:
    """A route that never succeeded here has no case: its parameters need examples, or `fail` a request of it."""
    assert played.story.operations().keys() - played.story.succeeded.keys() == set()


def test_every_parameter_takes_it(played: Played) -> None:
    """Each parameter was accepted with personal data in it, but for those that take none."""
    given = {
        f"{name}.{parameter['name']}": parameter["name"] in played.story.succeeded[name]
        for name, (_, _, parameters, _) in played.story.operations().items()
        for parameter in parameters
    }
    assert {parameter for parameter, taken in given.items() if not taken} == NEVER_TAKEN.keys()


def test_every_task_fails_and_succeeds(played: Played) -> None:
    """Both are seen of each task of the catalog, by its lines in the log."""
    assert played.story.healthy().keys() == {*TASKS}
    lines = [json.loads(line) for line in played.story.evidence.texts["log"][0].splitlines()]
    for task in TASKS:
        said = " ".join(str(line["message"]) for line in lines if line.get("task") == task)
        assert ("completed" in said, "failed" in said) == (True, True), task


def test_it_is_nowhere_else(played: Played) -> None:
    """Everything that was written, sent and stored is looked through; and where it belongs, it is found."""
    shared = {value.text for value in VALUES}
    found = {place: shared.intersection(values) for place, values in played.told.items()}
    places = {place for place, values in found.items() if values}
    assert places == HOLDS_ALL.keys() | HOLDS_SOME.keys() | HOLDS_A_USERS_NUMBER.keys()
    assert [place for place in HOLDS_ALL if found[place] != shared] == []
    assert [place for place in HOLDS_A_USERS_NUMBER if found[place] != {CARD.text}] == []
    assert found["GetItem of jobs"] <= {*IDS}


def test_what_a_library_keeps_for_its_user(played: Played) -> None:
    """Ids that an application chooses, and state of a task, are where they have to be, and in no log."""
    assert {place for place, values in played.told.items() if CHOSEN.text in values} == HOLDS_A_CHOSEN_ID
    assert {place for place, values in played.told.items() if STATE.text in values} == HOLDS_STATE


def test_kinds_are_told_instead(played: Played) -> None:
    """Logs, records and what others read say what kind of value stood there, so these places were not just empty."""
    texts = {place: "".join(texts) for place, texts in played.story.evidence.texts.items()}
    assert {place for place in SAYS_KINDS if "[EMAIL]" not in texts[place]} == set()
    assert {kind for kind in Kind if f"[{kind}]" not in texts["log"]} == set()
    assert "[CREDIT_CARD]" in texts["webhook: body"]
    quiet = ("webhook: body", "webhook: headers", "headers of calls to AWS", "what functions raise", "bucket: names")
    assert [place for place in quiet if not texts[place]] == []


def test_nothing_is_printed(played: Played) -> None:
    """What Python prints by itself, of warnings and of errors in threads, is in the log; and there are no metrics."""
    log = "".join(played.story.evidence.texts["log"])
    said = ("RuntimeWarning: [EMAIL]", '"a thread has failed"', '"an error could not be raised: ')
    assert [one for one in said if one not in log] == []
    assert "".join(played.story.evidence.texts["standard error"]) == ""
    assert not [place for place in played.story.evidence.texts if "Metric" in place]
    assert '"_aws"' not in log + "".join(played.story.evidence.texts["standard output"])


WRITTEN = {
    "plain": ALL,
    "lower case": ALL.lower(),
    "JSON": json.dumps([ALL]),
    "JSON in JSON": json.dumps(json.dumps(ALL, ensure_ascii=False)),
    "percent-encoded": quote(ALL, safe=""),
    "base64": base64.b64encode(f"to {ALL}".encode()).decode(),
    "base64 of a URL": base64.urlsafe_b64encode(f"about {ALL}".encode()).decode(),
    "hexadecimal": ALL.encode().hex(),
    "parts": " ".join(part for value in VALUES for part in (value.parts or (value.text,))),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_the_search_finds_it(written: str) -> None:
    """However it is written."""
    assert told(f'{{"message":"{written}"}}') == [value.text for value in VALUES]


def test_the_search_finds_a_leak() -> None:
    """A log that is not masked is seen to leak, so a clean one is clean."""
    masked, bare = io.StringIO(), io.StringIO()
    for stream in (masked, bare):
        with configured(stream):
            if stream is bare:
                uninstall()
                logging.getLogger().handlers[0].setFormatter(logging.Formatter())
            logging.getLogger("any").warning("mail to %s", ALL)
            warnings.warn(ALL, RuntimeWarning, stacklevel=1)
    assert (told(masked.getvalue()), told(bare.getvalue())) == ([], [value.text for value in VALUES])
