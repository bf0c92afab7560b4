"""What a function that is started cold pays for: nothing until a text may hold something."""

import subprocess
import sys

SCRIPT = """
import sys
import afterward
before = set(sys.modules)
import afterward.pii
loaded = {name for name in set(sys.modules) - before if name != "afterward.pii"}
assert loaded <= set(), loaded
afterward.pii.find("nothing to see in line 12")
loaded = {name for name in set(sys.modules) - before if name.startswith("afterward.pii.")}
assert loaded <= {"afterward.pii.finder", "afterward.pii.finding", "afterward.pii.folding"}, loaded
afterward.pii.find("to anna@example.com")
assert "afterward.pii.emails" in sys.modules
assert "afterward.pii.tables" not in sys.modules
assert not {"boto3", "botocore", "fastapi", "pydantic"} & set(sys.modules) - before
"""


def test_scanners_are_imported_when_a_text_may_hold_their_kind() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, env={"PYTHONPATH": "layers/afterward"})
