"""Which rights a request takes, as AWS's service authorization reference has it.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from local.account import ACCOUNT, REGION
from local.policies import Right

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Environ = dict[str, Any]


class UnknownRequest(Exception):
    """A request of which it is not known here which rights it takes."""


def asked_by(environ: Environ, body: bytes) -> Iterator[Right]:
    """Yield what a caller must be allowed, all of it; raise UnknownRequest."""
    service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")
    if not service:
        yield from _of_s3(environ, body)
    elif service in _READERS:
        yield from _READERS[service](operation, json.loads(body))
    else:
        raise UnknownRequest(f"{service}.{operation}")


def bucket_of(environ: Environ) -> str:
    return object_arn(_place(environ)[0])


def reads_an_object(environ: Environ) -> bool:
    upload = "uploadId=" in environ["QUERY_STRING"]
    return environ["REQUEST_METHOD"] in {"GET", "HEAD"} and bool(_place(environ)[1]) and not upload


def object_arn(bucket: str, key: str = "") -> str:
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


_WRITES = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}


def _of_dynamodb(operation: str, request: Mapping[str, Any]) -> Iterator[Right]:
    """A transaction takes the rights of its parts.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    """
    if operation in {"BatchGetItem", "BatchWriteItem"}:
        yield from (_on_table(operation, table) for table in request["RequestItems"])
    elif operation in {"TransactWriteItems", "TransactGetItems"}:
        for item in request["TransactItems"]:
            ((kind, part),) = item.items()
            yield _on_table(_WRITES.get(kind, "GetItem"), part["TableName"])
    elif "TableName" in request:
        index = f"/index/{request['IndexName']}" if "IndexName" in request else ""
        yield _on_table(operation, request["TableName"] + index)
    else:
        raise UnknownRequest(f"DynamoDB's {operation}")


def _on_table(action: str, table: str) -> Right:
    return Right(f"dynamodb:{action}", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}")


def _of_sqs(operation: str, request: Mapping[str, Any]) -> Iterator[Right]:
    """A batch takes the right to its single entries: no action is called after a batch."""
    if "QueueUrl" not in request:
        raise UnknownRequest(f"SQS's {operation}")
    queue = request["QueueUrl"].rpartition("/")[2]
    yield Right(f"sqs:{operation.removesuffix('Batch')}", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")


def _of_secrets(operation: str, request: Mapping[str, Any]) -> Iterator[Right]:
    secret = request.get("SecretId", "")
    if not secret.startswith("arn:"):
        raise UnknownRequest(f"Secrets Manager's {operation} of a secret that is not named by its ARN")
    yield Right(f"secretsmanager:{operation}", secret)


_READERS: dict[str, Callable[[str, Mapping[str, Any]], Iterator[Right]]] = {
    "AmazonSQS": _of_sqs,
    "DynamoDB_20120810": _of_dynamodb,
    "secretsmanager": _of_secrets,
}

_ON_BUCKETS = {
    ("GET", "list-type"): "s3:ListBucket",
    ("GET", "uploads"): "s3:ListBucketMultipartUploads",
    ("HEAD", ""): "s3:ListBucket",
}
_ON_OBJECTS = {
    ("DELETE", ""): "s3:DeleteObject",
    ("DELETE", "uploadId"): "s3:AbortMultipartUpload",
    ("GET", ""): "s3:GetObject",
    ("GET", "uploadId"): "s3:ListMultipartUploadParts",
    ("HEAD", ""): "s3:GetObject",
    ("POST", "uploadId"): "s3:PutObject",
    ("POST", "uploads"): "s3:PutObject",
    ("PUT", ""): "s3:PutObject",
    ("PUT", "uploadId"): "s3:PutObject",
}
"""By the method and by which parameter of the query chooses the operation; CompleteMultipartUpload and UploadPart take
the right to put the object."""

_CHOOSING = {"delete", "list-type", "uploadId", "uploads"}
_HARMLESS = re.compile(
    "continuation-token|delimiter|encoding-type|fetch-owner|max-keys|max-parts|part-number-marker|partNumber|prefix"
    "|response-.*|start-after|x-id|X-Amz-.*"
)
"""Parameters of the query that change nothing about which right is taken."""


def _of_s3(environ: Environ, body: bytes) -> Iterator[Right]:
    method, (bucket, key) = environ["REQUEST_METHOD"], _place(environ)
    if not bucket or _is_form(environ):
        return  # a form says in its fields who has signed it: see `local.patches`
    names = [
        name for name in parse_qs(environ["QUERY_STRING"], keep_blank_values=True) if not _HARMLESS.fullmatch(name)
    ]
    if not key and (method, names) == ("POST", ["delete"]):
        yield from (Right("s3:DeleteObject", object_arn(bucket, found)) for found in _deleted(body))
        return
    action = (_ON_OBJECTS if key else _ON_BUCKETS).get((method, names[0] if names else ""))
    if action is None or len(names) > 1 or set(names) - _CHOOSING:
        raise UnknownRequest(f"{method} {environ['RAW_URI']}")
    yield Right(action, object_arn(bucket, key))
    if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
        yield Right("s3:GetObject", object_arn(*_split(unquote(source))))


def _place(environ: Environ) -> tuple[str, str]:
    return _split(environ["PATH_INFO"].encode("latin-1").decode())


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path.removeprefix("/").partition("/")
    return bucket, key


def _is_form(environ: Environ) -> bool:
    return str(environ.get("CONTENT_TYPE", "")).startswith("multipart/form-data")


def _deleted(body: bytes) -> list[str]:
    import xmltodict  # type: ignore[import-untyped] # noqa: PLC0415 - few requests delete

    return [one["Key"] for one in xmltodict.parse(body, force_list=("Object",))["Delete"]["Object"]]
