"""Tasks that tell all that they are given, in every way that a task has."""

import asyncio
import logging
import threading
import warnings
from typing import NoReturn

from aws_lambda_powertools import Logger

from afterward import Children, Discard, Progress, Results, Retry, injected, task
from afterward.pii import Kind
from afterward.worker import Worker
from tests.support.personal import Value

STATE = Value(Kind.US_SSN, "531-72-6604")
"""What is kept in a checkpoint, and nowhere else."""

CHOSEN = Value(Kind.US_SSN, "447-31-9052")
"""What is chosen as the id of a job, and nowhere else."""


class Customer:
    """What says who it is as soon as it is asked."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<Customer {self.text}>"


class Forgotten:
    """Fails where nobody is left to hear of it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __del__(self) -> None:
        raise ValueError(self.text)


@task(name="outspoken_logging")
def speak(text: str, *, progress: Progress = injected, results: Results = injected) -> None:
    """Tell it by every logger, and by what Python prints itself."""
    _log(logging.getLogger("any"), text)
    _log(logging.getLogger("uvicorn.error"), text)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', text, "GET", text, "1.1", 200)
    logging.getLogger("structured").info({"event": "paid", "customer": {"about": [text], text: text}})
    _log(Logger(service="own"), text)
    loop = asyncio.new_event_loop()
    loop.call_exception_handler({"message": text, "exception": ValueError(text)})
    loop.close()
    warnings.warn(text, RuntimeWarning, stacklevel=1)
    thread = threading.Thread(target=_fail, args=(text,))
    thread.start()
    thread.join()
    Forgotten(text)
    results.store("said.txt", b"nothing", "text/plain")
    progress.report(1, 2, text)
    progress.checkpoint(STATE.text)
    progress.report(2, 2, text)


def _log(logger: logging.Logger | Logger, text: str) -> None:
    logger.debug(text)
    logger.info("paid by %s", text)
    logger.warning("paid by %r", Customer(text), extra={"customer": Customer(text), "about": {text: [text]}})
    try:
        _fail(text)
    except ExceptionGroup:
        logger.exception("it failed for %s", text, stack_info=True)


def _fail(text: str) -> NoReturn:
    try:
        raise KeyError(text)  # noqa: TRY301 - to have it as a cause
    except KeyError as cause:
        group = ExceptionGroup(text, [ValueError(text), OSError(5, text, text)])
        group.add_note(text)
        raise group from cause


@task(name="outspoken_failing", max_attempts=2)
async def fail(text: str, how: str) -> None:
    """Fail with it: in an error of its own kind, for good, for now, or in what another one has caused."""
    if how == "discard":
        raise Discard(text)
    if how == "retry":
        raise Retry(text)
    if how == "exit":
        raise SystemExit(text)
    _fail(text)


@task(name="outspoken_parent")
def beget(text: str, *, children: Children = injected) -> None:
    """Leave jobs that are given it, beside each other and behind each other."""
    together = children.group()
    for how in ("discard", "retry"):
        together.add_task(fail.options(fairness="zaphira.quellmont@privat.example"), text, how)
    children.add_task(speak, text)


WORKERS: tuple[Worker, ...] = (speak.worker(), fail.worker(), beget.worker())
NAMES = tuple(worker.task.name for worker in WORKERS)
