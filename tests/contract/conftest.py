import filecmp
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from samtranslator.yaml_helper import yaml_parse

import catalog
from afterward import Task
from scripts.artifact import NOT_SHIPPED, find_python
from tests.contract.resources import Template

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def template() -> Template:
    """template.yaml as it is written, `!Ref X` read as `{"Ref": X}`."""
    parsed: Template = yaml_parse((ROOT / "template.yaml").read_text())
    return parsed


@pytest.fixture(scope="session")
def tasks() -> dict[str, str]:
    """The names of all declared tasks by the logical ids of their functions."""
    declared = [task.name for task in vars(catalog).values() if isinstance(task, Task)]
    return {"".join(word.capitalize() for word in name.split("_")): name for name in declared}


@pytest.fixture(scope="session")
def build(template: Template) -> Path:
    """What `sam build` left behind, if it is of the sources as they are now; CI must have it."""
    built = ROOT / ".aws-sam" / "build"
    if not (built / "template.yaml").is_file():
        unavailable("nothing is built: make build")
    if missing := next(outdated(template, built), None):
        unavailable(f"what is built has not {missing} as it is now: make build")
    return built


@pytest.fixture(scope="session")
def runtime() -> str:
    """A Python of Lambda's version; CI must have it."""
    return find_python() or unavailable("there is no Python 3.13")


def unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def outdated(template: Template, built: Path) -> Iterator[str]:
    """Find the files that the build has not, or not as they are now."""
    for logical_id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if folder := properties.get("CodeUri") or properties.get("ContentUri"):
            target = built / logical_id / ("python" if "ContentUri" in properties else "")
            for source in shipped(ROOT / folder):
                name = source.relative_to(ROOT / folder)
                if not (target / name).is_file() or not filecmp.cmp(source, target / name, shallow=False):
                    yield str(source.relative_to(ROOT))


def shipped(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if not any(path.match(pattern) for pattern in NOT_SHIPPED):
            yield from shipped(path) if path.is_dir() else [path]
