"""Objects under uploads/ become the jobs that process them, whoever has put them there.

S3 tells of an object at least once, and sometimes late. The jobs' id follows from what it tells, so what it tells again
is known: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import unquote_plus

import catalog
import uploads
from afterward import log, startup
from afterward.digest import owner_digest
from afterward.errors import IdTaken
from afterward.event import Context, Response, settle_all
from afterward.job import JOB_ID
from afterward.queues import Incoming
from afterward.records import derived_id
from afterward.settings import on_lambda, required
from afterward.tasks import Tasks
from uploads import Upload

logger = logging.getLogger(__name__)

_ROWS = "|".join(get_args(catalog.RowSchema))
_USER = r"[1-9][0-9]{0,15}"
_OURS = re.compile(
    rf"{uploads.PREFIX}(?P<owner>[0-9a-f]{{32}})/(?P<job>{JOB_ID.pattern})/(?P<user_id>{_USER})/(?P<rows>{_ROWS})\.csv"
)
_FOREIGN = re.compile(rf"{uploads.PREFIX}(?P<user_id>{_USER})/(?:(?P<rows>{_ROWS})/)?.+", re.DOTALL)
_LARGEST = 2**53 - 1
"""As catalog.UserId has it."""


@dataclass(frozen=True, slots=True)
class Created:
    """One object of which S3 tells that it was created; `etag` and `sequencer` tell it from others of its key."""

    bucket: str
    key: str
    etag: str
    sequencer: str


def lambda_handler(event: Mapping[str, Any], context: Context) -> Response:
    """Settle a batch of S3's messages; those of which something could not be started come again."""
    with log.context(request_id=context.aws_request_id):
        return settle_all(event, _settle)


def _settle(message: Incoming) -> None:
    for created in objects(json.loads(message.body)):
        start(created)


def objects(told: Mapping[str, Any]) -> Iterator[Created]:
    """Give the objects that were created; folders are none, and S3's test of the way here names none."""
    if told.get("Event") == "s3:TestEvent":
        return
    for record in told["Records"]:
        about = record["s3"]["object"]
        key = unquote_plus(about["key"])
        if record["eventName"].startswith("ObjectCreated:") and not key.endswith("/"):
            yield Created(record["s3"]["bucket"]["name"], key, about.get("eTag", ""), about.get("sequencer", ""))


def start(created: Created) -> None:
    """Add the jobs that process an object, unless that was done before."""
    upload = upload_of(created)
    if upload is None:
        wanted = f"{uploads.PREFIX}<user's number>/<name>, or the same with <{_ROWS}>/ in front of the name"
        logger.warning("dropped: the key %s names no user; it should be %s", created.key, wanted)
        return
    tasks = Tasks(upload.owner)
    with log.context(job_id=upload.job):
        uploads.add(tasks, upload, created.key)
        try:
            tasks.publish()
        except IdTaken:
            logger.info("dropped: the object's jobs were started before")
        else:
            logger.info("started the jobs of an object")


def upload_of(created: Created) -> Upload | None:
    """Read whose object it is, of which job and of what rows, out of its key; None where that names no user."""
    found = _OURS.fullmatch(created.key) or _FOREIGN.fullmatch(created.key)
    if found is None or int(found["user_id"]) > _LARGEST:
        return None
    rows = cast("catalog.RowSchema", found["rows"] or "any")
    owner, job = found.group("owner", "job") if found.re is _OURS else _names_of(created, found["user_id"])
    return Upload(owner, job, int(found["user_id"]), rows)


def _names_of(created: Created, user_id: str) -> tuple[str, str]:
    """Name the owner and the job of an object that the API knows nothing of: another content is another job."""
    owner = owner_digest(issuer(), user_id)
    return owner, derived_id(owner, created.bucket, created.key, created.etag, created.sequencer)


def issuer() -> str:
    """Return whose tokens name the users, from the environment variable JWT_ISSUER: an upload is its user's to see."""
    return required(os.environ, "JWT_ISSUER")


if on_lambda():
    issuer()
    required(os.environ, "AFTERWARD_DIGEST_SECRET")
startup.finish()
