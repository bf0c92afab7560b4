"""Answers with the event, or with what the body says."""

import json
from typing import Any


def lambda_handler(event: dict[str, Any], _context: object) -> Any:
    if event["rawPath"] == "/below/respond":
        return json.loads(event["body"])
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}
