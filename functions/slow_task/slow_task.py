"""The worker of catalog.slow_task."""

import time
from collections.abc import Callable
from typing import Annotated

import catalog
from afterward import Chain, Depends, Job, Progress, injected
from afterward.pii import mask
from scratch import Scratch, bucket_scratch

Work = Callable[[int], None]


def one_second() -> Work:
    """Provide what each second is spent with."""
    return lambda _second: time.sleep(1)


def work_slowly(  # noqa: PLR0913 - five of them are injected
    name: catalog.Name,
    seconds: catalog.Seconds,
    *,
    chain: Chain = injected,
    job: Job = injected,
    progress: Progress = injected,
    work: Annotated[Work, Depends(one_second)] = injected,
    scratch: Annotated[Scratch, Depends(bucket_scratch, scope="environment")] = injected,
) -> None:
    """Leave the scratch file first: one that fails behind it leaves something to clean up, as real work does."""
    scratch.leave(chain, job.id, f"{mask(name)}: {seconds} s\n")
    for second in progress.track(range(1, seconds + 1)):
        progress.report(second - 1, seconds, f"Working, second {second} of {seconds}")
        work(second)
    progress.report(seconds, seconds, "Task completed successfully")


lambda_handler = catalog.slow_task.worker(work_slowly)
