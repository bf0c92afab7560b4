from fastapi import APIRouter, WebSocket

from afterward import task
from afterward.background import BackgroundTasks

router = APIRouter()


@task
def write_down(text: str) -> None:
    print(text)


@router.websocket("/notes")
async def notes(websocket: WebSocket, background_tasks: BackgroundTasks) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        job = background_tasks.add_task(write_down, text)
        await background_tasks.publish()
        await websocket.send_text(job.id)
