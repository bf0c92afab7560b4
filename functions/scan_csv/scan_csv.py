"""The worker of catalog.scan_csv."""

from typing import Annotated

import catalog
from afterward import Chain, Depends, Progress, injected
from csv_pipeline.dividing import scan
from csv_pipeline.objects import Objects, bucket_objects
from csv_pipeline.work import Work


def scan_range(
    number: catalog.RangeNumber,
    *,
    chain: Chain = injected,
    progress: Progress = injected,
    objects: Annotated[Objects, Depends(bucket_objects, scope="environment")] = injected,
) -> None:
    """Find the records of one range, whatever may come before it."""
    progress.report(0, message="Splitting")
    work = Work(objects, chain)
    work.save_scan(number, scan(objects, work.plan(), number))


lambda_handler = catalog.scan_csv.worker(scan_range)
