"""Reading a template: what its policies allow, whatever way a resource is named."""

from typing import Any

Template = dict[str, Any]
"""A CloudFormation template or a part of it: JSON of many shapes."""


def allowed(template: Template, *, by: str) -> set[str]:
    """Return "action on resource" for every statement of a policy, or of a function's own policies."""
    own = [one for one in statements(template["Resources"][by]["Properties"]) if one["Effect"] == "Allow"]
    return {f"{action} on {target}" for one in own for action in many(one["Action"]) for target in targets(one)}


def targets(statement: Template) -> list[str]:
    return [reference(one) for one in many(statement["Resource"])]


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
