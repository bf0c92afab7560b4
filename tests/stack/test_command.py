import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.stack.waiting import eventually

ROOT = Path(__file__).parents[2]
APP = Path(__file__).parent / "app"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Give a copy of the small application that a test may break; it shares the installed packages."""
    copy = tmp_path / "app"
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns(".local", "__pycache__"))
    (ROOT / ".local").mkdir(exist_ok=True)
    (copy / ".local").symlink_to(ROOT / ".local")
    return copy


class Run:
    """`python -m local` in a folder."""

    def __init__(self, folder: Path, *arguments: str, python: tuple[str, ...] = ()) -> None:
        command = [sys.executable, *python, "-m", "local", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PORT": "0"}
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def ready(self) -> str:
        """Wait for the address."""
        (address, *_) = eventually(lambda: re.findall(r"(http://\S+)/docs", self.text), within=30)
        return str(address)

    def children(self) -> list[int]:
        return [pid for pid, parent, _ in processes() if parent == self.process.pid]


def processes() -> list[tuple[int, int, str]]:
    """List pid, parent and state of all processes."""
    listed = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    return [(int(pid), int(parent), state) for pid, parent, state in map(str.split, listed.stdout.splitlines())]


@contextmanager
def running(run: Run) -> Iterator[Run]:
    try:
        yield run
    finally:
        with suppress(ProcessLookupError):
            run.process.kill()
        run.process.wait()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid, _, state in processes() if pid in pids and not state.startswith("Z")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_all_its_children(app: Path, number: signal.Signals) -> None:
    """Ctrl-C leaves no process and no traceback behind."""
    with running(Run(app)) as run:
        assert httpx.get(run.ready() + "/open").status_code == 200
        children = run.children()
        assert len(children) >= 2
        run.process.send_signal(number)
        assert run.process.wait(5) == 0
        assert not alive(children)
        assert "Traceback" not in run.text


def test_a_signal_during_the_start_ends_it_too(app: Path) -> None:
    """There is no moment in which Ctrl-C is wrong."""
    with running(Run(app)) as run:
        children = eventually(run.children)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(5) == 0
        assert not alive(children)
        assert "Traceback" not in run.text


def test_children_end_with_a_killed_parent(app: Path) -> None:
    """Even kill -9 leaves nothing running."""
    with running(Run(app)) as run:
        assert httpx.get(run.ready() + "/open").status_code == 200
        children = run.children()
        run.process.kill()
        eventually(lambda: not alive(children), within=20)


def test_it_says_what_to_try(app: Path) -> None:
    """Address, documentation, a first request and where mails go."""
    with running(Run(app)) as run:
        address = run.ready()
        assert f"curl -X POST '{address}/" in eventually(lambda: run.text if "Ctrl-C" in run.text else "")
        assert ".local/mails" in run.text


def refused(run: Run) -> str:
    """Wait for the one line that says why there was no start."""
    assert run.process.wait(30) == 1
    lines = run.text.splitlines()
    assert len(lines) == 1, run.text
    return lines[0]


def test_a_port_in_use_is_one_line(app: Path) -> None:
    """It says which port, and how to take another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused(Run(app, "--port", str(port))).startswith(
            f"Port {port} cannot be used (Address already in use)."
        )


def test_a_broken_template_is_one_line(app: Path) -> None:
    """It says where."""
    (app / "template.yaml").write_text("Resources: [")
    assert "template.yaml: while parsing" in refused(Run(app))


def test_a_missing_handler_is_one_line(app: Path) -> None:
    """It says which function has none."""
    (app / "functions/echo/echo.py").write_text("")
    assert re.match(
        r"The handler echo.lambda_handler of Echo is missing: .*/echo.py defines no lambda_handler", refused(Run(app))
    )


def test_a_missing_module_is_one_line(app: Path) -> None:
    """It says where it should be."""
    (app / "functions/echo/echo.py").unlink()
    assert re.match(r"The handler echo.lambda_handler of Echo is missing: there is no .*/echo.py", refused(Run(app)))


def test_a_missing_package_is_one_line(app: Path) -> None:
    """It says what to do."""
    assert re.match(r"The package \w+ is missing from .* make setup", refused(Run(app, python=("-S",))))


def test_allowed_ports_reach_the_functions(app: Path) -> None:
    """The ports that are named on the command line are what functions are told."""
    (app / "functions/echo/echo.py").write_text(
        "import os\n\n\ndef lambda_handler(event, context):\n    return os.environ['OUTBOUND_ALLOW_LOOPBACK']\n"
    )
    with running(Run(app, "--allow-loopback", "9000, 9001")) as run:
        assert httpx.get(run.ready() + "/open").json() == "9000,9001"


@pytest.mark.parametrize("ports", ["x", "70000", "0", "9000;9001", "-1"])
def test_what_is_no_port_is_said(app: Path, ports: str) -> None:
    """It says what a list of ports looks like, before anything starts."""
    run = Run(app, f"--allow-loopback={ports}")
    assert run.process.wait(30) == 2
    assert f"argument --allow-loopback: {ports!r} is not a list of ports like 9000,9001" in run.text


def test_a_timeout_reaches_the_workers(app: Path) -> None:
    """What is no timeout of Lambda's is said in one line, and names the functions that it was meant for."""
    expected = "A function's timeout is 1 to 900 seconds, and not Worker: 901, Witness: 901."
    assert refused(Run(app, "--timeout", "901")) == expected


def test_make_passes_the_timeout_on() -> None:
    """`make run TIMEOUT=3` is `python -m local --timeout 3`."""
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", "run", "TIMEOUT=3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert '-m local --timeout "3" --allow-loopback' in done.stdout.splitlines()[-1]


def test_make_passes_the_ports_on() -> None:
    """`make run ALLOW_LOOPBACK=9000,9001` is `python -m local --allow-loopback 9000,9001`; without, none is allowed."""
    for given, expected in ((["ALLOW_LOOPBACK=9000,9001"], '"9000,9001"'), ([], '""')):
        command = ["make", "--dry-run", "--always-make", "--no-print-directory", "run", *given]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1].endswith(f"-m local --allow-loopback {expected}")
