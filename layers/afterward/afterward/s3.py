"""Blobs in an S3 bucket, by the low-level client."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from afterward.aws import answering, code_of
from afterward.errors import BadMessage


class S3Blobs:
    """Objects are encrypted by the bucket's default; its lifecycle rules say how long they stay.

    The client is made on first use: few jobs are too large for a message, and it is the dearest client to make.
    """

    def __init__(self, make_client: Callable[[], Any], bucket: str) -> None:
        self._make_client = make_client
        self._bucket = bucket

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def put(self, key: str, text: str) -> None:
        self._put(key, text)

    def put_once(self, key: str, text: str) -> None:
        try:
            self._put(key, text, IfNoneMatch="*")
        except _ExistsError:
            return

    def put_bytes(self, key: str, body: bytes, content_type: str) -> None:
        stored = {"Bucket": self._bucket, "Key": key, "Body": body, "ContentType": content_type}
        with answering("S3"):
            self._client.put_object(**stored)

    def link(self, key: str, seconds: int, filename: str) -> str:
        about = {"Bucket": self._bucket, "Key": key, "ResponseContentDisposition": f'attachment; filename="{filename}"'}
        with answering("S3"):  # its credentials may have to be fetched first
            return str(self._client.generate_presigned_url("get_object", Params=about, ExpiresIn=seconds))

    def get(self, key: str) -> str:
        with answering("S3"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
                return str(answer["Body"].read(), "utf-8")
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    raise BadMessage("the envelope that the message points at is gone from S3") from None
                raise

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        asked = {"Bucket": self._bucket, "Prefix": prefix} | ({"StartAfter": after} if after else {})
        while True:
            with answering("S3"):
                page = self._client.list_objects_v2(**asked)
            yield from (one["Key"] for one in page.get("Contents", []))
            if not page["IsTruncated"]:
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def _put(self, key: str, text: str, **condition: str) -> None:
        stored = {"Bucket": self._bucket, "Key": key, "Body": text.encode(), "ContentType": "application/json"}
        with answering("S3"):
            try:
                self._client.put_object(**stored, **condition)
            except ClientError as error:
                if code_of(error) == "PreconditionFailed":
                    raise _ExistsError from None
                raise


class _ExistsError(Exception):
    pass
