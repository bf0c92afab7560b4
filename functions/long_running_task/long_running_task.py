"""The worker of catalog.long_running_task."""

import logging
import time
from collections.abc import Callable
from typing import Annotated

import catalog
from afterward import Depends, Progress, injected

logger = logging.getLogger(__name__)

Work = Callable[[int], None]


def half_a_second() -> Work:
    """Provide what one item costs."""
    return lambda _item: time.sleep(0.5)


def work_through(
    items_count: catalog.ItemsCount,
    *,
    progress: Progress = injected,
    work: Annotated[Work, Depends(half_a_second)] = injected,
) -> None:
    """Work item by item. More items than fit one invocation go on in the next one, behind those that are done."""
    if progress.done == 0:
        progress.report(0, items_count, "Starting task...")
    for item in progress.track(range(1, items_count + 1)):
        progress.report(item - 1, items_count, f"Processing item {item} of {items_count}")
        logger.debug("processing", extra={"item": item})
        work(item)
    progress.report(items_count, items_count, "Task completed successfully")


lambda_handler = catalog.long_running_task.worker(work_through)
