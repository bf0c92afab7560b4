"""Dead letters are kept, slowly, so that a kill comes before, within or after that."""

import time
from collections.abc import Mapping
from typing import Any

from afterward.dead_letters import DeadLetters
from afterward.event import Context, Response

_keep = DeadLetters()


def lambda_handler(event: Mapping[str, Any], context: Context) -> Response:
    time.sleep(0.1)
    answer = _keep(event, context)
    time.sleep(0.1)
    return answer
