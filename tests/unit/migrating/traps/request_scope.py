from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Depends

from afterward import task
from afterward.background import BackgroundTasks

router = APIRouter()


@task
def keep_duration(seconds: float) -> None:
    print(f"the report took {seconds} s")


async def timed(background_tasks: BackgroundTasks) -> AsyncIterator[None]:
    began = monotonic()
    yield
    background_tasks.add_task(keep_duration, monotonic() - began)


@router.get("/report")
async def report(_: Annotated[None, Depends(timed)]) -> str:
    return "report"
