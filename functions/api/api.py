"""The API: a FastAPI application behind API Gateway, by Mangum."""

import os
from functools import partial
from operator import attrgetter

# First, since it imports FastAPI with less work than FastAPI does by itself.
from afterward.background import BodyLimits, RequestLog, install, problems

# isort: split
from fastapi import FastAPI
from mangum import Mangum

from afterward import startup
from afterward.settings import on_lambda, required
from documentation import documented
from routes import (
    action,
    activity,
    external_fetch,
    job_status,
    long_task,
    mail,
    notification,
    process,
    safe_task,
    steering,
    uploads,
)

app = FastAPI(
    title="Afterward",
    summary="Durable background tasks for FastAPI on AWS Lambda",
    description="Every 202 is a promise: the job is in SQS and DynamoDB before the response leaves.",
    version="0.1.0",
    generate_unique_id_function=attrgetter("name"),
    responses=problems(401, 500, 503),
    form_limits={"max_files": 1, "max_fields": 10},
)
app.openapi = partial(documented, app.openapi)  # type: ignore[method-assign]  # FastAPI's own way
install(app)
app.add_middleware(BodyLimits)
app.add_middleware(RequestLog)
for routes in (
    notification,
    mail,
    long_task,
    process,
    safe_task,
    action,
    activity,
    external_fetch,
    uploads,
    job_status,
    steering,
):
    app.include_router(routes.router)

if on_lambda():
    # Which only some requests need.
    for variable in ("ACTIVITY_TABLE", "AFTERWARD_DIGEST_SECRET", "NOTIFICATIONS_TABLE", "STATISTICS_TABLE"):
        required(os.environ, variable)
startup.finish()

lambda_handler = Mangum(app, lifespan="off", text_mime_types=["text/", "application/json", "application/problem+json"])
