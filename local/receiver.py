"""`python -m local.receiver`: something to fetch from and to post webhooks to, for a cloud on the same machine."""

from __future__ import annotations

import argparse
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = {"reports": [{"id": 1, "title": "First"}, {"id": 2, "title": "Second"}]}
"""What every GET gets."""

LONGEST = 1_000_000
"""Bytes of a webhook that are read."""


class Receiver(BaseHTTPRequestHandler):
    """Prints what is posted, and takes it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps(PAGE).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(min(length, LONGEST)).decode(errors="replace")
        named = [f"{name}: {value}" for name, value in self.headers.items() if name.lower().startswith("webhook-")]
        print("\n".join((f"POST {self.path}", *named, body)), end="\n\n", flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
        """Print no line of its own for each request."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.receiver", description=__doc__)
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or 9000, help="default: $PORT or 9000")
    port: int = parser.parse_args().port
    with ThreadingHTTPServer(("127.0.0.1", port), Receiver) as server:
        print(
            f"http://127.0.0.1:{server.server_port} gives JSON to every GET and prints every POST. Ctrl-C ends it.",
            flush=True,
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
