"""What `make scan` makes of what its scanners say."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import scan
from scripts.scan import Broken, Finding, NoData

BUCKET = Finding("R1", "Bucket", "is open")
QUEUE = Finding("R2", "CleanupQueue", "is open too")
UNKNOWN_TO_THE_INDEX = {"name": "inhouse", "skip_reason": "not found"}
FLAWED = {
    "name": "web",
    "version": "1.0",
    "vulns": [{"id": "V-1", "fix_versions": ["1.1", "2.0"]}, {"id": "V-2", "fix_versions": []}],
}


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in pip-audit's place; the test writes what it does."""
    program = tmp_path / "bin" / "pip-audit"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr(scan, "SCANNERS", tmp_path)
    return program


def printing(packages: list[dict[str, Any]]) -> str:
    return f"#!/bin/sh\ncat <<'END'\n{json.dumps({'dependencies': packages})}\nEND\nexit 1\n"


def test_a_finding_needs_a_reason() -> None:
    """What has none is told with its place, and what has one is not."""
    assert list(scan.judged({BUCKET, QUEUE}, {("R1", "Bucket"): "closed elsewhere"})) == [
        "CleanupQueue: R2: is open too"
    ]


def test_a_reason_holds_for_its_rule_and_place_only() -> None:
    """Another rule at the place, or the rule at another place, is told all the same."""
    accepted = {("R1", "*Queue"): "no bucket is one", ("R2", "Bucket"): "nor this"}
    complaints = list(scan.judged({BUCKET, QUEUE}, accepted))
    assert complaints[:2] == ["Bucket: R1: is open", "CleanupQueue: R2: is open too"]


def test_a_place_may_be_a_pattern() -> None:
    """One reason speaks for all resources of a kind."""
    assert not list(scan.judged({QUEUE, Finding("R2", "MergeQueue", "")}, {("R2", "*Queue"): "all are"}))


def test_a_reason_that_nothing_needs_is_told() -> None:
    """Whatever was mended leaves no reason behind."""
    assert list(scan.judged(set(), {("R1", "Bucket"): "closed elsewhere"})) == [
        "accepted.py: R1 at Bucket is not found any more"
    ]


def test_flaws_of_packages_are_findings(says: Path) -> None:
    """Each flaw is told with the versions that mend it, and a package that cannot be looked up is told as well."""
    says.write_text(printing([FLAWED, UNKNOWN_TO_THE_INDEX]))
    assert list(scan.pip_audit(says)) == [
        Finding("V-1", "web", "1.0, mended in 1.1, 2.0"),
        Finding("V-2", "web", "1.0, mended in no version"),
        Finding("unaudited", "inhouse", "not found"),
    ]


def test_an_index_without_the_data_fails_nobody(says: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no package can be looked up at all, a line says so, and there is nothing to complain of."""
    says.write_text(printing([UNKNOWN_TO_THE_INDEX]))
    assert scan.report("pip-audit", says) == []
    assert "pip-audit: skipped" in capsys.readouterr().out


def test_an_index_that_does_not_answer_fails_nobody(says: Path) -> None:
    """Without a connection there is no data either."""
    says.write_text("#!/bin/sh\necho requests.exceptions.ProxyError: refused >&2\nexit 1\n")
    with pytest.raises(NoData, match="does not answer"):
        list(scan.pip_audit(says))


def test_a_scanner_that_breaks_is_no_scanner_that_finds_nothing(says: Path) -> None:
    """Whatever else goes wrong ends the scan, with what the scanner said last."""
    says.write_text("#!/bin/sh\necho no such option >&2\nexit 2\n")
    with pytest.raises(Broken, match="ended with 2: no such option"):
        list(scan.pip_audit(says))
