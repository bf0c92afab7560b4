from time import sleep
from typing import Any

from fastapi import APIRouter, BackgroundTasks

router = APIRouter()
progress: dict[str, dict[str, Any]] = {}


def work_through(task_id: str, items_count: int) -> None:
    shown = progress[task_id] = {
        "status": "running",
        "progress": 0,
        "total": items_count,
        "message": "Starting task...",
    }
    try:
        for item in range(1, items_count + 1):
            shown["message"] = f"Processing item {item} of {items_count}"
            sleep(0.5)
            shown["progress"] = item
    except Exception as error:
        shown |= {"status": "failed", "message": f"Task failed: {error}"}
        raise
    shown |= {"status": "completed", "message": "Task completed successfully"}


@router.post("/start-task/{task_id}")
async def start_task(task_id: str, items_count: int, background_tasks: BackgroundTasks) -> dict[str, str]:
    if task_id in progress:
        return {"error": "Task with this ID already exists"}
    background_tasks.add_task(work_through, task_id, items_count)
    return {
        "message": f"Task {task_id} started",
        "task_id": task_id,
        "check_progress_url": f"/task-progress/{task_id}",
    }


@router.get("/task-progress/{task_id}")
async def task_progress(task_id: str) -> dict[str, Any]:
    return progress.get(task_id, {"error": "Task not found"})
