"""What must hold in a world at rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from afterward.job import Status
from afterward.memory import MemoryBlobs, MemoryRecords
from tests.faults.ledger import Ledger
from tests.faults.world_orders import Order
from tests.faults.world_tasks import IN_PARTS, ITEMS, WITH_EFFECTS

SOON = 4_000
"""Seconds within which a reservation that nobody has confirmed is gone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`children` are the jobs that jobs have added, `did` what the last body of a job was asked to do."""

    ledger: Ledger
    orders: Sequence[Order]
    records: MemoryRecords
    blobs: MemoryBlobs
    children: dict[str, list[str]] = field(default_factory=dict)
    did: dict[str, str] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)

    def pass_on(self, now: float) -> None:
        """Raise AssertionError for what is not as it must be."""
        self._forget_reservations(now)
        ends, jobs = self._counts("ends"), self.ledger.records
        self.ledger.settled(
            self.promised(),
            effects={job: ends.get(job, 0) for job in jobs if jobs[job].task in WITH_EFFECTS},
            archived=self._archived(),
        )
        self._check_items()
        self._check_orders()

    def promised(self) -> list[str]:
        """Return the jobs that were answered 202, and all that they have added."""
        found = [job for order in self.orders if order.accepted for job in order.ids]
        for job in found:
            found += self.children.get(job, [])
        return found

    def unfinished(self) -> dict[str, int]:
        """Return those of them that did not complete, with their runs."""
        records = ((job, self.ledger.records[job]) for job in self.promised())
        return {job: record.run for job, record in records if record.status is not Status.COMPLETED}

    def _forget_reservations(self, now: float) -> None:
        """Leave out what requests have put before a message that they never sent: that expires by itself."""
        for job in [job for order in self.orders if not order.accepted for job in order.ids]:
            record = self.ledger.records.get(job)
            if record is not None and record.untouched and record.expires < now + SOON:
                del self.ledger.records[job]

    def _check_items(self) -> None:
        counts = self._counts("items")
        for job, record in self.ledger.records.items():
            done = [counts.get(f"{job} {number}", 0) for number in range(ITEMS)]
            assert max(done) <= 1, f"{job}: items counted {done}"
            complete = record.task in IN_PARTS and record.status is Status.COMPLETED
            assert not complete or done == [1] * ITEMS, f"{job} is completed, and its items counted {done}"

    def _check_orders(self) -> None:
        """What was refused has not run, and what was accepted is what has run under its ids."""
        for order in self.orders:
            ran = [wish.text for wish in order.wishes if wish.text in self.ran]
            assert not order.refused or not ran, f"{order.name} was refused, and ran: {ran}"
            for job, wish in zip(order.ids, order.wishes, strict=True):
                did = self.did.get(job, wish.text)
                assert not order.accepted or did == wish.text, f"{order.name} was accepted, and {job} did {did}"

    def _counts(self, table: str) -> Mapping[str, int]:
        return {item["id"]: int(item["n"]) for item in self.records.tables.get(table, {}).values()}

    def _archived(self) -> set[tuple[str, int]]:
        found = (key.removesuffix(".json").split("/") for key in self.blobs.objects if key.startswith("archive/"))
        return {(job, int(run)) for _, _, job, run in found}
