"""Log lines of any logger, with any handler."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from afterward import log
from afterward.pii.logs import install, uninstall
from tests.support.logs import configured

ADA = "ada@example.com"


class Untold:
    """Cannot be told."""

    def __str__(self) -> str:
        raise ValueError(ADA)


@pytest.fixture(autouse=True)
def _masked() -> Iterator[None]:
    install()
    install()
    yield
    uninstall()


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(params=["plain", "json"])
def logger(request: pytest.FixtureRequest, output: io.StringIO) -> logging.Logger:
    """A logger of somebody else's, with a handler and a formatter of its own."""
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        LambdaPowertoolsFormatter(service="x")
        if request.param == "json"
        else logging.Formatter("%(message)s|%(levelname)s")
    )
    made = logging.Logger("elsewhere", logging.DEBUG)  # noqa: LOG001 - it is for one test
    made.addHandler(handler)
    return made


def fail() -> None:
    try:
        raise KeyError(ADA)  # noqa: TRY301 - to have its traceback
    except KeyError as error:
        raise ValueError(f"no mailbox for {ADA}") from error


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        (f"mail to {ADA}", ()),
        ("mail to %s", (ADA,)),
        ("mail to %s@%s", ("ada", "example.com")),
        ("mail to %(to)s", ({"to": ADA},)),
        ("mail to %r", ([ADA],)),
        ("paid with %d", (4111111111111111,)),
        (["paid", {"by": ADA}], ()),
        (ValueError(ADA), ()),
    ],
)
def test_messages(logger: logging.Logger, output: io.StringIO, message: Any, arguments: tuple[Any, ...]) -> None:
    """Also where a value is spread over the message and its arguments."""
    logger.info(message, *arguments)
    assert ADA not in output.getvalue()
    assert "4111" not in output.getvalue()
    assert "[EMAIL]" in output.getvalue() or "[CREDIT_CARD]" in output.getvalue()


def test_what_holds_nothing_is_as_it_was(logger: logging.Logger) -> None:
    """Handlers that group lines by their template still can."""
    seen: list[logging.LogRecord] = []

    def note(record: logging.LogRecord) -> bool:
        seen.append(record)
        return True

    logger.addFilter(note)
    logger.info("%d rows of %s", 7, "jobs", extra={"table": "jobs"})
    assert [(one.msg, one.args, one.__dict__["table"]) for one in seen] == [("%d rows of %s", (7, "jobs"), "jobs")]


@pytest.mark.parametrize("logger", ["json"], indirect=True)
def test_fields(logger: logging.Logger, output: io.StringIO) -> None:
    """Nested ones, bytes, keys, and what only its name tells."""
    extra = {"user": {"mail": [ADA]}, "raw": ADA.encode(), "password": "swordfish-7", "row": 7}
    logger.info("done", extra=extra)
    line = json.loads(output.getvalue())
    assert (line["user"], line["password"], line["row"]) == ({"mail": ["[EMAIL]"]}, "[SECRET]", 7)
    assert (ADA in output.getvalue(), extra["user"]) == (False, {"mail": [ADA]})


def test_exceptions(logger: logging.Logger, output: io.StringIO) -> None:
    """The text, and those of all causes; the traceback stays."""
    try:
        fail()
    except ValueError:
        logger.exception("it failed", stack_info=True)
    told = output.getvalue()
    assert ADA not in told
    assert [one in told for one in ("no mailbox for [EMAIL]", "KeyError", "in fail", "it failed")] == [True] * 4


def test_an_exception_that_is_none(logger: logging.Logger, output: io.StringIO) -> None:
    """As it happens where nothing was raised."""
    logger.error("it failed", exc_info=True)  # noqa: LOG014 - what is tested
    assert "it failed" in output.getvalue()


@pytest.mark.parametrize("arguments", [(Untold(),), (1, 2), (ADA, ADA)])
def test_a_line_that_cannot_be_told_is_left_out(
    logger: logging.Logger, output: io.StringIO, capsys: pytest.CaptureFixture[str], arguments: tuple[Any, ...]
) -> None:
    """It neither raises, nor is what it was about printed beside it."""
    logger.info("mail to %s", *arguments, extra={"address": ADA})
    assert "left out" in output.getvalue()
    assert ADA not in output.getvalue() + capsys.readouterr().err


def test_powertools_own_logger(output: io.StringIO) -> None:
    """It brings its own handler and formatter."""
    logger = Logger(service="mails", stream=output, logger_handler=None)
    logger.info("mail to %s", ADA, extra={"address": ADA})
    logger.info("mailed", address=ADA)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [(one["message"], one["address"]) for one in lines] == [
        ("mail to [EMAIL]", "[EMAIL]"),
        ("mailed", "[EMAIL]"),
    ]


def test_keys_that_powertools_keeps(output: io.StringIO) -> None:
    """They stand in no record, but in each line that follows."""
    logger = Logger(service="kept", stream=output, owner=ADA)
    logger.append_keys(customer={"mail": ADA}, ids=["378-05-1121"])
    with configured(io.StringIO()):
        logger.info("done")
    line = json.loads(output.getvalue())
    assert (line["owner"], line["customer"], line["ids"]) == ("[EMAIL]", {"mail": "[EMAIL]"}, ["[US_SSN]"])
    assert (line["message"], line["service"]) == ("done", "kept")


@pytest.mark.parametrize("keep", ["append_keys", "thread_safe_append_keys"])
def test_a_kept_key_is_masked_by_itself(output: io.StringIO, keep: str) -> None:
    """Its name does not excuse it, whether all threads' lines have it or those of one."""
    logger = Logger(service=f"kept by {keep}", stream=output)
    getattr(logger, keep)(order="4111111111111111")
    try:
        with configured(io.StringIO()):
            logger.info("done")
    finally:
        logger.thread_safe_clear_keys()
    assert json.loads(output.getvalue())["order"] == "[CREDIT_CARD]"


def test_what_the_record_did_not_have_on_lambda(output: io.StringIO) -> None:
    """What a filter adds, names of fields, escaped JSON, records that somebody else has made."""

    def add(record: logging.LogRecord) -> bool:
        record.__dict__["owner"] = {"mail": ADA}
        return True

    logger = logging.getLogger("added")
    logger.addFilter(add)
    try:
        with configured(output):
            logger.info("done", extra={ADA: 1})
            logger.info('{"fetched": "https:\\/\\/hooks.slack.com\\/services\\/T0\\/B0\\/x"}')
            logging.getLogger().handle(logging.makeLogRecord({"msg": "mail to %s", "args": (ADA,), "levelno": 20}))
    finally:
        logger.removeFilter(add)
    first, second, third = (json.loads(line) for line in output.getvalue().splitlines())
    assert (first["owner"], first["[EMAIL]"]) == ({"mail": "[EMAIL]"}, 1)
    assert (second["message"], third["message"]) == ({"fetched": "[URL]"}, "mail to [EMAIL]")


def test_a_line_on_lambda_has_a_length(output: io.StringIO) -> None:
    """An error that quotes a whole file fits no log."""
    with configured(output):
        logging.getLogger("any").error("it failed", exc_info=ValueError("x" * 1_000_000))
    assert "characters more" in json.loads(output.getvalue())["exception"]


def test_on_lambda_every_line_is_masked(output: io.StringIO) -> None:
    """`configure` sees to it, and what is logged for a job is masked with the rest."""
    uninstall()
    with configured(output), log.context(job_id="378-05-1121"):
        logging.getLogger("any").info("mail to %s", ADA)
    line = json.loads(output.getvalue())
    assert (line["message"], line["job_id"]) == ("mail to [EMAIL]", "[US_SSN]")
    assert sys.stdout is not output
