"""The API: a FastAPI application behind API Gateway, by Mangum."""

import os

# First, since it imports FastAPI with less work than FastAPI does by itself.
from afterward.background import install

# isort: split
from fastapi import FastAPI
from mangum import Mangum

from afterward import startup
from afterward.settings import on_lambda, required
from routes import job_status, long_task, mail, notification

app = FastAPI(
    title="Afterward",
    summary="Durable background tasks for FastAPI on AWS Lambda",
    description="Every 202 is a promise: the job is in SQS and DynamoDB before the response leaves.",
    version="0.1.0",
)
install(app)
for routes in (notification, mail, long_task, job_status):
    app.include_router(routes.router)

if on_lambda():
    for variable in ("AFTERWARD_DIGEST_SECRET", "NOTIFICATIONS_TABLE"):  # which only some requests need
        required(os.environ, variable)
startup.finish()

lambda_handler = Mangum(app, lifespan="off", text_mime_types=["text/", "application/json", "application/problem+json"])
