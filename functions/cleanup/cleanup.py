"""The worker of catalog.cleanup."""

from typing import Annotated

import catalog
from afterward import Chain, Depends, Progress, injected
from scratch import Scratch, bucket_scratch


def clean_up(
    name: catalog.Name,  # noqa: ARG001 - declared, as in FastAPI's example; what is deleted goes by the chain
    *,
    chain: Chain = injected,
    progress: Progress = injected,
    scratch: Annotated[Scratch, Depends(bucket_scratch, scope="environment")] = injected,
) -> None:
    """Delete what this chain's jobs have left, whether they succeeded or not. Another attempt finds less to do."""
    deleted = scratch.clear(chain)
    progress.report(deleted, deleted, f"Scratch files deleted: {deleted}")


lambda_handler = catalog.cleanup.worker(clean_up)
