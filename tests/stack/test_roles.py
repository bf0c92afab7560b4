"""What is read of a template's policies, and which rights requests take."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.actions import UnknownRequest, asked_by
from local.errors import CannotStart
from local.policies import Right
from local.roles import roles_of
from local.template import Template

BUCKET = "arn:aws:s3:::b"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/t"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"


def asked(method: str, target: str, body: Any = b"", **headers: str) -> list[tuple[str, str]]:
    """Return the rights that a request takes: of S3 by its path and query, of others by operation and body."""
    path, _, query = target.partition("?")
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "RAW_URI": target, **headers}
    if method == "JSON":
        environ |= {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "HTTP_X_AMZ_TARGET": target}
        body = json.dumps(body).encode()
    return [(right.action, right.resource) for right in asked_by(environ, body)]


@pytest.mark.parametrize(
    ("method", "target", "action", "resource"),
    [
        ("GET", "/b/k/l", "GetObject", "/k/l"),
        ("GET", "/b/k?X-Amz-Credential=x&response-content-disposition=y&x-id=GetObject", "GetObject", "/k"),
        ("HEAD", "/b/k", "GetObject", "/k"),
        ("PUT", "/b/k", "PutObject", "/k"),
        ("DELETE", "/b/k", "DeleteObject", "/k"),
        ("POST", "/b/k?uploads", "PutObject", "/k"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", "PutObject", "/k"),
        ("POST", "/b/k?uploadId=u", "PutObject", "/k"),
        ("GET", "/b/k?uploadId=u&max-parts=1", "ListMultipartUploadParts", "/k"),
        ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload", "/k"),
        ("GET", "/b?list-type=2&prefix=x", "ListBucket", ""),
        ("GET", "/b/?list-type=2", "ListBucket", ""),
        ("GET", "/b?uploads", "ListBucketMultipartUploads", ""),
        ("HEAD", "/b", "ListBucket", ""),
    ],
)
def test_requests_to_s3(method: str, target: str, action: str, resource: str) -> None:
    """An operation is known by its method and by a parameter of its query."""
    assert asked(method, target) == [(f"s3:{action}", BUCKET + resource)]


@pytest.mark.parametrize("target", ["/b/k?acl", "/b/k?uploadId=u&tagging", "/b/k?versionId=1", "/b?policy", "/b"])
def test_other_requests_to_s3_are_not_taken_for_these(target: str) -> None:
    """What takes another right than its method says is not known."""
    with pytest.raises(UnknownRequest, match="GET /b"):
        asked("GET", target)


def test_a_copy_reads_what_it_copies() -> None:
    """UploadPartCopy takes a right to each of the two objects."""
    copied = asked("PUT", "/b/k?partNumber=1&uploadId=u", HTTP_X_AMZ_COPY_SOURCE="c/a%20b")
    assert copied == [("s3:PutObject", f"{BUCKET}/k"), ("s3:GetObject", "arn:aws:s3:::c/a b")]


@pytest.mark.parametrize(
    ("operation", "request_", "action", "resource"),
    [
        ("PutItem", {"TableName": "t"}, "PutItem", TABLE),
        ("Query", {"TableName": "t", "IndexName": "i"}, "Query", f"{TABLE}/index/i"),
        ("BatchGetItem", {"RequestItems": {"t": {}}}, "BatchGetItem", TABLE),
        ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "t"}}]}, "GetItem", TABLE),
        ("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": "t"}}]}, "PutItem", TABLE),
        ("TransactWriteItems", {"TransactItems": [{"Update": {"TableName": "t"}}]}, "UpdateItem", TABLE),
        ("TransactWriteItems", {"TransactItems": [{"Delete": {"TableName": "t"}}]}, "DeleteItem", TABLE),
        (
            "TransactWriteItems",
            {"TransactItems": [{"ConditionCheck": {"TableName": "t"}}]},
            "ConditionCheckItem",
            TABLE,
        ),
    ],
)
def test_requests_to_dynamodb(operation: str, request_: Any, action: str, resource: str) -> None:
    """An index is a resource of its own, and a transaction takes the rights of its parts."""
    assert asked("JSON", f"DynamoDB_20120810.{operation}", request_) == [(f"dynamodb:{action}", resource)]


@pytest.mark.parametrize("operation", ["SendMessage", "SendMessageBatch"])
def test_requests_to_sqs(operation: str) -> None:
    """A batch takes the right to its entries."""
    url = "http://127.0.0.1:1/123456789012/q"
    assert asked("JSON", f"AmazonSQS.{operation}", {"QueueUrl": url}) == [("sqs:SendMessage", QUEUE)]


@pytest.mark.parametrize(
    ("granted", "wanted", "covers"),
    [
        (("s3:GetObject", f"{BUCKET}/a/*"), ("s3:GetObject", f"{BUCKET}/a/b/c\nd"), True),
        (("s3:GetObject", f"{BUCKET}/a/*"), ("s3:GetObject", f"{BUCKET}/ab"), False),
        (("s3:GetObject", f"{BUCKET}/a"), ("s3:GetObject", f"{BUCKET}/ab"), False),
        (("s3:GetObject", f"{BUCKET}/A"), ("s3:GetObject", f"{BUCKET}/a"), False),
        (("s3:getobject", f"{BUCKET}/a"), ("s3:GetObject", f"{BUCKET}/a"), True),
        (("s3:*Object", f"{BUCKET}/?"), ("s3:PutObject", f"{BUCKET}/a"), True),
        (("s3:*Object", f"{BUCKET}/?"), ("s3:PutObject", f"{BUCKET}/aa"), False),
        (("s3:GetObject", f"{BUCKET}/[a]."), ("s3:GetObject", f"{BUCKET}/ax"), False),
    ],
)
def test_wildcards_are_iams(granted: tuple[str, str], wanted: tuple[str, str], *, covers: bool) -> None:
    """A star is any text and a question mark one character, slashes and all; only actions may be in any case."""
    assert Right(*granted).covers(Right(*wanted)) == covers


def template(role: Any) -> Template:
    resources = {
        "Worker": {"Type": "AWS::Lambda::Function", "Properties": {"Role": role}},
        "WorkerRole": {"Type": "AWS::IAM::Role"},
    }
    return Template(Path("template.yaml"), {"Resources": resources}, {})


OWN_ROLE = {"Fn::GetAtt": ["WorkerRole", "Arn"]}


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ({"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}, "Mine says more than"),
        ({"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"}, "Mine says more than"),
        ({"Effect": "Allow", "Action": "a:b", "Resource": "*", "Condition": {}}, "Mine says more than"),
    ],
)
def test_what_is_not_understood_is_said(statement: Any, error: str) -> None:
    """A statement that could mean more, or less, than what is read of it keeps the local cloud from starting."""
    policies = [{"PolicyName": "Mine", "PolicyDocument": {"Statement": [statement]}}]
    with pytest.raises(CannotStart, match=error):
        roles_of(template(OWN_ROLE), ["Worker"], {"WorkerRole": {"Policies": policies}})


def test_foreign_policies_and_roles_are_said() -> None:
    """Of a role or a policy that the template only names it is not known what it allows."""
    foreign = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    with pytest.raises(CannotStart, match=f"Worker has the policy {foreign}, of which nothing is known"):
        roles_of(template(OWN_ROLE), ["Worker"], {"WorkerRole": {"ManagedPolicyArns": [foreign]}})
    with pytest.raises(CannotStart, match="Worker has a role of which nothing is known"):
        roles_of(template("arn:aws:iam::123456789012:role/x"), ["Worker"], {})
