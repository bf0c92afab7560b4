"""What functions may do, by the policies of their roles as the template has them.

moto's own check of policies (`moto.iam.access_control`) looks at the action alone, reads the policies anew for every
request, and has no roles of functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local import template as kinds
from local.errors import CannotStart
from local.policies import Right, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from local.template import Template

Document = dict[str, Any]

_AWS = "arn:aws:iam::aws:policy/"
_STATEMENTS_OF_THE_RUNTIME = {"Logs", "Poll", "Trace"}
OF_THE_RUNTIME = {
    f"{_AWS}service-role/AWSLambdaBasicExecutionRole",
    f"{_AWS}service-role/AWSLambdaSQSQueueExecutionRole",
    f"{_AWS}AWSXrayWriteOnlyAccess",
}
"""What SAM attaches to roles that it makes, and the Sids of others, by which Lambda itself writes logs and traces, and
polls queues. A function's code gets no right by them here, so that none comes to need one."""


def roles_of(template: Template, functions: Iterable[str], resolved: Mapping[str, Document]) -> dict[str, Role]:
    """Read the rights of functions; `resolved` are the properties of roles and policies, by logical id.

    Raises CannotStart where a function is allowed something in a way that is not understood here.
    """
    return {name: Role(name, tuple(sorted(set(_rights(template, name, resolved))))) for name in functions}


def _rights(template: Template, function: str, resolved: Mapping[str, Document]) -> Iterator[Right]:
    role = _role(template, function)
    for policy in _many(resolved[role].get("Policies", [])):
        yield from _granted(f"{template.path}: {policy['PolicyName']}", policy["PolicyDocument"])
    for attached in _many(resolved[role].get("ManagedPolicyArns", [])):
        if attached in resolved:
            yield from _granted(f"{template.path}: {attached}", resolved[attached]["PolicyDocument"])
        elif attached not in OF_THE_RUNTIME:
            raise CannotStart(
                f"{template.path}: {function} has the policy {attached}, of which nothing is known here; "
                "write its statements out."
            )


def _role(template: Template, function: str) -> str:
    match template.resources(kinds.FUNCTION)[function].get("Role"):
        case {"Fn::GetAtt": [str(role), "Arn"]} if role in template.resources(kinds.ROLE):
            return role
    raise CannotStart(f"{template.path}: {function} has a role of which nothing is known here; leave it to SAM.")


def _granted(place: str, document: Document) -> Iterator[Right]:
    for statement in _many(document["Statement"]):
        if statement.get("Sid") in _STATEMENTS_OF_THE_RUNTIME:
            continue
        if statement["Effect"] != "Allow" or statement.keys() - {"Sid", "Effect", "Action", "Resource"}:
            raise CannotStart(f"{place} says more than what it allows on which resources; nothing else is read here.")
        for action in _many(statement["Action"]):
            yield from (Right(action, resource) for resource in _many(statement["Resource"]))


def _many(value: Any) -> list[Any]:
    # What is !Ref AWS::NoValue is None in a list that an output holds.
    return [one for one in value if one is not None] if isinstance(value, list) else [value]
