"""The contract of the bucket's objects, held by S3 and by its twin in memory; below it what only S3 can meet."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st
from moto.s3.models import s3_backends

from afterward.aws import CONFIG, bulk_client, session
from afterward.errors import SettingError, Unavailable
from csv_pipeline.objects import (
    LEAST_PART,
    PIECE,
    TRIES,
    Gone,
    Objects,
    S3Objects,
    Segment,
    UploadLost,
    Writer,
    bucket_objects,
    parts_of,
)
from tests.support.cloud import BUCKET, Cloud
from tests.support.faults import ALWAYS, Sent, error_of
from tests.support.objects import MemoryObjects

TYPE = "text/csv"
KEY = "scratch/chain-1/csv/clean.csv"
REPLACED = r"^the uploaded file was replaced while it was worked on; upload it again$"


@pytest.fixture(params=["memory", "s3"])
def objects(request: pytest.FixtureRequest) -> Objects:
    """Both kinds of objects, one after the other: they keep the same contract."""
    return MemoryObjects() if request.param == "memory" else s3_of(request.getfixturevalue("cloud"))


def s3_of(cloud: Cloud) -> S3Objects:
    """Return the bucket, which refuses what S3 does and moto 5.2.5 does not: see `_refusal`."""
    objects = S3Objects(cloud.s3.client, BUCKET)

    def checked(request: AWSPreparedRequest, _sent: Sent, pass_on: Callable[[], AWSResponse]) -> AWSResponse:
        return _refusal(objects, request) or pass_on()

    for operation in ("UploadPart", "UploadPartCopy"):
        cloud.s3._plan(operation, checked, ALWAYS, 0)
    return objects


def _refusal(objects: S3Objects, request: AWSPreparedRequest) -> AWSResponse | None:
    """Refuse parts of an upload that is over, for which moto has no answer, and copies of what was replaced."""
    (upload,) = parse_qs(urlsplit(str(request.url)).query)["uploadId"]
    if upload not in s3_backends["123456789012"]["aws"].buckets[BUCKET].multiparts:
        return error_of(request, "NoSuchUpload", 404)
    wanted, source = (_header(request, f"x-amz-copy-source{name}") for name in ("-if-match", ""))
    if wanted and wanted != objects.head(source.partition("/")[2]).etag:
        return error_of(request, "PreconditionFailed", 412)
    return None


def _header(request: AWSPreparedRequest, name: str) -> str:
    value: Any = request.headers.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def noise(size: int) -> bytes:
    """Return bytes of which no two megabytes, nor parts, are alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(-(-size // 4)))[:size]


def segment(objects: Objects, key: str, start: int = 0, end: int | None = None) -> Segment:
    head = objects.head(key)
    return Segment(key, start, head.size if end is None else end, head.etag)


def read(objects: Objects, found: Segment) -> bytes:
    return b"".join(objects.read(found))


# Whole objects.


def test_an_object_is_read_as_it_was_put(objects: Objects) -> None:
    """Whole, or what is asked for of it; its head tells its size and its ETag."""
    etag = objects.put("uploads/1/a.csv", b"0123456789", TYPE)
    assert objects.get("uploads/1/a.csv") == b"0123456789"
    assert (objects.head("uploads/1/a.csv").size, objects.head("uploads/1/a.csv").etag) == (10, etag)
    ranges = [(0, 10), (0, 1), (3, 7), (9, 10), (4, 4)]
    found = [read(objects, segment(objects, "uploads/1/a.csv", *one)) for one in ranges]
    assert found == [b"0123456789", b"0", b"3456", b"9", b""]


def test_a_large_object_comes_in_pieces(objects: Objects) -> None:
    """No piece is larger than a megabyte, however large the object is."""
    body = noise(3 * PIECE + 17)
    objects.put(KEY, body, TYPE)
    pieces = [*objects.read(segment(objects, KEY, 5))]
    assert b"".join(pieces) == body[5:]
    assert max(map(len, pieces)) <= PIECE


def test_an_empty_object_is_one(objects: Objects) -> None:
    """It has a head, and nothing to read."""
    objects.put(KEY, b"", TYPE)
    assert (objects.head(KEY).size, objects.get(KEY), read(objects, segment(objects, KEY))) == (0, b"", b"")


@pytest.mark.parametrize(("key", "named"), [("uploads/1/a.csv", "the uploaded file"), (KEY, f"the object {KEY}")])
def test_what_is_not_there_is_gone(objects: Objects, key: str, named: str) -> None:
    """No attempt can bring it back; to a user, his own file is no key."""
    upload = objects.begin("copy", TYPE)
    missing = Segment(key, 0, LEAST_PART, '"etag"')
    for ask in (
        lambda: objects.head(key),
        lambda: objects.get(key),
        lambda: [*objects.read(missing)],
    ):
        with pytest.raises(Gone, match=f"^{named} is gone$"):
            ask()
    with pytest.raises(Gone):
        objects.copy_part("copy", upload, 1, missing)


def test_what_was_replaced_is_not_read(objects: Objects) -> None:
    """Half of one file and half of another would be neither."""
    objects.put("uploads/1/a.csv", b"old", TYPE)
    old = segment(objects, "uploads/1/a.csv")
    objects.put("uploads/1/a.csv", b"new", TYPE)
    with pytest.raises(Gone, match=REPLACED):
        read(objects, old)


# Uploads in parts.


def test_parts_come_in_any_order(objects: Objects) -> None:
    """They are joined by their numbers; nothing is there before that."""
    first, last = noise(LEAST_PART), b"the end"
    upload = objects.begin(KEY, TYPE)
    objects.put_part(KEY, upload, 2, last)
    objects.put_part(KEY, upload, 1, first)
    with pytest.raises(Gone):
        objects.head(KEY)
    etag = objects.complete(KEY, upload, 2)
    assert objects.get(KEY) == first + last
    assert objects.head(KEY).etag == etag


def test_a_part_is_replaced_by_a_later_one(objects: Objects) -> None:
    """Another attempt writes the same parts again."""
    upload = objects.begin(KEY, TYPE)
    for body in (b"first", b"second"):
        objects.put_part(KEY, upload, 1, body)
    objects.complete(KEY, upload, 1)
    assert objects.get(KEY) == b"second"


def test_a_part_is_copied_from_another_object(objects: Objects) -> None:
    """A range of it, between parts that were written."""
    body = noise(LEAST_PART + 1_000)
    objects.put("source", body, TYPE)
    upload = objects.begin(KEY, TYPE)
    objects.copy_part(KEY, upload, 1, segment(objects, "source", 7, LEAST_PART + 7))
    objects.put_part(KEY, upload, 2, b"the end")
    objects.complete(KEY, upload, 2)
    assert objects.get(KEY) == body[7 : LEAST_PART + 7] + b"the end"


def test_what_was_replaced_is_not_copied(objects: Objects) -> None:
    """The copy would not be what was counted."""
    objects.put("uploads/1/a.csv", noise(LEAST_PART + 1), TYPE)
    old = segment(objects, "uploads/1/a.csv")
    objects.put("uploads/1/a.csv", noise(LEAST_PART + 2), TYPE)
    upload = objects.begin(KEY, TYPE)
    with pytest.raises(Gone, match=REPLACED):
        objects.copy_part(KEY, upload, 1, old)


def test_a_part_too_small_is_refused_in_the_end(objects: Objects) -> None:
    """S3 says so only when the object is to be made."""
    upload = objects.begin(KEY, TYPE)
    for number in (1, 2):
        objects.put_part(KEY, upload, number, b"too small")
    with pytest.raises(Unavailable, match=r"EntityTooSmall") as refused:
        objects.complete(KEY, upload, 2)
    assert refused.value.lasting


@pytest.mark.parametrize("numbers", [[], [1], [1, 3], [1, 2, 3]])
def test_no_object_is_made_of_other_parts_than_expected(objects: Objects, numbers: list[int]) -> None:
    """One that lacks a part, or has one too many, would be taken for the whole."""
    upload = objects.begin(KEY, TYPE)
    for number in numbers:
        objects.put_part(KEY, upload, number, b"x")
    with pytest.raises(Unavailable, match=rf"lists {len(numbers)} of the 2 parts of {KEY}"):
        objects.complete(KEY, upload, 2)


@pytest.mark.parametrize("ended", ["completed", "aborted"])
def test_an_upload_that_is_over_takes_nothing(objects: Objects, ended: str) -> None:
    """Neither parts nor another end; what was completed stays as it is."""
    objects.put("source", noise(LEAST_PART + 1), TYPE)
    upload = objects.begin(KEY, TYPE)
    objects.put_part(KEY, upload, 1, b"x")
    _ = objects.complete(KEY, upload, 1) if ended == "completed" else objects.abort(KEY, upload)  # type: ignore[func-returns-value]
    for ask in (
        lambda: objects.put_part(KEY, upload, 1, b"y"),
        lambda: objects.copy_part(KEY, upload, 1, segment(objects, "source")),
        lambda: objects.complete(KEY, upload, 1),
        lambda: objects.abort(KEY, upload),
    ):
        with pytest.raises(UploadLost, match=f"^the multipart upload of {KEY} is over$"):
            ask()
    if ended == "completed":
        assert objects.get(KEY) == b"x"


def test_a_part_beyond_the_last_number_is_refused(objects: Objects) -> None:
    """An upload has ten thousand parts at most."""
    upload = objects.begin(KEY, TYPE)
    objects.put_part(KEY, upload, 10_000, b"x")
    with pytest.raises(Unavailable, match="InvalidArgument"):
        objects.put_part(KEY, upload, 10_001, b"x")


# S3 itself.


def test_more_parts_than_one_listing_has(cloud: Cloud) -> None:
    """S3 lists a thousand at a time."""
    objects = s3_of(cloud)
    upload = objects.begin(KEY, TYPE)
    for number in range(1, 1_003):
        cloud.s3.client.upload_part(Bucket=BUCKET, Key=KEY, UploadId=upload, PartNumber=number, Body=b"x")
    with pytest.raises(Unavailable, match="EntityTooSmall"):  # all of them were listed
        objects.complete(KEY, upload, 1_002)
    assert cloud.s3.counts["ListParts"] == 2


def test_objects_have_their_type(cloud: Cloud) -> None:
    """Browsers and their owners see what they are, however they were written."""
    objects = s3_of(cloud)
    objects.put("whole", b"a", TYPE)
    upload = objects.begin("parts", TYPE)
    objects.put_part("parts", upload, 1, b"a")
    objects.complete("parts", upload, 1)
    heads = [cloud.s3.client.head_object(Bucket=BUCKET, Key=key) for key in ("whole", "parts")]
    assert [head["ContentType"] for head in heads] == [TYPE, TYPE]


@pytest.mark.parametrize("code", ["AccessDenied", "SlowDown"])
def test_a_refusal_of_s3_is_unavailable(cloud: Cloud, code: str) -> None:
    """A missing permission is not taken for a missing object, nor for a lost upload."""
    objects, status = s3_of(cloud), 503 if code == "SlowDown" else 403
    objects.put("source", b"abc", TYPE)
    source = segment(objects, "source")
    cloud.s3.heal()
    upload = objects.begin(KEY, TYPE)
    asks: dict[str, Callable[[], object]] = {
        "GetObject": lambda: read(objects, source),
        "PutObject": lambda: objects.put(KEY, b"", TYPE),
        "CreateMultipartUpload": lambda: objects.begin(KEY, TYPE),
        "UploadPart": lambda: objects.put_part(KEY, upload, 1, b""),
        "UploadPartCopy": lambda: objects.copy_part(KEY, upload, 1, source),
        "ListParts": lambda: objects.complete(KEY, upload, 1),
        "AbortMultipartUpload": lambda: objects.abort(KEY, upload),
    }
    for operation, ask in asks.items():
        cloud.s3.refuse(operation, code, status=status)
        with pytest.raises(Unavailable, match=rf"S3 did not take the request \({code}\)"):
            ask()


def test_the_bucket_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable is named."""
    monkeypatch.setenv("AFTERWARD_BUCKET", BUCKET)
    assert bucket_objects() == S3Objects(bulk_client(), BUCKET)
    monkeypatch.delenv("AFTERWARD_BUCKET")
    with pytest.raises(SettingError, match="AFTERWARD_BUCKET is not set"):
        bucket_objects()


# Connections that break.


@dataclass(slots=True)
class Breaking:
    """A server with one object, that closes a connection behind so many bytes of an answer, as often as it is to."""

    body: bytes
    breaks: int
    behind: int = 100_000
    etag: str = '"etag"'
    ranges: list[str] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers["Range"]
        self.ranges.append(asked)
        if request.headers["If-Match"] != self.etag:
            request.send_error(412)
            return
        start, _, end = asked.removeprefix("bytes=").partition("-")
        wanted = self.body[int(start) : int(end) + 1]
        request.send_response(206)
        request.send_header("Content-Length", str(len(wanted)))
        request.send_header("ETag", self.etag)
        request.end_headers()
        self.breaks -= 1
        request.wfile.write(wanted if self.breaks < 0 else wanted[: self.behind])
        request.close_connection = True


@pytest.fixture
def serve() -> Iterator[Callable[[Breaking], Objects]]:
    servers: list[ThreadingHTTPServer] = []

    def served(breaking: Breaking) -> Objects:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                breaking.answer(self)

            def log_message(self, *_: object) -> None: ...

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}).start()
        config = CONFIG.merge(Config(s3={"addressing_style": "path"}))
        endpoint = f"http://127.0.0.1:{servers[-1].server_port}"
        return S3Objects(session().create_client("s3", endpoint_url=endpoint, config=config), BUCKET)

    yield served
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("breaks", range(2 * TRIES))
def test_a_read_goes_on_where_its_connection_broke(serve: Callable[[Breaking], Objects], breaks: int) -> None:
    """What has come is not asked for again, and nothing of the object is missing or twice there."""
    breaking = Breaking(noise(PIECE), breaks)
    found = read(serve(breaking), Segment(KEY, 50, PIECE - 50, '"etag"'))
    assert found == breaking.body[50 : PIECE - 50]
    starts = [50 + 100_000 * number for number in range(breaks + 1)]
    assert breaking.ranges == [f"bytes={start}-{PIECE - 51}" for start in starts]


def test_a_read_whose_connections_all_break_is_given_up(serve: Callable[[Breaking], Objects]) -> None:
    """Another attempt may meet a better network."""
    breaking = Breaking(noise(PIECE), TRIES, behind=0)
    with pytest.raises(Unavailable):
        read(serve(breaking), Segment(KEY, 0, PIECE, '"etag"'))
    assert len(breaking.ranges) == TRIES


def test_an_object_that_is_replaced_while_its_connection_is_broken(serve: Callable[[Breaking], Objects]) -> None:
    """What is read behind the break would be of another object."""
    breaking = Breaking(noise(2 * PIECE), 1, behind=PIECE + 5)
    pieces = serve(breaking).read(Segment("uploads/1/a.csv", 0, 2 * PIECE, '"etag"'))
    assert next(pieces) == breaking.body[:PIECE]
    breaking.etag = '"another"'
    with pytest.raises(Gone, match=REPLACED):
        list(pieces)


# What is written piece by piece.

PART = 100


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 7])
@pytest.mark.parametrize("step", [1, 7, PART, 1_000])
def test_what_is_written_is_one_object(size: int, step: int) -> None:
    """Of any size, in pieces of any size."""
    objects, body = MemoryObjects(least=PART), noise(size)
    with Writer(objects, KEY, TYPE, part=PART) as writer:
        for start in range(0, size, step):
            writer.write(body[start : start + step])
        written = writer.close()
    assert objects.get(KEY) == body
    assert written == Segment(KEY, 0, size, objects.head(KEY).etag)
    assert objects.files[KEY].content_type == TYPE
    assert objects.uploads == {}


class Counting(MemoryObjects):
    """Notes what is asked for, and how much at once."""

    def __init__(self) -> None:
        super().__init__(least=PART)
        self.asked: list[tuple[str, int]] = []

    def put(self, key: str, body: bytes, content_type: str) -> str:
        self.asked.append(("put", len(body)))
        return super().put(key, body, content_type)

    def put_part(self, key: str, upload: str, number: int, body: bytes) -> None:
        self.asked.append(("part", len(body)))
        super().put_part(key, upload, number, body)

    def complete(self, key: str, upload: str, parts: int) -> str:
        self.asked.append(("complete", parts))
        return super().complete(key, upload, parts)


def test_a_small_object_is_one_request() -> None:
    """An upload in parts would be three at least."""
    objects = Counting()
    with Writer(objects, KEY, TYPE, part=PART) as writer:
        writer.write(b"x" * (PART - 1))
        writer.close()
    assert objects.asked == [("put", PART - 1)]


def test_a_large_object_goes_out_as_it_comes() -> None:
    """A part as soon as there is enough for it, so that no more is held than that."""
    objects = Counting()
    with Writer(objects, KEY, TYPE, part=PART) as writer:
        writer.write(b"x" * 200)
        assert objects.asked == [("part", 100), ("part", 100)]
        writer.write(b"x" * 110)
        writer.close()
    assert objects.asked[2:5] == [("part", 100), ("part", 10), ("complete", 4)]


def fail(objects: Objects, act: Callable[[Writer], object]) -> None:
    with Writer(objects, KEY, TYPE, part=PART) as writer:
        act(writer)
        raise OSError("the disk is full")


@pytest.mark.parametrize("size", [1, 250])
def test_what_an_exception_ends_is_thrown_away(size: int) -> None:
    """Neither an object nor parts, which would be paid for, are left; the exception is what it was."""
    objects = MemoryObjects(least=PART)
    with pytest.raises(OSError, match="the disk is full"):
        fail(objects, lambda writer: writer.write(b"x" * size))
    assert (objects.files, objects.uploads) == ({}, {})


def test_an_upload_that_cannot_be_thrown_away_hides_no_exception() -> None:
    """The bucket's lifecycle throws it away; what ended the work is what is told."""
    objects = MemoryObjects(least=PART)

    def write(writer: Writer) -> None:
        writer.write(b"x" * 250)
        objects.uploads.clear()

    with pytest.raises(OSError, match="the disk is full"):
        fail(objects, write)


# What is joined.

LEAST, MOST = 10, 25


@given(st.lists(st.integers(0, 120), max_size=40))
def test_parts_hold_the_same_bytes_in_the_same_order(sizes: list[int]) -> None:
    """Each byte once, whatever the sizes are, and no part is empty."""
    sources = [Segment(str(number), 3, 3 + size, "") for number, size in enumerate(sizes)]
    parts = parts_of(sources, least=LEAST, most=MOST)
    assert all(one.size for part in parts for one in part)
    assert bytes_of(one for part in parts for one in part) == bytes_of(sources)


def bytes_of(segments: Any) -> list[tuple[str, int]]:
    return [(one.key, at) for one in segments for at in range(one.start, one.end)]


@given(st.lists(st.integers(0, 120), max_size=40))
def test_parts_are_as_large_as_s3_takes_them(sizes: list[int]) -> None:
    """All but the last have the least that S3 takes; those that are put together in memory hardly more than that."""
    parts = parts_of([Segment("", 0, size, "") for size in sizes], least=LEAST, most=MOST)
    held = [sum(one.size for one in part) for part in parts]
    assert all(LEAST <= size <= MOST for size in held[:-1])
    assert all(size <= MOST for size in held)
    assert all(size < 2 * LEAST for part, size in zip(parts, held, strict=True) if len(part) > 1)


@given(st.lists(st.integers(0, MOST), max_size=40))
def test_there_are_no_more_parts_than_sources(sizes: list[int]) -> None:
    """Where no source is too large for one part: so many files can be joined as an upload has parts."""
    assert len(parts_of([Segment("", 0, size, "") for size in sizes], least=LEAST, most=MOST)) <= len(sizes)
