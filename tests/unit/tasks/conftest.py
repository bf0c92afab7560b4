from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from tests.support.modules import importing

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
    with importing("written") as imported:

        def write(source: str) -> ModuleType:
            path = tmp_path / f"written_{next(_numbers)}.py"
            future = "from __future__ import annotations\n"
            source = dedent(source).lstrip()
            header = future + HEADER if source.startswith(future) else HEADER
            path.write_text(header + source.removeprefix(future))
            return imported(path)

        yield write
