"""What a CSV file of any size takes: jobs, requests, time and dollars, from this project's own division of it.

`python benchmarks/csv_scale.py --rate 40` runs the file's jobs through a simulation of Lambda and SQS. How a file is
divided and which items a job writes are asked of the code that does it; `--rate` (MB/s of one chunk's job, by
`benchmarks/csv_pipeline.py`) and the figures below are measured or AWS's own. docs/scale.md says what it means.
"""

import argparse
import heapq
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("layers/afterward", "layers/catalog", "layers/csv_pipeline")]

from afterward.envelope import Envelope
from afterward.handover import seats
from csv_pipeline.dividing import AT_HAND, spans_of
from csv_pipeline.work import AT_ONCE

MB = 1_000_000
PART = 16 * 1_048_576

OVERHEAD = 0.25
"""Seconds of a job besides its work: claim, plan, outcome, end. Measured against moto 0.05, with 10 ms a call 0.15."""

COLD = 0.9
"""Seconds that a worker's first job waits for its environment (benchmarks/cold_start.py)."""

STREAM = 85.0
"""MB/s of one connection to S3: "85-90 MB/s", https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html"""

COPY = 100.0
"""MB/s of a copy inside S3, each; AT_ONCE of them run side by side."""

CONCURRENCY = 100
"""MaximumConcurrency of scan_csv and process_csv_chunk in template.yaml."""

FIRST_WORKERS, MORE_WORKERS = 5, 300
"""SQS: five batches at once in the beginning, 300 more each minute.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
"""

GIB_SECOND, LAMBDA_REQUEST = 1.66667e-5, 2e-7
S3_WRITE, S3_READ = 5e-6, 4e-7
DYNAMODB_WRITE, SQS_REQUEST = 6.25e-7, 4e-7
S3_GB_DAY = 0.023 / 30
"""Dollars in us-east-1, x86: aws.amazon.com/{lambda,s3,dynamodb,sqs}/pricing, read 2026-11."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one job takes: seconds, GiB of memory, and requests."""

    seconds: float
    memory: float
    writes: int
    reads: int


@dataclass(slots=True)
class Stage:
    """Jobs side by side: when they end, and what they ask for."""

    name: str
    jobs: Sequence[Cost]
    ends: list[float] = field(default_factory=list)
    took: float = 0.0

    def run(self) -> None:
        """Give each job to the first worker that is free; there are more of them as time goes on."""
        workers = [COLD] * min(FIRST_WORKERS, len(self.jobs))
        heapq.heapify(workers)
        joined = len(workers)
        for job in self.jobs:
            while joined < CONCURRENCY and (joined - FIRST_WORKERS) * 60 / MORE_WORKERS + COLD < workers[0]:
                heapq.heappush(workers, (joined - FIRST_WORKERS) * 60 / MORE_WORKERS + COLD)
                joined += 1
            end = heapq.heappop(workers) + job.seconds
            self.ends.append(end)
            heapq.heappush(workers, end)
        self.took = max(self.ends, default=0.0)

    @property
    def dollars(self) -> float:
        return sum(
            one.seconds * one.memory * GIB_SECOND
            + LAMBDA_REQUEST
            + one.writes * S3_WRITE
            + one.reads * S3_READ
            + (5 + math.ceil(one.seconds)) * DYNAMODB_WRITE  # put (2 units), claim, end, join; progress once a second
            + 3 * SQS_REQUEST
            for one in self.jobs
        )


def stages_of(size: float, rate: float) -> Iterator[Stage]:
    """Yield the stages of a file of `size` bytes, as the pipeline's functions go through them."""
    spans = spans_of(0, int(size))
    chunks = [
        min(end, span.end) - start
        for span in spans
        for start, end in zip(span.marks, (*span.marks[1:], span.end), strict=True)
    ]
    scanning = [Cost(OVERHEAD + (one.end - one.start) / MB / STREAM, 1.73, 1, 2) for one in spans]
    if size <= AT_HAND:
        yield Stage("process_csv", [Cost(OVERHEAD + size / MB / STREAM, 1.73, 1, 4)])
    else:
        yield Stage("process_csv", [Cost(OVERHEAD, 1.73, 1, 3)])
        yield Stage("scan_csv", scanning)
        yield Stage("split_csv", [Cost(OVERHEAD + len(spans) / AT_ONCE * 0.03, 1.0, 1, 1 + len(spans))])
    yield Stage("process_csv_chunk", [_chunk(one, rate) for one in chunks])
    copying = math.ceil(len(chunks) / AT_ONCE) * (chunks[0] / MB / COPY + 0.05)
    yield Stage(
        "merge_csv", [Cost(OVERHEAD + copying + len(chunks) / AT_ONCE * 0.03, 1.0, 8 + len(chunks), 4 + len(chunks))]
    )


def _chunk(size: float, rate: float) -> Cost:
    parts = math.ceil(size / PART)
    # The parts, what begins and ends their upload, rejects, outcome; plan, range, list of parts.
    return Cost(OVERHEAD + size / MB / min(rate, STREAM), 1.73, parts + 4, 3)


def hottest(stage: Stage) -> tuple[float, float]:
    """Return the most writes a second to one item of a join, and the most of S3's requests to one prefix."""
    writes: Counter[tuple[str, int]] = Counter()
    requests: Counter[int] = Counter()
    size = len(stage.jobs)
    for number, (job, end) in enumerate(zip(stage.jobs, stage.ends, strict=True)):
        member = Envelope(id="", task="", arguments={}, owner="o", created="", join="j", member=number, members=size)
        own, _ = next(seats(member))
        writes[own.key, int(end)] += 1
        requests[int(end)] += job.writes + job.reads
    return max(writes.values(), default=0), max(requests.values(), default=0)


def report(label: str, size: float, rows: float, rate: float) -> None:
    stages = [*stages_of(size, rate)]
    for stage in stages:
        stage.run()
    wall, chunks = sum(stage.took for stage in stages), stages[-2]
    dollars = sum(stage.dollars for stage in stages)
    kept = 2 * size / 1e9 * S3_GB_DAY  # the parts until the file is joined, and the results, for a day
    item, requests = hottest(chunks)
    print(
        f"{label:>8} {rows:14,.0f} {len(chunks.jobs):7,} {size / len(chunks.jobs) / 2**20:7.0f} {wall:8,.0f} "
        f"{size / MB / wall:7,.0f} {item:6.0f} {requests:6.0f} {dollars:8.3f} {dollars / size * 1e9:9.5f} {kept:8.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=30.0, help="MB/s of one chunk's job (benchmarks/csv_pipeline.py)")
    parser.add_argument("--row", type=float, default=193.0, help="bytes of a row")
    arguments = parser.parse_args()
    print(f"{arguments.rate:.0f} MB/s a job, {CONCURRENCY} jobs at once, rows of {arguments.row:.0f} bytes\n")
    print(
        f"{'file':>8} {'rows':>14} {'chunks':>7} {'MiB':>7} {'seconds':>8} {'MB/s':>7} {'item/s':>6} {'S3/s':>6} "
        f"{'dollars':>8} {'per GB':>9} {'S3 a day':>8}"
    )
    for label, size in (
        ("10 MB", 1e7),
        ("1 GB", 1e9),
        ("10 GB", 1e10),
        ("100 GB", 1e11),
        ("1 TB", 1e12),
        ("5 TB", 5e12),
    ):
        report(label, size, size / arguments.row, arguments.rate)
    report("10^10", 1e10 * arguments.row, 1e10, arguments.rate)


if __name__ == "__main__":
    main()
