"""An attempt's hold on its record: every write is refused once the record has moved on without it."""

from typing import Any

from afterward.clock import Clock
from afterward.effects import Batches
from afterward.errors import Stopped, Unavailable
from afterward.patience import patiently
from afterward.records import Record, Records, Written


class Lease:
    """`record` is the version that this attempt wrote last; `lost` what it met when it was refused.

    `batches` are the attempt's effects: a write of a checkpoint commits what is staged.
    """

    def __init__(self, records: Records, clock: Clock, record: Record) -> None:
        self.record = record
        self.lost: Record | None = None
        self.batches = Batches()
        self._records = records
        self._clock = clock
        self._unsure: dict[str, int] = {}

    def write(self, changes: dict[str, Any]) -> None:
        """Write fields, or raise Stopped where somebody else wrote since, or Unavailable where nothing is known.

        BadEffects: what is staged cannot be written, and neither are the fields.
        """
        new = self.record.changed(self._clock.now(), **changes)
        carried, effects = self.batches.staged() if "checkpoint" in changes else (0, ())
        try:
            outcome = self._records.swap(self.record, new, effects)
        except Unavailable:
            self._unsure[new.nonce] = carried
            raise
        if isinstance(outcome, Written):
            self._stands(outcome.record, carried)
            return
        stands = outcome.record
        if stands is not None and stands.nonce in self._unsure:
            # An earlier write of ours whose reply never came: it took place, so the lease is still ours.
            self._stands(stands, self._unsure[stands.nonce])
            self.write(changes)
            return
        self.lost = stands
        raise Stopped(f"the record is {stands.status if stands else 'gone'}")

    def _stands(self, record: Record, carried: int) -> None:
        self.record = record
        self.batches.committed(carried)
        self._unsure.clear()  # all of them were made on the version before this one

    def end(self, changes: dict[str, Any], deadline: float) -> None:
        """Write the attempt's last word, again and again while there is time: the work is done and must be known."""
        patiently(lambda: self.write(changes), self._clock, deadline)
