from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from afterward import task
from afterward.backend import Backend
from afterward.background import BackgroundTasks, DurableTasks, owner, store

router = APIRouter()


@task
def write_down(text: str) -> None:
    print(text)


@router.get("/refused")
async def refused(background_tasks: BackgroundTasks) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "one line\n"
        background_tasks.add_task(write_down, "exported")

    return StreamingResponse(lines())


@router.get("/at-the-start")
async def at_the_start(background_tasks: BackgroundTasks) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "one line\n"

    background_tasks.add_task(write_down, "export begins")
    return StreamingResponse(lines())


@router.get("/at-the-end")
async def at_the_end(
    owner: Annotated[str, Depends(owner)], using: Annotated[Backend, Depends(store)]
) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "one line\n"
        late = DurableTasks(using, owner)
        late.add_task(write_down, "exported")
        await late.publish()

    return StreamingResponse(lines())


async def noted(background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(write_down, "export begins")


@router.get("/yielding", dependencies=[Depends(noted)])
async def yielding() -> AsyncIterator[str]:
    yield "one line\n"
