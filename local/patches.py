"""Changes to moto that the local cloud cannot do without: moto's own SQS slows down with each message that waits.

Each replaces a function by one that gives the same answer with less work, which a test sees by asking both; where one
differs, its docstring says how. With 1,000 messages waiting moto sends 90 or receives 20 a second, with these changes
2,000 and 2,000. Updating an item takes a third of the time.
"""
# ruff: noqa: SLF001 - this is about what moto does inside

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import secrets
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_plus

import moto.core.responses
import moto.s3.notifications
import moto.sqs.models
from moto.core.config import default_user_config
from moto.core.serialize import ResponseSerializer
from moto.core.utils import method_names_from_class
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import validators
from moto.s3.responses import S3Response
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import Message, Queue, SQSBackend

from local.actions import object_arn
from local.policies import Right
from local.post_policy import Form
from local.refusal import Refusal

# Untyped, and so unknown to mypy.
ast_nodes: Any = importlib.import_module("moto.dynamodb.parsing.ast_nodes")
expressions: Any = importlib.import_module("moto.dynamodb.parsing.expressions")

Arrived = Callable[[str], None]
Posting = Callable[[str, Right], Refusal | None]


def apply(arrived: Arrived, posting: Posting = lambda _key, _asked: None) -> None:
    """Change moto in this process.

    `arrived` hears the name of each queue where a message may have become visible. `posting` says whether the owner of
    an access key, who has signed a form, may do what it does.
    """
    # Nothing here may start a container: functions run as `local.function` runs them.
    default_user_config["lambda"] = {"use_docker": False}
    # S3 leaves the slashes of a key as they are:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    _replace(moto.s3.notifications, "quote_plus", functools.partial(quote_plus, safe="/"))
    _cheaper_queues()
    _cheaper_requests()
    _cheaper_expressions()
    _cheaper_transactions()
    _checked_forms(posting)
    _announce(arrived)


def _replace(owner: Any, name: str, by: Any) -> None:
    """Put something in the place of what must be there: with another moto this fails, and does not do nothing."""
    getattr(owner, name)
    setattr(owner, name, by)


def _announce(arrived: Arrived) -> None:
    add_message, change_visibility = Queue.add_message, SQSBackend.change_message_visibility

    def add(queue: Queue, message: Message) -> None:
        add_message(queue, message)
        arrived(queue.name)

    def change(backend: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int) -> None:
        change_visibility(backend, queue_name, receipt_handle, visibility_timeout)
        arrived(queue_name)

    _replace(Queue, "add_message", add)
    _replace(SQSBackend, "change_message_visibility", change)


class _Attributes:
    """A queue's attributes, of which counting its messages is the expensive part, only if somebody looks."""

    def __init__(self, queue: Queue, attributes: Callable[[Queue], dict[str, Any]]) -> None:
        self._queue = queue
        self._attributes = attributes

    def get(self, key: str, default: object = None) -> object:
        if key == "ContentBasedDeduplication" and not self._queue.fifo_queue:
            return default
        return self._attributes(self._queue).get(key, default)

    def __iter__(self) -> object:
        return iter(self._attributes(self._queue))

    def __getitem__(self, key: str) -> object:
        return self._attributes(self._queue)[key]

    def __getattr__(self, name: str) -> object:
        return getattr(self._attributes(self._queue), name)


def _visible(queue: Queue) -> list[Message]:
    now = time.time() * 1000
    return [message for message in queue._messages if now > message.visible_at and now >= message.delayed_until]


def _delete(queue: Queue, receipt_handle: str) -> None:
    if receipt_handle in queue.deleted_messages:
        return
    for index, message in enumerate(queue._messages):
        if receipt_handle == message.receipt_handle or receipt_handle in message._old_receipt_handles:
            queue.pending_messages.discard(message)
            queue.deleted_messages.update(handle for handle in message.all_receipt_handles if handle)
            del queue._messages[index]
            return
    raise ReceiptHandleIsInvalid


def _retained(backend: SQSBackend, queue_name: str, message: Message) -> bool:
    queue: Any = backend.get_queue(queue_name)
    sent: Any = message.sent_timestamp
    return bool(time.time() * 1000 < sent + int(queue.message_retention_period) * 1000)


def _count(queue: Queue, hidden_until: str) -> int:
    now = time.time() * 1000
    return sum(now <= getattr(message, hidden_until) for message in queue._messages)


def _cheaper_queues() -> None:
    """The clock is read once for all messages of a queue, and what nobody asked for is not counted."""
    attributes = vars(Queue)["attributes"].fget
    _replace(Queue, "attributes", property(lambda queue: _Attributes(queue, attributes)))
    _replace(Queue, "messages", property(_visible))
    _replace(Queue, "approximate_number_of_messages_delayed", property(lambda queue: _count(queue, "delayed_until")))
    _replace(Queue, "approximate_number_of_messages_not_visible", property(lambda queue: _count(queue, "visible_at")))
    _replace(Queue, "delete_message", _delete)
    _replace(SQSBackend, "is_message_valid_based_on_retention_period", _retained)


def _request_id(headers: dict[str, str]) -> str:
    headers["x-amzn-requestid"] = str(uuid.uuid4())
    return headers["x-amzn-requestid"]


def _cheaper_requests() -> None:
    """What a response class can do is looked up once, and a plain dict's values are taken by their own names.

    Receipt handles and request ids are as random as before, and shorter.
    """
    _replace(moto.sqs.models, "generate_receipt_handle", lambda: secrets.token_urlsafe(48))
    _replace(moto.core.responses, "gen_amzn_requestid_long", _request_id)
    _replace(moto.core.responses, "method_names_from_class", functools.cache(method_names_from_class))
    get_value = ResponseSerializer.get_value

    def get(serializer: ResponseSerializer, value: Any, key: str, shape: Any) -> Any:
        if type(value) is dict and not serializer._value_picker.response_transformers:
            if key in value:
                return value[key]
            if "S" in value or "N" in value:  # a DynamoDB attribute, which has one of eleven members
                return None
        return get_value(serializer, value, key, shape)

    _replace(ResponseSerializer, "get_value", get)


_PLANS: defaultdict[type, dict[type, Any]] = defaultdict(dict)
_SKIPPED = object()


def _traverse(self: Any, root: Any, child_id: int = -1) -> Any:
    mapping = self._processing_map()
    plan = _PLANS[type(self)]
    overridden = type(self).pre_processing_of_child is not ast_nodes.DepthFirstTraverser.pre_processing_of_child
    before = self.pre_processing_of_child if overridden else None

    def planned(kind: type) -> Any:
        if kind not in plan:
            plan[kind] = _planned(mapping, kind)
        return plan[kind]

    def visit(node: Any, child_id: int) -> Any:
        parent = node.parent
        for index, child in enumerate(node.children or ()):
            if before:
                before(node, index)
            if planned(type(child)) is not _SKIPPED:
                visit(child, index)
        base = planned(type(node))
        if base is None:
            return node
        node = mapping[base](node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
        return node

    return root if planned(type(root)) is _SKIPPED else visit(root, child_id)


def _planned(mapping: dict[type, Any], kind: type) -> Any:
    """Find the class as which nodes of a kind are processed: none, or not even to be looked into."""
    base = next((base for base in mapping if issubclass(kind, base)), None)
    return (
        _SKIPPED
        if not issubclass(kind, ast_nodes.Node) or (base is None and issubclass(kind, ast_nodes.LeafNode))
        else base
    )


def _is_node(value: Any) -> bool:
    return isinstance(value, ast_nodes.Node)


def _copied(node: Any) -> Any:
    """Copy a tree of nodes; what is in their leaves does not change."""
    duplicate = object.__new__(type(node))
    duplicate.__dict__.update(node.__dict__)
    if node.children is not None:
        duplicate.children = [_copied(child) if _is_node(child) else child for child in node.children]
        for child in duplicate.children:
            if _is_node(child):
                child.parent = duplicate
    return duplicate


@functools.cache
def _is_searched(kind: Any) -> bool:
    return issubclass(kind, (ast_nodes.Expression, ast_nodes.UpdateExpressionFunction))


def _find_clauses(node: Any, kinds: list[type]) -> list[Any]:
    found = []
    for child in node.children or ():
        kind: Any = type(child)
        if kind in kinds:
            found.append(child)
        elif _is_searched(kind):
            found += _find_clauses(child, kinds)
    return found


def _cheaper_expressions() -> None:
    """Expressions are parsed once, and an update is walked without asking each node's class ten times what it is."""
    parser = expressions.UpdateExpressionParser
    _replace(parser, "make", functools.lru_cache(maxsize=1000)(parser.make))
    _replace(ast_nodes.DepthFirstTraverser, "traverse_node_recursively", _traverse)
    _replace(validators, "deepcopy", lambda value: _copied(value) if _is_node(value) else copy.deepcopy(value))
    _replace(ast_nodes.Node, "find_clauses", _find_clauses)
    # These look at all below a node: once, at the topmost, says it all.
    _replace(validators.ActionCountValidator, "traverse", validators.ActionCountValidator.verify_action_counts)
    overlapping = validators.OverlappingPathsValidator
    _replace(overlapping, "traverse", overlapping.check_for_overlapping_paths)
    _replace(ConditionExpressionParser, "_lex_condition_expression", _lexed(ConditionExpressionParser))


def _lexed(parser: Any) -> Callable[[Any], deque[Any]]:
    lex = parser._lex_condition_expression
    once = functools.lru_cache(maxsize=1000)(lambda expression: tuple(lex(parser(expression, {}, {}))))
    return lambda self: deque(once(self.condition_expression))


def _cheaper_transactions() -> None:
    """A transaction remembers the items that it touches, not all of their tables; a stream keeps what was undone."""
    transact = DynamoDBBackend.transact_write_items

    def transact_write_items(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        before = list(_touched(backend, transact_items))
        Table.__deepcopy__ = lambda table, _memo: table  # type: ignore[attr-defined]
        try:
            transact(backend, transact_items)
        except Exception:
            for put_back in reversed(before):
                put_back()
            raise
        finally:
            del Table.__deepcopy__  # type: ignore[attr-defined]

    _replace(DynamoDBBackend, "transact_write_items", transact_write_items)


def _touched(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> Iterator[Callable[[], None]]:
    for operation in (one for item in transact_items for one in item.values()):
        table = backend.tables.get(operation.get("TableName"))
        if table:
            with contextlib.suppress(MockValidationException):  # no key, no write
                keys = backend.get_keys_value(table, operation.get("Key") or operation["Item"])
                yield functools.partial(_put_back, table, *keys, copy.deepcopy(table.get_item(*keys)))


def _put_back(table: Table, hash_key: Any, range_key: Any, item: Any) -> None:
    if item is None:
        table.delete_item(hash_key, range_key)
    elif range_key:
        table.items[hash_key][range_key] = item
    else:
        table.items[hash_key] = item


def _checked_forms(posting: Posting) -> None:
    """A posted form is held against its policy, which moto does not read, and against its signer's rights."""
    post = S3Response._bucket_response_post

    def checked(response: S3Response, request: Any, bucket_name: str) -> Any:
        posted = {name.lower(): value for name, value in response.form_data.items()}
        if "key" not in posted:  # a request of the SDK's, to delete objects
            return post(response, request, bucket_name)
        # With the file's name in it, where it asks for that.
        posted["key"] = response.querystring["key"][0]
        refusal = Form(bucket_name, posted, len(response.body)).refusal()
        if refusal:
            return refusal.status, {"content-type": "application/xml"}, refusal.xml
        signer = posted["x-amz-credential"].partition("/")[0]
        if refused := posting(signer, Right("s3:PutObject", object_arn(bucket_name, posted["key"]))):
            return 403, {"content-type": "application/xml"}, refused.xml
        return post(response, request, bucket_name)

    _replace(S3Response, "_bucket_response_post", checked)
