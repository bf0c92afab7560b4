"""A Lambda's init, in processes of their own: what it leaves out must be missed by nobody."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDERS = ("layers/afterward", "layers/catalog", "functions/api")
LAMBDA = {
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
    "AFTERWARD_JOBS_TABLE": "jobs",
    "AFTERWARD_BUCKET": "bucket",
    "AFTERWARD_DEAD_LETTER_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/dead",
    "AFTERWARD_DIGEST_SECRET": "digests",
    "ACTIVITY_TABLE": "activity",
    "NOTIFICATIONS_TABLE": "notifications",
    "STATISTICS_TABLE": "statistics",
}


def run(code: str, **variables: str) -> Any:
    """Run code with the API's modules on its path; return what it prints last, read as JSON."""
    path = os.pathsep.join(str(ROOT / folder) for folder in FOLDERS)
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_fastapis_own_models_are_built_on_first_use() -> None:
    """Importing the API builds no OpenAPI model of FastAPI's, and models declared later are built as ever."""
    code = """
import json, api
from fastapi.openapi.models import OpenAPI
from afterward.background import Accepted
print(json.dumps([OpenAPI.__pydantic_complete__, Accepted.__pydantic_complete__]))
"""
    assert run(code) == [False, True]


def test_the_schema_is_the_one_that_fastapi_makes_by_itself() -> None:
    """/openapi.json is the same, byte by byte, as with models that FastAPI has built at its import."""
    code = "import json, api; print(json.dumps(api.app.openapi()))"
    assert run(code) == run(f"import fastapi; {code}")


def test_init_on_lambda_is_not_searched_for_garbage() -> None:
    """While a Lambda starts, garbage is collected rarely; afterwards as usual, and what init made is left out."""
    code = """
import gc, json
usual = gc.get_threshold()
import afterward
during = gc.get_threshold()
import api
print(json.dumps([during[0], gc.get_threshold() == usual, gc.get_freeze_count() > 50_000]))
"""
    assert run(code, **LAMBDA) == [200_000, True, True]


def test_importing_elsewhere_leaves_garbage_collection_alone() -> None:
    """Outside Lambda neither importing the library nor the API changes how garbage is collected."""
    code = """
import gc, json
usual = gc.get_threshold(), gc.get_freeze_count()  # Python 3.12 freezes some objects itself
import api
print(json.dumps(usual == (gc.get_threshold(), gc.get_freeze_count())))
"""
    assert run(code) is True
