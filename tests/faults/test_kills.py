"""Real processes under load, killed with `kill -9` wherever they are: what was promised is done all the same, once."""

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from local.cloud import LocalCloud
from tests.stack.waiting import eventually

HERE = Path(__file__).parent
SEED = int(os.environ.get("KILLS_SEED", "20261122"))
LOAD = 20.0
"""Seconds of requests and kills; twice as many on a machine that is too busy for enough of these to meet work."""

ENOUGH = 8
"""Kills that met a worker in the middle of an invocation."""

WORKERS = ("Tally", "Link", "March", "Doomed", "Letters")
STEPS = 24
FULL = {"tally": 1, "chain": 3, "march": STEPS, "doomed": 1}
"""What is counted under a request's name when all its jobs are completed; of a doomed one, the job behind it counts."""

FINAL = {"completed", "failed", "cancelled"}
KILLED = re.compile(r"([\d.]+) ms.*signal: killed")


@dataclass(frozen=True, slots=True)
class Promise:
    """A 202: the request's name, and the jobs that it promises."""

    name: str
    jobs: list[str]

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]


@dataclass(slots=True)
class Client:
    """Posts one request after the other for as long as the load lasts, and repeats those that it may repeat.

    It kills, too, what random kills would hardly hit, since its work is short: in some requests the API's processes,
    and when a job is about to fail, those of the dead letters.
    """

    cloud: LocalCloud
    number: int
    over: threading.Event
    promises: list[Promise] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Requests without a key that got no 202: nothing is promised, and nothing known."""
    repeats: int = 0

    def run(self) -> None:
        choose = random.Random(f"{SEED} {self.number}")  # noqa: S311 - to be the same each time
        with httpx.Client(base_url=self.cloud.url, timeout=25) as http:
            while not self.over.is_set():
                kind = choose.choices([*FULL], weights=[6, 3, 2, 3])[0]
                name = f"{kind}-{UUID(int=choose.getrandbits(128))}"
                keyed, deadly, pause = choose.random() < 0.5, choose.random() < 1 / 6, choose.uniform(0, 0.05)
                if deadly:
                    threading.Timer(pause, kill, [self.cloud, "Front"]).start()
                if kind == "doomed":
                    threading.Timer(choose.uniform(0.2, 0.8), kill, [self.cloud, "Letters"]).start()
                self._ask(http, kind, name, {"Idempotency-Key": name} if keyed else {})
                time.sleep(choose.uniform(0.1, 0.9))

    def _ask(self, http: httpx.Client, kind: str, name: str, key: dict[str, str]) -> None:
        """Ask until it is promised, if there is a key under which that may be repeated."""
        for _ in range(100 if key else 1):
            if promise := self._asked(http, kind, name, key):
                self.promises.append(promise)
                return
            self.repeats += bool(key)
            time.sleep(0.3)
        assert not key, f"{name} is never promised"
        self.refused.append(name)

    def _asked(self, http: httpx.Client, kind: str, name: str, key: dict[str, str]) -> Promise | None:
        with suppress(httpx.TransportError):
            answer = http.post(f"/{kind}/{name}", params={"steps": STEPS} if kind == "march" else {}, headers=key)
            # 409: the first request is being accepted still, or died while it was.
            assert answer.status_code in {202, 409} or answer.status_code >= 500, answer.text
            if answer.status_code == 202:
                return Promise(name, answer.json()["jobs"])
        return None


def kill(cloud: LocalCloud, *functions: str, choose: random.Random | None = None) -> list[int]:
    """Kill the processes of functions, or one of them by chance; return which."""
    pids = [pid for function in functions for pid in cloud.processes(function)]
    chosen = pids if choose is None else [choose.choice(pids)] if pids else []
    for pid in chosen:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return chosen


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is there when all is over."""

    cloud: LocalCloud
    clients: list[Client]
    killed: list[int] = field(default_factory=list)

    @property
    def promises(self) -> list[Promise]:
        return [promise for client in self.clients for promise in client.promises]

    def hits(self, *functions: str) -> int:
        """Return how many kills met one of these in the middle of an invocation."""
        found = [KILLED.match(line.text) for line in self.cloud.logs if line.source in functions]
        return sum(1 for match in found if match and float(match[1]) > 1)

    def records(self) -> dict[str, dict[str, Any]]:
        """Return all records of jobs by their ids, those of requests that were refused included."""
        items = self._scan("JobsTable")
        return {item["pk"]["S"].partition("#")[2]: item for item in items if "status" in item}

    def counts(self) -> dict[str, int]:
        return {item["id"]["S"]: int(item["count"]["N"]) for item in self._scan("CountsTable")}

    def archived(self) -> set[str]:
        """Return the jobs that the archive holds."""
        s3, bucket = self.cloud.client("s3"), self.cloud.resources["Bucket"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="archive/")
        return {one["Key"].split("/")[2] for page in pages for one in page.get("Contents", [])}

    def messages(self) -> dict[str, int]:
        """Return how many messages each queue holds, seen or not."""
        sqs, numbers = self.cloud.client("sqs"), {}
        for name, url in self.cloud.resources.items():
            if name.endswith("Queue"):
                told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
                numbers[name] = sum(int(told[key]) for key in told if key.startswith("ApproximateNumberOfMessages"))
        return numbers

    def _scan(self, table: str) -> list[dict[str, Any]]:
        pages = self.cloud.client("dynamodb").get_paginator("scan").paginate(TableName=self.cloud.resources[table])
        return [item for page in pages for item in page["Items"]]


@pytest.fixture(scope="module")
def aftermath() -> Iterator[Aftermath]:
    """Twenty seconds of load and kills, and then as long as it takes until no message is left."""
    print(f"KILLS_SEED={SEED}")
    choose = random.Random(SEED)  # noqa: S311 - as above
    with LocalCloud(HERE / "app" / "template.yaml", state=HERE.parents[1] / ".local") as cloud:
        began, over = time.monotonic(), threading.Event()
        clients = [Client(cloud, number, over) for number in range(3)]
        threads = [threading.Thread(target=client.run, name=f"client-{client.number}") for client in clients]
        for thread in threads:
            thread.start()
        after = Aftermath(cloud, clients)
        while (lasts := time.monotonic() - began) < LOAD or (after.hits(*WORKERS) < ENOUGH and lasts < 2 * LOAD):
            time.sleep(choose.uniform(0.2, 0.8))
            after.killed.extend(kill(cloud, *WORKERS, choose=choose))
        over.set()
        for thread in threads:
            thread.join()
        eventually(lambda: not any(after.messages().values()), within=90)
        yield after


def test_kills_met_work(aftermath: Aftermath) -> None:
    """Many of the processes were in the middle of something, workers and API alike."""
    hits = {name: aftermath.hits(name) for name in ("Front", *WORKERS)}
    statuses = Counter(one["status"]["S"] for one in aftermath.records().values())
    refused, repeats = sum(len(one.refused) for one in aftermath.clients), sum(one.repeats for one in aftermath.clients)
    print(f"{len(aftermath.killed)} workers killed; in the middle of an invocation: {hits}")
    print(f"{len(aftermath.promises)} requests answered 202, {repeats} repeated, {refused} given up; {dict(statuses)}")
    assert aftermath.hits(*WORKERS) >= ENOUGH
    assert len([name for name in WORKERS if hits[name]]) >= 2
    assert hits["Front"] >= 1
    assert len(aftermath.promises) >= 20
    assert {promise.kind for promise in aftermath.promises} == {*FULL}


def test_every_job_that_was_promised_is_final(aftermath: Aftermath) -> None:
    """So says the API of each, and no other job is left in between either."""
    with httpx.Client(base_url=aftermath.cloud.url, timeout=25) as http:
        for promise in aftermath.promises:
            for job in promise.jobs:
                answer = http.get(f"/tasks/{job}")
                assert (answer.status_code, answer.json()["status"] in FINAL) == (200, True), answer.text
    stuck = {job: item for job, item in aftermath.records().items() if item["status"]["S"] not in FINAL}
    assert not stuck


def test_all_effects_are_there_once(aftermath: Aftermath) -> None:
    """A completed job has counted each of its steps once; a failed one nothing behind its last checkpoint."""
    records, counts = aftermath.records(), aftermath.counts()
    for promise in aftermath.promises:
        done = [records[job]["status"]["S"] == "completed" for job in promise.jobs]
        counted = counts.get(promise.name, 0)
        if promise.kind == "march":
            assert counted == STEPS if done == [True] else counted < STEPS, promise
        else:
            assert counted == sum(done), promise
    for client in aftermath.clients:
        for name in client.refused:
            assert counts.get(name, 0) in {0, FULL[name.partition("-")[0]]}, name


def test_chains_ran_in_order(aftermath: Aftermath) -> None:
    """No link has found another number of links done before it than its place, which would have failed it."""
    reasons = Counter(one["reason"]["S"] for one in aftermath.records().values() if "S" in one.get("reason", {}))
    assert not [reason for reason in reasons if re.match("link .* runs when", reason)]
    records = aftermath.records()
    for promise in aftermath.promises:
        if promise.kind == "chain":
            ended = [records[job]["updated"]["S"] for job in promise.jobs]
            assert ended == sorted(ended), promise


def test_what_failed_is_archived(aftermath: Aftermath) -> None:
    """Each job that was made to fail did, is in the archive and owes nothing; what stands behind it ran."""
    records, archived = aftermath.records(), aftermath.archived()
    failed = {job for job, one in records.items() if one["status"]["S"] == "failed"}
    doomed = [promise for promise in aftermath.promises if promise.kind == "doomed"]
    assert {promise.jobs[0] for promise in doomed} <= failed
    assert failed <= archived
    assert not [job for job in failed if records[job].get("owes", {}).get("S")]
    assert {records[promise.jobs[1]]["status"]["S"] for promise in doomed} == {"completed"}


def test_no_message_is_left(aftermath: Aftermath) -> None:
    """In no queue, whether it can be seen, is in flight or delayed."""
    assert set(aftermath.messages().values()) == {0}
