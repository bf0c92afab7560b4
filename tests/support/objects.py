"""`csv_pipeline.objects.Objects` in a dictionary: the same contract, with S3's rules for uploads in parts."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from threading import Lock

from afterward import Chain
from afterward.errors import Unavailable
from csv_pipeline.objects import LEAST_PART, MOST_PART, PIECE, Gone, Head, Segment, UploadLost

MOST_PARTS = 10_000
"""Of one upload. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


@dataclass(frozen=True, slots=True)
class File:
    """One object."""

    body: bytes
    content_type: str
    etag: str


@dataclass(slots=True)
class Upload:
    """A multipart upload that is under way; `parts` by their numbers."""

    key: str
    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class MemoryObjects:
    """`least` is what each part but the last has: S3's own limit, unless a test works with small files.

    An ETag is new with each write, also of the same content, as it is where a bucket is encrypted by KMS.
    """

    least: int = LEAST_PART
    files: dict[str, File] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _lock: Lock = field(default_factory=Lock)

    def head(self, key: str) -> Head:
        found = self._file(key)
        return Head(len(found.body), found.etag)

    def get(self, key: str) -> bytes:
        return self._file(key).body

    def read(self, segment: Segment) -> Iterator[bytes]:
        if segment.size > 0:
            body = self._part_of(segment)
            yield from (body[start : start + PIECE] for start in range(0, len(body), PIECE))

    def put(self, key: str, body: bytes, content_type: str) -> str:
        with self._lock:
            self.files[key] = File(body, content_type, f'"{next(self._numbers):032x}"')
            return self.files[key].etag

    def begin(self, key: str, content_type: str) -> str:
        upload = uuid.uuid4().hex
        self.uploads[upload] = Upload(key, content_type)
        return upload

    def put_part(self, key: str, upload: str, number: int, body: bytes) -> None:
        if not 1 <= number <= MOST_PARTS or len(body) > MOST_PART:
            raise _refused("InvalidArgument")
        self._upload(key, upload).parts[number] = body

    def copy_part(self, key: str, upload: str, number: int, source: Segment) -> None:
        if self.head(source.key).size <= self.least:
            raise _refused("InvalidRequest")  # "You can copy a range only if the source object is greater than 5 MB."
        self.put_part(key, upload, number, self._part_of(source))

    def complete(self, key: str, upload: str, parts: int) -> str:
        about = self._upload(key, upload)
        if sorted(about.parts) != [*range(1, parts + 1)]:
            raise Unavailable(f"S3 lists {len(about.parts)} of the {parts} parts of {key}")
        bodies = [about.parts[number] for number in range(1, parts + 1)]
        if any(len(body) < self.least for body in bodies[:-1]):
            raise _refused("EntityTooSmall")
        del self.uploads[upload]
        return self.put(key, b"".join(bodies), about.content_type)

    def abort(self, key: str, upload: str) -> None:
        self._upload(key, upload)
        del self.uploads[upload]

    def _file(self, key: str) -> File:
        with self._lock:
            if key in self.files:
                return self.files[key]
        raise Gone(f"{_named(key)} is gone")

    def _part_of(self, segment: Segment) -> bytes:
        found = self._file(segment.key)
        if found.etag != segment.etag:
            raise Gone(f"{_named(segment.key)} was replaced while it was worked on; upload it again")
        return found.body[segment.start : segment.end]

    def _upload(self, key: str, upload: str) -> Upload:
        about = self.uploads.get(upload)
        if about is None or about.key != key:
            raise UploadLost(f"the multipart upload of {key} is over")
        return about


def _refused(code: str) -> Unavailable:
    return Unavailable(f"S3 did not take the request ({code})", lasting=True)


def _named(key: str) -> str:
    return "the uploaded file" if key.startswith("uploads/") else f"the object {key}"


@dataclass(frozen=True, slots=True)
class MemoryScratch:
    """`scratch.Scratch` over the same objects."""

    objects: MemoryObjects

    def leave(self, chain: Chain, job: str, text: str) -> None:
        self.objects.put(f"scratch/{chain.owner}/{chain.id}/{job}", text.encode(), "text/plain; charset=utf-8")

    def clear(self, chain: Chain) -> int:
        gone = [key for key in self.objects.files if key.startswith(f"scratch/{chain.owner}/{chain.id}/")]
        for key in gone:
            del self.objects.files[key]
        return len(gone)
