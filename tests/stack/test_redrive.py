"""`make redrive` beside `make run`: failed jobs of the application in the local cloud run again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack.test_command import Run, running
from tests.stack.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder that has nothing but the application's template."""
    (tmp_path / "template.yaml").symlink_to(ROOT / "template.yaml")
    return tmp_path


@pytest.fixture
def application(folder: Path) -> Iterator[Run]:
    """Run `python -m local` there."""
    with running(Run(folder)) as run:
        run.ready()
        yield run


def redrive(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with settings of a developer that must not count."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AFTERWARD_BUCKET": "own", "AWS_PROFILE": "own"}
    command = [sys.executable, "-m", "local.redrive", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def failed(url: str, job: str, run: int) -> dict[str, Any]:
    """Wait until a run of a job has failed, and its letter is archived: then it can be retried."""

    def look() -> dict[str, Any]:
        body: dict[str, Any] = httpx.get(f"{url}/tasks/{job}").json()
        return body if (body["status"], body["run"]) == ("failed", run) else {}

    return eventually(look)


def test_a_failed_job_is_redriven(folder: Path, application: Run) -> None:
    """The command finds the cloud that runs in this folder, says what it would do, does it, and the job runs again."""
    url = application.ready()
    answer = httpx.post(f"{url}/safe-task/7?message=hello&task=process_data&data_id=0")
    job = answer.json()["task_id"]
    failed(url, job, 1)
    told = f"{job}  process_data  Discard  data_id must be 1 or more, got 0  "

    def dry() -> list[str]:
        ran = redrive(folder, "--task", "process_data", "--dry-run")
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines() if job in ran.stdout else []

    assert eventually(dry) == [f"{told}would be queued: run 1 has failed", "1 job would be queued"]
    failed(url, job, 1)
    assert redrive(folder, "--task", "send_email").stdout == "no job was found\n"
    assert redrive(folder, "--task", "process_data").stdout.splitlines() == [f"{told}queued as run 2", "1 job queued"]
    failed(url, job, 2)


def test_there_must_be_something_to_redrive(folder: Path, application: Run) -> None:
    """Where nothing runs, or no more, the command says what to do, and reaches for nothing else."""
    assert (folder / ".local" / "endpoint").exists()
    application.process.send_signal(signal.SIGINT)
    assert application.process.wait(10) == 0
    assert not (folder / ".local" / "endpoint").exists()
    for stale in (False, True):
        if stale:
            (folder / ".local" / "endpoint").write_text("http://127.0.0.1:1")
        ran = redrive(folder)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.splitlines() == [
            "Nothing runs here. Start it with `make run`, or name a deployed stack: --stack NAME"
        ]
    assert "--dry-run" in redrive(folder, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("--task process_data", "-m local.redrive --task process_data"),
        ("--stack mine --dry-run", "-m afterward.redrive --stack mine --dry-run"),
    ],
)
def test_make_knows_where_to(arguments: str, command: str) -> None:
    """`make redrive` is for the jobs of `make run`, and for those of a stack where one is named."""
    make = ["make", "--dry-run", "--always-make", "--no-print-directory", "redrive", f"ARGS={arguments}"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].endswith(command)
