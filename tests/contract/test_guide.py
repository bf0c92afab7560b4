"""docs/your_own_task.md, done as it says in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COPIED = ("events", "functions", "layers", "pyproject.toml", "scripts", "template.yaml", "tests/contract", "docs")
BLOCK = re.compile(r"^  SendNotification:\n.*?(?=^  SendEmail:\n)", re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of what a task is part of, before the guide is followed."""
    for name in COPIED:
        source, target = root / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return tmp_path


def blocks(root: Path) -> list[str]:
    """The guide's code in the order in which it stands there."""
    return re.findall(
        r"^```(?:python|yaml)\n(.*?)^```$", (root / "docs/your_own_task.md").read_text(), re.MULTILINE | re.DOTALL
    )


def renamed(text: str) -> str:
    """What copying SendNotification and writing the new name into it gives."""
    return text.replace("SendNotification", "Remind").replace("send_notification", "remind")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def insert(path: Path, after: str, text: str) -> None:
    """Put lines behind the last one that contains `after`."""
    lines = path.read_text().splitlines(keepends=True)
    position = max(number for number, line in enumerate(lines) if after in line)
    path.write_text("".join([*lines[: position + 1], text, *lines[position + 1 :]]))


def follow(copy: Path, *, forget: str = "") -> None:
    """Do the guide's five steps, leaving out the one that is to be forgotten."""
    declaration, implementation, route, variable, permission, output, test = blocks(copy)
    template = copy / "template.yaml"
    with (copy / "layers/catalog/catalog.py").open("a") as catalog:
        catalog.write(f"\n\n{declaration}")
    write(copy / "functions/remind/remind.py", implementation)
    write(copy / "functions/api/routes/reminder.py", route)
    api = copy / "functions/api/api.py"
    api.write_text(api.read_text().replace("from routes import", "from routes import reminder\nfrom routes import", 1))
    api.write_text(api.read_text().replace("for routes in (", "for routes in (reminder, ", 1))
    found = BLOCK.search(template.read_text())
    assert found
    if forget != "block":
        template.write_text(template.read_text().replace("  SendEmail:\n", f"{renamed(found[0])}  SendEmail:\n", 1))
    insert(template, "AFTERWARD_QUEUE_", variable)
    if forget != "permission":
        insert(template, "- !GetAtt LongRunningTaskQueue.Arn", permission)
    insert(template, "Value: !Ref LongRunningTaskQueue", output)
    paths = copy / "pyproject.toml"
    paths.write_text(
        paths.read_text().replace('"functions/send_email",', '"functions/remind", "functions/send_email",')
    )
    if forget != "event":
        event = (copy / "events/send_notification.one.json").read_text()
        write(copy / "events/remind.one.json", renamed(event).replace('\\"message\\"', '\\"about\\"'))
    write(copy / "tests/unit/tasks/test_remind.py", test)


def python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(f"{copy}/{name}" for name in ("layers/afterward", "layers/catalog", "functions/api"))
    environment = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )


def run(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    return python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)


def test_the_guide_gives_a_task_that_works(copy: Path) -> None:
    """Whoever follows the guide has a task whose test passes and which the contract tests accept."""
    follow(copy)
    result = run(copy, "tests/unit", "tests/contract/test_layout.py", "tests/contract/test_template.py")
    assert result.returncode == 0, result.stdout + result.stderr
    paths = python(copy, "-c", "import api; print(*api.app.openapi()['paths'])")
    assert "/remind/{recipient}" in paths.stdout.split(), paths.stderr


@pytest.mark.parametrize(
    ("forgotten", "named"), [("block", "Remind"), ("permission", "RemindQueue"), ("event", "remind")]
)
def test_what_is_forgotten_is_named(copy: Path, forgotten: str, named: str) -> None:
    """A forgotten step makes the contract tests fail and name the task."""
    follow(copy, forget=forgotten)
    result = run(copy, "tests/contract/test_layout.py", "tests/contract/test_template.py")
    assert result.returncode == 1, result.stdout + result.stderr
    assert named in result.stdout
