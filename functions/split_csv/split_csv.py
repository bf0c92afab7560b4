"""The worker of catalog.split_csv."""

from typing import Annotated

import catalog
from afterward import Chain, Children, Depends, Progress, injected
from csv_pipeline.dividing import fan_out, shared
from csv_pipeline.objects import Objects, bucket_objects
from csv_pipeline.work import Work


def split(
    *,
    chain: Chain = injected,
    children: Children = injected,
    progress: Progress = injected,
    objects: Annotated[Objects, Depends(bucket_objects, scope="environment")] = injected,
) -> None:
    """Put the ranges together, each of which was scanned by itself."""
    progress.report(0, message="Splitting")
    work = Work(objects, chain)
    plan = work.plan()
    fan_out(work, shared(objects, plan, work.scans(len(plan.spans))), children, progress)


lambda_handler = catalog.split_csv.worker(split)
