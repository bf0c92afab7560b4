"""What `sam build` makes: everything a function needs in Lambda, compiled, and nothing else."""

import re
import subprocess
from pathlib import Path

import pytest

from scripts.artifact import AWS_SERVICES
from tests.contract.resources import Template

MAGIC_OF_3_13 = (3571).to_bytes(2, "little") + b"\r\n"
UNCHECKED_HASH = (0b01).to_bytes(4, "little")
"""PEP 552: bit 0 says that the file goes by a hash, bit 1 that the hash is to be checked."""

LIMIT = 220 * 1024 * 1024
"""Lambda takes 250 MB, unzipped and layers included."""


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*"))


def functions(template: Template) -> dict[str, str]:
    return {
        logical_id: Path(resource["Properties"]["CodeUri"]).name
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def test_everything_is_compiled_for_the_runtime(build: Path) -> None:
    """Every module has bytecode of Python 3.13 that is taken without a look at its source."""
    sources = list(build.rglob("*.py"))
    assert sources
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert compiled.read_bytes()[:8] == MAGIC_OF_3_13 + UNCHECKED_HASH, compiled


def test_bytecode_knows_where_lambda_puts_it(build: Path) -> None:
    """A module's bytecode names its place in Lambda, so that importing it needs to mend nothing."""
    layer = build / "AfterwardLayer" / "python" / "afterward" / "__pycache__"
    assert b"/opt/python/afterward/errors.py" in (layer / "errors.cpython-313.pyc").read_bytes()
    assert b"/var/task/api.py" in (build / "Api" / "__pycache__" / "api.cpython-313.pyc").read_bytes()


def test_native_code_is_of_the_runtime(build: Path) -> None:
    """Extension modules are those of Python 3.13 on 64-bit x86 Linux, whatever machine built them."""
    extensions = list(build.rglob("*.so"))
    assert extensions
    assert {path.name.split(".", 1)[1] for path in extensions} == {"cpython-313-x86_64-linux-gnu.so"}


def test_functions_fit_into_lambda(build: Path, template: Template) -> None:
    """Each function with its layers stays below Lambda's limit, with room to spare."""
    shared = template["Globals"]["Function"]["Layers"]
    for logical_id in functions(template):
        own = template["Resources"][logical_id]["Properties"].get("Layers", [])
        total = size(build / logical_id) + sum(size(build / layer["Ref"]) for layer in [*shared, *own])
        print(f"{logical_id}: {total / 1e6:.1f} MB with its layers")
        assert total <= LIMIT, logical_id


def test_the_first_pydantic_stays_behind(build: Path) -> None:
    """FastAPI would import it on every cold start; the second is all there."""
    pydantic = build / "AfterwardLayer" / "python" / "pydantic"
    assert (pydantic / "main.py").is_file()
    assert not (pydantic / "v1").exists()


def test_each_artifact_has_its_own_code_only(build: Path, root: Path, template: Template) -> None:
    """A function's artifact holds the modules of its folder and no other's: no task's code is in the API's."""
    for logical_id, name in functions(template).items():
        own = {str(path.relative_to(root / "functions" / name)) for path in (root / "functions" / name).rglob("*.py")}
        assert {str(path.relative_to(build / logical_id)) for path in (build / logical_id).rglob("*.py")} == own


@pytest.mark.parametrize("layer", ["afterward", "outbound"])
def test_a_layer_has_what_is_locked_and_nothing_else(build: Path, root: Path, layer: str) -> None:
    """A layer's distributions are exactly those of its lock: nothing of testing or building comes along."""
    locked = re.findall(r"^([a-z0-9-]+)==(\S+)", (root / f"layers/{layer}/requirements.txt").read_text(), re.MULTILINE)
    packages = build / f"{layer.capitalize()}Layer" / "python"
    installed = [path.name.removesuffix(".dist-info") for path in packages.glob("*.dist-info")]
    assert sorted(installed) == sorted(f"{name.replace('-', '_')}-{version}" for name, version in locked)


def run(runtime: str, layer: Path, code: str) -> list[str]:
    """Run code on Lambda's Python with nothing but the layer on its path, and return the lines it prints."""
    environment = {"PYTHONPATH": str(layer), "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = subprocess.run([runtime, "-S", "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_boto3_speaks_to_our_services_only(build: Path, runtime: str) -> None:
    """Trimmed, botocore still makes a client for each service that functions use, with the right endpoint."""
    layer = build / "AfterwardLayer" / "python"
    services = sorted(AWS_SERVICES)
    assert sorted(path.name for path in (layer / "botocore" / "data").iterdir() if path.is_dir()) == services
    code = f"""
import boto3
for service in {services}:
    print(boto3.client(service, "eu-central-1").meta.endpoint_url)
"""
    assert run(runtime, layer, code) == [f"https://{service}.eu-central-1.amazonaws.com" for service in services]


def test_boto3_trusts_amazons_roots(build: Path, runtime: str) -> None:
    """botocore loads the five roots that AWS's endpoints chain to, since certifi is not there to bring 117 others."""
    code = """
import ssl, botocore.httpsession
context = ssl.create_default_context(cafile=botocore.httpsession.get_cert_path(True))
for ca in context.get_ca_certs():
    print(dict(part[0] for part in ca["subject"])["commonName"])
"""
    assert sorted(run(runtime, build / "AfterwardLayer" / "python", code)) == [
        *(f"Amazon Root CA {number}" for number in (1, 2, 3, 4)),
        "Starfield Services Root Certificate Authority - G2",
    ]
