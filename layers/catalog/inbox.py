"""The inbox: notifications by recipient, in a table of their own. Written by send_notification, read by the API."""

import os
import time
from dataclasses import dataclass
from typing import Any, Protocol

from afterward.aws import answering, client
from afterward.settings import required

KEEP = 90 * 86_400
"""Seconds that a notification stays in the inbox (DynamoDB's TTL)."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One line in a recipient's inbox. `created` (ISO 8601) and `job` name the line, so a repeat adds none."""

    recipient: str
    text: str
    created: str
    job: str


class Inbox(Protocol):
    """Where notifications are kept."""

    def deliver(self, notification: Notification) -> None: ...

    def newest(self, recipient: str, limit: int) -> list[Notification]: ...


class DynamoDBInbox:
    """The table has the key `recipient` and `id` ("created#job"), and a time to live on `expires`."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def deliver(self, notification: Notification) -> None:
        item = {
            "recipient": {"S": notification.recipient},
            "id": {"S": f"{notification.created}#{notification.job}"},
            "text": {"S": notification.text},
            "expires": {"N": str(int(time.time()) + KEEP)},
        }
        with answering("DynamoDB"):
            self._dynamodb.put_item(TableName=self._table, Item=item)

    def newest(self, recipient: str, limit: int) -> list[Notification]:
        with answering("DynamoDB"):
            answer = self._dynamodb.query(
                TableName=self._table,
                KeyConditionExpression="recipient = :recipient",
                ExpressionAttributeValues={":recipient": {"S": recipient}},
                ScanIndexForward=False,
                Limit=limit,
            )
        return [_notification(item) for item in answer["Items"]]


def _notification(item: dict[str, Any]) -> Notification:
    created, _, job = item["id"]["S"].partition("#")
    return Notification(item["recipient"]["S"], item["text"]["S"], created, job)


def table_inbox() -> DynamoDBInbox:
    """Provide the inbox in the table that the environment variable NOTIFICATIONS_TABLE names."""
    return DynamoDBInbox(client("dynamodb"), required(os.environ, "NOTIFICATIONS_TABLE"))
