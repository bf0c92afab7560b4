"""Packed files become UTF-8 in a stream, and what is wrong with them is said."""

import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterward.errors import Discard
from csv_pipeline.layout import layout_of
from csv_pipeline.packing import PIECE, Packing, packing_of

BOM = b"\xef\xbb\xbf"
TEXT = "name,größe\r\nĀda,1\r\n中文😀,2\r\n"
ENCODINGS = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
DAMAGED = "The gzip file is damaged: its data do not match their checksum or cannot be unpacked."
INCOMPLETE = "The gzip file is incomplete: it ends in the middle of its data."


def feeds(data: bytes, size: int = 5) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def incompressible(size: int) -> bytes:
    return hashlib.shake_128(b"").digest(size)


def unpacked(data: bytes, size: int = 5) -> bytes:
    packing = packing_of(data)
    assert packing is not None
    return b"".join(packing.unpacked(feeds(data, size)))


def refused(data: bytes, *, most: int = 10**9, free: int = 10**9, ratio: int = 200) -> str:
    with pytest.raises(Discard) as error:
        list(Packing(compressed=True).unpacked(feeds(data, 1000), most=most, free=free, ratio=ratio))
    return str(error.value)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"a",
        b"a,b\n1,2\n",
        BOM + b"a,b\n",
        "größe,€\n".encode(),
        "größe,€\n".encode("cp1252"),
        b"\0" * 1000,
        b"a,\0b\n1,2\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0",
        b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x03\0>\0\x01\0\0\0",
        b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0",
        b"".join(number.to_bytes(2, "little") for number in range(128)),
        b"a,b\n" + b"some text,\0\n" * 200,
    ],
)
def test_other_files_are_read_as_they_are(head: bytes) -> None:
    """Also those that will be refused, which is said of them by what they are."""
    assert packing_of(head) is None


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("bom", [True, False])
def test_utf_16_and_utf_32_become_utf_8(encoding: str, *, bom: bool) -> None:
    """With a BOM or without one; the BOM of UTF-8 then says for sure what they are."""
    data = ("\ufeff" * bom + TEXT).encode(encoding)
    assert packing_of(data) == Packing(encoding=encoding)
    assert {unpacked(data, size) for size in (1, 2, 3, 1000)} == {BOM + TEXT.encode()}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "text",
    ["a,b\n", "имя;город;улица\r\nЮлия;Москва;Арбат 1\r\n", "Ā,Ē,Ī\n1,2,3\nĀĀĀ,x,y\n", "姓名,年龄\r\n张伟,30\r\n"],
    ids=["short", "Cyrillic", "Latvian", "Chinese"],
)
def test_encodings_without_a_bom_are_told_by_their_zeros(encoding: str, text: str) -> None:
    """In any language: delimiters, digits and line ends are enough."""
    assert packing_of(text.encode(encoding)) == Packing(encoding=encoding)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a,b\nx".encode("utf-16-le") + b"\x00\xd8" + "y\n".encode("utf-16-le"), b"a,b\nx\xffy\n"),
        ("a,b\nx".encode("utf-16-be") + b"\xdc\x00" + "y\n".encode("utf-16-be"), b"a,b\nx\xffy\n"),
        ("a,b\nx\n".encode("utf-16-le") + b"y", b"a,b\nx\n\xff"),
        ("a,b\nx\n".encode("utf-16-le") + b"\x3d\xd8", b"a,b\nx\n\xff"),
        (b"\xff\xfe\0\0" + "a\n".encode("utf-32-le") + b"\0\0\x11\0" + "b\n".encode("utf-32-le"), b"a\n\xffb\n"),
        (b"\xff\xfe\0\0" + "a\n".encode("utf-32-le") + b"\0\xd8\0\0", b"a\n\xff"),
        (b"\xff\xfe\0\0" + "a\n".encode("utf-32-le") + b"x\0", b"a\n\xff"),
    ],
    ids=["half a pair", "the other half", "half a unit", "half a pair at the end", "too large", "surrogate", "cut"],
)
def test_what_is_invalid_stays_invalid(data: bytes, expected: bytes) -> None:
    """As a byte that is none in UTF-8, so that its row is rejected and no other."""
    assert {unpacked(data, size) for size in (1, 3, 1000)} == {BOM + expected}


@given(st.text(max_size=30), st.sampled_from(ENCODINGS), st.integers(1, 9), st.booleans())
def test_any_text_is_the_same_in_utf_8(text: str, encoding: str, size: int, compressed: bool) -> None:
    """Fed in pieces of any size, compressed or not."""
    # A zero behind the BOM of UTF-16 would make it that of UTF-32.
    data = ("\ufeffa" + text).encode(encoding)
    assert unpacked(gzip.compress(data, 1) if compressed else data, size) == BOM + b"a" + text.encode()


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_gzip_is_unpacked(size: int) -> None:
    """In its own one-byte encoding, whatever the sizes it comes in."""
    for text in (TEXT.encode(), "größe\n".encode("cp1252"), BOM + b"a\n", incompressible(50_000)):
        assert unpacked(gzip.compress(text), size) == text


def test_gzip_of_utf_16_is_decoded() -> None:
    """Its encoding is known when its beginning is unpacked."""
    for encoding in ENCODINGS:
        assert unpacked(gzip.compress(TEXT.encode(encoding))) == BOM + TEXT.encode()


def test_gzip_of_nothing_is_an_empty_file() -> None:
    """Which is refused as such."""
    data = gzip.compress(b"")
    assert unpacked(data) == b""
    with pytest.raises(Discard, match=r"^The file is empty\.$"):
        layout_of(unpacked(data), whole=True)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_gzip_files_in_a_row_are_one(size: int) -> None:
    """Also empty ones, and zeros between them and behind."""
    packed = gzip.compress
    data = packed(b"a,b\n") + packed(b"") + packed(b"1,2\n") + b"\0" * 100 + packed(b"3,4\n") + b"\0" * 9000
    assert unpacked(data, size) == b"a,b\n1,2\n3,4\n"


def test_damaged_gzip_is_refused() -> None:
    """By its checksum, its length, its data, or what follows it."""
    data = gzip.compress(TEXT.encode() * 100)
    assert refused(data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]) == DAMAGED
    assert refused(data[:-1] + bytes([data[-1] ^ 1])) == DAMAGED
    assert refused(data[:20] + b"\xff" * 20 + data[40:]) == DAMAGED
    assert refused(data + b"text") == DAMAGED
    assert refused(b"\x1f\x8bnot gzip") == DAMAGED


@pytest.mark.parametrize("missing", [1, 8, 9, 30])
def test_incomplete_gzip_is_refused(missing: int) -> None:
    """Wherever it ends: in its data or in its checksum."""
    data = gzip.compress(incompressible(1000))
    assert refused(data[:-missing]) == INCOMPLETE
    assert refused(gzip.compress(b"a,b\n") + data[:-missing]) == INCOMPLETE
    assert refused(data[:5]) == INCOMPLETE


def test_gzip_may_not_unpack_to_more_than_the_limit() -> None:
    """Whatever its ratio is; the limit itself is allowed."""
    text = incompressible(2**20)
    data = gzip.compress(text, 1)
    limit = 2**20 - 1
    assert refused(data, most=limit).startswith("The gzip file unpacks to more than ")
    assert refused(data, most=2**19) == (
        "The gzip file unpacks to more than 0.000488281 GiB; divide it, or upload it unpacked."
    )
    assert b"".join(Packing(compressed=True).unpacked([data], most=2**20)) == text


def test_gzip_may_not_unpack_to_many_times_its_size() -> None:
    """Beyond what is unpacked whatever its ratio."""
    text = b"0" * 2**22
    data = gzip.compress(text)
    sentence = "The gzip file unpacks to more than 200 times its size; upload it unpacked."
    assert refused(data, free=2**22 - 1) == sentence
    assert b"".join(Packing(compressed=True).unpacked([data], free=2**22)) == text
    assert b"".join(Packing(compressed=True).unpacked([data], free=2**20, ratio=1100)) == text


def test_gzip_in_gzip_is_refused_when_it_is_unpacked() -> None:
    """With what to do about it."""
    content = unpacked(gzip.compress(gzip.compress(b"a,b\n")))
    with pytest.raises(Discard, match=r"compressed with gzip more than once; compress it once only"):
        layout_of(content, whole=True)


def test_blocks_are_of_a_bounded_size() -> None:
    """Many small pieces are joined, and a large one is divided."""
    data = gzip.compress(incompressible(3 * PIECE), 1)
    sizes = [len(one) for one in Packing(compressed=True).unpacked([data])]
    assert len(sizes) == 3
    assert max(sizes) < 2 * PIECE
    wide = "ü中".encode("utf-16-le") * PIECE
    assert max(len(one) for one in Packing(encoding="utf-16-le").unpacked([wide])) < 2 * PIECE


def test_memory_is_bounded_whatever_the_ratio() -> None:
    """64 MiB of zeros are unpacked in a few MiB."""
    packer = zlib.compressobj(wbits=31)
    data = b"".join([*(packer.compress(bytes(PIECE)) for _ in range(64)), packer.flush()])
    tracemalloc.start()
    length = sum(len(one) for one in Packing(compressed=True).unpacked([data]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == 64 * PIECE
    assert peak < 6 * PIECE
