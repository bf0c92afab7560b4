"""Packages that functions may import: what their folders and layers require, and the runtime. Nothing else."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING

from local.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNTIME = "awslambdaric"
_PYTHON = f"{sys.implementation.cache_tag}-{sys.platform}"


def path_of(folder: Path, cache: Path) -> list[str]:
    """List what a folder of code adds to `sys.path`: itself and, installed once per lock, what it requires.

    A layer may also hold its content in `python/`, where Lambda looks for it:
    https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html
    """
    code = folder / "python" if (folder / "python").is_dir() else folder
    requirements = folder / "requirements.txt"
    if not requirements.is_file() or not _requires_anything(requirements):
        return [str(code)]
    return [str(code), str(_installed(requirements, cache))]


def _requires_anything(requirements: Path) -> bool:
    return any(
        line.strip() and not line.startswith("#") for line in requirements.read_text(encoding="utf-8").splitlines()
    )


def _installed(requirements: Path, cache: Path) -> Path:
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    target = cache / f"{requirements.parent.name}-{_PYTHON}-{digest}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".installing-"))
        try:
            _install(requirements, temporary)
            _move(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _move(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():  # else another run has installed the same
            raise


def _install(requirements: Path, target: Path) -> None:
    to = ["--requirement", str(requirements), "--target", str(target)]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--compile-bytecode", *to]
    else:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *to]
    print(f"Installing {requirements} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
        raise CannotStart(f"{requirements} cannot be installed: {' '.join(last) or command[0]}")


def runtime(cache: Path) -> Path | None:
    """Make a folder with awslambdaric and what it requires, taken from this environment; None if it is not here."""
    try:
        distributions = list(_with_requirements(RUNTIME))
    except PackageNotFoundError:
        return None
    version = distributions[0].version
    folder = cache / f"runtime-{_PYTHON}-{version}-{hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    for distribution in distributions:
        for source in _top_level(distribution):
            link = folder / source.name
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(source)
    return folder


def _with_requirements(name: str) -> Iterator[Distribution]:
    distribution = importlib.metadata.distribution(name)
    yield distribution
    for requirement in distribution.requires or []:
        if "extra ==" not in requirement:
            yield from _with_requirements(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])


def _top_level(distribution: Distribution) -> set[Path]:
    names = {
        file.parts[0]
        for file in distribution.files or []
        if not file.parts[0].endswith((".dist-info", "..", "__pycache__"))
    }
    return {Path(str(distribution.locate_file(name))).resolve() for name in names}
