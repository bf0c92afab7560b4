"""The wheel, installed elsewhere as its users install it, and the code of its README."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.online

PACKAGE = Path(__file__).parents[2] / "layers" / "afterward"
BLOCK = re.compile(r"^```python\n# (\w+\.py)(.*?)^```$", re.MULTILINE | re.DOTALL)

EVENT = """
import json, sys
import thumbnails
from afterward.envelope import Envelope, dumps
from afterward.in_process import Invocation
arguments = {"picture": "cat.png", "width": 100}
envelope = Envelope(id="job-1", task="write_thumbnail", arguments=arguments, owner="me", created="2026-11-22T14:00:00Z")
record = {"eventSource": "aws:sqs", "messageId": "m-1", "receiptHandle": "r-1", "body": dumps(envelope)}
print(json.dumps(thumbnails.lambda_handler({"Records": [record]}, Invocation(10))))
print(*{"fastapi", "starlette", "mangum"} & sys.modules.keys())
"""


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in a new environment that has the wheel and uvicorn, and nothing of this repository on its path."""
    home = tmp_path_factory.mktemp("elsewhere")
    uv = Path(sys.executable).with_name("uv")
    run(home, str(uv), "venv", "--quiet", "--python", sys.executable, "venv")
    made = home / "venv" / "bin" / "python"
    run(home, str(uv), "pip", "install", "--quiet", "--python", str(made), f"{PACKAGE}[fastapi]", "uvicorn")
    return made


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the README."""
    home = tmp_path_factory.mktemp("project")
    for name, text in BLOCK.findall((PACKAGE / "README.md").read_text()):
        (home / name).write_text(f"# {name}{text}")
    assert {path.name for path in home.iterdir()} == {"notes.py", "thumbnails.py", "test_thumbnails.py"}
    return home


def run(folder: Path, *command: str, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(**variables: str) -> dict[str, str]:
    """Leave out whatever could let the new environment see this repository."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL", "AFTERWARD"))
    }
    return kept | variables


def test_the_wheel_is_typed_and_has_its_version(python: Path, folder: Path) -> None:
    """The installed package is elsewhere, ships py.typed, and has the version of its pyproject."""
    code = "import afterward, importlib.metadata as m; print(afterward.__file__, m.version('afterward'))"
    place, version = run(folder, str(python), "-c", code).split()
    assert Path(place).is_relative_to(python.parents[1])
    assert (Path(place).parent / "py.typed").is_file()
    assert version == tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["version"]


def test_the_wheel_holds_the_library_and_nothing_else(python: Path, folder: Path) -> None:
    """Every module of the sources is in the wheel, and the wheel brings no other top-level package."""
    code = "import importlib.metadata as m; print(*m.files('afterward'))"
    files = {file for file in run(folder, str(python), "-c", code).split() if not file.endswith(".pyc")}
    sources = {str(path.relative_to(PACKAGE)) for path in (PACKAGE / "afterward").rglob("*.py")}
    assert sources | {"afterward/py.typed"} <= files
    assert {file.partition("/")[0].partition("-")[0] for file in files} == {"afterward"}


def test_the_readmes_code_is_typed(python: Path, folder: Path) -> None:
    """A type checker that reads the installed wheel finds nothing wrong in the README's files."""
    checker = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", str(python), str(folder)]
    done = subprocess.run(checker, cwd=folder, capture_output=True, check=False)
    assert json.loads(done.stdout)["generalDiagnostics"] == []


@contextmanager
def serving(python: Path, folder: Path, log: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(python), "-m", "uvicorn", "notes:app", "--port", str(port)]
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=environment(AFTERWARD_STORE="memory"), stdout=output, stderr=output
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def ask(method: str, url: str) -> tuple[int, dict[str, str], Any]:
    """Ask, again and again while the server is not up yet."""
    request = urllib.request.Request(url, method=method)  # noqa: S310 - the server above
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
                return answer.status, dict(answer.headers), json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), json.load(error)
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_the_one_file_app_runs(python: Path, folder: Path, tmp_path: Path) -> None:
    """The README's app accepts a job and runs it to its end in its own process, and says that it is not durable."""
    with serving(python, folder, tmp_path / "log") as url:
        status, headers, body = ask("POST", f"{url}/notes?text=milk")
        assert (status, body["message"]) == (202, "It will be noted in the background")
        assert headers["location"] == f"/tasks/{body['task_id']}"
        until = time.monotonic() + 20
        while (progress := ask("GET", url + body["check_progress_url"])[2])["status"] != "completed":
            assert time.monotonic() < until, progress
            time.sleep(0.05)
        assert progress == {"status": "completed", "progress": 1, "total": 1, "message": "Noted: milk"}
        status, headers, body = ask("GET", f"{url}/tasks/unknown")
        assert (status, headers["content-type"], body["detail"]) == (404, "application/problem+json", "Task not found")
    assert (folder / "notes.txt").read_text() == "milk\n"
    assert (
        "AFTERWARD_STORE=memory: jobs run inside this process and are lost when it ends"
        in (tmp_path / "log").read_text()
    )


def test_the_one_file_worker_runs(python: Path, folder: Path) -> None:
    """The README's worker takes an SQS event, settles it, and never loads FastAPI."""
    answer, loaded = run(folder, str(python), "-c", EVENT, AFTERWARD_STORE="memory").split("\n")[:2]
    assert json.loads(answer) == {"batchItemFailures": []}
    assert (folder / "cat.png.100").read_text() == "a smaller picture"
    assert loaded == ""


def test_the_readmes_test_passes(python: Path, folder: Path) -> None:
    """The README's test of a task passes with nothing but the wheel."""
    run(folder, str(python), "-c", "import test_thumbnails as t; t.test_a_thumbnail_is_written()")
    assert (folder / "cat.png.200").is_file()
