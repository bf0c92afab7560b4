"""How a whole chain is doing, read from the records of its jobs; no record is written for it."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from afterward.children import child_id
from afterward.declaration import REGISTRY
from afterward.job import Status
from afterward.records import Record, Records, link_id
from afterward.results import keys_of


def speaking_for_chain(records: Records, first: Record) -> Record:
    """Return the record of a chain's first job as it speaks for all of them, and for the children of any.

    `progress` counts the jobs that are final, `message` is the word of the one that it is about, `nonce` changes with
    any of theirs. A job that is alone speaks for itself, and where it has children for these too. Where the first task
    has a `unit`, that is counted: see `_in_units`.
    """
    if not first.links and not first.children:
        return first
    jobs = jobs_of(records, first)
    unit = REGISTRY[first.task].unit if first.task in REGISTRY else ""
    spoken = _in_units(first, jobs, unit) if unit else _in_jobs(first, jobs)
    return dataclasses.replace(spoken, nonce=_nonce_of(jobs))


def with_results_of_chain(records: Records, first: Record) -> Record:
    """Return the record of a chain's first job with what the links behind it have left, too.

    What children leave is told by their own records: there may be thousands of them.
    """
    if not first.links:
        return first
    links = _read(records, first, _ids(first))
    keys = {name: key for one in links for name, key in keys_of(one).items()}
    return dataclasses.replace(first, results=json.dumps(keys), nonce=_nonce_of(links))


def _nonce_of(jobs: Sequence[Record]) -> str:
    return hashlib.sha256("".join(one.nonce for one in jobs).encode()).hexdigest()[:32]


def _in_units(first: Record, jobs: Sequence[Record], unit: str) -> Record:
    """Count what the chain's jobs work on: rows, say.

    The job that has divided the work reports how much there is as its `total`; what its children report as `progress`
    is what is done. Until then there is nothing to count.
    """
    divider = next((one for one in jobs if one.total is not None), None)
    shares = _children_among(jobs, divider) if divider else []
    done, total = sum(one.progress for one in shares), divider.total if divider else None
    counted = f"{done:,} of {total:,} {unit}" if divider else words(first)
    message = _told_of_units(jobs, shares, counted)
    return dataclasses.replace(_in_jobs(first, jobs), progress=done, total=total, message=message)


def _told_of_units(jobs: Sequence[Record], shares: Sequence[Record], counted: str) -> str:
    """Return the word of what broke the chain, of what has left the results, or of what is at work; else the count."""
    broken = _by_blame([one for one in jobs if one.broke])
    left = [one for one in jobs if one.results and one.status is Status.COMPLETED]
    if broken or left:
        return words(next(iter(broken or left)))
    subject = _subject(jobs)
    return counted if subject in shares or subject.untouched else words(subject)


def _children_among(jobs: Sequence[Record], parent: Record) -> list[Record]:
    ids = {child_id(parent, number) for number in range(parent.children or 0)}
    return [one for one in jobs if one.id in ids]


def _subject(jobs: Sequence[Record]) -> Record:
    """Return the job that there is most to say of: one that runs, else one that broke the chain, else the last."""
    open_jobs = [one for one in jobs if not one.status.final]
    broken = [one for one in jobs if one.broke]
    return next(iter([*_by_activity(open_jobs), *_by_blame(broken)]), jobs[-1])


def _in_jobs(first: Record, jobs: Sequence[Record]) -> Record:
    open_jobs = [one for one in jobs if not one.status.final]
    subject = _subject(jobs)
    # What a job alone has counted before it had children is not taken back.
    counted = max(0, first.progress - 1) if not first.links else 0
    return dataclasses.replace(
        first,
        status=_status(jobs, open_jobs),
        progress=counted + len(jobs) - len(open_jobs),
        total=counted + len(jobs),
        message=f"{subject.task} ({jobs.index(subject) + 1} of {len(jobs)}): {words(subject)}",
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


def _by_activity(jobs: Sequence[Record]) -> list[Record]:
    """Put first what runs, then what waits to be tried again, last those whose turn has not come."""
    return sorted(jobs, key=lambda one: (one.status is not Status.RUNNING, one.attempt == 0))


def _by_blame(jobs: Sequence[Record]) -> list[Record]:
    """Put failures before cancellations, which follow from them."""
    return sorted(jobs, key=lambda one: one.status is not Status.FAILED)


def _status(jobs: Sequence[Record], open_jobs: list[Record]) -> Status:
    if open_jobs:
        return Status.QUEUED if all(one.untouched for one in jobs) else Status.RUNNING
    broken = [one for one in jobs if one.broke]
    return _by_blame(broken)[0].status if broken else Status.COMPLETED
