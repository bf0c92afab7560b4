"""Ways to declare and add tasks that type checkers must accept."""

from typing import assert_type

from fastapi import APIRouter
from pydantic import BaseModel

from afterward import Backoff, Job, Progress, Task, injected, task
from afterward.background import Accepted, BackgroundTasks, DurableTasks, Found, JobStatus, accepted

router = APIRouter()


class Order(BaseModel):
    number: int


@task
def greet(name: str, count: int = 1) -> None:
    """Say hello."""


@task(name="bill", max_attempts=7, backoff=Backoff(base=1, cap=60), version=2, aliases=("invoice",))
def bill_order(order: Order, /, *lines: str, urgent: bool, **notes: str) -> None: ...


@task()
async def refresh() -> None: ...


@task
async def count_up(limit: int, *, progress: Progress = injected) -> None:
    for number in progress.track(range(limit)):
        progress.report(number, limit, "counting")


def add_all(tasks: DurableTasks) -> None:
    assert_type(tasks.add_task(greet, "Ada"), Job)
    tasks.add_task(greet, "Ada", 2)
    tasks.add_task(greet, "Ada", count=2)
    tasks.add_task(greet, name="Ada", count=2)
    tasks.add_task(bill_order, Order(number=1), "tea", "milk", urgent=True, colour="red")
    tasks.add_task(refresh)
    tasks.add_task(count_up, 3)
    tasks.add_task(count_up, limit=3)
    tasks.add_task(greet.options(id="a", delay=1.5, even_if_failed=True, fairness="vip"), "Ada", count=2)
    tasks.add_task(greet.options(key="once"), name="Ada")


@router.post("/greet", status_code=202)
async def greet_someone(name: str, background_tasks: BackgroundTasks) -> Accepted:
    assert_type(background_tasks, DurableTasks)
    job = background_tasks.add_task(greet, name)
    return accepted(job, message=f"{job.id} {job.task} {job.created}")


@router.post("/greet/now")
def greet_in_a_thread(background_tasks: BackgroundTasks) -> str:
    return background_tasks.add_task(greet, "Ada").progress_url


@router.get("/jobs/{task_id}")  # noqa: FAST003 - taken by Found
async def status(job: Found) -> JobStatus:
    return JobStatus.of(job)


async def publish_now(background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(greet, "Ada")
    await background_tasks.publish()


def about(declared: Task[...]) -> tuple[str, int]:
    return declared.name, declared.max_attempts


about(greet)
about(bill_order)
