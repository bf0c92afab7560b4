"""What a caller may do to a job: cancel it, retry it, download its results.

```
@router.post("/tasks/{task_id}/cancel")
async def cancel(job: Found, steering: Steering) -> JobStatus:
    return JobStatus.of(await steering.cancel(job))
```
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request, Response
from fastapi.responses import RedirectResponse

from afterward.backend import Backend
from afterward.background.problems import Responses, problem, problems
from afterward.background.responses import headers_of
from afterward.background.store import store
from afterward.background.tasks import Links, links
from afterward.background.threads import off_the_loop
from afterward.chains import with_results_of_chain
from afterward.errors import Unavailable
from afterward.job import Job
from afterward.records import Record
from afterward.results import keys_of
from afterward.steering import cancel, retry

LINK_SECONDS = 300
"""How long a link to a result can be followed; whoever asks again gets a new one."""

_WAIT = {
    "Retry-After": {
        "schema": {"type": "integer", "minimum": 1},
        "description": "Seconds after which to try again, where that helps.",
    }
}

CANCELLING: Responses = problems(404) | problem(409, "The task has completed or failed already.")
"""What a route says of `Steering.cancel`."""

_RETRYING = problem(409, "The task has not failed and is not cancelled, or cannot be retried yet.")
_RETRYING[409]["headers"] = _WAIT
RETRYING: Responses = problems(404) | _RETRYING
"""What a route says of `Steering.retry`."""

DOWNLOADING: Responses = problem(404, "The caller has no such job, or the job no such result.") | {
    303: {
        "description": "The result is there.",
        "headers": {
            "Location": {"schema": {"type": "string", "format": "uri"}, "description": "A link for 5 minutes."}
        },
    }
}
"""What a route says of `Steering.download`."""

ResultName = Annotated[
    str, Path(max_length=100, description="One of the names in the task's `results`.", examples=["data.json"])
]


@dataclass(frozen=True, slots=True)
class Steered:
    """What can be done to the jobs that `Found` finds; services that do not answer are a 503."""

    using: Backend
    links: Links
    root_path: str
    response: Response

    async def cancel(self, job: Record) -> Record:
        """End a job that is queued or running, and return its record; raise errors.CannotSteer, a 409, for others."""
        with _answering("The task could not be cancelled"):
            return await off_the_loop(cancel, self.using, job)

    async def retry(self, job: Record) -> Job:
        """Run a failed or cancelled job again, named in the headers; raise errors.CannotSteer, a 409, for others."""
        with _answering("The task could not be queued again"):
            record = await off_the_loop(retry, self.using, job)
        again = self.links.job(record.id, record.task, record.created, self.root_path)
        self.response.headers.update(headers_of(again))
        return again

    async def download(self, job: Record, name: str) -> RedirectResponse:
        """Lead to a result by a link that is signed now; raise 404 where the job has none of this name.

        The first job of a chain has those of its links, too.
        """
        key = keys_of(job).get(name) or keys_of(await self._with_chain(job)).get(name)
        if key is None:
            raise HTTPException(404, "The task has no result of this name")
        link = await off_the_loop(self.using.blobs.link, key, LINK_SECONDS, name)
        return RedirectResponse(link, 303, headers={"Cache-Control": "no-store"})

    async def _with_chain(self, job: Record) -> Record:
        return await off_the_loop(with_results_of_chain, self.using.records, job)


async def steering(
    request: Request,
    response: Response,
    using: Annotated[Backend, Depends(store)],
    links: Annotated[Links, Depends(links)],
) -> Steered:
    return Steered(using, links, request.scope.get("root_path", ""), response)


Steering = Annotated[Steered, Depends(steering)]
"""What an endpoint asks for: `steering: Steering`."""


@contextmanager
def _answering(said: str) -> Iterator[None]:
    """Have the 503 say what could not be done."""
    try:
        yield
    except Unavailable as error:
        error.said = said
        raise
