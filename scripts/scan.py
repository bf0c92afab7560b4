"""Scans the template as written and as SAM expands it, the code and the lock. Usage: make scan.

A finding is mended, or has a reason in scripts/accepted.py; a reason that no finding needs is told as well. Nothing is
fetched but what pip-audit asks the package index.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from local.cloud import local_parameters
from local.template import load
from scripts.accepted import ACCEPTED

ROOT = Path(__file__).parents[1]
SCANNERS = ROOT / ".venv-sec"
TEMPLATE = ROOT / "template.yaml"
CODE = ("layers", "functions", "local", "scripts", "benchmarks")
LOCK = "requirements/dev.txt"
"""Has all that layers carry, in the same versions (tests/contract/test_requirements.py)."""

UNREACHABLE = re.compile(r"requests\.exceptions\.|Could not connect")


@dataclass(frozen=True, order=True)
class Finding:
    """What a scanner has found, and where: a resource's logical id, a file or a package."""

    rule: str
    where: str
    message: str


class Broken(Exception):
    """A scanner did not do its work."""


class NoData(Exception):
    """A scanner cannot reach what it compares with."""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        expanded = Path(folder) / "expanded.json"
        expanded.write_text(json.dumps(load(TEMPLATE, local_parameters(smtp_port=25)).document, indent=1))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            reports = list(pool.map(lambda name: report(name, expanded), SCANS))
    complaints = [complaint for found in reports for complaint in found]
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints else 0


def report(name: str, expanded: Path) -> list[str]:
    """Run a scanner, say that it ran, and return what there is to complain of."""
    try:
        findings = set(SCANS[name](expanded))
    except NoData as error:
        print(f"{name}: skipped, {error}", flush=True)
        return []
    complaints = [f"{name}: {complaint}" for complaint in judged(findings, ACCEPTED[name])]
    print(f"{name}: {len(findings)} findings, {len(complaints)} to mend", flush=True)
    return complaints


def judged(findings: set[Finding], accepted: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Tell the findings that have no reason, and the reasons that have no finding."""
    for finding in sorted(findings):
        if not any(_covers(key, finding) for key in accepted):
            yield f"{finding.where}: {finding.rule}: {finding.message}"
    for key in accepted:
        if not any(_covers(key, finding) for finding in findings):
            yield f"accepted.py: {' at '.join(key)} is not found any more"


def _covers(accepted: tuple[str, str], finding: Finding) -> bool:
    rule, where = accepted
    return rule == finding.rule and fnmatchcase(finding.where, where)


def checkov(expanded: Path) -> Iterator[Finding]:
    options = ("--framework", "cloudformation", "--skip-download", "--compact", "--output", "json")
    done = output("checkov", *options, "--file", TEMPLATE, expanded)
    if done["summary"]["parsing_errors"] or not done["summary"]["passed"]:
        raise Broken(f"checkov could not read the template: {done['summary']}")
    for one in done["results"]["failed_checks"]:
        yield Finding(one["check_id"], one["resource"].rpartition(".")[2], one["check_name"])


def cfn_lint(expanded: Path) -> Iterator[Finding]:
    """Lint with AWS's rules for serverless applications (serverless-rules)."""
    options = ("--append-rules", "cfn_lint_serverless.rules", "--format", "json")
    for one in output("cfn-lint", *options, "--", TEMPLATE, expanded):
        yield Finding(one["Rule"]["Id"], "".join(one["Location"]["Path"][1:2]), one["Message"])


def cfn_guard(expanded: Path) -> Iterator[Finding]:
    """Apply AWS Control Tower's proactive controls; they follow references only as JSON has them, so not as written."""
    unpacked = expanded.parent / "guard"
    _unpack_guard(unpacked)
    options = ("--structured", "--output-format", "json", "--show-summary", "none")
    rules = [word for rule in _rules_for(expanded, unpacked) for word in ("--rules", rule)]
    (done,) = output(*unpacked.rglob("bin/*/*/cfn-guard"), "validate", *options, *rules, "--data", expanded)
    for one in done["not_compliant"]:
        text = json.dumps(one)
        (control,) = set(re.findall(r"\[(CT\.[A-Z0-9.]+)\]", text))
        for resource in set(re.findall(r"/Resources/(\w+)", text)):
            yield Finding(control, resource, one["Rule"]["name"])


def _rules_for(expanded: Path, unpacked: Path) -> Iterator[Path]:
    """Find the rules that speak of a type of the template; reading all of them takes five times as long."""
    kinds = {f'"{one["Type"]}"' for one in json.loads(expanded.read_text())["Resources"].values()}
    return (rule for rule in unpacked.rglob("*.guard") if any(kind in rule.read_text() for kind in kinds))


def _unpack_guard(target: Path) -> None:
    system = {"Darwin": "macos", "Linux": "ubuntu"}[platform.system()]
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    wanted = ("package/rules/control-tower/cfn-guard/", f"package/bin/{system}/{machine}/")
    (archive,) = SCANNERS.rglob("cdk-validator-cfnguard@*.jsii.tgz")
    with tarfile.open(archive) as package:
        for member in package:
            if member.name.startswith(wanted) and (content := package.extractfile(member)):
                file = target / member.name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read())
                file.chmod(0o755)


def bandit(_: Path) -> Iterator[Finding]:
    done = output("bandit", "--quiet", "--recursive", "--format", "json", *CODE)
    if done["errors"]:
        raise Broken(f"bandit could not read all of the code: {done['errors']}")
    for one in done["results"]:
        yield Finding(one["test_id"], one["filename"], f"line {one['line_number']}: {one['issue_text']}")


def pip_audit(_: Path) -> Iterator[Finding]:
    options = ("--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json")
    try:
        packages = output("pip-audit", *options, "--requirement", LOCK)["dependencies"]
    except Broken as error:
        if UNREACHABLE.search(str(error)):
            raise NoData("the package index does not answer") from error
        raise
    if all("skip_reason" in one for one in packages):
        raise NoData("the package index tells of no vulnerabilities")
    for one in packages:
        if reason := one.get("skip_reason"):
            yield Finding("unaudited", one["name"], reason)
        for flaw in one.get("vulns", []):
            mended = ", ".join(flaw["fix_versions"]) or "no version"
            yield Finding(flaw["id"], one["name"], f"{one['version']}, mended in {mended}")


SCANS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "checkov": checkov,
    "cfn-lint": cfn_lint,
    "cfn-guard": cfn_guard,
    "bandit": bandit,
    "pip-audit": pip_audit,
}


def output(program: str | Path, *arguments: str | Path) -> Any:
    """Return the JSON that a scanner prints; its status is the same where it finds something and where it breaks."""
    environment = {**os.environ, "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true"}
    command = [SCANNERS / "bin" / program, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise Broken(f"{program} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-2000:]}") from error


if __name__ == "__main__":
    sys.exit(main())
