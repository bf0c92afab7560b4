"""The worker as one writes it by hand: Powertools' BatchProcessor and idempotency, and the status by update_item."""

import os
import time
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
processor = BatchProcessor(event_type=EventType.SQS)
persistence = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])
config = IdempotencyConfig(event_key_jmespath="job")
dynamodb = boto3.resource("dynamodb")
jobs = dynamodb.Table(os.environ["JOBS_TABLE"])
notifications = dynamodb.Table(os.environ["NOTIFICATIONS_TABLE"])


def set_status(message: dict[str, Any], status: str) -> None:
    jobs.update_item(
        Key={"pk": f"{message['owner']}#{message['job']}"},
        UpdateExpression="SET #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": status},
    )


@idempotent_function(  # type: ignore[untyped-decorator]
    data_keyword_argument="message", config=config, persistence_store=persistence
)
def deliver(message: dict[str, Any]) -> None:
    recipient = message["arguments"]["recipient"]
    set_status(message, "running")
    notifications.put_item(
        Item={
            "recipient": recipient,
            "id": f"{message['created']}#{message['job']}",
            "text": f"notification for {recipient}: {message['arguments']['message']}",
            "expires": int(time.time()) + 90 * 86_400,
        }
    )
    set_status(message, "completed")
    logger.info("completed", extra={"job_id": message["job"]})


def record_handler(record: SQSRecord) -> None:
    deliver(message=record.json_body)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    config.register_lambda_context(context)
    return process_partial_response(event=event, record_handler=record_handler, processor=processor, context=context)
