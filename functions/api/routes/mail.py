"""E-mail in the background."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

import catalog
from afterward.background import Accepted, BackgroundTasks, accepted, problem, problems
from callback import callback

router = APIRouter(tags=["e-mail"])

REFUSED = problems(400) | problem(413, "The body has more than 2,500,000 bytes.")


class EmailIn(BaseModel):
    """A mail to send."""

    model_config = ConfigDict(extra="forbid")

    to_email: Annotated[catalog.Email, Field(description="Who gets it.")]
    subject: Annotated[catalog.Subject, Field(description="Its subject: one line.")]
    body: Annotated[catalog.Text, Field(description="Its text, plain.")]


async def email_in(
    to_email: Annotated[catalog.Email | None, Query(description="Who gets it.")] = None,
    subject: Annotated[catalog.Subject | None, Query(description="Its subject: one line.")] = None,
    body: Annotated[catalog.Text | None, Query(description="Its text, plain.")] = None,
    email: Annotated[EmailIn | None, Body(description="The mail; the query is not looked at then.")] = None,
) -> EmailIn:
    """Take the mail from the JSON body, or from the query as FastAPI's example does."""
    if email is not None:
        return email
    given = {"to_email": to_email, "subject": subject, "body": body}
    if missing := [_missing(name) for name, value in given.items() if value is None]:
        raise RequestValidationError(missing)
    return EmailIn.model_validate(given)


def _missing(name: str) -> dict[str, Any]:
    return {"type": "missing", "loc": ("query", name), "msg": "Field required in the query, or in a JSON body"}


@router.post("/send-email/", status_code=202, dependencies=[callback], responses=REFUSED)
async def send_email(email: Annotated[EmailIn, Depends(email_in)], background_tasks: BackgroundTasks) -> Accepted:
    """Send an e-mail by SMTP. The fields come in the query or as a JSON body."""
    job = background_tasks.add_task(catalog.send_email, email.to_email, email.subject, email.body)
    return accepted(job, message="Email will be sent in the background")
