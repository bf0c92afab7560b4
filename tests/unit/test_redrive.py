"""Failed jobs that an operator brings back from the archive, by the command and over both kinds of stores."""

import io
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto.s3.models import s3_backends

from afterward import redrive, task
from afterward.archive import keep_job
from afterward.aws import client
from afterward.backend import Backend
from afterward.clock import timestamp
from afterward.envelope import Envelope
from afterward.job import Status
from afterward.letters import READERS, Letter, keys, letters
from afterward.queues import MESSAGE_LIMIT
from afterward.records import queued
from afterward.redrive import Redrive, main
from afterward.steering import BY_OWNER, retry
from afterward.testing import START, ManualClock
from tests.support.cloud import BUCKET, DEAD, TABLE, Cloud
from tests.support.jobs import (
    DECLARED,
    FIRST,
    OWNER,
    SECOND,
    THIRD,
    envelope,
    link,
    record,
    send,
    standing,
)
from tests.support.line import Works, receive

OTHER = "0ddba11000000000000000000ddba110"


@task(name="core_renamed", aliases=("core_old",))
def renamed(text: str) -> None:
    """Do what had another name once."""


class Ran:
    """What the command said, and its exit status."""

    def __init__(self, using: Backend | None, *arguments: str) -> None:
        out = io.StringIO()
        self.status = main(["--tasks", __name__, *arguments], using, out)
        self.lines = out.getvalue().splitlines()


def failed(using: Backend, *job_ids: str) -> None:
    """Bring jobs of the first task, which have their ids as text, to their failure, archived."""
    for job_id in job_ids:
        one = envelope(job_id=job_id, arguments={"text": job_id})
        send(using, one)
        using.records.add(queued(one, one, limit=3, shards=4, now=using.clock.now()))
    Works(*job_ids).drain(using)
    assert {standing(using, job_id).status for job_id in job_ids} <= {Status.FAILED}


def letter(using: Backend, about: Envelope, *, error: str = "Discard", reason: str = "broken") -> None:
    """Archive a job that has failed for a reason of its own."""
    one = queued(about, about, limit=1, shards=4, now=START)
    using.records.add(one.changed(START, status=Status.FAILED, reason=reason))
    keep_job(using, about, "message-1", attempts=1, reason=reason, error=error)


def statuses(using: Backend, *job_ids: str) -> list[tuple[str, int]]:
    found = [standing(using, job_id) for job_id in job_ids]
    return [(one.status, one.run) for one in found]


def messages(using: Backend) -> int:
    """Count the messages that can be received now, of all tasks."""
    return sum(len(receive(using, worker)) for worker in Works().workers)


# What comes back


def test_failed_jobs_run_again(stores: Backend) -> None:
    """Each as a new run, with a line that says so and why it had failed, and a summary behind them."""
    failed(stores, "job-1", "job-2")
    ran = Ran(stores)
    assert ran.lines == [
        "job-1  core_first  Discard  job-1 is broken  queued as run 2",
        "job-2  core_first  Discard  job-2 is broken  queued as run 2",
        "2 jobs queued",
    ]
    assert (ran.status, statuses(stores, "job-1", "job-2")) == (0, [(Status.QUEUED, 2)] * 2)
    works = Works()
    works.drain(stores)
    assert (sorted(works.ran), standing(stores).status) == (["job-1", "job-2"], Status.COMPLETED)


def test_a_chain_comes_back_with_what_was_cancelled(stores: Backend) -> None:
    """The jobs behind the failed one run in the new run, in their order; what ran in any case does not run twice."""
    last = link(THIRD, "job-3", even_if_failed=True)
    first = envelope(job_id="job-1", arguments={"text": "broken"}, rest=[link(SECOND, "job-2"), last], links=3)
    send(stores, first)
    for one in (first, *first.behind):
        stores.records.add(queued(first, one, limit=DECLARED[one.task].max_attempts, shards=4, now=START))
    Works("broken").drain(stores)
    assert [one for one, _ in statuses(stores, "job-1", "job-2", "job-3")] == ["failed", "cancelled", "completed"]
    assert Ran(stores).lines[-1] == "1 job queued"
    works = Works()
    works.drain(stores)
    assert works.ran == ["broken", "hello"]
    assert [one for one, _ in statuses(stores, "job-1", "job-2", "job-3")] == ["completed"] * 3


def test_a_dry_run_changes_nothing(stores: Backend) -> None:
    """It says what would be done: no record, no message and no object is other than before."""
    failed(stores, "job-1")
    before = standing(stores), list(stores.blobs.keys(""))
    ran = Ran(stores, "--dry-run")
    assert ran.lines == [
        "job-1  core_first  Discard  job-1 is broken  would be queued: run 1 has failed",
        "1 job would be queued",
    ]
    assert (ran.status, messages(stores)) == (0, 0)
    assert (standing(stores), list(stores.blobs.keys(""))) == before


def test_a_job_that_fails_again_can_be_redriven_again(stores: Backend) -> None:
    """The letter of the run before it is left alone then."""
    failed(stores, "job-1")
    assert Ran(stores).lines[-1] == "1 job queued"
    Works("job-1").drain(stores)
    assert Ran(stores, "--verbose").lines == [
        "job-1  core_first  Discard  job-1 is broken  skipped: retried since",
        "job-1  core_first  Discard  job-1 is broken  queued as run 3",
        "1 job queued",
        "1 job skipped: retried since",
    ]


def test_a_job_that_fails_again_meanwhile_is_not_redriven_twice(stores: Backend) -> None:
    """Its next letter may come up in the same pass, right behind the one that was redriven."""
    failed(stores, "job-1")
    one_pass = Redrive(backend=stores)
    (first,) = letters(stores)
    outcome = one_pass._outcome(first)
    assert outcome is not None
    assert (outcome.came, outcome.why) == ("queued", "run 2")
    Works("job-1").drain(stores)
    _, second = letters(stores)
    outcome = one_pass._outcome(second)
    assert outcome is not None
    assert (outcome.came, outcome.why) == ("skipped", "redriven just now")


# What is left alone


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": Status.COMPLETED}, "completed"),
        ({"status": Status.RUNNING}, "running"),
        ({"status": Status.QUEUED}, "queued"),
        ({"status": Status.CANCELLED, "reason": BY_OWNER}, "cancelled"),
        ({"status": Status.FAILED, "run": 2}, "retried since"),
    ],
)
def test_only_what_failed_in_that_run_comes_back(stores: Backend, changes: dict[str, Any], why: str) -> None:
    """Whatever else became of a job is counted, and told of only where that is asked for."""
    keep_job(stores, envelope(), "message-1", attempts=1, reason="broken", error="Discard")
    stores.records.add(record(**changes))
    before = standing(stores)
    assert Ran(stores).lines == [f"1 job skipped: {why}"]
    assert Ran(stores, "--verbose").lines[0] == f"job-1  core_first  Discard  broken  skipped: {why}"
    assert (standing(stores), messages(stores)) == (before, 0)


def test_a_job_whose_record_is_gone_is_skipped(stores: Backend) -> None:
    """The archive is kept for longer than the records are."""
    keep_job(stores, envelope(), "message-1", attempts=1, reason="broken", error="Discard")
    ran = Ran(stores)
    assert (ran.status, ran.lines) == (0, ["1 job skipped: its record is gone"])
    assert stores.records.get(OWNER, "job-1") is None


def test_a_task_that_is_gone_is_said(stores: Backend) -> None:
    """Its jobs are told of, in a dry run too, and the others come back."""
    letter(stores, envelope("core_gone", "job-0"))
    failed(stores, "job-1")
    for ran in (Ran(stores, "--dry-run"), Ran(stores)):
        assert ran.lines[0] == "job-0  core_gone  Discard  broken  refused: there is no task core_gone any more"
        assert ran.lines[1].startswith("job-1  core_first")
        assert ran.status == 0


def test_what_the_retry_refuses_is_said(memory: Backend) -> None:
    """Here what the archive holds was spoilt since it was looked at."""
    letter(memory, envelope())
    (found,) = letters(memory)
    memory.blobs.put(f"archive/{OWNER}/job-1/1.json", '{"body": "{}"}')
    outcome = Redrive(backend=memory)._outcome(found)
    assert outcome is not None
    assert (outcome.came, outcome.why[:40]) == ("refused", "What is kept of the task cannot be read:")


def test_messages_that_are_no_jobs_are_counted(stores: Backend) -> None:
    """They cannot be redriven, and are not taken for letters."""
    failed(stores, "job-1")
    for name in ("one", "two"):
        stores.blobs.put(f"archive/unreadable/{name}.json", "{}")
    assert Ran(stores, "--dry-run").lines[-1] == "2 messages that are no jobs lie under archive/unreadable/"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"body": 1}', '{"body": "{}"}', "null"])
def test_a_letter_that_cannot_be_read_costs_only_itself(stores: Backend, text: str) -> None:
    """The reason is counted, and the other jobs come back."""
    stores.blobs.put(f"archive/{OWNER}/job-0/1.json", text)
    failed(stores, "job-1")
    ran = Ran(stores)
    assert ran.status == 0
    assert ran.lines[0].startswith("job-1  core_first")
    assert ran.lines[-1].startswith("1 job skipped: its letter cannot be read: ")


def test_nothing_to_redrive_is_said(stores: Backend) -> None:
    """An archive without letters is no error; what else lies there is nobody's job."""
    for name in ("notes.json", f"{OWNER}/notes.json", f"{OWNER}/job-1/notes.json", f"{OWNER}/job-1/1.json.bak"):
        stores.blobs.put(f"archive/{name}", "{}")
    ran = Ran(stores, "--verbose")
    assert (ran.status, ran.lines) == (0, ["no job was found"])


# Filters


def several(using: Backend, clock: ManualClock) -> None:
    """Archive five jobs, an hour between one and the next."""
    for job_id, name, owner, error, reason in (
        ("job-1", FIRST, OWNER, "Discard", "no such address"),
        ("job-2", FIRST, OWNER, "SMTPServerDisconnected", "Connection unexpectedly closed"),
        ("job-3", SECOND, OWNER, "TimeoutError", "timed out"),
        ("job-4", "core_old", OTHER, "Discard", "NO SUCH user"),
        ("job-5", THIRD, OTHER, "", "cancelled"),
    ):
        letter(using, replace(envelope(name, job_id), owner=owner), error=error, reason=reason)
        clock.advance(3600)


def would(using: Backend, *arguments: str) -> str:
    """Return the numbers of the jobs that would be redriven."""
    lines = Ran(using, "--dry-run", *arguments).lines
    return "".join(sorted(line[4] for line in lines if line.startswith("job-")))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], "12345"),
        (["--task", FIRST], "12"),
        (["--task", FIRST, "--task", SECOND], "123"),
        (["--task", "core_renamed"], "4"),
        (["--task", "core_old"], "4"),
        (["--error", "Discard"], "14"),
        (["--error", "Discard", "--error", "TimeoutError"], "134"),
        (["--error", "Disc"], ""),
        (["--reason", "no such"], "14"),
        (["--task", FIRST, "--reason", "NO SUCH"], "1"),
        (["--since", "2h"], "45"),
        (["--until", "4h"], "12"),
        (["--since", "4h", "--until", "3h"], "23"),
        (["--since", "180m", "--until", "7200s"], "34"),
        (["--since", "1d", "--until", "1w"], ""),
        (["--since", timestamp(START + 3600)], "2345"),
        (["--until", timestamp(START + 3600)], "12"),
        (["--until", timestamp(START + 3600)[:-1] + "+01:00"], "1"),
        (["--since", timestamp(START)[:10]], "12345"),
        (["--until", timestamp(START)[:10]], ""),
    ],
)
def test_filters_choose(memory: Backend, clock: ManualClock, arguments: list[str], found: str) -> None:
    """Task by any of its names, exception, reason and time; several together narrow the choice."""
    several(memory, clock)
    assert would(memory, *arguments) == found


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--owner", OWNER], "123"),
        (["--owner", OWNER[:8]], ""),
        (["--job", "job-4"], "4"),
        (["--job", "job"], ""),
        (["--owner", OWNER, "--job", "job-2"], "2"),
        (["--owner", OWNER, "--job", "job-4"], ""),
        (["--owner", OWNER, "--task", SECOND], "3"),
    ],
)
def test_owner_and_job_choose(stores: Backend, arguments: list[str], found: str) -> None:
    """As a whole, and not by how they begin."""
    assert isinstance(stores.clock, ManualClock)
    several(stores, stores.clock)
    assert would(stores, *arguments) == found


def test_times_are_utc(memory: Backend, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the letters, wherever the operator sits; unless the time itself says otherwise."""
    several(memory, clock)
    try:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert would(memory, "--since", timestamp(START + 3600).rstrip("Z")) == "2345"
        assert would(memory, "--since", timestamp(START + 3600).replace("Z", "+02:00")) == "12345"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_limit_counts_what_is_redriven(stores: Backend) -> None:
    """Jobs that are skipped do not use it up."""
    failed(stores, "job-1", "job-2", "job-3", "job-4")
    retry(stores, standing(stores, "job-1"))
    assert Ran(stores, "--limit", "2").lines[-2:] == ["2 jobs queued", "1 job skipped: retried since"]
    assert [run for _, run in statuses(stores, "job-1", "job-2", "job-3", "job-4")] == [2, 2, 2, 1]


def test_owner_and_job_narrow_the_listing(cloud: Cloud) -> None:
    """Other owners' letters are not even listed."""
    for arguments, prefix in (
        (["--owner", OWNER], f"archive%2F{OWNER}%2F"),
        (["--owner", OWNER, "--job", "job-1"], f"archive%2F{OWNER}%2Fjob-1%2F"),
    ):
        cloud.s3.sent.clear()
        Ran(cloud.backend, *arguments)
        first, _unreadable = cloud.s3.sent
        assert f"prefix={prefix}&" in f"{first.url}&"


# Scale and pace


def many(number: int, folder: str, text: str = "") -> None:
    """Put objects into the bucket, past the client: that takes a hundredth of the time."""
    stored = s3_backends["123456789012"]["aws"]
    for index in range(number):
        stored.put_object(BUCKET, f"archive/{folder}/{index:04}.json", text.encode())


def test_an_archive_of_several_pages_is_listed_to_its_end(cloud: Cloud) -> None:
    """Also where a page does not come at once; nothing is left out, and nothing counted twice."""
    many(2_001, "unreadable")
    cloud.s3.refuse("ListObjectsV2", "SlowDown", status=503, times=5, skip=2)
    ran = Ran(cloud.backend, "--owner", OWNER)
    assert ran.lines[-1] == "2001 messages that are no jobs lie under archive/unreadable/"
    # What the owner has, three pages of the others, and the second of them refused.
    assert cloud.s3.counts["ListObjectsV2"] == 1 + 3 + 5


def test_a_job_is_found_behind_a_thousand_others(cloud: Cloud) -> None:
    """Their letters are listed, and not read."""
    many(1_001, f"{OTHER}/job-0")
    failed(cloud.backend, "job-1")
    cloud.s3.sent.clear()
    assert Ran(cloud.backend, "--job", "job-1").lines[-1] == "1 job queued"
    # To look at it, and to retry it.
    assert cloud.s3.counts["GetObject"] == 2


def test_a_long_archive_is_not_read_ahead(cloud: Cloud) -> None:
    """One page of keys and a handful of letters are in memory, and no more."""
    keep_job(cloud.backend, envelope(), "message-1", attempts=1, reason="broken", error="Discard")
    many(1_001, f"{OTHER}/job-0", cloud.backend.blobs.get(f"archive/{OWNER}/job-1/1.json"))
    cloud.s3.sent.clear()
    found = letters(cloud.backend)
    for _ in range(READERS):
        assert isinstance(next(found), Letter)
    assert (cloud.s3.counts["ListObjectsV2"], cloud.s3.counts["GetObject"]) == (1, READERS)
    assert sum(1 for _ in keys(cloud.backend, "archive/")) == 1_002


@pytest.mark.parametrize(("arguments", "seconds"), [([], 0.2), (["--rate", "0.5"], 4.0), (["--rate", "1000"], 0.002)])
def test_jobs_come_back_at_a_rate(memory: Backend, clock: ManualClock, arguments: list[str], seconds: float) -> None:
    """The first one at once; those that are skipped do not wait."""
    failed(memory, "job-1", "job-2", "job-3", "job-4")
    retry(memory, standing(memory, "job-2"))
    Ran(memory, *arguments)
    assert clock.now() - START == pytest.approx(seconds, abs=1e-6)


def test_a_dry_run_does_not_wait(memory: Backend, clock: ManualClock) -> None:
    """It sends nothing that could flood anybody."""
    failed(memory, "job-1", "job-2")
    Ran(memory, "--dry-run", "--rate", "0.01")
    assert clock.now() == START


# Others at the same time


@pytest.mark.parametrize("operation", ["GetObject", "SendMessage", "UpdateItem"])
@pytest.mark.parametrize("other", ["redrive", "retry"])
def test_two_at_a_time_start_one_run(cloud: Cloud, operation: str, other: str) -> None:
    """Two redrives, or a redrive and a retry by the job's owner: whoever is later finds the run of the other."""
    using = cloud.backend
    failed(using, "job-1")
    before = standing(using)

    def meanwhile() -> None:
        if other == "redrive":
            assert Ran(using).lines[-1] == "1 job queued"
        else:
            retry(using, before)

    wire = {"GetObject": cloud.s3, "SendMessage": cloud.sqs, "UpdateItem": cloud.dynamodb}[operation]
    wire.meanwhile(operation, meanwhile, skip=operation == "GetObject")
    ran = Ran(using)
    assert (ran.status, ran.lines[-1], standing(using).status) == (0, "1 job queued", Status.QUEUED)
    works = Works()
    for _ in range(3):
        works.drain(using)
        cloud.clock.advance(3_600)
    assert (works.ran, standing(using).status) == (["job-1"], Status.COMPLETED)


# Services that do not answer


def test_a_service_that_comes_back_is_waited_for(cloud: Cloud) -> None:
    """Each of the three may be away for some seconds."""
    failed(cloud.backend, "job-1")
    for wire, operation in ((cloud.s3, "GetObject"), (cloud.dynamodb, "GetItem"), (cloud.sqs, "SendMessage")):
        wire.cut(operation, times=7)
    ran = Ran(cloud.backend)
    assert (ran.status, ran.lines[-1]) == (0, "1 job queued")


@pytest.mark.parametrize(
    ("service", "operation"), [("s3", "GetObject"), ("dynamodb", "GetItem"), ("sqs", "SendMessage")]
)
def test_a_job_that_cannot_be_reached_does_not_stop_the_others(cloud: Cloud, service: str, operation: str) -> None:
    """It is told of and counted, and the exit status says that something is missing."""
    failed(cloud.backend, "job-1", "job-2")
    getattr(cloud, service).refuse(operation, "AccessDenied", status=403, times=1)
    ran = Ran(cloud.backend)
    assert ran.status == 1
    (unreached,) = [line for line in ran.lines[:2] if "unreached: " in line]
    assert unreached.endswith("did not take the request (AccessDenied)")
    assert (ran.lines[2], ran.lines[3][:16]) == ("1 job queued", "1 job unreached:")
    assert sorted(run for _, run in statuses(cloud.backend, "job-1", "job-2")) == [1, 2]
    assert Ran(cloud.backend).status == 0
    assert [status for status, _ in statuses(cloud.backend, "job-1", "job-2")] == [Status.QUEUED] * 2


def test_an_archive_that_cannot_be_listed_is_said(cloud: Cloud) -> None:
    """With what was done until then."""
    failed(cloud.backend, "job-1")
    cloud.s3.refuse("ListObjectsV2", "AccessDenied", status=403, skip=1)
    ran = Ran(cloud.backend)
    assert (ran.status, ran.lines[-2:]) == (
        1,
        [
            "1 job queued",
            "ended early, since the archive could not be listed: S3 did not take the request (AccessDenied)",
        ],
    )


# Ctrl-C


def interrupted(clock: ManualClock, *seconds: float) -> None:
    """Press Ctrl-C after so many seconds."""
    for moment in seconds:
        clock.call_later(moment, lambda: signal.raise_signal(signal.SIGINT))


def test_an_interrupt_ends_with_the_summary(memory: Backend, clock: ManualClock) -> None:
    """No job is begun any more, though the next one would have been due in a minute; Ctrl-C is what it was again."""
    before = signal.getsignal(signal.SIGINT)
    failed(memory, "job-1", "job-2")
    interrupted(clock, 0.5)
    ran = Ran(memory, "--rate", "0.01")
    assert (ran.status, ran.lines[-2:]) == (130, ["1 job queued", "interrupted"])
    assert [run for _, run in statuses(memory, "job-1", "job-2")] == [2, 1]
    assert clock.now() - START < 1
    Ran(memory)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_ends_a_dry_run(cloud: Cloud) -> None:
    """However many letters there still are to look at."""
    failed(cloud.backend, "job-1", "job-2")
    cloud.dynamodb.meanwhile("GetItem", lambda: signal.raise_signal(signal.SIGINT))
    ran = Ran(cloud.backend, "--dry-run")
    assert (ran.status, ran.lines[1:]) == (130, ["1 job would be queued", "interrupted"])


def test_the_job_at_hand_is_finished_first(cloud: Cloud) -> None:
    """An interrupt between its message and its record would leave a message for nobody."""
    failed(cloud.backend, "job-1", "job-2")
    cloud.sqs.meanwhile("SendMessage", lambda: signal.raise_signal(signal.SIGINT))
    ran = Ran(cloud.backend)
    assert (ran.status, ran.lines[-2:]) == (130, ["1 job queued", "interrupted"])
    assert statuses(cloud.backend, "job-1") == [(Status.QUEUED, 2)]


def test_a_second_interrupt_ends_at_once(cloud: Cloud) -> None:
    """Here a service keeps the command waiting; the summary is given all the same."""
    failed(cloud.backend, "job-1")
    cloud.sqs.cut("SendMessage")
    interrupted(cloud.clock, 1, 2)
    ran = Ran(cloud.backend)
    assert (ran.status, ran.lines) == (130, ["no job was found", "interrupted"])
    assert cloud.clock.now() - START < 4


# What is printed


def test_json_lines_have_everything(stores: Backend) -> None:
    """One object for each job, and one behind them."""
    failed(stores, "job-1")
    first, last = map(json.loads, Ran(stores, "--json").lines)
    assert first == {
        "owner": OWNER,
        "job": "job-1",
        "run": 1,
        "task": FIRST,
        "archived": timestamp(START),
        "reason": "job-1 is broken",
        "error": "Discard",
        "outcome": "queued",
        "why": "run 2",
    }
    assert last == {"summary": [{"outcome": "queued", "why": "", "jobs": 1}], "unreadable": 0, "ended": ""}


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_reasons_of_earlier_versions_are_masked(memory: Backend, options: tuple[str, ...]) -> None:
    """What was archived before reasons were masked is so when it is printed; the id is as it has to be given."""
    letter(memory, envelope(job_id="378-05-1121"), reason="no mailbox for ada@example.com")
    told = "\n".join(Ran(memory, "--dry-run", *options).lines)
    assert ("no mailbox for [EMAIL]" in told, "ada@" in told, "378-05-1121" in told) == (True, False, True)


def test_a_reason_cannot_steer_the_terminal(memory: Backend) -> None:
    """It may quote what a user sent: control characters are shown as such, and it is one short line."""
    letter(memory, envelope(), reason=f"\x1b[2J\nlong \u202e{'x' * 200}", error="")
    (line, _) = Ran(memory, "--dry-run").lines
    assert line == (f"job-1  core_first  -  \ufffd[2J long \ufffd{'x' * 88}…  would be queued: run 1 has failed")


# Usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "core_frist"], "--task core_frist: "),
        (["--since", "yesterday"], "'yesterday' is neither a time like 2026-11-22T14:00 nor an age like 30m, 2h or 3d"),
        (["--since", "9" * 30 + "d"], "is neither a time"),
        (["--since", "h"], "is neither a time"),
        (["--limit", "0"], "'0' is not a number from 1 up"),
        (["--limit", "-1"], "'-1' is not a number from 1 up"),
        (["--rate", "0"], "'0' is not a number above 0"),
        (["--rate", "nan"], "'nan' is not a number above 0"),
        (["--rate", "inf"], "'inf' is not a number above 0"),
        (["--rate", "fast"], "'fast' is not a number above 0"),
        (["--tasks", "no_such_module"], "put their folder on PYTHONPATH, or name another module: --tasks MODULE"),
        (["--dry"], "unrecognized arguments: --dry"),
        (["job-1"], "unrecognized arguments: job-1"),
    ],
)
def test_wrong_usage_is_said(
    memory: Backend, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Before anything is done, with exit status 2."""
    failed(memory, "job-1")
    with pytest.raises(SystemExit) as ended:
        Ran(memory, *arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert statuses(memory, "job-1") == [(Status.FAILED, 1)]


def test_a_task_that_is_misspelt_gets_the_list(memory: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer of nothing found would be taken for good news."""
    with pytest.raises(SystemExit):
        Ran(memory, "--task", "core_frist")
    assert "core_first, " in capsys.readouterr().err


# Where the settings come from


@pytest.fixture
def environment() -> Iterator[None]:
    """Give the variables back as they were: the command sets its own."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def variables(cloud: Cloud) -> dict[str, str]:
    return {
        "AFTERWARD_JOBS_TABLE": TABLE,
        "AFTERWARD_BUCKET": BUCKET,
        "AFTERWARD_DEAD_LETTER_QUEUE": cloud.urls[DEAD],
        "AFTERWARD_QUEUE_CORE_FIRST": FIRST,
        "AFTERWARD_LISTING_SHARDS": "4",
    }


def deploy(told: dict[str, str]) -> None:
    """Create a stack with one function, which has these variables."""
    role = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}}
    function = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"ZipFile": "def handler(event, context): ..."},
        "Environment": {"Variables": told},
    }
    resources = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": role},
        "DeadLetter": {"Type": "AWS::Lambda::Function", "Properties": function},
    }
    client("cloudformation").create_stack(
        StackName="deployed", TemplateBody=json.dumps({"Resources": resources}), Capabilities=["CAPABILITY_IAM"]
    )


def test_a_stack_tells_the_settings(cloud: Cloud, environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them: what stands in the variables of the terminal does not count then."""
    failed(cloud.backend, "job-1")
    deploy(variables(cloud) | {"SMTP_PASSWORD": "secret"})
    monkeypatch.setenv("AFTERWARD_STORE", "memory")
    monkeypatch.setenv("AFTERWARD_QUEUE_CORE_SECOND", "elsewhere")
    ran = Ran(None, "--stack", "deployed")
    assert (ran.status, ran.lines[-1]) == (0, "1 job queued")
    assert statuses(cloud.backend, "job-1") == [(Status.QUEUED, 2)]
    assert not {"AFTERWARD_STORE", "AFTERWARD_QUEUE_CORE_SECOND", "SMTP_PASSWORD"} & {*os.environ}


def test_the_variables_tell_the_settings(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no stack is named; a task without a queue costs only its own jobs."""
    failed(cloud.backend, "job-1")
    letter(cloud.backend, envelope(SECOND, "job-2"))
    for name, value in variables(cloud).items():
        monkeypatch.setenv(name, value)
    ran = Ran(None)
    assert ran.lines[0].endswith("queued as run 2")
    assert ran.lines[1].endswith(
        "refused: task 'core_second' has no queue here: AFTERWARD_QUEUE_CORE_SECOND is not set"
    )


def no_stack(_cloud: Cloud) -> list[str]:
    return ["--stack", "nowhere"]


def no_function(cloud: Cloud) -> list[str]:
    deploy(variables(cloud))
    return ["--stack", "deployed", "--function", "Typo"]


def no_variables(_cloud: Cloud) -> list[str]:
    deploy({})
    return ["--stack", "deployed"]


def no_settings(_cloud: Cloud) -> list[str]:
    return []


def in_process(_cloud: Cloud) -> list[str]:
    os.environ["AFTERWARD_STORE"] = "memory"
    return []


def no_region(_cloud: Cloud) -> list[str]:
    del os.environ["AWS_DEFAULT_REGION"]
    return ["--stack", "deployed"]


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (no_stack, "--stack nowhere: An error occurred (ValidationError) when calling the DescribeStackResource"),
        (no_function, "--stack deployed: An error occurred"),
        (no_variables, "environment variable AFTERWARD_JOBS_TABLE is not set"),
        (no_settings, "--stack NAME takes them all from a deployed stack"),
        (in_process, "AFTERWARD_STORE=memory: such jobs live in the process that runs them"),
        (no_region, "--stack deployed: You must specify a region."),
    ],
)
def test_settings_that_cannot_be_had_are_said(
    cloud: Cloud,
    environment: None,
    capsys: pytest.CaptureFixture[str],
    prepare: Callable[[Cloud], list[str]],
    said: str,
) -> None:
    """As wrong usage, in words that say what to do."""
    with pytest.raises(SystemExit) as ended:
        Ran(None, *prepare(cloud))
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_nothing_else_imports_the_command() -> None:
    """A function's start does not pay for what only operators use."""
    library = Path(redrive.__file__).parent
    users = [
        path.name
        for path in library.rglob("*.py")
        if re.search(r"afterward\.(redrive|letters) import|afterward import (redrive|letters)", path.read_text())
    ]
    assert users == ["redrive.py"]


def test_the_guide_names_the_permissions(cloud: Cloud) -> None:
    """Whatever redriving a chain, a single job and a large one asks of the services."""
    last = link(THIRD, "job-3", even_if_failed=True)
    letter(cloud.backend, envelope(job_id="job-1", rest=[link(SECOND, "job-2"), last], links=3))
    letter(cloud.backend, envelope(job_id="job-4"))
    letter(cloud.backend, envelope(job_id="job-5", arguments={"text": "x" * MESSAGE_LIMIT}))
    for wire in (cloud.s3, cloud.dynamodb, cloud.sqs):
        wire.sent.clear()
    assert Ran(cloud.backend).lines[-1] == "3 jobs queued"
    asked = [
        *(f"s3:{one}" for one in cloud.s3.counts),
        *(f"dynamodb:{one}" for one in cloud.dynamodb.counts),
        *(f"sqs:{one}" for one in cloud.sqs.counts),
    ]
    # What the two operations that are no actions of their own need.
    needed = {"s3:ListObjectsV2": "s3:ListBucket", "dynamodb:TransactWriteItems": "dynamodb:PutItem"}
    guide = Path(__file__).parents[2] / "docs" / "operations.md"
    told = re.findall(r"`((?:s3|dynamodb|sqs):\w+)`", guide.read_text())
    assert sorted({needed.get(one, one) for one in asked}) == sorted(told)
