"""Makes of one layer's or function's folder what Lambda gets: sources, dependencies, bytecode.

`sam build` runs it, through scripts/Makefile, in a copy of the folder. What it prints goes to stdout, since SAM shows
stderr only of builds that fail.
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PYTHON = "3.13"
"""The runtime in template.yaml. The machine that builds may have another Python, or another system."""

AWS_SERVICES = {"dynamodb", "s3", "secretsmanager", "sqs", "sts"}
"""What functions may make clients of. botocore's descriptions of all others, nine tenths of it, stay behind."""

AWS_ROOTS = ("Amazon Root CA ", "Starfield Services Root Certificate Authority - G2")
"""Labels of the roots that AWS's own endpoints chain to. Loading only them saves 29 ms at a function's first call."""

NOT_SHIPPED = ("__pycache__", "*.pyc", "*.pyi", ".*", "requirements.txt", "pyproject.toml", "README.md", "bin", "tests")

ROOT = Path(__file__).parent.parent


def main(kind: str, artifacts: str) -> None:
    top, mount = Path(artifacts), {"layer": "/opt", "function": "/var/task"}[kind]
    target = top / "python" if kind == "layer" else top
    if Path("requirements.txt").exists():
        install(Path("requirements.txt"), target)
    shutil.copytree(".", target, ignore=shutil.ignore_patterns(*NOT_SHIPPED), dirs_exist_ok=True)
    strip(target)
    if (target / "botocore").is_dir():
        trim(target)
    compile_all(top, mount)


def install(requirements: Path, target: Path) -> None:
    """Install wheels for Lambda's Python and system, whatever this machine's are."""
    common = ["--quiet", "--only-binary", ":all:", "--require-hashes", "--target", str(target), "-r", str(requirements)]
    if uv := find_uv():
        # Copied, since botocore's files are changed here and links would reach into uv's cache.
        platform = ["--python-version", PYTHON, "--python-platform", "x86_64-manylinux2014", "--link-mode", "copy"]
        run(uv, "pip", "install", "--python", sys.executable, *platform, *common)
    else:
        platform = ["--python-version", PYTHON, "--platform", "manylinux2014_x86_64", "--implementation", "cp"]
        run(sys.executable, "-m", "pip", "install", "--no-compile", "--disable-pip-version-check", *platform, *common)


def strip(target: Path) -> None:
    """Remove what no import needs: stubs, packages' own tests and programs, and Pydantic's first version.

    FastAPI would import that, for a twentieth of the API's init, only to see that no model here is one of its; where it
    is missing, FastAPI knows so.
    """
    patterns = ("**/*.pyi", "bin", "*/tests", "boto*/examples", "pydantic/v1", ".lock")
    for path in [path for pattern in patterns for path in target.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def trim(target: Path) -> None:
    """Cut boto3 and botocore down to the services and the roots of trust that functions use."""
    for data in (target / "botocore" / "data", target / "boto3" / "data"):
        for service in data.iterdir():
            if service.is_dir() and service.name not in AWS_SERVICES:
                shutil.rmtree(service)
    rewrite(target / "botocore" / "data" / "endpoints.json", only_our_endpoints)
    for model in target.glob("botocore/data/*/*/service-2.json.gz"):
        rewrite(model, without_documentation)
    # botocore's own bundle, which it uses where certifi is not installed; nobody else reads it.
    bundle = target / "botocore" / "cacert.pem"
    bundle.write_text("\n".join(aws_roots(bundle.read_text())))


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file, zipped or not. A first client parses two megabytes otherwise, and takes 30 ms longer."""
    zipped = path.suffix == ".gz"
    content = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    changed = json.dumps(change(json.loads(content)), separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(changed, mtime=0) if zipped else changed)


def only_our_endpoints(endpoints: Any) -> Any:
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in AWS_SERVICES}
    return endpoints


def without_documentation(model: Any) -> Any:
    """Empty the texts, and keep their keys, some of which botocore reads."""
    if isinstance(model, list):
        return [without_documentation(value) for value in model]
    if not isinstance(model, dict):
        return model
    # A shape may have this name too.
    texts = {key for key, value in model.items() if key == "documentation" and isinstance(value, str)}
    return {key: "" if key in texts else without_documentation(value) for key, value in model.items()}


def aws_roots(bundle: str) -> Iterator[str]:
    certificates = r'^# Label: "([^"]+)"$.*?(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)$'
    for label, certificate in re.findall(certificates, bundle, re.MULTILINE | re.DOTALL):
        if label.startswith(AWS_ROOTS):
            yield f'# Label: "{label}"\n{certificate}\n'


def compile_all(top: Path, mount: str) -> None:
    """Write bytecode that Lambda's Python takes without looking at the sources' times, which packing changes."""
    if python := find_python():
        paths = ["-s", str(top), "-p", mount, str(top)]
        run(python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", *paths)
    else:
        print(f"WARNING: no Python {PYTHON} was found, so {top.name} has no bytecode and starts 2.3 times slower.")


def find_python() -> str | None:
    """Find the runtime's own Python: on the path, among uv's or among pyenv's."""
    candidates = [sys.executable, f"python{PYTHON}"]
    if uv := find_uv():
        find = [uv, "python", "find", "--no-project", "--no-python-downloads", PYTHON]
        candidates.append(subprocess.run(find, capture_output=True, text=True, check=False).stdout.strip())
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += map(str, pyenv.glob(f"versions/{PYTHON}.*/bin/python"))
    return next(filter(is_runtime, candidates), None)


def is_runtime(python: str) -> bool:
    """A name on the path may be a shim that runs nothing, so each is asked."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.stdout.strip() == PYTHON


def find_uv() -> str | None:
    return shutil.which("uv") or shutil.which("uv", path=ROOT / ".venv" / "bin")


def run(*command: str) -> None:
    print(f"  {Path(command[0]).name} {' '.join(command[1:4])} ...", flush=True)
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
