"""docs/migrating.md shows the code that these tests run, and no other."""

import difflib
import re

import pytest

from tests.unit.migrating.conftest import HERE

EXAMPLES = sorted(path.name for path in (HERE / "before").glob("*.py"))
LINK = r"\]\(\.\./tests/unit/migrating/"
SHOWN = re.compile(rf"(?ms){LINK}(?P<file>[\w/]+\.py)\)[^\n]*\n\n```python\n(?P<code>.*?)^```$")
CHANGED = re.compile(
    rf"(?ms){LINK}before/(?P<file>\w+\.py)\), \[after{LINK}after/(?P=file)\):\n\n```diff\n(?P<code>.*?)^```$"
)
CODE = re.compile(r"(?ms)^```.*?^```$|`[^`\n]*`")
PRINTED = re.compile(r"(?m)^```(?:python|diff)$")


def changes(name: str) -> str:
    """All of a file as it was before, and what changes."""
    was, now = ((HERE / when / name).read_text().splitlines(keepends=True) for when in ("before", "after"))
    _, _, _, *lines = difflib.unified_diff(was, now, n=len(was) + len(now))
    return "".join("\n" if line == " \n" else line for line in lines)


def test_every_example_is_shown(guide: str) -> None:
    """Each before has its after, and the guide has both, once."""
    assert {*EXAMPLES} <= {path.name for path in (HERE / "after").glob("*.py")}
    assert sorted(found["file"] for found in CHANGED.finditer(guide)) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_guide_shows_what_changes(guide: str, name: str) -> None:
    """Without its `+` lines a block is the file before, without its `-` lines the file after, to the letter."""
    (shown,) = (found["code"] for found in CHANGED.finditer(guide) if found["file"] == name)
    assert shown == changes(name)


def test_the_guide_shows_lines_of_files(guide: str) -> None:
    """Every other block is a file, or lines of it that follow each other from an empty one on."""
    blocks = [*SHOWN.finditer(guide)]
    for found in blocks:
        assert f"\n\n{found['code']}" in f"\n\n{(HERE / found['file']).read_text()}", found["file"]
    assert len(blocks) + len(EXAMPLES) == len(PRINTED.findall(guide))


def test_every_file_is_named(guide: str) -> None:
    """No code is tested for a guide that does not lead to it."""
    for path in (*HERE.glob("before/*.py"), *HERE.glob("after/*.py"), *HERE.glob("traps/*.py")):
        assert f"(../tests/unit/migrating/{path.relative_to(HERE).as_posix()})" in guide, path.name


def test_every_link_leads_somewhere(guide: str) -> None:
    """Files that the guide names exist, and so do its own headings."""
    prose = CODE.sub("", guide)
    titles = re.findall(r"(?m)^#+ (.*)$", prose)
    headings = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    links = re.findall(r"\]\(([^)#]*)#?([^)]*)\)", prose)
    assert links
    for target, heading in links:
        assert (HERE.parents[2] / "docs" / target).exists(), target
        assert target or heading in headings, heading
