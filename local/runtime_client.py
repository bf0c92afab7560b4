"""Runs a handler against the Lambda Runtime API where awslambdaric has no wheel. Standard library only.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import http
import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import TracebackType

Handler = Callable[[Any, "Context"], Any]
_VERSION = "/2018-06-01/runtime"


class Context:
    """What a handler gets beside its event.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    client_context = None
    identity = None

    def __init__(self, headers: http.client.HTTPMessage) -> None:
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        return max(0, self._deadline - int(time.time() * 1000))


class RuntimeApi:
    """The three calls that a runtime makes, over one connection that is kept."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address)

    def next(self) -> tuple[http.client.HTTPMessage, bytes]:
        """Wait for an invocation."""
        self._connection.request("GET", f"{_VERSION}/invocation/next")
        response = self._connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            sys.exit("There will be no more invocations")
        return response.headers, response.read()

    def respond(self, request_id: str, body: str) -> None:
        """Hand over what the handler returned."""
        self._post(f"/invocation/{request_id}/response", body, {})

    def fail(self, what: str, error: dict[str, Any]) -> None:
        """Report an error of `init` or of `invocation/ID`."""
        self._post(f"/{what}/error", json.dumps(error), {"Lambda-Runtime-Function-Error-Type": error["errorType"]})

    def _post(self, path: str, body: str, headers: dict[str, str]) -> None:
        self._connection.request(
            "POST", _VERSION + path, body.encode(), {"Content-Type": "application/json", **headers}
        )
        self._connection.getresponse().read()


class _Refused(Exception):
    """A handler that cannot be had, in the words of the Python runtime of Lambda."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def _find(handler: str) -> Handler:
    module, _, name = handler.rpartition(".")
    try:
        found: Handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    except ImportError as error:
        raise _Refused("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}") from error
    except AttributeError as error:
        raise _Refused("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module}'") from error
    return found


def _described(error: BaseException, request_id: str) -> dict[str, Any]:
    return {
        "errorMessage": str(error),
        "errorType": error.error_type if isinstance(error, _Refused) else type(error).__name__,
        "requestId": request_id,
        "stackTrace": [] if isinstance(error, _Refused) else _frames(error.__traceback__),
    }


def _frames(start: TracebackType | None) -> list[str]:
    """List the frames from the handler on."""
    frames = list(traceback.extract_tb(start))
    ours = [
        index
        for index, frame in enumerate(frames)
        if frame.filename.startswith((__file__, importlib.__file__, "<frozen"))
    ]
    return [line.rstrip("\n") for line in traceback.format_list(frames[max(ours, default=-1) + 1 :])]


def _log(error: dict[str, Any]) -> None:
    lines = [
        f"[ERROR] {error['errorType']}: {error['errorMessage']}",
        "Traceback (most recent call last):",
        *error["stackTrace"],
    ]
    print("\r".join(lines), flush=True)


def _called(handler: Handler, event: bytes, context: Context) -> str:
    returned = handler(json.loads(event), context)
    try:
        return json.dumps(returned, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise _Refused("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def _invoke(api: RuntimeApi, handler: Handler) -> None:
    headers, event = api.next()
    context = Context(headers)
    os.environ["_X_AMZN_TRACE_ID"] = headers["Lambda-Runtime-Trace-Id"]
    try:
        result = _called(handler, event, context)
    except Exception as raised:  # noqa: BLE001 - whatever a handler raises is the invocation's result
        error = _described(raised, context.aws_request_id)
        _log(error)
        api.fail(f"invocation/{context.aws_request_id}", error)
    else:
        api.respond(context.aws_request_id, result)


def _set_up_logging() -> None:
    """Give the root logger a handler, as Lambda does; loggers such as Powertools' put their own formatter on it."""
    os.environ.pop(
        "_LAMBDA_TELEMETRY_LOG_FD", None
    )  # a pipe for messages, of which lines on standard output do as well
    logging.Formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(message)s", "%Y-%m-%dT%H:%M:%S")
    )
    logging.getLogger().addHandler(handler)


def main(handler: str) -> NoReturn:
    """Import the handler, then serve its invocations for as long as the process lives."""
    _set_up_logging()
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        found = _find(handler)
    except Exception as raised:  # noqa: BLE001 - whatever a module raises is the init's result
        error = _described(raised, "")
        _log(error)
        api.fail("init", error)
        sys.exit(1)
    while True:
        _invoke(api, found)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # a text file, as nothing has replaced it yet
    main(sys.argv[1])
