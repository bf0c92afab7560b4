"""Whether bytes look like UTF-8: counted for a part of a file that may begin and end within a character."""

import codecs

_CONTINUING = bytes(range(0x80, 0xC0))
_BEYOND_ASCII = bytes(range(0x80, 0x100))


class Sequences:
    """`valid` counts the characters of several bytes, `invalid` what is none, as often as it would be replaced by �.

    What the beginning or the end of the bytes cuts off is neither; `whole` says that the beginning cuts off nothing.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self.valid = 0
        self.invalid = 0
        self._cut = b""
        self._leading = 0 if whole else 3  # bytes that may still belong to a character that began before

    def feed(self, block: bytes) -> None:
        data = self._cut + self._begun(block)
        if data.isascii():
            return
        text, used = codecs.utf_8_decode(data, "replace", False)  # noqa: FBT003 - takes no names
        data, self._cut = data[:used], data[used:]
        replaced = text.count("\ufffd")
        invalid = replaced and replaced - data.count("\ufffd".encode())
        self.invalid += invalid
        self.valid += len(text) - len(data.translate(None, _BEYOND_ASCII)) - invalid

    def _begun(self, block: bytes) -> bytes:
        if self._leading and block:
            skipped = min(len(block) - len(block.lstrip(_CONTINUING)), self._leading)
            self._leading = self._leading - skipped if skipped == len(block) else 0
            return block[skipped:]
        return block
