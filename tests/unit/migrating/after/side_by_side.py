from fastapi import APIRouter

from afterward import task
from afterward.background import Accepted, BackgroundTasks, accepted

router = APIRouter()


@task
def resize(picture: str, width: int) -> None:
    print(f"{picture} at {width} pixels")


@task
def publish_picture(picture: str) -> None:
    print(f"{picture} is published")


@router.post("/pictures/{picture}", status_code=202)
async def add_picture(picture: str, background_tasks: BackgroundTasks) -> Accepted:
    sizes = background_tasks.group()
    for width in (320, 640, 1_280):
        sizes.add_task(resize, picture, width)
    background_tasks.add_task(publish_picture, picture)
    return accepted(background_tasks.jobs[0], message="Picture will be published")
