"""What must hold whatever breaks. A ledger hears of every version of every record and of every run of a task's body."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from afterward.job import Status
from afterward.records import Record

FINAL = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


@dataclass(frozen=True, slots=True)
class Step:
    """One job of a chain as the test has added it; neighbours with the same `side` run side by side."""

    id: str
    even_if_failed: bool = False
    side: int = 0


@dataclass(slots=True)
class Body:
    """One run of a task's body: which attempt of which run it was, and when, by the world's own time."""

    job: str
    run: int
    attempt: int
    began: float
    ended: float = float("inf")


@dataclass(slots=True)
class Ledger:
    """Raises AssertionError at the moment at which something is seen that must not be."""

    records: dict[str, Record] = field(default_factory=dict)
    """The last version of each record, by the job's id."""
    bodies: list[Body] = field(default_factory=list)
    _before: dict[str, Sequence[Step]] = field(default_factory=dict)
    _steps: dict[str, Step] = field(default_factory=dict)

    def promise(self, chain: Sequence[Step]) -> None:
        """Note a chain that is about to be asked for, so that its order can be held against what runs."""
        for index, step in enumerate(chain):
            self._steps[step.id] = step
            self._before[step.id] = [one for one in chain[:index] if not step.side or one.side != step.side]

    def saw(self, record: Record) -> None:
        """Take in the next version of a record."""
        old = self.records.get(record.id)
        if old is not None and old.nonce != record.nonce:
            self._follows(old, record)
        self.records[record.id] = record

    def removed(self, job: str) -> None:
        """Take in that a record is gone: a refused request has taken back its own, or one has expired."""
        record = self.records.pop(job)
        assert record.untouched, f"{job} was removed, and it was {record.status}, attempt {record.attempt}"

    def began(self, record: Record, now: float) -> Body:
        """Take in that the body of a job's task begins, under the record as its claim has left it."""
        body = Body(record.id, record.run, record.attempt, now)
        same = [one for one in self.bodies if (one.job, one.run, one.attempt) == (body.job, body.run, body.attempt)]
        assert not same, f"{body.job}: attempt {body.attempt} of run {body.run} began twice"
        assert record.attempt <= record.limit, f"{body.job}: attempt {body.attempt} of {record.limit}"
        self._in_turn(record)
        self.bodies.append(body)
        return body

    def overlaps(self) -> list[tuple[Body, Body]]:
        """Return attempts of one job that ran at the same time."""
        pairs = [(one, other) for index, one in enumerate(self.bodies) for other in self.bodies[:index]]
        return [
            (one, other)
            for one, other in pairs
            if one.job == other.job and one.began < other.ended and other.began < one.ended
        ]

    def settled(
        self,
        accepted: Iterable[str],
        *,
        refused: Iterable[str] = (),
        effects: Mapping[str, int],
        archived: Iterable[tuple[str, int]],
    ) -> None:
        """Check the end, when no message is left.

        `accepted`: jobs that were answered 202. `refused`: jobs of requests that were answered 4xx, or 503 with no send
        that may have arrived. `effects`: how often each job's effect is in the table. `archived`: the jobs and runs
        that the archive holds.
        """
        ran = {body.job for body in self.bodies}
        for job in accepted:
            assert job in self.records, f"{job} was accepted and has no record"
            assert self.records[job].status in FINAL, f"{job} was accepted and is {self.records[job].status}"
            assert not self.records[job].owes, f"{job} still owes: {self.records[job].owes}"
        for job in refused:
            assert job not in ran, f"{job} was refused and ran"
        for job, record in self.records.items():
            assert record.status in FINAL, f"{job} is {record.status} and has no message"
            assert record.status is not Status.COMPLETED or job in ran, f"{job} is completed and never ran"
        for job, count in effects.items():
            done = self.records[job].status is Status.COMPLETED
            assert count == int(done), f"{job} is {self.records[job].status}, and its effect is there {count} times"
        failed = {(job, one.run) for job, one in self.records.items() if one.status is Status.FAILED}
        missing = failed - set(archived)
        assert not missing, f"failed and not archived: {sorted(missing)}"

    def _follows(self, old: Record, new: Record) -> None:
        name = f"{new.id} ({old.status}, run {old.run}, attempt {old.attempt} → {new.status}, {new.run}, {new.attempt})"
        assert new.run >= old.run, f"{name}: its run fell"
        if new.run > old.run:
            assert old.status in FINAL or old.untouched, f"{name}: retried while it was under way"
            return
        assert new.attempt >= old.attempt, f"{name}: its attempt fell"
        assert new.progress >= old.progress, f"{name}: its progress fell from {old.progress} to {new.progress}"
        if old.status in FINAL:
            assert new.status is old.status, f"{name}: a final status changed"
        if new.status is Status.RUNNING and new.attempt == old.attempt:
            assert old.status is Status.RUNNING, f"{name}: runs without a claim"

    def _in_turn(self, record: Record) -> None:
        """The jobs before it are final; where it does not run even if they fail, completed.

        Those of another run have no say: one that was retried since goes on beside it, as does one that the retry of
        this job has left out.
        """
        job, step = record.id, self._steps.get(record.id)
        stand = [self.records.get(one.id) for one in self._before.get(job, ())]
        # What has no record yet may be of a later run, as the children of one that was retried are.
        run = max((one.run for one in stand if one is not None), default=1)
        for one, stands in zip(self._before.get(job, ()), stand, strict=True):
            if (stands.run if stands else run) != record.run:
                continue
            status = stands.status if stands else None
            assert status in FINAL, f"{job} runs, and {one.id} before it is {status}"
            if step is not None and not step.even_if_failed:
                assert status is Status.COMPLETED, f"{job} runs, although {one.id} is {status}"
