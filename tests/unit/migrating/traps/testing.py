from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from afterward.background import DurableTasks, owner, store
from afterward.testing import ManualClock, MemoryJobs

WRITTEN = "notification for ada@example.com: some notification\n"


def test_as_before(app: FastAPI) -> None:
    TestClient(app).post("/send-notification/ada@example.com")
    assert Path("log.txt").read_text() == WRITTEN


def jobs_of(app: FastAPI) -> MemoryJobs:
    background_tasks = DurableTasks.in_memory(clock=ManualClock())
    app.dependency_overrides[store] = lambda: background_tasks.backend
    app.dependency_overrides[owner] = lambda: "test"
    return MemoryJobs(background_tasks)


def test_with_afterward(app: FastAPI) -> None:
    jobs = jobs_of(app)
    answer = TestClient(app).post("/send-notification/ada@example.com")
    assert answer.status_code == 202
    jobs.drain()
    assert Path("log.txt").read_text() == WRITTEN
