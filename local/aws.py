"""moto, served fast: `python -m local.aws FD [RECORD]` serves it on a socket that its parent has opened.

moto's own server answers about 100 requests a second, which is too few for 50 jobs. This one has one thread, since
moto's state is not made for several; waiting for messages holds up nobody in it. The two services that every job uses
are called directly, all others through moto's server application.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import io
import json
import socket
import sys
import time
import traceback
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import boto3
from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY, Request, environ_key_for_header
from moto.dynamodb.responses import DynamoHandler
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.models import Queue, sqs_backends
from moto.sqs.responses import SQSResponse

from local import patches
from local.account import ACCOUNT, CREDENTIALS, REGION, RIGHTS
from local.bootstrap import die_with_parent
from local.guard import Guard
from local.server import Receive, Scope, Send, body_of, respond, server

if TYPE_CHECKING:
    from collections.abc import Callable

Environ = dict[str, Any]
Response = tuple[int, list[tuple[bytes, bytes]], bytes]
_RECEIVE = "AmazonSQS.ReceiveMessage"


class _Request(Request):
    from_wsgi_server = True


class _Direct:
    """Tells moto's response classes what they want to know of a request that is known to be JSON, for the one region.

    They find out by themselves, from the body read as a form and the like, in twice the time.
    """

    def setup_class(self, request: Request, url: str, *_: object) -> None:
        self.normalized_request = request
        self.is_werkzeug_request = True
        self.method, self.uri, self.raw_path = request.method, url, request.raw_path
        self.parsed_url = urlparse(url)
        self.path = self.parsed_url.path
        self.headers = request.headers
        self.raw_body = request.data
        self.body = self.raw_body.decode()
        self.data: dict[str, Any] = {}
        self.querystring = self.form_data = self.uri_match = self.data
        self.region, self.partition, self.current_account = REGION, "aws", ACCOUNT
        self.access_key = CREDENTIALS["AWS_ACCESS_KEY_ID"]
        self.response_headers = {"server": "amazon.com"}
        parse: Any = getattr(self, "parse_parameters")  # noqa: B009 - of the class that this is mixed into
        parse(request)


class _Queues(_Direct, SQSResponse):  # type: ignore[misc] # as moto has no other way in
    pass


class _Tables(_Direct, DynamoHandler):  # type: ignore[misc] # the same
    pass


_DIRECT: dict[str, Callable[..., Any]] = {"AmazonSQS": _Queues.dispatch, "DynamoDB_20120810": _Tables.dispatch}


class Arrivals:
    """Wakes those who wait for messages of a queue."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def announce(self, queue: str) -> None:
        for waiting in self._waiting.pop(queue, ()):
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self, queue: str, seconds: float) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[queue].add(waiting)
        await asyncio.wait([waiting], timeout=seconds)
        self._waiting[queue].discard(waiting)


class Aws:
    """The ASGI application."""

    def __init__(self, guard: Guard) -> None:
        self._arrivals = Arrivals()
        self._guard = guard
        patches.apply(self._arrivals.announce, guard.posting)
        self._others = DomainDispatcherApplication(create_backend_app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await body_of(receive, sys.maxsize) or b""
        environ = _environ(scope)
        try:
            response = self._guard.refusal(environ, body) or await self._allowed(environ, body)
        except Exception:  # noqa: BLE001 - what moto cannot do fails one request; why, stands in the log
            traceback.print_exc()
            response = 500, [], b"moto failed"
        await respond(send, *response)

    async def _allowed(self, environ: Environ, body: bytes) -> Response:
        if environ["PATH_INFO"] == RIGHTS:
            self._guard.restrict(json.loads(body))
            return 204, [], b""
        if environ.get("HTTP_X_AMZ_TARGET") == _RECEIVE:
            return await self._receive_messages(environ, body)
        return self._guard.looked_up(environ, await self._answer(environ, body))

    async def _answer(self, environ: Environ, body: bytes) -> Response:
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        dispatch = _DIRECT.get(environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[0])
        if dispatch is None:
            return self._ask_server(environ)
        request = _Request(environ)
        status, headers, answer = dispatch(request, request.raw_url, dict(request.headers))
        return status, _encoded(headers.items()), answer.encode() if isinstance(answer, str) else answer

    def _ask_server(self, environ: Environ) -> Response:
        started: list[Any] = []
        body = b"".join(self._others(environ, lambda *status_and_headers: started.extend(status_and_headers)))
        return int(started[0].split()[0]), _encoded(started[1]), body

    async def _receive_messages(self, environ: Environ, body: bytes) -> Response:
        """Long-poll without holding up the others: ask again whenever something may have come."""
        request = json.loads(body)
        queue = sqs_backends[ACCOUNT][REGION].queues.get(str(request.get("QueueUrl")).rpartition("/")[2])
        wait: Any = request.get("WaitTimeSeconds", getattr(queue, "receive_message_wait_time_seconds", 0))
        end = time.time() + min(20, int(wait))
        at_once = json.dumps(request | {"WaitTimeSeconds": 0}).encode()
        while True:
            answer = await self._answer(dict(environ), at_once)
            remaining = end - time.time()
            if queue is None or remaining <= 0 or b'"Messages"' in answer[2]:
                return answer
            await self._arrivals.wait(queue.name, min(remaining, _hidden_for(queue)))


def _hidden_for(queue: Queue) -> float:
    """Give the seconds until some message that is hidden now will not be."""
    now = time.time()
    times = (max(message.visible_at, message.delayed_until) / 1000 - now for message in queue._messages)  # noqa: SLF001 - all of them
    return min((seconds for seconds in times if seconds > 0), default=float("inf")) + 0.002


def _encoded(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), str(value).encode("latin-1")) for name, value in headers]


def _environ(scope: Scope) -> Environ:
    """Describe a request as WSGI does, which is how moto wants it."""
    query = scope["query_string"].decode("latin-1")
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""),
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        PRESERVED_HEADER_NAMES_ENVIRON_KEY: {},
    }
    for raw_name, value in scope["headers"]:
        name = raw_name.decode("latin-1")
        if "_" in name:  # moto reads metadata of objects under the name that was sent
            environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY][environ_key_for_header(name)] = name
        environ[environ_key_for_header(name)] = value.decode("latin-1")
    return environ


def _import_cloudformation() -> None:
    """Import what creating a stack imports, without the second in which moto asks botocore for all regions of EC2."""
    lookup = boto3.Session.get_available_regions
    boto3.Session.get_available_regions = lambda *_, **__: [REGION]  # type: ignore[method-assign]
    try:
        importlib.import_module("moto.cloudformation.parsing")
    finally:
        boto3.Session.get_available_regions = lookup  # type: ignore[method-assign]


def main(descriptor: int, record: str = "") -> None:
    """Serve on the socket with that file descriptor until the parent ends; `record` is a file for `Guard`."""
    die_with_parent()
    _import_cloudformation()
    app = Aws(Guard(Path(record) if record else None))
    # What is imported stays: looking at it again and again costs a tenth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    asyncio.run(server(app).serve([socket.socket(fileno=descriptor)]))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
