"""Small jobs a second through the local cloud, from HTTP to the finished work; with an empty queue and with a deep one.

The baseline is the empty queue: moto's own SQS gets slower with every message that waits.
"""

import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from local.cloud import LocalCloud

JOBS = 400
DEPTH = 2_000
CLIENTS = 8
BATCH = 10
LIMIT = 120


def main() -> None:
    with LocalCloud(ROOT / "template.yaml", state=ROOT / ".local") as cloud:
        run(cloud, JOBS // 4)  # processes start, connections open
        empty = run(cloud, JOBS)
        fill(cloud)
        deep = run(cloud, JOBS)
    print(f"{JOBS} jobs, {CLIENTS} clients: {empty:.0f} jobs/s, with {DEPTH} queued {deep:.0f} ({deep / empty:.2f} x)")


def run(cloud: LocalCloud, jobs: int) -> float:
    """Post so many notifications to one inbox and wait until all are in it; return jobs per second."""
    recipient = f"{uuid.uuid4().hex}@example.com"
    began = time.perf_counter()
    with httpx.Client(base_url=cloud.url, timeout=30) as client, ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(partial(post, client, recipient), range(jobs)))
    dynamodb, table = cloud.client("dynamodb"), cloud.resources["NotificationsTable"]
    while delivered(dynamodb, table, recipient) < jobs:
        if time.perf_counter() - began > LIMIT:
            sys.exit(f"{jobs} jobs were not done within {LIMIT} seconds")
        time.sleep(0.1)
    return jobs / (time.perf_counter() - began)


def post(client: httpx.Client, recipient: str, number: int) -> None:
    client.post(f"/send-notification/{recipient}", params={"message": str(number)}).raise_for_status()


def delivered(dynamodb: Any, table: str, recipient: str) -> int:
    answer = dynamodb.query(
        TableName=table,
        Select="COUNT",
        KeyConditionExpression="recipient = :recipient",
        ExpressionAttributeValues={":recipient": {"S": recipient}},
    )
    return int(answer["Count"])


def fill(cloud: LocalCloud) -> None:
    """Have messages wait in the queue that no worker gets meanwhile."""
    sqs, queue = cloud.client("sqs"), cloud.resources["SendNotificationQueue"]
    for start in range(0, DEPTH, BATCH):
        entries = [{"Id": str(n), "MessageBody": str(n), "DelaySeconds": 900} for n in range(start, start + BATCH)]
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)


if __name__ == "__main__":
    main()
