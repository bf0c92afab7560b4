"""Texts that are made to be slow to read: the time grows with the text, not with its square."""

# ruff: noqa: E501 - rows of texts

import time
from collections.abc import Callable

import pytest

from afterward.pii import find

LENGTH = 24_000
PIECES = (
    "a.", "a!", "1 ", "1", "@", "+1-", "+1", "0x", "f", "::", "1::", "f:", "eyJ", "eyJ.", "a@", "a@a.", "a%40", "=a@b.", '"', "(",
    "(2", "(212) ", "212-", "06 12 ", "123-45-6789 ", "4111 ", "4111111111111111 ", "1.1.1.1.", "1.", "DE12", "DE12 ", "de12 a",
    "+44 ", "%2B1", "http://", "://", "a://", "http://a.", "?token=", "&token", "[", '\\"', "password=", "password: ", 'password="a',
    "pass", "token ", "key=", "Bearer a.", "basic ", "cookie: ", "session=", "-----BEGIN PRIVATE KEY-----", "xox", "sk-", "_", "-",
    "\u200b", "\uff11", "\uff0c", "\u00b7", "\u7528@", "fe80::1%a-", "x1@y.", "phone 1", "tel ", " (", "\n", "\\u200b", "\\u0031", "&#49;", "\\", "1_", "1234+", "1234%20", ":\n - ", "\x1b[0m", "\t", "'", "a\\n", "secret key ",
)  # fmt: skip
ENDS = ("", " a@b.co", "=1 http://x?")


def fastest(run: Callable[[], object], times: int = 3) -> float:
    def once() -> float:
        began = time.process_time()
        run()
        return time.process_time() - began

    return min(once() for _ in range(times))


@pytest.mark.parametrize("piece", PIECES)
def test_time_grows_with_the_text_and_no_faster(piece: str) -> None:
    """Four times the text may take twelve times as long: caches overflow, but sixteen would be its square."""
    for end in ENDS:
        short, long = (piece * (size // len(piece)) + end for size in (LENGTH // 4, LENGTH))
        find(short)
        small = fastest(lambda text=short: find(text), 1)  # type: ignore[misc]
        if fastest(lambda text=long: find(text), 1) > max(12 * small, 0.05):  # type: ignore[misc]
            small, large = fastest(lambda text=short: find(text)), fastest(lambda text=long: find(text))  # type: ignore[misc]
            assert large <= max(12 * small, 0.05)


@pytest.mark.parametrize(
    "text",
    ["a." * 50_000, "a!" * 50_000, "1 " * 50_000, "http://" + "a." * 30_000, "@" * 100_000, "+1-" * 50_000, "0x" + "f" * 100_000,
     "4" * 100_000, "::" * 50_000, "eyJ" * 30_000],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_hundred_thousand_characters_are_nothing(text: str) -> None:
    """Milliseconds, with room for a busy machine; what grew with the square would take minutes."""
    find(text)
    assert fastest(lambda: find(text)) < 1
    assert find(text) == []
