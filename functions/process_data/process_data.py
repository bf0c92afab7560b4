"""The worker of catalog.process_data."""

import hashlib
from collections.abc import Callable
from typing import Annotated

import catalog
from afterward import Depends, Discard, Progress, injected

Read = Callable[[int], bytes]

SIZE = 1_000_000


def made_up_data() -> Read:
    """Provide what reads the data of an id: here it is made up from the id alone, so it is always the same."""
    return lambda data_id: hashlib.shake_128(str(data_id).encode()).digest(SIZE)


def process(
    data_id: int,
    *,
    progress: Progress = injected,
    read: Annotated[Read, Depends(made_up_data)] = injected,
) -> None:
    """Report the checksum of what is kept under an id. An id that cannot exist is no reason to try again."""
    if data_id < 1:
        raise Discard(f"data_id must be 1 or more, got {data_id}")
    data = read(data_id)
    progress.report(1, 1, f"Data processed: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


lambda_handler = catalog.process_data.worker(process)
