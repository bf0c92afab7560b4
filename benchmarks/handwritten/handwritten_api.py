"""The API as one writes it by hand: FastAPI, Mangum, boto3; put_item, then send_message."""

import json
import os
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
from aws_lambda_powertools import Logger
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from mangum import Mangum
from pydantic import AnyHttpUrl, BaseModel

logger = Logger()
app = FastAPI(title="Hand-written")
dynamodb = boto3.resource("dynamodb")
jobs = dynamodb.Table(os.environ["JOBS_TABLE"])
notifications = dynamodb.Table(os.environ["NOTIFICATIONS_TABLE"])
activity = dynamodb.Table(os.environ["ACTIVITY_TABLE"])
sqs = boto3.client("sqs")
s3 = boto3.client("s3")


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


class Statuses(BaseModel):
    tasks: list[Status]


class Activity(BaseModel):
    action: str
    created_at: str
    task_id: str


class Activities(BaseModel):
    activity: list[Activity]


class Statistics(BaseModel):
    total: int
    actions: dict[str, int]


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


@app.post("/process/{name}", status_code=202)
def process(name: str, response: Response, owner: Owner) -> Accepted:
    return start(owner, "process", {"name": name}, response, f"Processing started for {name}")


@app.post("/user/{user_id}/action", status_code=202)
def record_action(user_id: int, action: str, response: Response, owner: Owner) -> Accepted:
    arguments = {"user_id": user_id, "action": action}
    return start(owner, "record_action", arguments, response, f"Action '{action}' recorded for user {user_id}")


@app.post("/trigger-external-fetch/{user_id}", status_code=202)
def trigger_external_fetch(
    user_id: int, data_url: AnyHttpUrl, webhook_url: AnyHttpUrl, response: Response, owner: Owner
) -> Accepted:
    arguments = {"user_id": user_id, "data_url": str(data_url), "webhook_url": str(webhook_url)}
    return start(owner, "external_fetch", arguments, response, f"External data fetch triggered for user {user_id}")


@app.post("/safe-task/{user_id}", status_code=202)
def safe_task(user_id: int, message: str, response: Response, owner: Owner) -> Accepted:
    arguments = {"user_id": user_id, "message": message}
    return start(owner, "safe_task", arguments, response, "Tasks scheduled with error handling")


@app.post("/action/{user_id}", status_code=202)
def act(user_id: int, action: str, response: Response, owner: Owner) -> Accepted:
    arguments = {"user_id": user_id, "action": action}
    return start(owner, "action", arguments, response, f"Action {action} performed for user {user_id}")


@app.get("/tasks")
def list_tasks(owner: Owner, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> Statuses:
    found = jobs.query(KeyConditionExpression=Key("owner").eq(owner), ScanIndexForward=False, Limit=limit)
    return Statuses(tasks=[Status(**item) for item in found["Items"]])


@app.post("/tasks/{task_id}/cancel")
def cancel_task(task_id: str, job: Found) -> Status:
    jobs.update_item(Key={"pk": job["pk"]}, AttributeUpdates={"status": {"Value": "cancelled"}})
    return Status(task_id=task_id, created_at=job["created"], **job)


@app.post("/tasks/{task_id}/retry", status_code=202)
def retry_task(task_id: str, job: Found, response: Response, owner: Owner) -> Accepted:
    return start(owner, job["task"], {"job": task_id}, response, f"Task {task_id} will run again")


@app.get("/tasks/{task_id}/results/{name}", status_code=303)  # noqa: FAST003 - find takes it
def task_result(job: Found, name: str) -> RedirectResponse:
    link = s3.generate_presigned_url(
        "get_object", Params={"Bucket": os.environ["AFTERWARD_BUCKET"], "Key": f"{job['pk']}/{name}"}
    )
    return RedirectResponse(link, 303)


@app.get("/users/{user_id}/activity")
def read_activity(user_id: int, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> Activities:
    found = activity.query(KeyConditionExpression=Key("user").eq(str(user_id)), ScanIndexForward=False, Limit=limit)
    return Activities(activity=[Activity.model_validate(item) for item in found["Items"]])


@app.get("/users/{user_id}/statistics")
def read_statistics(user_id: int) -> Statistics:
    found = activity.query(KeyConditionExpression=Key("user").eq(str(user_id)))
    counted = Counter(str(item["action"]) for item in found["Items"])
    return Statistics(total=counted.total(), actions=counted)


lambda_handler = Mangum(app, lifespan="off")
