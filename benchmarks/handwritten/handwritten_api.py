"""The API as one writes it by hand: FastAPI, Mangum, boto3; put_item, then send_message."""

import json
import os
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
from aws_lambda_powertools import Logger
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from mangum import Mangum
from pydantic import BaseModel

logger = Logger()
app = FastAPI(title="Hand-written")
dynamodb = boto3.resource("dynamodb")
jobs = dynamodb.Table(os.environ["JOBS_TABLE"])
notifications = dynamodb.Table(os.environ["NOTIFICATIONS_TABLE"])
sqs = boto3.client("sqs")


class Accepted(BaseModel):
    message: str
    task_id: str
    check_progress_url: str


class Progress(BaseModel):
    status: str
    progress: int
    total: int | None = None
    message: str


class Status(Progress):
    task_id: str
    task: str
    created_at: str


class EmailIn(BaseModel):
    to_email: str
    subject: str
    body: str


class Notification(BaseModel):
    text: str
    created_at: str
    task_id: str


class Notifications(BaseModel):
    notifications: list[Notification]


def caller(request: Request) -> str:
    claims = request.scope["aws.event"]["requestContext"]["authorizer"]["jwt"]["claims"]
    return f"{claims['iss']}#{claims['sub']}"


Owner = Annotated[str, Depends(caller)]


def start(owner: str, task: str, arguments: dict[str, Any], response: Response, message: str) -> Accepted:
    job = arguments.pop("job", None) or str(uuid.uuid4())
    item: dict[str, Any] = {
        "pk": f"{owner}#{job}",
        "task": task,
        "status": "queued",
        "progress": 0,
        "message": "Waiting to start",
        "created": datetime.now(UTC).isoformat(),
    }
    try:
        jobs.put_item(Item=item, ConditionExpression="attribute_not_exists(pk)")
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise HTTPException(409, "Task with this ID already exists") from None
        raise
    body = {"owner": owner, "job": job, "created": item["created"], "arguments": arguments}
    sqs.send_message(QueueUrl=os.environ[f"QUEUE_{task.upper()}"], MessageBody=json.dumps(body))
    logger.info("accepted", extra={"job_id": job})
    response.headers["Location"] = f"/tasks/{job}"
    return Accepted(message=message, task_id=job, check_progress_url=f"/task-progress/{job}")


def find(task_id: str, owner: Owner) -> dict[str, Any]:
    found = jobs.get_item(Key={"pk": f"{owner}#{task_id}"}, ConsistentRead=True)
    if "Item" not in found:
        raise HTTPException(404, "Task not found")
    return dict(found["Item"])


Found = Annotated[dict[str, Any], Depends(find)]


@app.post("/send-notification/{email}", status_code=202)
def send_notification(email: str, response: Response, owner: Owner, message: str = "some notification") -> Accepted:
    arguments = {"recipient": email, "message": message}
    return start(owner, "send_notification", arguments, response, "Notification sent in the background")


@app.post("/send-email/", status_code=202)
def send_email(email: EmailIn, response: Response, owner: Owner) -> Accepted:
    return start(owner, "send_email", email.model_dump(), response, "Email will be sent in the background")


@app.post("/start-task/{task_id}", status_code=202)
def start_task(
    task_id: str, items_count: Annotated[int, Query(ge=1, le=10_000)], response: Response, owner: Owner
) -> Accepted:
    arguments = {"job": task_id, "items_count": items_count}
    return start(owner, "long_running_task", arguments, response, f"Task {task_id} started")


@app.get("/task-progress/{task_id}")  # noqa: FAST003 - find takes it
def task_progress(job: Found) -> Progress:
    return Progress(**job)


@app.get("/tasks/{task_id}")
def task_status(task_id: str, job: Found) -> Status:
    return Status(task_id=task_id, created_at=job["created"], **job)


@app.get("/users/{user_id}/notifications")
def read_notifications(user_id: str, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> Notifications:
    found = notifications.query(
        KeyConditionExpression=Key("recipient").eq(user_id), ScanIndexForward=False, Limit=limit
    )
    lines = [(item["text"], *str(item["id"]).partition("#")) for item in found["Items"]]
    return Notifications(
        notifications=[Notification(text=str(text), created_at=created, task_id=job) for text, created, _, job in lines]
    )


lambda_handler = Mangum(app, lifespan="off")
