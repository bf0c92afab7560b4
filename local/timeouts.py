"""Functions with other timeouts than the template's: what takes a quarter of an hour on Lambda is seen in seconds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from local import template as kinds
from local.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.template import Resource, Template

LONGEST = 900
"""Seconds: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

_TIMEOUT, _VISIBILITY = 3, 30
"""Seconds that Lambda and SQS take where a template says nothing."""


def retimed(template: Template, timeouts: Mapping[str, int] | int) -> Template:
    """Give functions, by logical id, other timeouts; one number is that of every function that a queue invokes.

    A queue's visibility timeout keeps its proportion to its function's timeout: AWS asks for six times, and a template
    that changes one changes the other.
    """
    functions, fed = template.resources(kinds.FUNCTION), dict(_fed(template))
    wanted = dict.fromkeys(fed.values(), timeouts) if isinstance(timeouts, int) else timeouts
    if unknown := sorted(wanted.keys() - functions.keys()):
        known = ", ".join(sorted(functions))
        raise CannotStart(f"{template.path}: there is no function {', '.join(unknown)}; there are {known}.")
    if wrong := [f"{name}: {seconds}" for name, seconds in wanted.items() if not 1 <= seconds <= LONGEST]:
        raise CannotStart(f"A function's timeout is 1 to {LONGEST} seconds, and not {', '.join(wrong)}.")
    changes = {name: {"Timeout": seconds} for name, seconds in wanted.items()}
    for queue, name in fed.items():
        if name in wanted:
            factor = wanted[name] / functions[name].get("Timeout", _TIMEOUT)
            visibility = template.resources(kinds.QUEUE)[queue].get("VisibilityTimeout", _VISIBILITY)
            changes[queue] = {"VisibilityTimeout": math.ceil(visibility * factor)}
    return _changed(template, changes)


def _fed(template: Template) -> Iterator[tuple[str, str]]:
    """Yield the template's queues with the function that each of them feeds."""
    queues = template.resources(kinds.QUEUE)
    for mapping in template.resources(kinds.MAPPING).values():
        match mapping:
            case {"EventSourceArn": {"Fn::GetAtt": [str(queue), "Arn"]}, "FunctionName": {"Ref": str(function)}}:
                if queue in queues:
                    yield queue, function


def _changed(template: Template, changes: Mapping[str, Mapping[str, Any]]) -> Template:
    resources: dict[str, Resource] = dict(template.document["Resources"])
    for name, properties in changes.items():
        resources[name] = {**resources[name], "Properties": {**resources[name].get("Properties", {}), **properties}}
    return replace(template, document={**template.document, "Resources": resources})
