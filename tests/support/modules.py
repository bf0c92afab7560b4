"""Modules that are imported from files, as a user's are."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType

from afterward.declaration import REGISTRY

_numbers = count()


@contextmanager
def importing(prefix: str) -> Iterator[Callable[[Path], ModuleType]]:
    """Give what imports a file as a new module, `<prefix>_<number>`; at the end all that was declared is forgotten."""
    declared, made = dict(REGISTRY), []

    def imported(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{prefix}_{next(_numbers)}", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        made.append(spec.name)
        spec.loader.exec_module(module)
        return module

    yield imported
    for name in made:
        del sys.modules[name]
    REGISTRY.clear()
    REGISTRY.update(declared)
