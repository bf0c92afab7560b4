"""Writes docs/openapi.json: what the API says of itself. Usage: make openapi."""

import asyncio
import json
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "openapi.json"


def current() -> str:
    """Return the document of the API as its code is now; needs the API's folders on the path."""
    asyncio.set_event_loop(loop := asyncio.new_event_loop())  # Mangum wants the loop that a Lambda has
    try:
        from api import app  # noqa: PLC0415 - after the loop is there
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    sys.path[:0] = [str(ROOT / folder) for folder in project["tool"]["pytest"]["ini_options"]["pythonpath"]]
    DOCUMENT.write_text(current())
    print(f"Wrote {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
