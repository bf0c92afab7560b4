"""Answers with the event, or with what the body says."""

import json
import time
from typing import Any


def lambda_handler(event: dict[str, Any], _context: object) -> Any:
    if event["rawPath"] == "/below/respond":
        return json.loads(event["body"])
    if event["rawPath"] == "/below/slow":
        time.sleep(1)
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}
