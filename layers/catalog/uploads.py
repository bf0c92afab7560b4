"""An upload and the jobs that it becomes: added by whoever learns of it first, under the same id by all of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import catalog

if TYPE_CHECKING:
    from afterward.additions import Additions
    from afterward.job import Job

PREFIX = "uploads/"


@dataclass(frozen=True, slots=True)
class Upload:
    """One CSV file in the bucket, for a user; `job` is the id of the first job, which its progress is asked by."""

    owner: str
    job: str
    user_id: int
    rows: catalog.RowSchema

    @property
    def key(self) -> str:
        """Where the API has the file put. Nothing in it is the user's own text."""
        return f"{PREFIX}{self.owner}/{self.job}/{self.user_id}/{self.rows}.csv"


def add(tasks: "Additions", upload: Upload, key: str) -> "Job":
    """Add what processes an upload that lies under `key`."""
    job = tasks.add_task(catalog.process_csv.options(id=upload.job), upload.user_id, key, upload.rows)
    tasks.add_task(catalog.merge_csv, upload.user_id)
    failure = catalog.notify_of_failure.options(even_if_failed=True)
    tasks.add_task(failure, str(upload.user_id), "Your CSV file could not be processed")
    # Last, and only if all went well: until then a retry needs what the jobs have left for each other.
    tasks.add_task(catalog.cleanup, "csv")
    return job
