"""Who may import whom: functions → catalog → afterward, and inside the library towards its plain values."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PLAIN = {"errors", "job", "envelope", "retry"}
"""The library's bottom: values that anybody may import at no cost."""

ADAPTERS = {"aws", "dynamodb", "transaction", "sqs", "s3", "secrets"}
"""The only modules of the library that speak to AWS."""

WEB = {"fastapi", "starlette", "mangum"}
AWS = {"boto3", "botocore"}


def imports(path: Path) -> Iterator[str]:
    """Find the modules that a file imports, also inside its functions, but not those of TYPE_CHECKING."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def packages(paths: Iterator[Path]) -> set[str]:
    """Return the top-level packages that files import."""
    return {name.partition(".")[0] for path in paths for name in imports(path)}


def library(root: Path) -> dict[str, Path]:
    """Return the library's files by their first name under `afterward`."""
    top = root / "layers" / "afterward" / "afterward"
    return {str(path.relative_to(top)): path for path in top.rglob("*.py")}


def test_the_library_knows_no_application(root: Path) -> None:
    """The library imports neither the catalog nor a function."""
    functions = {path.name for path in (root / "functions").iterdir()}
    assert not packages(iter(library(root).values())) & {*functions, "catalog", "local", "tests"}


def test_the_catalog_imports_nothing_heavy(root: Path) -> None:
    """The catalog imports the library, annotations and nothing that speaks to anybody."""
    found = packages(iter([root / "layers" / "catalog" / "catalog.py"]))
    assert found <= {"afterward", "typing", "pydantic", "pydantic_core", *sys.stdlib_module_names}


def test_what_functions_share_imports_nothing_heavy(root: Path) -> None:
    """What stands beside the catalog imports Powertools, and with it boto3, only where a secret is fetched."""
    for path in (root / "layers" / "catalog").glob("*.py"):
        assert not loaded(root, path.stem) & {"aws_lambda_powertools", "boto3"}, path


def test_nobody_imports_a_function(root: Path) -> None:
    """A function's modules are imported by that function only; tests and Lambda name them as entry points."""
    folders = {folder: {path.stem for path in folder.glob("*.py")} for folder in (root / "functions").iterdir()}
    for folder, own in folders.items():
        others = {module for other, modules in folders.items() if other != folder for module in modules}
        for place in (root / "functions" / folder.name, root / "layers", root / "local"):
            mine = own if place == folder else set()
            assert not packages(place.rglob("*.py")) & (others - mine), place


def test_plain_values_stay_plain(root: Path) -> None:
    """Jobs, envelopes, errors and retries import the standard library and each other, and nothing else."""
    files = library(root)
    for name in PLAIN:
        for imported in imports(files[f"{name}.py"]):
            top, _, rest = imported.partition(".")
            assert top in sys.stdlib_module_names or (top == "afterward" and rest.partition(".")[0] in PLAIN), name


def test_only_adapters_speak_to_aws(root: Path) -> None:
    """botocore is imported by the adapters alone."""
    found = {name for name, path in library(root).items() if packages(iter([path])) & AWS}
    assert found <= {f"{adapter}.py" for adapter in ADAPTERS}


def test_only_background_knows_fastapi(root: Path) -> None:
    """FastAPI and Starlette are imported by afterward.background alone."""
    found = {name for name, path in library(root).items() if packages(iter([path])) & WEB}
    assert found
    assert all(name.startswith("background") for name in found), found


def loaded(root: Path, module: str) -> set[str]:
    """Import a function's module as Lambda does, in a process of its own, and return the names of all that came in."""
    code = f"import sys; import {module}; print(*sys.modules)"
    layers = ("layers/afterward", "layers/catalog", "layers/csv_pipeline", "layers/outbound")
    path = ":".join(str(root / folder) for folder in (f"functions/{module}", *layers))
    environment = {"PYTHONPATH": path, "AWS_DEFAULT_REGION": "us-east-1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_api_loads_no_implementation(root: Path, tasks: dict[str, str]) -> None:
    """The API comes up without any task's code, and without what only tasks need."""
    assert not loaded(root, "api") & {*tasks.values(), "mailer", "scratch", "outbound", "csv_pipeline", "row_schemas"}


def test_effects_cost_nothing_where_there_are_none(root: Path) -> None:
    """A worker whose task wants no effects loads none of what they need."""
    effects = {f"afterward.{name}" for name in ("writes", "attributes", "transaction")}
    assert not loaded(root, "send_notification") & effects


def test_no_worker_loads_a_web_framework(root: Path, tasks: dict[str, str]) -> None:
    """Every task's function, and those of uploads and dead letters, comes up without FastAPI, Starlette or Mangum."""
    for module in (*tasks.values(), "s3_upload", "dead_letter"):
        assert not loaded(root, module) & WEB, module
