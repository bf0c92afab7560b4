import io
import json

import pytest

from local.log import Log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(text: str, stream: io.StringIO) -> str:
    Log(stream).output("SendEmail", text)
    return stream.getvalue()


def test_a_structured_line_shows_its_job_and_what_happened() -> None:
    """What is the same in each line is left out, and an exception has lines of its own."""
    fields = {
        "level": "ERROR",
        "message": "failed",
        "task": "send_email",
        "job_id": "42",
        "service": "afterward",
        "extra": 1,
    }
    line = shown(json.dumps({**fields, "exception": "Traceback\nValueError"}), io.StringIO())
    assert line[13:] == "SendEmail          ERROR failed  send_email 42  extra=1\nTraceback\nValueError\n"


def test_a_plain_line_is_shown_as_it_is() -> None:
    """print() in a function is as good as a logger."""
    assert shown("hello {", io.StringIO())[13:] == "SendEmail          hello {\n"


@pytest.mark.parametrize("text", ["{not json", '["a list"]', "{}"])
def test_what_only_looks_structured_is_plain(text: str) -> None:
    """Nothing is lost."""
    assert text in shown(text, io.StringIO())


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither files nor those who ask for none get any."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in shown("hello", Terminal())
    assert "\x1b[" not in shown("hello", io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in shown("hello", Terminal())
