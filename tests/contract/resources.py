"""Reading a template: what its policies allow, whatever way a resource is named."""

from collections.abc import Callable
from typing import Any

Template = dict[str, Any]
"""A CloudFormation template or a part of it: JSON of many shapes."""


OF_THE_RUNTIME = {"Logs", "Poll", "Trace"}
"""Statements by which Lambda itself writes logs and traces, and polls the function's queue: no code uses them."""


def allowed(template: Template, *, by: str) -> set[str]:
    """Return "action on resource" for every statement of a policy, or of a function's role, for its code."""
    return _allowed(template, by, lambda statement: statement.get("Sid") not in OF_THE_RUNTIME)


def of_the_runtime(template: Template, *, by: str) -> set[str]:
    """Return the same for what the role allows to Lambda itself."""
    return _allowed(template, by, lambda statement: statement.get("Sid") in OF_THE_RUNTIME)


def _allowed(template: Template, by: str, wanted: Callable[[Template], bool]) -> set[str]:
    named = by if by.endswith("Policy") else f"{by}Role"
    own = [one for one in statements(template["Resources"][named]["Properties"]) if one["Effect"] == "Allow"]
    own = [one for one in own if "Resource" in one and wanted(one)]  # who may be in a role is said without any
    return {f"{action} on {target}" for one in own for action in many(one["Action"]) for target in targets(one)}


def targets(statement: Template) -> list[str]:
    return [reference(one) for one in many(statement.get("Resource", []))]


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def reference(resource: Any) -> str:
    """Return the name behind `!GetAtt X.Arn`, `!Ref X` or `!Sub`."""
    if isinstance(resource, str):
        return resource
    ((kind, value),) = resource.items()
    return str(value[0] if kind == "Fn::GetAtt" else value)


def statements(value: Any) -> list[Template]:
    """Find every statement in a resource, however deep, conditions included."""
    if isinstance(value, list):
        return [found for one in value for found in statements(one)]
    if not isinstance(value, dict):
        return []
    return [value] if "Effect" in value else [found for one in value.values() for found in statements(one)]
