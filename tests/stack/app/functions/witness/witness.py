"""Logs each event."""

import json
from typing import Any


def lambda_handler(event: dict[str, Any], _context: object) -> None:
    print(json.dumps({"message": "saw", "event": event}))
