"""How a file is divided: first by bytes, then, when it is known where records begin, into chunks of whole ones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import catalog
from afterward import Children, Discard, Progress
from csv_pipeline.engine import Engine
from csv_pipeline.layout import HEAD, Layout, layout_of
from csv_pipeline.objects import Objects, Segment
from csv_pipeline.scan import Scanner, divided
from csv_pipeline.work import Plan, Share, Span, Work
from row_schemas import SCHEMAS

CHUNK = 67_108_864
"""Bytes of a chunk at least: some seconds of work, against which a job's own cost is small."""

MOST_CHUNKS = 9_500
"""Of a file so large that chunks grow: an upload has 10,000 parts at most, and a job 10,000 children."""

LARGEST = 5_000_000_000_000
"""Bytes of a file: its chunks have 526 MB, which must not take a job its 15 minutes."""

SPAN = 1_073_741_824
"""Bytes that one job scans at least."""

MOST_SPANS = 1_000

AT_HAND = 268_435_456
"""Bytes of a file that is scanned where it is divided: to hand it to others would take longer."""


def spans_of(  # noqa: PLR0913 - sizes by name, with defaults
    start: int, size: int, *, chunk: int = CHUNK, span: int = SPAN, chunks: int = MOST_CHUNKS, spans: int = MOST_SPANS
) -> tuple[Span, ...]:
    """Divide the bytes behind the header into ranges to scan, and name where in them chunks should begin.

    `chunk` and `span` are sizes that grow where there would be more than `chunks` or `spans` of them.
    """
    chunk = max(chunk, -(-(size - start) // chunks))
    # A whole number of chunks, so that no two ranges share one.
    span = -(-max(span, -(-(size - start) // spans)) // chunk) * chunk
    return tuple(
        Span(first, min(first + span, size), tuple(range(first, min(first + span, size), chunk)))
        for first in range(start, size, span)
    )


def planned(objects: Objects, source: Segment, rows: str) -> Plan:
    """Look at a file's beginning; raise errors.Discard where it is none that can be read."""
    if source.size > LARGEST:
        raise Discard(f"The file has more than {LARGEST // 10**12} TB; divide it.")
    layout = layout_at(objects, source)
    return Plan(source=source, rows=rows, layout=layout, spans=spans_of(layout.start, source.size))


def layout_at(objects: Objects, source: Segment, encoding: str = "utf-8") -> Layout:
    head = b"".join(objects.read(replace(source, end=min(HEAD, source.size))))
    return layout_of(head, whole=source.size <= HEAD, encoding=encoding)


def scan(objects: Objects, plan: Plan, number: int) -> dict[str, Any]:
    """Scan one range of a file."""
    span = plan.spans[number]
    scanner = Scanner(span.start, span.end, span.marks, plan.layout.delimiter)
    for piece in objects.read(replace(plan.source, start=span.start, end=span.end)):
        scanner.feed(piece)
    return scanner.scanned()


def shared(objects: Objects, plan: Plan, scans: Sequence[dict[str, Any]]) -> Share:
    """Put the scans together; the header is read again where the whole file says that it is in another encoding."""
    division = divided(scans, plan.layout.first_row)
    same = division.encoding == plan.layout.encoding
    layout = plan.layout if same else layout_at(objects, plan.source, division.encoding)
    return Share(source=plan.source, rows=plan.rows, layout=layout, division=division)


def fan_out(work: Work, share: Share, children: Children, progress: Progress) -> None:
    """Leave what the chunks' jobs need, add these side by side, and report how many rows there are."""
    Engine(share.layout, SCHEMAS[share.rows])  # refuses a header that does not fit, before anything is processed
    work.save_share(share)
    group, chunks = children.group(), len(share.division.chunks)
    for number in range(chunks):
        group.add_task(catalog.process_csv_chunk, number)
    progress.report(0, share.division.rows, f"Divided into {chunks} chunk{'s' * (chunks != 1)}")
