from fastapi import APIRouter, HTTPException

from afterward import task
from afterward.background import BackgroundTasks

router = APIRouter()


@task
def reserve(item: str) -> None:
    print(item)


@router.post("/orders/{item}")
async def order(item: str, background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(reserve, item)
    raise HTTPException(409, "Sold out")


@router.post("/published/{item}")
async def published(item: str, background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(reserve, item)
    await background_tasks.publish()
    raise HTTPException(409, "Sold out")
