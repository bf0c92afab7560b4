"""The clock of EventBridge rules and schedules.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from local.account import ACCOUNT, REGION
from local.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.function import Function
    from local.stack import Schedule

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


def seconds_of(schedule: Schedule) -> int:
    rate = _RATE.fullmatch(schedule.expression)
    if not rate:
        raise CannotStart(
            f"The schedule {schedule.arn} is not a rate, and nothing else runs locally: {schedule.expression}"
        )
    return int(rate[1]) * _SECONDS[rate[2]]


def target_of(schedule: Schedule, functions: Mapping[str, Function]) -> Function:
    for function in functions.values():
        if schedule.target_arn == function.settings.arn:
            return function
    raise CannotStart(f"The schedule {schedule.arn} has a target that is no function: {schedule.target_arn}")


async def run(schedule: Schedule, function: Function, pace: float) -> None:
    """Fire until cancelled; the clock goes so many times as fast as others."""
    seconds = seconds_of(schedule) / pace
    while True:
        await asyncio.sleep(seconds)
        await function.invoke((schedule.input or json.dumps(event_of(schedule))).encode())


def event_of(schedule: Schedule) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": REGION,
        "resources": [schedule.arn],
        "detail": {},
    }
