"""What importing the library gives, and what it costs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import afterward


def fresh(code: str, **variables: str) -> list[str]:
    """Run code in a new process and return what it printed, as words."""
    environment = {"PYTHONPATH": ":".join(sys.path), "AWS_REGION": "us-east-1"} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", afterward.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Each name of the package is what its own module defines."""
    value = getattr(afterward, name)
    assert getattr(importlib.import_module(f"afterward.{afterward._HOMES[name]}"), name) is value
    assert vars(afterward)[name] is value


def test_an_unknown_name_is_an_error() -> None:
    """A name that is not there is refused as in any module."""
    with pytest.raises(AttributeError, match="module 'afterward' has no attribute 'Nothing'"):
        _ = afterward.Nothing
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from afterward import Nothing")  # noqa: S102 - what a typo does


def test_type_checkers_see_the_same_names() -> None:
    """The names that are imported for type checkers are those that are given at run time, from the same modules."""
    tree = ast.parse(Path(afterward.__file__).read_text())
    imported = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.module]
    seen = {alias.name: one.module for one in imported for alias in one.names if alias.asname == alias.name}
    assert seen == {name: f"afterward.{home}" for name, home in afterward._HOMES.items()}


def test_importing_the_package_imports_none_of_its_parts() -> None:
    """A process pays only for the names that it uses."""
    said = fresh("import afterward, sys; print(*(name for name in sys.modules if name.startswith('afterward.')))")
    assert {*said} <= {"afterward.startup"}
    assert fresh("from afterward import Discard; import sys; print('afterward.declaration' in sys.modules)") == [
        "False"
    ]


def test_fastapis_own_models_wait() -> None:
    """Importing afterward.background builds none of FastAPI's OpenAPI models; the documentation has all the same."""
    code = """
from afterward.background import install
from fastapi import FastAPI
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel
print(OpenAPI.__pydantic_complete__, "defer_build" in BaseModel.model_config)
class Mine(BaseModel):
    name: str
print(Mine.__pydantic_complete__)
app = FastAPI()
install(app)
@app.get("/")
async def read(name: str) -> Mine: ...
print(*app.openapi()["paths"])
"""
    assert fresh(code) == ["False", "False", "True", "/"]


def test_a_process_that_adds_needs_no_worker() -> None:
    """The API's side of the library loads neither a worker nor, before its first use, an AWS client."""
    modules = "{'afterward.worker', 'afterward.delivery', 'botocore'}"
    code = f"import afterward.background, sys; print(*{modules} & {{*sys.modules}})"
    assert fresh(code) == []
