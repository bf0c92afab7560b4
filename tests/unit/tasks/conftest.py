import importlib.util
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from afterward.declaration import REGISTRY

Written = Callable[[str], ModuleType]

_numbers = count()

HEADER = """
from typing import Annotated, Any, Callable, Literal, NamedTuple, NewType, Optional, TypedDict, Union
import datetime, decimal, enum, typing
from dataclasses import dataclass
from afterward import Backoff, Depends, Job, Progress, injected, task
"""


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    """Import a module from its source, as a user's module is; what it declares is forgotten after the test."""
    registered, made = dict(REGISTRY), []

    def write(source: str) -> ModuleType:
        name = f"written_{next(_numbers)}"
        path = tmp_path / f"{name}.py"
        future = "from __future__ import annotations\n"
        source = dedent(source).lstrip()
        header = future + HEADER if source.startswith(future) else HEADER
        path.write_text(header + source.removeprefix(future))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        made.append(name)
        spec.loader.exec_module(module)
        return module

    yield write
    for name in made:
        del sys.modules[name]
    REGISTRY.clear()
    REGISTRY.update(registered)
