"""What becomes of a column's cells: found out once for each different one, and done to all of them at once."""

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import compress

from afterward.pii.policy import Treatment
from afterward.pii.sieve import is_telling, masked, treated
from csv_pipeline.formulas import neutralised
from csv_pipeline.reading import LOOKED_AT
from csv_pipeline.rows import TEXT, Field

SHOWN = 200
"""Characters of a rejected value."""

_REMEMBERED = 32_768
"""Cells that are remembered from one block to the next, of all columns together."""

_REMEMBERED_CHARACTERS = 4_194_304

_SOME = 1_024
"""Cells that tell of the others in a block."""

_MOST = 0.9


@dataclass(frozen=True, slots=True)
class Written:
    """A column as it is written, and how many of its cells were changed for either reason."""

    cells: Sequence[str]
    masked: int
    neutralised: int


@dataclass(slots=True)
class _Known:
    """What was found out about the cells seen so far; `changed` is what is written for those that do not stay."""

    seen: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    changed: dict[str, str] = field(default_factory=dict)
    masked: set[str] = field(default_factory=set)
    neutralised: set[str] = field(default_factory=set)


class Column:
    """`share`: how much of what all columns may remember is this one's."""

    def __init__(self, name: str, column: Field, *, delimiter: str, share: float) -> None:
        self._name = name
        self._pii = column.pii
        self._check = column.check
        self._scanned = not column.declared
        self._special = f'{delimiter}"\n\r'
        self._share = share
        self._known = _Known()
        self._telling = bool(name) and is_telling(name)

    def learn(self, cells: Sequence[str]) -> Iterable[int]:
        """Find out about the cells that were not seen before, and return the places of those that the field refuses."""
        if _differ(cells):
            self._known = _Known()
            self._learn(cells)
            return self._check.refusing(cells) if self._check else ()
        known, here = self._known, {*cells}
        new = here - known.seen if known.seen else here
        known.seen |= new
        if self._check:
            known.refused.update(self._check.refused(new))
        self._learn(new)
        return _places(known.refused & here, cells)

    def written(self, cells: Sequence[str]) -> Written:
        """Return cells that were learnt as they are written."""
        known = self._known
        if not known.changed:
            return Written(cells, 0, 0)
        masked, risky = known.masked, known.neutralised
        return Written(
            list(map(known.changed.get, cells, cells)),
            sum(map(masked.__contains__, cells)) if masked else 0,
            sum(map(risky.__contains__, cells)) if risky else 0,
        )

    def told(self, cell: str) -> str:
        """Return what is told of a cell, whatever it should have been."""
        cell = cell[:LOOKED_AT]
        told = self._changed([cell]) if self._scanned or self._pii.kind != TEXT.kind else self._sanitised([cell])
        return told.get(cell, cell)[:SHOWN]

    def forget(self) -> None:
        """Forget the cells of a column in which nearly each is another: a set of all of them would not be small."""
        seen = self._known.seen
        if (
            not seen
            or len(seen) > _REMEMBERED * self._share
            or sum(map(len, seen)) > _REMEMBERED_CHARACTERS * self._share
        ):
            self._known = _Known()

    def _learn(self, new: Collection[str]) -> None:
        """Note what is written for each cell: neutralised where it is a formula, and in quotes where it needs them."""
        known, changed = self._known, self._changed(new)
        known.masked |= changed.keys()
        other, risky = self._rewritten([cell for cell in new if cell not in changed] if changed else new)
        known.changed |= other
        known.neutralised |= risky
        if changed:
            other, risky = self._rewritten({*changed.values()})
            known.changed |= {cell: other.get(text, text) for cell, text in changed.items()}
            known.neutralised |= {cell for cell, text in changed.items() if text in risky}

    def _changed(self, new: Collection[str]) -> dict[str, str]:
        """Return what stands in the place of the cells that hold personal data."""
        if self._pii.kind != TEXT.kind:
            return treated(self._pii, new)
        return self._sanitised(new) if self._scanned else {}

    def _sanitised(self, new: Collection[str]) -> dict[str, str]:
        """Where a text says nothing by itself, the name of its column may: as in `afterward.pii.sanitised`."""
        alone = dict(masked(self._pii, new))
        changed = {cell: text for cell, text in alone.items() if text != cell}
        if not self._name:
            return changed
        before = f"{self._name}: "
        named = {f"{before}{cell}": cell for cell in (new if self._telling else alone) if cell and cell not in changed}
        told = ((named[text], other) for text, other in masked(self._pii, named) if other != text)
        return changed | {cell: text.removeprefix(before) for cell, text in told if text.startswith(before)}

    def _rewritten(self, texts: Collection[str]) -> tuple[dict[str, str], AbstractSet[str]]:
        """Return what is written for the texts that do not stay as they are, and those that a spreadsheet would run."""
        joined = "\0".join(["", *texts])
        risky = neutralised(joined)
        special = {text for sign in self._special if sign in joined for text in texts if sign in text}
        return (risky | {text: quoted(risky.get(text, text)) for text in special} if special else risky), risky.keys()


class Masked(Column):
    """A column whose cells all become one placeholder, but for blank ones: nothing has to be remembered of them."""

    def __init__(self, name: str, column: Field, *, delimiter: str, share: float) -> None:
        super().__init__(name, column, delimiter=delimiter, share=share)
        self._placeholder = self._pii("value")
        self._mask = self._rewritten([self._placeholder])[0].get(self._placeholder, self._placeholder)

    def learn(self, cells: Sequence[str]) -> Iterable[int]:
        """Return the places of the cells that the field refuses."""
        if not self._check:
            return ()
        return self._check.refusing(cells) if _differ(cells) else _places({*self._check.refused({*cells})}, cells)

    def written(self, cells: Sequence[str]) -> Written:
        """Return any cells as they are written."""
        same = cells.count(self._placeholder)
        if all(map(str.strip, cells)):
            return Written([self._mask] * len(cells), len(cells) - same, 0)
        blank = {cell for cell in cells if not cell.strip()}
        other, risky = self._rewritten(blank)
        stay = {cell: other.get(cell, cell) for cell in blank}
        return Written(
            [stay.get(cell, self._mask) for cell in cells],
            len(cells) - same - sum(map(blank.__contains__, cells)),
            sum(map(risky.__contains__, cells)),
        )


def column_of(name: str, column: Field, *, delimiter: str, share: float) -> Column:
    """Return what is done to a column."""
    constant = column.pii.kind != TEXT.kind and column.pii.mask == Treatment.MASK
    return (Masked if constant else Column)(name, column, delimiter=delimiter, share=share)


def _differ(cells: Sequence[str]) -> bool:
    """Say whether it would not pay to look for those that are alike."""
    some = cells[:_SOME]
    return len({*some}) > len(some) * _MOST


def _places(wanted: AbstractSet[str], cells: Sequence[str]) -> Iterable[int]:
    return compress(range(len(cells)), map(wanted.__contains__, cells)) if wanted else ()


def quoted(text: str) -> str:
    """Return a cell in quotes, as `csv.writer` puts them around what would else be read as something else."""
    return '"{}"'.format(text.replace('"', '""'))
