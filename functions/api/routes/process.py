"""A chain: jobs that run one after the other."""

from typing import Annotated

from fastapi import APIRouter, Path

import catalog
from afterward.background import Accepted, BackgroundTasks, accepted
from callback import callback

router = APIRouter(tags=["chains"])


@router.post("/process/{name}", status_code=202, dependencies=[callback])
async def process(
    name: Annotated[catalog.Name, Path(description="What is processed.")], background_tasks: BackgroundTasks
) -> Accepted:
    """Run two slow tasks, of 2 and 3 seconds, and then delete what they left behind, also if one of them failed.

    Each is a job of its own. The first one's progress is the chain's.
    """
    job = background_tasks.add_task(catalog.slow_task, name, 2)
    background_tasks.add_task(catalog.slow_task, name, 3)
    background_tasks.add_task(catalog.cleanup.options(even_if_failed=True), name)
    return accepted(job, message=f"Processing started for {name}")
