"""Objects in the bucket that do not fit into memory: read by ranges, written in parts, joined where they lie."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self

from botocore.exceptions import ClientError

from afterward.aws import answering, bulk_client, code_of
from afterward.errors import AfterwardError, Discard, Unavailable
from afterward.settings import required

LEAST_PART = 5_242_880
"""Bytes that every part of a multipart upload has but the last."""

MOST_PART = 5_368_709_120
"""Bytes of a part at most, also of one that is copied.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

PIECE = 1_048_576
"""Bytes that are read from a connection at once."""

TRIES = 4
"""Connections that are made for the next piece before the attempt is given up."""


class Gone(Discard):
    """An object that is not there, or not the one that was looked at first."""


class UploadLost(AfterwardError):
    """A multipart upload that is completed or was aborted: nothing more can be added."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an object before it is read. `etag` is another one for other content."""

    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Segment:
    """The bytes `start` to `end` of an object, of which they are a part only while it has this `etag`."""

    key: str
    start: int
    end: int
    etag: str

    @property
    def size(self) -> int:
        return self.end - self.start


class Objects(Protocol):
    """A bucket. What is not there raises Gone; a service that does not answer errors.Unavailable."""

    def head(self, key: str) -> Head: ...

    def get(self, key: str) -> bytes: ...

    def read(self, segment: Segment) -> Iterator[bytes]:
        """Yield the bytes in pieces; raise Gone where the object is another one by now."""

    def put(self, key: str, body: bytes, content_type: str) -> str:
        """Write an object whole, and return its ETag."""

    def begin(self, key: str, content_type: str) -> str:
        """Begin a multipart upload, and return its id."""

    def put_part(self, key: str, upload: str, number: int, body: bytes) -> None:
        """Write one part, counted from 1; to write it again replaces it. Raises UploadLost."""

    def copy_part(self, key: str, upload: str, number: int, source: Segment) -> None:
        """Have a part be a copy of LEAST_PART to MOST_PART bytes, made inside S3. Raises UploadLost, or Gone."""

    def complete(self, key: str, upload: str, parts: int) -> str:
        """Make one object of the parts 1 to `parts`, and return its ETag. Raises UploadLost."""

    def abort(self, key: str, upload: str) -> None:
        """Throw the parts away."""


@dataclass(frozen=True, slots=True)
class S3Objects:
    """The bucket's objects by an S3 client."""

    s3: Any
    bucket: str

    def head(self, key: str) -> Head:
        with _answering(key):
            answer = self.s3.head_object(Bucket=self.bucket, Key=key)
        return Head(answer["ContentLength"], answer["ETag"])

    def get(self, key: str) -> bytes:
        with _answering(key):
            return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def read(self, segment: Segment) -> Iterator[bytes]:
        position, tries = segment.start, TRIES
        while position < segment.end:
            try:
                for piece in self._pieces(segment, position):
                    yield piece
                    position, tries = position + len(piece), TRIES
            except Unavailable as unavailable:
                # A connection may break within gigabytes; what has come is not asked for again.
                tries -= 1
                if unavailable.lasting or not tries:
                    raise

    def put(self, key: str, body: bytes, content_type: str) -> str:
        with _answering(key):
            stored = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)
        return str(stored["ETag"])

    def begin(self, key: str, content_type: str) -> str:
        with _answering(key):
            begun = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key, ContentType=content_type)
        return str(begun["UploadId"])

    def put_part(self, key: str, upload: str, number: int, body: bytes) -> None:
        with _answering(key):
            self.s3.upload_part(Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)

    def copy_part(self, key: str, upload: str, number: int, source: Segment) -> None:
        with _answering(source.key, into=key):
            self.s3.upload_part_copy(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                CopySource={"Bucket": self.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
                CopySourceRange=f"bytes={source.start}-{source.end - 1}",
            )

    def complete(self, key: str, upload: str, parts: int) -> str:
        listed = [*self._parts(key, upload)]
        if [one["PartNumber"] for one in listed] != [*range(1, parts + 1)]:
            raise Unavailable(f"S3 lists {len(listed)} of the {parts} parts of {key}")  # and would leave out the others
        with _answering(key):
            done = self.s3.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": listed}
            )
        return str(done["ETag"])

    def abort(self, key: str, upload: str) -> None:
        with _answering(key):
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)

    def _pieces(self, segment: Segment, position: int) -> Iterator[bytes]:
        with _answering(segment.key):
            answer = self.s3.get_object(
                Bucket=self.bucket,
                Key=segment.key,
                Range=f"bytes={position}-{segment.end - 1}",
                IfMatch=segment.etag,
            )
            yield from answer["Body"].iter_chunks(PIECE)

    def _parts(self, key: str, upload: str) -> Iterator[dict[str, Any]]:
        """List what was written: S3 knows the parts' ETags, so that no checkpoint need hold thousands of them."""
        with _answering(key):
            for page in self.s3.get_paginator("list_parts").paginate(Bucket=self.bucket, Key=key, UploadId=upload):
                yield from ({"PartNumber": one["PartNumber"], "ETag": one["ETag"]} for one in page.get("Parts", ()))


@contextmanager
def _answering(key: str, *, into: str = "") -> Iterator[None]:
    """Say what S3 refuses in the contract's words. `key` is what may be gone, `into` what is uploaded if not that."""
    with answering("S3"):
        try:
            yield
        except ClientError as error:
            code = code_of(error)
            if code == "NoSuchUpload":
                raise UploadLost(f"the multipart upload of {into or key} is over") from None
            if code in {"404", "NoSuchKey", "NotFound"}:
                raise Gone(f"{_named(key)} is gone") from None
            if code in {"412", "PreconditionFailed"}:
                raise Gone(f"{_named(key)} was replaced while it was worked on; upload it again") from None
            raise


def _named(key: str) -> str:
    return "the uploaded file" if key.startswith("uploads/") else f"the object {key}"


class Writer:
    """Writes an object of any size in bounded memory: in one request, or in parts of `part` bytes.

    A context manager: what an exception ends is thrown away.
    """

    def __init__(self, objects: Objects, key: str, content_type: str, *, part: int = 16 * PIECE) -> None:
        self._objects = objects
        self._key = key
        self._type = content_type
        self._part = part
        self._pending = bytearray()
        self._upload = ""
        self._parts = 0
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is not None and self._upload:
            # What cannot be thrown away now, the bucket's lifecycle does; the exception is what counts.
            with suppress(AfterwardError):
                self._objects.abort(self._key, self._upload)

    def write(self, data: bytes) -> None:
        self._size += len(data)
        self._pending += data
        while len(self._pending) >= self._part:
            self._put(bytes(self._pending[: self._part]))
            del self._pending[: self._part]

    def close(self) -> Segment:
        """Make the object be there, and return what it is."""
        if self._upload:
            if self._pending:
                self._put(bytes(self._pending))
            etag = self._objects.complete(self._key, self._upload, self._parts)
            self._upload = ""
        else:
            etag = self._objects.put(self._key, bytes(self._pending), self._type)
        return Segment(self._key, 0, self._size, etag)

    def _put(self, body: bytes) -> None:
        self._upload = self._upload or self._objects.begin(self._key, self._type)
        self._parts += 1
        self._objects.put_part(self._key, self._upload, self._parts, body)


def parts_of(sources: Sequence[Segment], *, least: int = LEAST_PART, most: int = MOST_PART) -> list[list[Segment]]:
    """Divide what is to be joined into parts of an upload: of one segment, which S3 copies, or of several small ones.

    Each part but the last has `least` bytes or more. A large segment behind small ones lends them what they lack.
    """
    parts: list[list[Segment]] = []
    small: list[Segment] = []
    for source in sources:
        rest = source
        if small and rest.size:
            lacking = min(rest.size, least - _size(small))
            small.append(_cut(rest, 0, lacking))
            rest = _cut(rest, lacking, rest.size)
            if _size(small) < least:
                continue
            parts.append(small)
            small = []
        while rest.size > most:
            # What is left after this has enough for a part of its own.
            parts.append([_cut(rest, 0, most - least)])
            rest = _cut(rest, most - least, rest.size)
        if rest.size >= least:
            parts.append([rest])
        elif rest.size:
            small = [rest]
    return [*parts, small] if small else parts


def _size(segments: Sequence[Segment]) -> int:
    return sum(one.size for one in segments)


def _cut(segment: Segment, start: int, end: int) -> Segment:
    return Segment(segment.key, segment.start + start, segment.start + end, segment.etag)


def bucket_objects() -> S3Objects:
    """Provide the bucket that the environment variable AFTERWARD_BUCKET names."""
    return S3Objects(bulk_client(), required(os.environ, "AFTERWARD_BUCKET"))
