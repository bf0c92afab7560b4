"""Effects as a transaction of DynamoDB takes them, and what its refusals mean. The record is its first item."""

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from afterward.attributes import wires
from afterward.aws import code_of
from afterward.errors import BadEffects
from afterward.writes import Delete, Put, Update, Write, item_of

_PASSING = frozenset({"None", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"})
"""Reasons of a cancelled transaction that another try may not meet; any other lies in what was asked for."""

_LASTING = frozenset({"AccessDeniedException", "ResourceNotFoundException", "ValidationException"})
"""Errors of a whole transaction that do not pass by themselves."""

Reason = dict[str, Any]


def requested(write: Write) -> dict[str, Any]:
    """Return one item of a TransactWriteItems."""
    if isinstance(write, Put):
        return {"Put": {"TableName": write.table, "Item": wires(item_of(write))}}
    place = {"TableName": write.table, "Key": wires(write.key)}
    return {"Delete": place} if isinstance(write, Delete) else {"Update": place | _expression(write)}


def _expression(write: Update) -> dict[str, Any]:
    written = wires(write.values | write.initial | write.add)
    alias = {name: str(number) for number, name in enumerate(written)}  # names may be reserved words, or hold anything
    sets = [
        *(f"#{alias[name]} = :{alias[name]}" for name in write.values),
        *(f"#{alias[name]} = if_not_exists(#{alias[name]}, :{alias[name]})" for name in write.initial),
    ]
    adds = [f"#{alias[name]} :{alias[name]}" for name in write.add]
    clauses = [f"{word} {', '.join(parts)}" for word, parts in (("SET", sets), ("ADD", adds)) if parts]
    return {
        "UpdateExpression": " ".join(clauses),
        "ExpressionAttributeNames": {f"#{number}": name for name, number in alias.items()},
        "ExpressionAttributeValues": {f":{alias[name]}": value for name, value in written.items()},
    }


def refusal_of(cause: "Sequence[Reason] | BaseException | None", effects: Sequence[Write]) -> BadEffects | None:
    """Return what is wrong with the effects, by a cancelled transaction's reasons or its error; None: it may pass."""
    if isinstance(cause, ClientError):
        code = code_of(cause)
        tables = ", ".join(sorted({write.table for write in effects}))
        said = str(cause.response["Error"].get("Message", "")) if code == "ValidationException" else ""
        return _bad(tables, code, said) if code in _LASTING else None
    if cause is None or isinstance(cause, BaseException):
        return None
    for number, reason in enumerate(cause):
        if (code := reason.get("Code", "None")) not in _PASSING:
            return _bad(effects[number - 1].table if number else "the job's record", code, reason.get("Message") or "")
    return None


def _bad(table: str, code: str, said: str) -> BadEffects:
    return BadEffects(f"DynamoDB does not take the effects on {table} ({code}{': ' if said else ''}{said})")
