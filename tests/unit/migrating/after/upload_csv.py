import csv
import os
import sqlite3
from contextlib import closing
from typing import Annotated, BinaryIO
from uuid import uuid4

from fastapi import APIRouter, Depends, UploadFile

from afterward import Discard, Job, injected, task
from afterward.aws import client
from afterward.background import Accepted, BackgroundTasks, accepted

router = APIRouter()


class Uploads:
    """Where a file waits for its job: an S3 bucket, which the API and the workers both reach."""

    def __init__(self) -> None:
        self.s3, self.bucket = client("s3"), os.environ["UPLOADS_BUCKET"]

    def keep(self, file: BinaryIO) -> str:
        key = f"uploads/{uuid4()}.csv"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=file)
        return key

    def lines(self, key: str) -> list[str]:
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content.decode().splitlines()

    def remove(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)


def notify(user_id: int, text: str, job: Job) -> None:
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute("INSERT OR REPLACE INTO notices (id, user_id, text) VALUES (?, ?, ?)", (job.id, user_id, text))


@task
def process_csv(
    key: str, user_id: int, *, job: Job = injected, uploads: Annotated[Uploads, Depends()] = injected
) -> None:
    try:
        amounts = [int(row["amount"]) for row in csv.DictReader(uploads.lines(key))]
    except (KeyError, ValueError) as error:
        notify(user_id, f"Your file could not be processed: {error}", job)
        raise Discard(f"The file is no list of amounts: {error}") from error
    notify(user_id, f"{len(amounts)} rows processed, {sum(amounts)} in all", job)


@task
def remove_upload(key: str, *, uploads: Annotated[Uploads, Depends()] = injected) -> None:
    uploads.remove(key)


@router.post("/upload-csv/{user_id}", status_code=202)
def upload_csv(
    user_id: int, file: UploadFile, background_tasks: BackgroundTasks, uploads: Annotated[Uploads, Depends()]
) -> Accepted:
    key = uploads.keep(file.file)
    job = background_tasks.add_task(process_csv, key, user_id)
    background_tasks.add_task(remove_upload.options(even_if_failed=True), key)
    return accepted(job, message=f"File {file.filename} uploaded and will be processed in background")
