"""Logs each message, then does what the first of them says; the ids in what it returns are those of bodies."""

import json
import time
from typing import Any


def lambda_handler(event: dict[str, Any], _context: object) -> Any:
    bodies = [json.loads(record["body"]) for record in event["Records"]]
    ids = {body["name"]: record["messageId"] for body, record in zip(bodies, event["Records"], strict=True)}
    for body, record in zip(bodies, event["Records"], strict=True):
        received = int(record["attributes"]["ApproximateReceiveCount"])
        print(
            json.dumps(
                {"level": "INFO", "message": "received", "job_id": body["name"], "count": received, "record": record}
            )
        )
    time.sleep(bodies[0].get("sleep", 0))
    return {"batchItemFailures": [{"itemIdentifier": ids.get(name, name)} for name in bodies[0].get("failed", [])]}
