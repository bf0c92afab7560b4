"""Where uploads are put: by the API, or by whoever holds a form that it has signed."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from afterward.aws import answering, client
from afterward.settings import required

LARGEST = 5 * 1024**3
"""Bytes that one form can post: what S3 takes at once (Amazon S3 User Guide, "Uploading objects")."""

OPEN = 900
"""Seconds for which a form can be posted."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a client posts as multipart/form-data to `url`: the fields, and the file behind them, as `file`."""

    url: str
    fields: dict[str, str]


class UploadStore(Protocol):
    """Both ways to put a file."""

    def put(self, key: str, content: bytes) -> None: ...

    def form(self, key: str, content_type: str) -> Form:
        """Sign a form that puts one file of this type under this key, once or several times until it expires."""
        ...


@dataclass(frozen=True, slots=True)
class S3UploadStore:
    """Objects in the bucket; its client is made when the first of them comes."""

    make_client: Callable[[], Any]
    bucket: str

    def put(self, key: str, content: bytes) -> None:
        with answering("S3"):
            self.make_client().put_object(Bucket=self.bucket, Key=key, Body=content, ContentType="text/csv")

    def form(self, key: str, content_type: str) -> Form:
        fixed = {"Content-Type": content_type}
        with answering("S3"):  # its credentials may have to be fetched first
            signed = self.make_client().generate_presigned_post(
                Bucket=self.bucket,
                Key=key,
                Fields=dict(fixed),
                Conditions=[fixed, ["content-length-range", 1, LARGEST]],
                ExpiresIn=OPEN,
            )
        return Form(signed["url"], signed["fields"])


def bucket_uploads() -> S3UploadStore:
    """Provide the uploads in the bucket that the environment variable AFTERWARD_BUCKET names."""
    return S3UploadStore(lambda: client("s3"), required(os.environ, "AFTERWARD_BUCKET"))
