"""What the rows of a CSV file can be held against, by the name that an upload chooses.

A cell that is left empty is None where its field may be None. What stands in a field of type `str` is free text, in
which personal data is masked, unless its `Pii` says otherwise.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from afterward.pii import Pii
from catalog import Email, UserId
from hash_key import hash_key


class Row(BaseModel):
    """A row may have more columns than its schema; those are free text."""

    model_config = ConfigDict(defer_build=True)


class CustomerRow(Row):
    id: UserId
    name: Annotated[str, Field(min_length=1, max_length=200), Pii("name")]
    email: Email
    phone: Annotated[str, Field(max_length=40), Pii("phone", "partial")] | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    signed_up: date
    balance: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]
    note: Annotated[str, Field(max_length=10_000), Pii("text")] = ""


class PaymentRow(Row):
    payment_id: Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,40}$")]
    paid_at: datetime
    amount: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
    currency: Literal["CHF", "EUR", "GBP", "USD"]
    card: Annotated[str, Field(max_length=30), Pii("credit_card", "partial")] | None = None
    iban: Annotated[str, Field(max_length=50), Pii("iban", "partial")] | None = None
    customer_number: Annotated[str, Field(max_length=64), Pii("customer", "hash", key=hash_key)] | None = None
    """Whose payment it is: its hash joins the clean files of several uploads, and tells nobody the number."""
    reference: Annotated[str, Field(max_length=1_000), Pii("text")] = ""


SCHEMAS: dict[str, type[BaseModel] | None] = {"any": None, "customers": CustomerRow, "payments": PaymentRow}
