"""CSV files: with the request itself, or posted to the bucket by a form that it answers with."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, File, HTTPException, Query, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import Field

import catalog
import uploads
from access import FORBIDDEN, for_user
from afterward.background import Accepted, BackgroundTasks, accepted, problem, problems
from afterward.background.threads import off_the_loop
from afterward.pii import mask
from upload_store import OPEN, UploadStore, bucket_uploads
from uploads import Upload

router = APIRouter(tags=["uploads"])

LIMIT = 4_000_000
"""Bytes of a file that comes with its request: Lambda takes events of 6 MB, in which it is written in base64."""

LONGEST_NAME = 255

UserId = Annotated[int, for_user("Whose inbox hears how it went.")]

CsvFile = Annotated[
    UploadFile,
    File(
        description=f"A CSV file with a header, of at most {LIMIT:,} bytes.",
        json_schema_extra={"minLength": 1},  # bytes
    ),
]

Rows = Annotated[
    catalog.RowSchema,
    Query(description="What the rows must be; `any` asks only that all have as many cells as the header."),
]

ContentType = Annotated[
    Literal["text/csv", "application/gzip", "application/vnd.ms-excel"],
    Query(description="Of which type the file is; the last is what browsers on Windows call a CSV file."),
]

REFUSED = problems(400) | problem(413, f"The file has more than {LIMIT:,} bytes; there is another way for those.")


async def store() -> UploadStore:
    """Provide where uploads are put; async, since FastAPI would call a plain function in a thread."""
    return bucket_uploads()


class UploadForm(Accepted):
    """The job waits for the file, which a form posts: multipart/form-data with all `fields`, and `file` as the last."""

    message: str = Field(examples=["Post the file with these fields, and it will be processed in background"])
    url: str = Field(description="Where the form is posted.", examples=["https://bucket.s3.amazonaws.com/"])
    fields: dict[str, str] = Field(description="What the form must hold, as it is, in front of the file.")
    expires_in: int = Field(description="Seconds for which the form can be posted.", examples=[OPEN])


@router.post("/upload-csv/{user_id}", status_code=202, responses=FORBIDDEN | REFUSED)
async def upload_csv(
    user_id: UserId,
    file: CsvFile,
    background_tasks: BackgroundTasks,
    store: Annotated[UploadStore, Depends(store)],
    rows: Rows = "any",
) -> Accepted:
    """Check and clean a CSV file: its clean rows, those that were refused and a summary are the job's results.

    It is kept before the answer leaves, and starts the jobs from where it lies.
    """
    name = _name(file, user_id)
    upload = Upload(background_tasks.owner, await background_tasks.new_id(), user_id, rows)
    await off_the_loop(store.put, upload.key, await file.read())
    job = uploads.add(background_tasks, upload, upload.key)
    await background_tasks.announce("Uploaded, waiting to be processed", required=False)
    return accepted(job, message=f"File {name} uploaded and will be processed in background")


def _name(file: UploadFile, user_id: int) -> str:
    """Return what the file may be called to its sender, or say why it is not taken."""
    if not file.filename or not file.size:
        raise RequestValidationError(
            [{"type": "missing", "loc": ("body", "file"), "msg": "It should be a file with a name and content"}]
        )
    if file.size > LIMIT:
        raise HTTPException(
            413, f"The file has more than {LIMIT:,} bytes. Ask POST /upload-csv/{user_id}/url where to put it instead."
        )
    return mask("".join(filter(str.isprintable, file.filename))[: 10 * LONGEST_NAME])[:LONGEST_NAME]


@router.post(
    "/upload-csv/{user_id}/url",
    status_code=202,
    response_description="The task waits for its file, up to six hours; then it runs, or its status says why not.",
    responses=FORBIDDEN,
)
async def upload_csv_url(
    user_id: UserId,
    background_tasks: BackgroundTasks,
    store: Annotated[UploadStore, Depends(store)],
    rows: Rows = "any",
    content_type: ContentType = "text/csv",
) -> UploadForm:
    """Get a form with which a CSV file of up to 5 GiB is posted to where it is processed, which starts the jobs."""
    upload = Upload(background_tasks.owner, await background_tasks.new_id(), user_id, rows)
    job = uploads.add(background_tasks, upload, upload.key)
    await background_tasks.announce("Waiting for the upload")
    form = await off_the_loop(store.form, upload.key, content_type)
    return UploadForm(
        message="Post the file with these fields, and it will be processed in background",
        task_id=job.id,
        check_progress_url=job.progress_url,
        url=form.url,
        fields=form.fields,
        expires_in=OPEN,
    )
