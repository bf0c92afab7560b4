"""Counts what AWS is asked and what it bills, by hooks of botocore in the clients that do the work.

https://aws.amazon.com/dynamodb/pricing/on-demand/ · https://aws.amazon.com/sqs/pricing/
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.handlers import BUILTIN_HANDLERS

from benchmarks._cloud import KEYS, Cloud

if TYPE_CHECKING:
    from botocore.model import OperationModel

INDEXED = {"jobs"}
"""Tables with a secondary index; its keys never change, so it is written where an item comes or goes."""

OF_THE_TASK = {"notifications"}
"""What a task writes for its own sake, whoever runs it."""

Item = dict[str, Any]


@dataclass
class Usage:
    """`operations` by name; `writes` and `reads` are DynamoDB's request units, `chunks` SQS's requests of 64 KB."""

    operations: Counter[str] = field(default_factory=Counter)
    of_the_task: int = 0
    writes: float = 0
    reads: float = 0
    chunks: int = 0

    @property
    def calls(self) -> int:
        return self.operations.total()


class Meter:
    """Counts what is done in `cloud` by clients of every session that begins after this: `cloud`'s own did before."""

    def __init__(self, cloud: Cloud) -> None:
        self.usage = Usage()
        self._cloud = cloud
        BUILTIN_HANDLERS.extend([("before-call", self._before), ("after-call", self._after)])

    def read(self) -> Usage:
        """Return what was used since the last reading."""
        usage, self.usage = self.usage, Usage()
        return usage

    def _before(self, **hooked: Any) -> None:
        model: OperationModel = hooked["model"]
        context, service = hooked["context"], model.service_model.service_name
        request = json.loads(hooked["params"]["body"]) if service in {"dynamodb", "sqs"} else {}
        if request.get("TableName") in OF_THE_TASK:
            self.usage.of_the_task += 1
            return
        self.usage.operations[model.name] += 1
        if service == "sqs":
            self.usage.chunks += max(1, math.ceil(_sent(request) / 65_536))
        context["written"] = [(table, key, self._size(table, key)) for table, key in _written(request)]
        context["transaction"] = model.name.startswith("Transact")
        context["consistent"] = request.get("ConsistentRead", False)

    def _after(self, **hooked: Any) -> None:
        context = hooked["context"]
        for table, key, before in context.get("written", []):
            after = self._size(table, key)
            units = max(1, math.ceil(max(before, after) / 1024))
            self.usage.writes += units * 2 if context["transaction"] else units
            self.usage.writes += table in INDEXED and (before == 0) != (after == 0)
        if hooked["model"].name == "GetItem":
            units = max(1, math.ceil(size(hooked["parsed"].get("Item", {})) / 4096))
            self.usage.reads += units if context.get("consistent") else units / 2

    def _size(self, table: str, key: Item) -> int:
        return size(self._cloud.item(table, key))


def _written(request: Item) -> Iterator[tuple[str, Item]]:
    """Yield table and key of every item that a request of DynamoDB writes."""
    puts = [*request.get("TransactItems", []), *([{"Put": request}] if "Item" in request else [])]
    for put in (one["Put"] for one in puts):
        yield put["TableName"], {name: put["Item"][name] for name in KEYS[put["TableName"]]}
    if "Key" in request and ("UpdateExpression" in request or "ConditionExpression" in request):
        yield request["TableName"], request["Key"]


def _sent(request: Item) -> int:
    entries = request.get("Entries", [request])
    return sum(len(entry.get("MessageBody", "").encode()) + _attributes(entry) for entry in entries)


def _attributes(entry: Item) -> int:
    return sum(
        len(name) + len(one["DataType"] + one["StringValue"])
        for name, one in entry.get("MessageAttributes", {}).items()
    )


def size(item: Item) -> int:
    """Return an item's bytes as DynamoDB counts them: names and values; a number takes one and one per two digits."""
    return sum(len(name.encode()) + _bytes(value) for name, value in item.items())


def _bytes(attribute: Item) -> int:
    ((kind, value),) = attribute.items()
    return math.ceil(len(value) / 2) + 1 if kind == "N" else len(str(value).encode())
