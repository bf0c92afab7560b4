"""The worker of catalog.process_csv_chunk."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import catalog
from afterward import Chain, Depends, Progress, injected
from csv_pipeline.engine import REJECTS_HEADER, Engine, Processed
from csv_pipeline.objects import Objects, Writer, bucket_objects
from csv_pipeline.scan import Chunk, TooLong, records
from csv_pipeline.work import Outcome, Share, Work
from row_schemas import SCHEMAS

COUNTS = ("kept", "rejected", "blank")
COLUMNS = ("masked", "neutralised", "problems")


def process(
    number: catalog.RangeNumber,
    *,
    chain: Chain = injected,
    progress: Progress = injected,
    objects: Annotated[Objects, Depends(bucket_objects, scope="environment")] = injected,
) -> None:
    """Process the chunk block by block, so that memory is the same for a chunk of any size.

    Each attempt writes parts of its own; the outcome, which names them, comes last and replaces that of another.
    """
    work = Work(objects, chain)
    share = work.share()
    engine = Engine(share.layout, SCHEMAS[share.rows])
    chunk, parts = share.division.chunks[number], f"parts/{number:05}-{uuid.uuid4().hex}"
    tally = _Tally()
    with (
        Writer(objects, work.key(f"{parts}/clean.csv"), "text/csv") as clean,
        Writer(objects, work.key(f"{parts}/rejects.csv"), "text/csv") as rejects,
    ):
        if number == 0:
            clean.write(engine.header)
            rejects.write(REJECTS_HEADER)
        for processed in _processed(objects, share, chunk, engine):
            clean.write(processed.clean)
            rejects.write(processed.rejects)
            tally.add(processed)
            progress.report(tally.rows, chunk.rows, f"{tally.rows:,} of {chunk.rows:,} rows")
        outcome = Outcome(
            clean=clean.close(),
            rejects=rejects.close(),
            counts=dict(tally.counts),
            columns={name: dict(counts) for name, counts in tally.columns.items()},
        )
    work.save_outcome(number, outcome)


def _processed(objects: Objects, share: Share, chunk: Chunk, engine: Engine) -> Iterator[Processed]:
    row = chunk.first_row
    stream = objects.read(replace(share.source, start=chunk.start, end=chunk.end))
    for block in records(stream, share.layout.delimiter):
        processed = engine.too_long(block.beginning, row) if isinstance(block, TooLong) else engine.process(block, row)
        row += processed.rows
        yield processed


class _Tally:
    def __init__(self) -> None:
        self.rows = 0
        self.counts: Counter[str] = Counter()
        self.columns: dict[str, Counter[str]] = {name: Counter() for name in COLUMNS}

    def add(self, processed: Processed) -> None:
        self.rows += processed.rows
        self.counts.update({name: getattr(processed, name) for name in COUNTS})
        for name, counts in self.columns.items():
            counts.update(getattr(processed, name))


lambda_handler = catalog.process_csv_chunk.worker(process)
