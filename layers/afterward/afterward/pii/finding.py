from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    CREDIT_CARD = "CREDIT_CARD"
    US_SSN = "US_SSN"
    IBAN = "IBAN"
    IP_ADDRESS = "IP_ADDRESS"
    URL = "URL"
    SECRET = "SECRET"  # noqa: S105 - a kind


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What stands at `text[start:end]`."""

    start: int
    end: int
    kind: Kind


Span = tuple[int, int, Kind]
"""The same within a scanner, whose text may be folded."""
