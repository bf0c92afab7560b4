"""Files that cannot be read in parts as they are: gzip, UTF-16 and UTF-32. They are turned into UTF-8 first."""

import codecs
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from afterward.errors import Discard

MOST_UNPACKED = 21_474_836_480
"""Bytes that gzip may unpack to: gzip cannot be read in parts, so that a single job unpacks all of them."""

FREE = 268_435_456
"""Bytes that it may unpack to whatever its ratio: they are processed in seconds."""

MOST_RATIO = 200
"""Unpacked bytes per packed one beyond that. CSV reaches 5 to 50; what is made to harm reaches 1,000."""

PIECE = 1_048_576
"""Bytes that are unpacked or decoded at once."""

_SLICE = 8_192
"""Packed bytes that are given to zlib at once: with each member that ends, it copies what is left of them."""

_SAMPLE = 65_536

_ASCII = re.compile(r"[\t\r\n -~]")
_ASCII_BYTES = bytes({*b"\t\r\n", *range(32, 127)})

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, which begins the same
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_INVALID = "\udcff"
"""What surrogateescape writes as the byte FF."""


@dataclass(frozen=True, slots=True)
class Packing:
    """`compressed`: by gzip. `encoding`: what the text is in, where that is known before it is unpacked."""

    compressed: bool = False
    encoding: str = ""

    def unpacked(
        self, blocks: Iterable[bytes], *, most: int = MOST_UNPACKED, free: int = FREE, ratio: int = MOST_RATIO
    ) -> Iterator[bytes]:
        """Yield the file in blocks of at most a few MiB, in UTF-8 or in its own one-byte encoding.

        What was UTF-16 or UTF-32 begins with the BOM of UTF-8, so that it is taken for nothing else later. What is
        invalid in it, such as half a pair of surrogates, becomes the byte FF: that is invalid in UTF-8, too, so it is
        only the row with it that is rejected. Raises errors.Discard where the file is damaged, or unpacks to more than
        it may.
        """
        pieces = _sliced(blocks, PIECE)
        if self.compressed:
            pieces = _joined(_inflated(blocks, most, free, ratio), PIECE)
        first = next(pieces, b"")
        encoding = self.encoding or encoding_of(first)
        pieces = chain([first], pieces)
        yield from filter(None, _in_utf8(pieces, encoding) if encoding else pieces)


def packing_of(head: bytes) -> Packing | None:
    """Return how a file that begins so has to be unpacked, None where it can be read as it is."""
    if head.startswith(b"\x1f\x8b"):
        return Packing(compressed=True)
    encoding = encoding_of(head)
    return Packing(encoding=encoding) if encoding else None


def encoding_of(head: bytes) -> str:
    """Return which of UTF-16 and UTF-32 a text is in by its BOM or by where its NUL bytes are; "" for neither."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    sample = head[:_SAMPLE]
    if b"\0" not in sample:
        return ""
    return next((encoding for _, encoding in _BOMS if _is_in(sample, encoding)), "")


def _is_in(sample: bytes, encoding: str) -> bool:
    """In any language every eighth character is ASCII (delimiters, digits, line ends), and a quarter of bytes is not.

    One-byte text in which zeros stand fails the second, and what is read in another encoding than its own the first.
    """
    text = sample.decode(encoding, "replace")
    return (
        len(_ASCII.findall(text)) >= len(text) / 8
        and len(sample.translate(None, _ASCII_BYTES)) >= len(sample) / 4
        and text.count("\ufffd") <= len(text) / 4
        and "\0" not in text
    )


def _inflated(blocks: Iterable[bytes], most: int, free: int, ratio: int) -> Iterator[bytes]:
    """Unpack gzip, which may be several files in a row and end in zeros, as the gzip program does."""
    member, packed, unpacked = zlib.decompressobj(wbits=31), 0, 0
    for data in _sliced(blocks, _SLICE):
        packed += len(data)
        rest = data
        while rest:
            if member.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                member = zlib.decompressobj(wbits=31)
            piece = _decompressed(member, rest)
            unpacked += len(piece)
            if unpacked > most or unpacked > max(free, ratio * packed):
                raise Discard(_too_much(unpacked > most, most, ratio))
            yield piece
            rest = member.unconsumed_tail or member.unused_data
    if not member.eof:
        raise Discard("The gzip file is incomplete: it ends in the middle of its data.")


def _decompressed(member: "zlib._Decompress", data: bytes) -> bytes:
    try:
        return member.decompress(data, PIECE)
    except zlib.error:
        raise Discard("The gzip file is damaged: its data do not match their checksum or cannot be unpacked.") from None


def _too_much(absolute: bool, most: int, ratio: int) -> str:
    if absolute:
        return f"The gzip file unpacks to more than {most / 2**30:,g} GiB; divide it, or upload it unpacked."
    return f"The gzip file unpacks to more than {ratio:,} times its size; upload it unpacked."


def _in_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("csv_pipeline.invalid")
    yield codecs.BOM_UTF8
    begun = False
    for piece, final in chain(((piece, False) for piece in pieces), [(b"", True)]):
        text = decoder.decode(piece, final)
        if text and not begun:
            text, begun = text.removeprefix("\ufeff"), True
        yield text.encode("utf-8", "surrogateescape")


def _invalid(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _INVALID, error.end


codecs.register_error("csv_pipeline.invalid", _invalid)


def _sliced(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    return (block[at : at + size] for block in blocks for at in range(0, len(block), size))


def _joined(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in blocks of at least this size but for the last, and of less than one piece more."""
    held: list[bytes] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    yield b"".join(held)
