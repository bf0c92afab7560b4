"""Where things are: catalog, folders, template, events and the tools' paths name the same functions."""

import tomllib
from pathlib import Path

from tests.contract.resources import Template


def folders(root: Path) -> set[str]:
    return {folder.name for folder in (root / "functions").iterdir() if any(folder.glob("*.py"))}


def layers(root: Path) -> set[str]:
    return {folder.name for folder in (root / "layers").iterdir() if folder.is_dir()}


def test_every_task_has_its_folder(root: Path, tasks: dict[str, str]) -> None:
    """There is a folder per declared task, one each for the API, uploads and dead letters, all with their module."""
    assert folders(root) == {*tasks.values(), "api", "s3_upload", "dead_letter"}
    for name in folders(root):
        assert (root / "functions" / name / f"{name}.py").is_file()


def test_every_folder_is_deployed(root: Path, template: Template) -> None:
    """Every folder of functions/ and layers/ is the code of one resource."""
    uris = {
        resource["Properties"].get("CodeUri") or resource["Properties"]["ContentUri"]
        for resource in template["Resources"].values()
        if resource["Type"] in {"AWS::Serverless::Function", "AWS::Serverless::LayerVersion"}
    }
    assert uris == {f"functions/{name}/" for name in folders(root)} | {f"layers/{name}/" for name in layers(root)}


def test_the_template_imports_each_task_by_its_name(template: Template, tasks: dict[str, str]) -> None:
    """A task's function has the task's name in camel case, its folder and its handler."""
    for logical_id, name in tasks.items():
        properties = template["Resources"][logical_id]["Properties"]
        assert (properties["CodeUri"], properties["Handler"]) == (f"functions/{name}/", f"{name}.lambda_handler")


def test_module_names_are_unique(root: Path) -> None:
    """No two functions or layers have a module of the same name, so that it means the same in Lambda and in tests."""
    paths = [*(root / "functions").iterdir(), *(root / "layers").iterdir()]
    modules = [
        entry.stem
        for path in paths
        for entry in path.iterdir()
        if entry.suffix == ".py" or (entry / "__init__.py").is_file()
    ]
    assert len(modules) == len(set(modules)), sorted(modules)


def test_tools_look_where_lambda_does(root: Path) -> None:
    """pytest, mypy and pyright search the same folders as Lambda: each function's and each layer's."""
    tool = tomllib.loads((root / "pyproject.toml").read_text())["tool"]
    expected = {f"functions/{name}" for name in folders(root)} | {f"layers/{name}" for name in layers(root)}
    assert set(tool["pytest"]["ini_options"]["pythonpath"]) == expected | {"."}
    assert set(tool["mypy"]["mypy_path"]) == expected
    assert set(tool["pyright"]["extraPaths"]) == expected


def test_every_function_has_events(root: Path) -> None:
    """Every function has an event to try it with, named <function>.<case>.json."""
    assert {path.name.partition(".")[0] for path in (root / "events").glob("*.json")} == folders(root)
