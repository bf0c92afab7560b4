"""Mask a stream: `python -m afterward.pii < in > out`."""

import sys

from afterward.pii.stream import mask_stream

if __name__ == "__main__":
    mask_stream(sys.stdin.buffer, sys.stdout.buffer)
