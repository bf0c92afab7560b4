"""How a whole chain is doing, read from the records of its jobs; no record is written for it."""

import dataclasses
import hashlib
import json
from bisect import bisect_left

from afterward.job import Status
from afterward.records import Record, Records, link_id

WINDOW = 100
"""Jobs that are looked at together: what one BatchGetItem reads. Of a longer chain, those around its first open job."""


def speaking_for_chain(records: Records, first: Record) -> Record:
    """Return the record of a chain's first job as it speaks for all of them.

    `progress` counts the jobs that are final, `message` is the word of the one that it is about, `nonce` changes with
    any of theirs. A job that is alone speaks for itself.
    """
    if not first.links:
        return first
    start, jobs = _window(records, first)
    open_jobs = [one for one in jobs if not one.status.final]
    broken = [one for one in jobs if one.status in {Status.FAILED, Status.CANCELLED}]
    subject = next(iter([*_by_activity(open_jobs), *_by_blame(broken)]), jobs[-1])
    return dataclasses.replace(
        first,
        status=_status(jobs, open_jobs, broken, started=start > 0),
        progress=start + len(jobs) - len(open_jobs),
        total=first.links,
        message=f"{subject.task} ({start + jobs.index(subject) + 1} of {first.links}): {words(subject)}",
        nonce=hashlib.sha256("".join(one.nonce for one in jobs).encode()).hexdigest()[:32],
        not_before=subject.not_before,
    )


def words(record: Record) -> str:
    """Return what a job says of itself, or what its status says."""
    return record.message or ("Waiting to start" if record.status is Status.QUEUED else "Running")


def _window(records: Records, first: Record) -> tuple[int, list[Record]]:
    """Return the jobs to look at, and how many come before them, which are final. A job without a record is queued."""
    links = first.links or 1
    ids = _Ids(first, links)
    start = 0
    if links > WINDOW:
        opened = bisect_left(range(links), x=True, key=lambda number: not _final(records, first.owner, ids[number]))
        start = min(max(0, opened - WINDOW // 2), links - WINDOW)
    wanted = [ids[number] for number in range(start, min(links, start + WINDOW))]
    stands = {first.id: first} | records.get_all(first.owner, [one for one in wanted if one != first.id])
    return start, [stands.get(one) or _unwritten(first, one) for one in wanted]


class _Ids:
    """The ids of a chain's jobs by their number, worked out when asked for."""

    def __init__(self, first: Record, links: int) -> None:
        self._first = first
        self._named: dict[str, str] = json.loads(first.named) if first.named else {}
        self._links = links

    def __getitem__(self, number: int) -> str:
        return self._named.get(str(number)) or link_id(self._first.owner, self._first.chain, number)


def _final(records: Records, owner: str, job_id: str) -> bool:
    record = records.get(owner, job_id)
    return record is not None and record.status.final


def _unwritten(first: Record, job_id: str) -> Record:
    return dataclasses.replace(
        first, id=job_id, task="next job", status=Status.QUEUED, nonce="", attempt=0, message=None, links=None
    )


def _by_activity(jobs: list[Record]) -> list[Record]:
    """Put first what runs, then what waits to be tried again, last those whose turn has not come."""
    return sorted(jobs, key=lambda one: (one.status is not Status.RUNNING, one.attempt == 0))


def _by_blame(jobs: list[Record]) -> list[Record]:
    """Put failures before cancellations, which follow from them."""
    return sorted(jobs, key=lambda one: one.status is not Status.FAILED)


def _status(jobs: list[Record], open_jobs: list[Record], broken: list[Record], *, started: bool) -> Status:
    if open_jobs:
        untouched = all(one.untouched for one in jobs)
        return Status.QUEUED if untouched and not started else Status.RUNNING
    if broken:
        return _by_blame(broken)[0].status
    return Status.COMPLETED
