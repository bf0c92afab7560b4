import io
import subprocess
import sys
import tracemalloc

import pytest

from afterward.pii import Policy, Treatment, mask
from afterward.pii.stream import WINDOW, mask_stream
from tests.support.pii_samples import negatives, positives


def masked(data: bytes, policy: Policy | None = None) -> bytes:
    target = io.BytesIO()
    mask_stream(io.BytesIO(data), target, policy)
    return target.getvalue()


class Endless(io.RawIOBase):
    """A line without an end, up to `size` bytes, that is never in memory as a whole."""

    def __init__(self, piece: bytes, size: int) -> None:
        self.piece, self.left = piece, size

    def readline(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        part = (self.piece * (size // len(self.piece) + 1))[: min(size, self.left)]
        self.left -= len(part)
        return part


class Counted(io.RawIOBase):
    size = 0

    def write(self, data: object, /) -> int:
        assert isinstance(data, bytes)
        self.size += len(data)
        return len(data)


def test_lines_are_masked_one_by_one() -> None:
    assert masked(b"anna@example.com\n\nfrom 203.0.113.7\r\nlast") == b"[EMAIL]\n\nfrom [IP_ADDRESS]\r\nlast"


def test_a_policy_holds_for_a_stream() -> None:
    assert masked(b"to anna@example.com\n", Policy(Treatment.DROP)) == b"to \n"


def test_bytes_that_are_no_text_survive() -> None:
    data = bytes(range(256)) * 4 + b" \xff\xfeanna@example.com\xc3\n\xe2\x82"
    assert masked(data).count(b"[EMAIL]") == 1
    assert masked(b"\xff\xfe\x80 anna@example.com \xc3\n") == b"\xff\xfe\x80 [EMAIL] \xc3\n"
    assert masked(b"\xf0\x9f\x98\x80\xf0\x9f") == b"\xf0\x9f\x98\x80\xf0\x9f"


def test_a_private_key_that_is_spread_over_lines_is_taken_out() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabcd+/==\n-----END RSA PRIVATE KEY-----"
    assert masked(f"before\n{key}\nafter\n".encode()) == b"before\n[SECRET]\n\n\n\nafter\n"


def test_a_key_that_was_cut_off_does_not_swallow_what_follows() -> None:
    data = b"-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n2026-11-22 INFO going on\n"
    assert masked(data) == b"[SECRET]\n\n2026-11-22 INFO going on\n"


@pytest.mark.parametrize("shift", [0, 20])
def test_windows_cut_no_value_in_two(shift: int) -> None:
    """One long line is masked as it is in one piece, wherever the windows' borders fall."""
    samples = [
        sample.text for pair in zip(positives(2600, seed=30), negatives(2600, seed=40), strict=True) for sample in pair
    ]
    line = "x" * shift + " ; ".join(text for text in samples if "\n" not in text and "PRIVATE" not in text)
    assert len(line) > 3 * WINDOW
    assert masked(line.encode()).decode() == mask(line)


def test_characters_at_a_window_s_border_stay_whole() -> None:
    for shift in range(4):
        line = "x" * shift + "é😀" * WINDOW + " anna@example.com"
        assert masked(line.encode()).decode() == line.replace("anna@example.com", "[EMAIL]")


def test_a_value_longer_than_a_window_is_one_value() -> None:
    secret = "A1b2" * WINDOW
    assert masked(f"a password={secret} b\n".encode()) == b"a password=[SECRET] b\n"


def peak_of(piece: bytes, size: int) -> int:
    target = Counted()
    tracemalloc.start()
    try:
        mask_stream(Endless(piece, size), target)  # type: ignore[arg-type]
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        assert target.size > 0


@pytest.mark.parametrize("piece", [b"word ", b"to anna@example.com " + b"word " * 50, b"4", b"a", b"a."])
def test_memory_is_bounded_for_an_endless_line(piece: bytes) -> None:
    assert peak_of(piece, 20 * WINDOW) < 1.25 * peak_of(piece, 4 * WINDOW)


def test_the_command_masks_what_it_reads() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "afterward.pii"],
        input=b"anna@example.com \xff\n",
        capture_output=True,
        check=True,
        env={"PYTHONPATH": "layers/afterward"},
    )
    assert done.stdout == b"[EMAIL] \xff\n"
    assert done.stderr == b""
