"""The worker of catalog.process_csv."""

from dataclasses import replace
from typing import Annotated

import catalog
from afterward import Chain, Children, Depends, Progress, injected
from csv_pipeline.dividing import AT_HAND, fan_out, planned, scan, shared
from csv_pipeline.layout import HEAD
from csv_pipeline.objects import Objects, Segment, Writer, bucket_objects
from csv_pipeline.packing import packing_of
from csv_pipeline.work import Work


def divide(  # noqa: PLR0913 - three are the task's, the others are injected
    user_id: catalog.UserId,  # noqa: ARG001 - for whom; the file belongs to the job, and with it to its owner
    upload: catalog.ObjectKey,
    rows: catalog.RowSchema,
    *,
    chain: Chain = injected,
    children: Children = injected,
    progress: Progress = injected,
    objects: Annotated[Objects, Depends(bucket_objects, scope="environment")] = injected,
) -> None:
    """Find out how the file is written. A small one is divided at once, a large one when others have scanned it."""
    progress.report(0, message="Splitting")
    work = Work(objects, chain)
    plan = planned(objects, _readable(objects, upload, work), rows)
    if plan.source.size <= AT_HAND:
        fan_out(
            work,
            shared(objects, plan, [scan(objects, plan, number) for number in range(len(plan.spans))]),
            children,
            progress,
        )
        return
    work.save_plan(plan)
    group = children.group()
    for number in range(len(plan.spans)):
        group.add_task(catalog.scan_csv, number)
    children.add_task(catalog.split_csv)


def _readable(objects: Objects, upload: str, work: Work) -> Segment:
    """Return the file, or where that cannot be read in parts what it is unpacked to."""
    found = objects.head(upload)
    source = Segment(upload, 0, found.size, found.etag)
    packing = packing_of(b"".join(objects.read(replace(source, end=min(HEAD, source.size)))))
    if packing is None:
        return source
    with Writer(objects, work.key("unpacked.csv"), "text/csv") as unpacked:
        for block in packing.unpacked(objects.read(source)):
            unpacked.write(block)
        return unpacked.close()


lambda_handler = catalog.process_csv.worker(divide)
