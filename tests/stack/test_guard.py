"""What a function may not do in the local cloud, as its services say it."""

from functools import partial
from typing import Any

import boto3
import httpx
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from local.account import REGION, credentials_of
from local.cloud import LocalCloud
from tests.stack.waiting import eventually


def client(cloud: LocalCloud, service: str, function: str = "Probe") -> Any:
    """Make a client with the credentials of a function."""
    key, secret, token = credentials_of(cloud.resources[function]).values()
    config = Config(signature_version="s3v4") if service == "s3" else None
    make: Any = boto3.Session(key, secret, token, region_name=REGION).client
    return make(service, endpoint_url=cloud.endpoint, config=config)


def logged(cloud: LocalCloud, beginning: str) -> bool:
    return any(line.startswith(beginning) for line in cloud.refusals)


def test_a_right_that_is_missing_is_refused_as_aws_does(cloud: LocalCloud) -> None:
    """Each service says who may not do what, with its own code and status; the log of the local cloud says it too."""
    resources = cloud.resources
    attempts: list[tuple[str, int, str, dict[str, Any]]] = [
        ("dynamodb:DeleteItem", 400, "AccessDeniedException", {"TableName": resources["Table"], "Key": {}}),
        ("sqs:PurgeQueue", 403, "AccessDenied", {"QueueUrl": resources["DeadLetterQueue"]}),
        ("secretsmanager:GetSecretValue", 400, "AccessDeniedException", {"SecretId": resources["Secret"]}),
        ("s3:DeleteObject", 403, "AccessDenied", {"Bucket": resources["Bucket"], "Key": "uploads/probe-1/a"}),
    ]
    for action, status, code, request in attempts:
        service, _, operation = action.partition(":")
        with pytest.raises(ClientError) as refused:
            getattr(client(cloud, service), xform_name(operation))(**request)
        error = refused.value.response
        assert (error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]) == (status, code), action
        said = error["Error"]["Message"]
        assert f"/{resources['Probe']} is not authorized to perform: {action} on resource: arn:aws:" in said
        assert said.endswith(f"because no identity-based policy allows the {action} action")
        assert eventually(partial(logged, cloud, f"Refused: Probe may not {action} on arn:aws:"))


def test_what_is_granted_is_done(cloud: LocalCloud) -> None:
    """By a statement of the function's own or by a policy that it shares, and where a pattern has room for it."""
    bucket = cloud.resources["Bucket"]
    client(cloud, "dynamodb").put_item(TableName=cloud.resources["Table"], Item={"pk": {"S": "probe"}})
    client(cloud, "s3").put_object(Bucket=bucket, Key="uploads/probe-1/a/b ü", Body=b"x")
    assert client(cloud, "s3").get_object(Bucket=bucket, Key="uploads/probe-1/a/b ü")["Body"].read() == b"x"
    for key in ("uploads/probe-12/a", "uploads/probe-1", "elsewhere/uploads/probe-1/a"):
        with pytest.raises(ClientError, match="AccessDenied"):
            client(cloud, "s3").put_object(Bucket=bucket, Key=key, Body=b"x")


def test_a_function_without_policies_may_nothing(cloud: LocalCloud) -> None:
    """What SAM attaches for Lambda itself gives a function's code no right."""
    with pytest.raises(ClientError, match="perform: sqs:ReceiveMessage on"):
        client(cloud, "sqs", "Worker").receive_message(QueueUrl=cloud.resources["Queue"])


def test_others_are_not_held_back(cloud: LocalCloud) -> None:
    """Tools and tests have credentials of nobody's."""
    assert cloud.client("sqs").get_queue_attributes(QueueUrl=cloud.resources["Queue"], AttributeNames=["All"])


def test_a_link_is_worth_what_its_signer_may(cloud: LocalCloud) -> None:
    """A link, and a form, that a function has signed do what that function may do when they are used."""
    bucket, s3 = cloud.resources["Bucket"], cloud.client("s3")
    for key in ("uploads/probe-2/a", "other/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    probe, other = client(cloud, "s3"), client(cloud, "s3", "Worker")
    for signer, key, status in [
        (probe, "uploads/probe-2/a", 200),
        (probe, "other/a", 403),
        (other, "uploads/probe-2/a", 403),
    ]:
        link = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        assert httpx.get(link).status_code == status, key
        form = signer.generate_presigned_post(Bucket=bucket, Key=key)
        posted = httpx.post(form["url"], data=form["fields"], files={"file": b"x"})
        assert posted.is_success == (status == 200), posted.text
        assert posted.is_success or "<Code>AccessDenied</Code>" in posted.text


def test_what_is_not_there_is_told_to_whoever_may_list(cloud: LocalCloud) -> None:
    """Others get 403 for an object that is not there, as for one that is not theirs."""
    bucket = cloud.resources["Bucket"]
    with pytest.raises(ClientError, match="NoSuchKey"):
        client(cloud, "s3").get_object(Bucket=bucket, Key="uploads/probe-1/nothing")
    hasty = client(cloud, "s3", "Hasty")
    with pytest.raises(ClientError, match="perform: s3:ListBucket on"):
        hasty.get_object(Bucket=bucket, Key="uploads/hasty/nothing")
    with pytest.raises(ClientError, match="403"):
        hasty.head_object(Bucket=bucket, Key="uploads/hasty/nothing")
    cloud.client("s3").put_object(Bucket=bucket, Key="uploads/hasty/something", Body=b"x")
    assert hasty.get_object(Bucket=bucket, Key="uploads/hasty/something")["Body"].read() == b"x"


def test_several_writes_need_the_right_to_each(cloud: LocalCloud) -> None:
    """A transaction, a batch and a deletion of many keys are refused for one part that is not allowed."""
    table, queue = cloud.resources["Table"], cloud.resources["Queue"]
    put = {"Put": {"TableName": table, "Item": {"pk": {"S": "a"}}}}
    gone = {"Delete": {"TableName": table, "Key": {"pk": {"S": "b"}}}}
    client(cloud, "dynamodb").transact_write_items(TransactItems=[put])
    with pytest.raises(ClientError, match="perform: dynamodb:DeleteItem on"):
        client(cloud, "dynamodb").transact_write_items(TransactItems=[put, gone])
    entries = [{"Id": "1", "MessageBody": "{}"}]
    with pytest.raises(ClientError, match="perform: sqs:SendMessage on"):
        client(cloud, "sqs").send_message_batch(QueueUrl=queue, Entries=entries)
    keys = {"Objects": [{"Key": "a"}, {"Key": "b"}]}
    with pytest.raises(ClientError, match=r"perform: s3:DeleteObject on resource: arn:aws:s3:::[^/]+/a because"):
        client(cloud, "s3").delete_objects(Bucket=cloud.resources["Bucket"], Delete=keys)


def test_what_is_not_known_is_refused(cloud: LocalCloud) -> None:
    """A request of which it is not known which rights it takes is no way round the policies."""
    with pytest.raises(ClientError, match=r"what is not known here: .*\?tagging"):
        client(cloud, "s3").get_object_tagging(Bucket=cloud.resources["Bucket"], Key="uploads/probe-1/a")
    with pytest.raises(ClientError, match=r"what is not known here: AmazonSSM\.GetParameter"):
        client(cloud, "ssm").get_parameter(Name="a")
