import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Annotated

from fastapi import APIRouter, Depends

from afterward import task
from afterward.background import Accepted, BackgroundTasks, accepted

logger = logging.getLogger(__name__)
router = APIRouter()


async def database() -> AsyncIterator[sqlite3.Connection]:
    with closing(sqlite3.connect("app.db")) as connection:
        yield connection
        connection.commit()


@task
def pack(order_id: str) -> None:
    with closing(sqlite3.connect("app.db")) as connection:
        if not connection.execute("SELECT 1 FROM orders WHERE id = ?", (order_id,)).fetchone():
            raise LookupError(f"there is no order {order_id}")
    logger.warning("order %s packed", order_id)


@router.post("/orders/{order_id}", status_code=202)
async def order(
    order_id: str,
    database: Annotated[sqlite3.Connection, Depends(database, scope="function")],
    background_tasks: BackgroundTasks,
) -> Accepted:
    database.execute("INSERT INTO orders (id) VALUES (?)", (order_id,))
    job = background_tasks.add_task(pack, order_id)
    return accepted(job, message="Order accepted")
