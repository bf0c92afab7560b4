import logging
from contextvars import ContextVar
from typing import Annotated

from fastapi import APIRouter, Depends, Header

from afterward import task
from afterward.background import BackgroundTasks

logger = logging.getLogger(__name__)
router = APIRouter()
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


async def current_tenant(x_tenant: Annotated[str, Header()]) -> None:
    tenant.set(x_tenant)


@task
def bill_of_the_request() -> None:
    logger.warning("bill for %s", tenant.get())


@task
def bill(tenant: str) -> None:
    logger.warning("bill for %s", tenant)


@router.post("/bills", status_code=202, dependencies=[Depends(current_tenant)])
async def bills(background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(bill_of_the_request)
    background_tasks.add_task(bill, tenant.get())
