"""How a whole chain is doing, read from the records of its jobs; no record is written for it."""

import dataclasses
import hashlib
import json

from afterward.job import Status
from afterward.records import Record, Records, link_id


def speaking_for_chain(records: Records, first: Record) -> Record:
    """Return the record of a chain's first job as it speaks for all of them.

    `progress` counts the jobs that are final, `message` is the word of the one that it is about, `nonce` changes with
    any of theirs. A job that is alone speaks for itself.
    """
    if not first.links:
        return first
    jobs = _jobs(records, first)
    open_jobs = [one for one in jobs if not one.status.final]
    broken = [one for one in jobs if one.status in {Status.FAILED, Status.CANCELLED}]
    subject = next(iter([*_by_activity(open_jobs), *_by_blame(broken)]), jobs[-1])
    return dataclasses.replace(
        first,
        status=_status(jobs, open_jobs, broken),
        progress=len(jobs) - len(open_jobs),
        total=first.links,
        message=f"{subject.task} ({jobs.index(subject) + 1} of {first.links}): {words(subject)}",
        nonce=hashlib.sha256("".join(one.nonce for one in jobs).encode()).hexdigest()[:32],
        not_before=subject.not_before,
    )


def words(record: Record) -> str:
    """Return what a job says of itself, or what its status says."""
    return record.message or ("Waiting to start" if record.status is Status.QUEUED else "Running")


def _jobs(records: Records, first: Record) -> list[Record]:
    """Return the jobs of a chain in their order. One without a record is queued: its worker will make it."""
    named: dict[str, str] = json.loads(first.named) if first.named else {}
    ids = [named.get(str(number)) or link_id(first.owner, first.chain, number) for number in range(first.links or 1)]
    stands = {first.id: first} | records.get_all(first.owner, [one for one in ids if one != first.id])
    return [stands.get(one) or _unwritten(first, one) for one in ids]


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


def _status(jobs: list[Record], open_jobs: list[Record], broken: list[Record]) -> Status:
    if open_jobs:
        return Status.QUEUED if all(one.untouched for one in jobs) else Status.RUNNING
    if broken:
        return _by_blame(broken)[0].status
    return Status.COMPLETED
