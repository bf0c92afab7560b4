"""What a function logs, message by message: Lambda's runtime writes it to a pipe of its own, in frames.

Each is its kind (4 bytes), the length of its text (4), microseconds since 1970 (8), and the text. So a message may
have several lines, or none that ends, and is one message all the same.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VARIABLE = "_LAMBDA_TELEMETRY_LOG_FD"
_HEADER = 16


async def messages(pipe: int) -> AsyncIterator[str]:
    """Read messages until the process that writes them has ended, and close the pipe."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb"))
    try:
        while True:
            header = await reader.readexactly(_HEADER)
            text = await reader.readexactly(int.from_bytes(header[4:8], "big"))
            yield text.decode(errors="replace").rstrip("\n")
    except asyncio.IncompleteReadError:
        return
    finally:
        transport.close()
