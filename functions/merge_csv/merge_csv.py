"""The worker of catalog.merge_csv."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import catalog
from afterward import Chain, Children, Depends, Progress, Results, Retry, injected
from csv_pipeline.engine import REJECTS_HEADER, Engine
from csv_pipeline.joining import State, join
from csv_pipeline.objects import Objects, Segment, UploadLost, bucket_objects
from csv_pipeline.work import Outcome, Share, Work
from row_schemas import SCHEMAS

TYPE = "text/csv; charset=utf-8"


def merge(  # noqa: PLR0913 - one is the task's, the others are injected
    user_id: catalog.UserId,
    *,
    chain: Chain = injected,
    children: Children = injected,
    progress: Progress = injected,
    results: Results = injected,
    objects: Annotated[Objects, Depends(bucket_objects, scope="environment")] = injected,
) -> None:
    """Join the parts inside S3. More than fit one invocation go on in the next one, behind those that are done."""
    progress.report(0, message="Merging")
    work = Work(objects, chain)
    share = work.share()
    total = _Total.of(share, work.outcomes(len(share.division.chunks)))
    joints = _Joints(objects, results, progress)
    joints.join("clean.csv", total.clean, Engine(share.layout, SCHEMAS[share.rows]).header)
    joints.join("rejects.csv", total.rejects, REJECTS_HEADER)
    results.store("summary.json", json.dumps(_summary(share, total), indent=2).encode(), "application/json")
    said = f"{total.counts['kept']:,} clean rows, {total.counts['rejected']:,} rejected"
    progress.report(0, message=f"Completed: {said}")
    children.add_task(catalog.send_notification, str(user_id), f"Your CSV file is processed: {said}")


class _Joints:
    """The objects that are joined, and what of them the next attempt needs to know."""

    def __init__(self, objects: Objects, results: Results, progress: Progress) -> None:
        self._objects = objects
        self._results = results
        self._progress = progress
        self._states: dict[str, State] = dict(progress.state or {})

    def join(self, name: str, sources: Sequence[Segment], header: bytes) -> None:
        """Make one result of what the chunks have left; where there was none, of its header."""
        if not sources:
            self._results.store(name, header, TYPE)
            return
        try:
            key = join(
                self._objects,
                self._results.key(name),
                TYPE,
                sources,
                self._states.get(name, {}),
                lambda state: self._save(name, state),
            )
        except UploadLost as lost:
            self._save(name, {})
            raise Retry(f"{lost}; it is begun anew") from None
        self._results.show(name, key)

    def _save(self, name: str, state: State) -> None:
        self._states[name] = state
        self._progress.checkpoint(self._states)


@dataclass(slots=True)
class _Total:
    """What all chunks have left: their parts in order, and what became of the rows."""

    clean: list[Segment] = field(default_factory=list)
    rejects: list[Segment] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    columns: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, share: Share, outcomes: Iterable[Outcome]) -> "_Total":
        """Add up the outcomes, and see that no row was lost."""
        total = cls()
        for outcome in outcomes:
            total.add(outcome)
        if total.counts.total() != share.division.rows:
            raise RuntimeError(f"the file has {share.division.rows} rows, and {total.counts.total()} were processed")
        return total

    def add(self, outcome: Outcome) -> None:
        self.clean.append(outcome.clean)
        self.rejects.append(outcome.rejects)
        self.counts.update(outcome.counts)
        for what, by_column in outcome.columns.items():
            for column, count in by_column.items():
                self.columns.setdefault(column, Counter())[what] += count


def _summary(share: Share, total: _Total) -> dict[str, Any]:
    """Return what became of the rows, and of the columns in which anything was changed or refused."""
    return {
        "rows": {
            "total": share.division.rows,
            "clean": total.counts["kept"],
            "rejected": total.counts["rejected"],
            "blank": total.counts["blank"],
        },
        "columns": total.columns,
        "schema": share.rows,
        "delimiter": share.layout.delimiter,
        "encoding": share.layout.encoding,
    }


lambda_handler = catalog.merge_csv.worker(merge)
