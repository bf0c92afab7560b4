"""How a whole chain is doing, read from the records of its jobs; no record is written for it."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from afterward.children import child_id
from afterward.job import Status
from afterward.records import Record, Records, link_id


def speaking_for_chain(records: Records, first: Record) -> Record:
    """Return the record of a chain's first job as it speaks for all of them, and for the children of any.

    `progress` counts the jobs that are final, `message` is the word of the one that it is about, `nonce` changes with
    any of theirs. A job that is alone speaks for itself, and where it has children for these too.
    """
    if not first.links and not first.children:
        return first
    jobs = jobs_of(records, first)
    open_jobs = [one for one in jobs if not one.status.final]
    broken = [one for one in jobs if one.status in {Status.FAILED, Status.CANCELLED}]
    subject = next(iter([*_by_activity(open_jobs), *_by_blame(broken)]), jobs[-1])
    # What a job alone has counted before it had children is not taken back.
    counted = max(0, first.progress - 1) if not first.links else 0
    return dataclasses.replace(
        first,
        status=_status(jobs, open_jobs, broken),
        progress=counted + len(jobs) - len(open_jobs),
        total=counted + len(jobs),
        message=f"{subject.task} ({jobs.index(subject) + 1} of {len(jobs)}): {words(subject)}",
        nonce=hashlib.sha256("".join(one.nonce for one in jobs).encode()).hexdigest()[:32],
        not_before=subject.not_before,
    )


def words(record: Record) -> str:
    """Return what a job says of itself, or what its status says."""
    return record.message or ("Waiting to start" if record.status is Status.QUEUED else "Running")


def jobs_of(records: Records, first: Record) -> list[Record]:
    """Return the jobs of a chain in their order, each with its children behind it, as they run."""
    chain = level = _read(records, first, _ids(first))
    grown: dict[str, list[Record]] = {}
    while parents := [one for one in level if one.children]:
        ids = {one.id: [child_id(one, number) for number in range(one.children or 0)] for one in parents}
        level = _read(records, first, [child for children in ids.values() for child in children])
        found = iter(level)
        grown |= {parent: [next(found) for _ in children] for parent, children in ids.items()}
    return list(_in_order(chain, grown))


def _in_order(jobs: Sequence[Record], grown: Mapping[str, Sequence[Record]]) -> Iterator[Record]:
    waiting = [*reversed(jobs)]
    while waiting:
        yield (one := waiting.pop())
        waiting += reversed(grown.get(one.id, ()))


def _ids(first: Record) -> list[str]:
    if not first.links:
        return [first.id]
    named: dict[str, str] = json.loads(first.named) if first.named else {}
    return [named.get(str(number)) or link_id(first.owner, first.chain, number) for number in range(first.links)]


def _read(records: Records, first: Record, ids: Sequence[str]) -> list[Record]:
    """Return these records in this order. A job without one is queued: its worker will make it."""
    stands = {first.id: first} | records.get_all(first.owner, [one for one in ids if one != first.id])
    return [stands.get(one) or _unwritten(first, one) for one in ids]


def _unwritten(first: Record, job_id: str) -> Record:
    return dataclasses.replace(
        first,
        id=job_id,
        task="next job",
        status=Status.QUEUED,
        nonce="",
        attempt=0,
        message=None,
        links=None,
        children=None,
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
