"""The API: a FastAPI application behind API Gateway, by Mangum."""

from fastapi import FastAPI
from mangum import Mangum

from afterward import log
from afterward.backend import backend
from afterward.background import install
from afterward.settings import on_lambda
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
    log.configure()
    backend()

lambda_handler = Mangum(app, lifespan="off")
