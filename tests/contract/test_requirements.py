"""What is locked: all that is asked for, and the same for developing as for deploying."""

import re
import tomllib
from pathlib import Path

import pytest

LAYERS = ("afterward", "outbound")
"""The layers that carry packages."""


def locked(path: Path) -> dict[str, str]:
    """Return the versions in a lock by package."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", path.read_text(), re.MULTILINE))


def test_locks_have_all_that_is_asked_for(root: Path) -> None:
    """Every requirement of an .in file is in its lock: nobody forgot `make lock`."""
    requirements = root / "requirements"
    for asked, lock in {
        "base.in": root / "layers" / "afterward" / "requirements.txt",
        "dev.in": requirements / "dev.txt",
        "sam.in": requirements / "sam.txt",
        "sec.in": requirements / "sec.txt",
        "uv.in": requirements / "uv.txt",
    }.items():
        names = set(re.findall(r"^([a-z0-9-]+)", (requirements / asked).read_text(), re.MULTILINE)) - {"-r"}
        assert names
        assert names <= set(locked(lock))


def test_the_layer_has_what_the_library_requires(root: Path) -> None:
    """What the published library requires with FastAPI is in the layer."""
    project = tomllib.loads((root / "layers" / "afterward" / "pyproject.toml").read_text())["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["fastapi"]]
    names = {re.split("[^a-z0-9-]", requirement, maxsplit=1)[0] for requirement in required}
    assert names <= set(locked(root / "layers" / "afterward" / "requirements.txt"))


@pytest.mark.parametrize("layer", LAYERS)
def test_what_is_tested_is_what_is_deployed(root: Path, layer: str) -> None:
    """Each package of a layer is developed and tested with in the same version."""
    deployed = locked(root / "layers" / layer / "requirements.txt")
    tested = locked(root / "requirements" / "dev.txt")
    assert deployed
    assert deployed.items() <= tested.items()


def test_the_outbound_layer_has_what_the_base_layer_lacks(root: Path) -> None:
    """What outbound calls need is in one of the two layers of their functions, and in no more than one."""
    base, outbound = (locked(root / "layers" / layer / "requirements.txt") for layer in LAYERS)
    asked = re.findall(r"^([a-z0-9-]+)", (root / "requirements" / "outbound.in").read_text(), re.MULTILINE)
    assert set(asked) <= {*base, *outbound}
    assert not base.keys() & outbound.keys()
