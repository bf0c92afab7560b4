"""What template.yaml is expanded to is closed by default: whatever is added without it is named here."""

from collections import Counter
from pathlib import Path

import pytest

from local.cloud import local_parameters
from local.template import load
from tests.contract.resources import Template, many, reference, statements

LOOKED_AT = {
    "AWS::ApiGatewayV2::Api": "test_expanded.py: every route has the authorizer",
    "AWS::ApiGatewayV2::Stage": "limits, access log, alarm",
    "AWS::CloudWatch::Alarm": "test_expanded.py: where they speak",
    "AWS::DynamoDB::Table": "encryption, recovery, deletion",
    "AWS::IAM::ManagedPolicy": "test_template.py: what they allow",
    "AWS::IAM::Role": "test_expanded.py: what they have",
    "AWS::Lambda::EventSourceMapping": "maximum concurrency",
    "AWS::Lambda::Function": "log, tracing, alarms, variables",
    "AWS::Lambda::LayerVersion": "code, and no rights",
    "AWS::Lambda::Permission": "who may call",
    "AWS::Logs::LogGroup": "retention",
    "AWS::S3::Bucket": "encryption, public access, ownership, expiry",
    "AWS::S3::BucketPolicy": "TLS",
    "AWS::SQS::Queue": "encryption, TLS, dead letters, alarms",
    "AWS::SQS::QueuePolicy": "TLS, who may send",
    "AWS::SecretsManager::Secret": "how the value is made",
}
"""Every type of the template, and what is asked of its resources. A new one needs an answer first."""

CLOSED = dict.fromkeys(["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True)
OURS = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
ENCRYPTED = ("AES256", "aws:kms")


@pytest.fixture(scope="module")
def expanded(root: Path) -> Template:
    return dict(load(root / "template.yaml", local_parameters(smtp_port=25)).document)


def of_type(expanded: Template, kind: str) -> dict[str, Template]:
    """Return the properties of all resources of a type, of which there is one at least."""
    found = {key: one.get("Properties", {}) for key, one in expanded["Resources"].items() if one["Type"] == kind}
    assert found, kind
    return found


def only_over_tls(policy: Template, service: str) -> list[set[str]]:
    """Return what each statement is about that denies a service to all who come without TLS."""
    return [
        {reference(one) for one in many(statement["Resource"])}
        for statement in statements(policy["PolicyDocument"])
        if (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", f"{service}:*")
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    ]


def outlives_the_stack(expanded: Template, logical_id: str) -> bool:
    resource = expanded["Resources"][logical_id]
    return (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")) == ("RetainExceptOnCreate", "Retain")


def watched(expanded: Template, metric: str) -> set[str]:
    """Return what has an alarm on a metric that rings above a threshold."""
    alarms = of_type(expanded, "AWS::CloudWatch::Alarm").values()
    return {
        reference(one["Dimensions"][0]["Value"])
        for one in alarms
        if (one["MetricName"], one["ComparisonOperator"]) == (metric, "GreaterThanThreshold")
    }


def test_every_type_is_looked_at(expanded: Template) -> None:
    """A resource of a new type comes with an answer to how it is closed."""
    assert {one["Type"] for one in expanded["Resources"].values()} == set(LOOKED_AT)


def test_queues_are_encrypted(expanded: Template) -> None:
    """Every message lies encrypted, by a key of SQS or by one of KMS."""
    for logical_id, queue in of_type(expanded, "AWS::SQS::Queue").items():
        assert queue.get("SqsManagedSseEnabled") is True or queue.get("KmsMasterKeyId"), logical_id


def test_queues_take_nothing_without_tls(expanded: Template) -> None:
    """Every queue has one policy, for SQS keeps one, and it denies all that is not sent over TLS."""
    denied: Counter[str] = Counter()
    for logical_id, policy in of_type(expanded, "AWS::SQS::QueuePolicy").items():
        queues = {reference(queue) for queue in policy["Queues"]}
        assert only_over_tls(policy, "sqs") in ([{"*"}], [queues]), logical_id
        denied.update(queues)
    assert denied == dict.fromkeys(of_type(expanded, "AWS::SQS::Queue"), 1)


@pytest.mark.parametrize("kind", ["AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"])
def test_resources_let_nobody_in_from_outside(expanded: Template, kind: str) -> None:
    """No policy of a queue or bucket allows anything to anyone but a service that works for this account."""
    for logical_id, policy in of_type(expanded, kind).items():
        for statement in statements(policy["PolicyDocument"]):
            if statement["Effect"] == "Allow":
                assert list(statement["Principal"]) == ["Service"], logical_id
                assert statement.get("Condition") == OURS, logical_id


def test_every_queue_has_dead_letters(expanded: Template) -> None:
    """What no queue could deliver goes to another, where an alarm rings; that one is the only one without."""
    queues = of_type(expanded, "AWS::SQS::Queue")
    targets = {
        reference(one["RedrivePolicy"]["deadLetterTargetArn"]) for one in queues.values() if "RedrivePolicy" in one
    }
    assert {logical_id for logical_id, one in queues.items() if "RedrivePolicy" not in one} == targets
    assert targets == watched(expanded, "NumberOfMessagesReceived")


def test_tables_are_encrypted_and_can_be_recovered(expanded: Template) -> None:
    """Every table is encrypted by a KMS key, can be brought back to any second of weeks, and outlives the stack."""
    for logical_id, table in of_type(expanded, "AWS::DynamoDB::Table").items():
        assert table.get("SSESpecification", {}).get("SSEEnabled") is True, logical_id
        assert table.get("PointInTimeRecoverySpecification") == {"PointInTimeRecoveryEnabled": True}, logical_id
        assert outlives_the_stack(expanded, logical_id), logical_id


def test_buckets_are_closed(expanded: Template) -> None:
    """Every bucket is encrypted, without ACLs, and no policy and no ACL can open it to the public."""
    for logical_id, bucket in of_type(expanded, "AWS::S3::Bucket").items():
        rules = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration")
        assert rules in [[{"ServerSideEncryptionByDefault": {"SSEAlgorithm": one}}] for one in ENCRYPTED], logical_id
        assert bucket.get("PublicAccessBlockConfiguration") == CLOSED, logical_id
        assert bucket.get("OwnershipControls") == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}, logical_id
        assert outlives_the_stack(expanded, logical_id), logical_id


def test_buckets_take_nothing_without_tls(expanded: Template) -> None:
    """Every bucket's policy denies whatever does not come over TLS, for itself and for each object."""
    policies = of_type(expanded, "AWS::S3::BucketPolicy").values()
    denied = {reference(one["Bucket"]): only_over_tls(one, "s3") for one in policies}
    assert denied == {name: [{name, f"${{{name}.Arn}}/*"}] for name in of_type(expanded, "AWS::S3::Bucket")}


def test_every_object_expires(expanded: Template) -> None:
    """Whatever prefix a function may write to has a rule that deletes what lies there; parts of uploads go in a day."""
    (bucket,) = of_type(expanded, "AWS::S3::Bucket").values()
    rules = [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if rule["Status"] == "Enabled"]
    expiring = tuple(f"${{Bucket.Arn}}/{rule['Prefix']}" for rule in rules if rule.get("ExpirationInDays"))
    writable = {
        reference(target)
        for statement in statements(expanded["Resources"])
        if statement["Effect"] == "Allow" and "s3:PutObject" in many(statement["Action"])
        for target in many(statement["Resource"])
    }
    assert writable
    assert [target for target in writable if not target.startswith(expiring)] == []
    assert {"DaysAfterInitiation": 1} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]


def test_every_log_group_expires(expanded: Template) -> None:
    """Every group deletes its lines after LogRetention days, and there is no choice that keeps them for ever."""
    for logical_id, group in of_type(expanded, "AWS::Logs::LogGroup").items():
        assert group.get("RetentionInDays") == {"Ref": "LogRetention"}, logical_id
    allowed = expanded["Parameters"]["LogRetention"]["AllowedValues"]
    assert 1 <= min(allowed) <= expanded["Parameters"]["LogRetention"]["Default"] <= max(allowed) < 1000


def test_everything_that_runs_logs_to_a_group_of_its_own(expanded: Template) -> None:
    """Every function and stage has a group that is no other's; none is left to Lambda, whose groups never expire."""
    functions = of_type(expanded, "AWS::Lambda::Function").values()
    stages = of_type(expanded, "AWS::ApiGatewayV2::Stage").values()
    used = [reference(one["LoggingConfig"]["LogGroup"]) for one in functions if "LoggingConfig" in one]
    used += [reference(one["AccessLogSettings"]["DestinationArn"]) for one in stages if "AccessLogSettings" in one]
    assert len(used) == len(functions) + len(stages)
    assert sorted(used) == sorted(of_type(expanded, "AWS::Logs::LogGroup"))


def test_every_function_is_traced(expanded: Template) -> None:
    """X-Ray sees every function."""
    for logical_id, function in of_type(expanded, "AWS::Lambda::Function").items():
        assert function["TracingConfig"] == {"Mode": "Active"}, logical_id


def test_nothing_runs_without_bound(expanded: Template) -> None:
    """Whoever floods a queue gets no more than its maximum concurrency, and whoever floods the API its rate."""
    functions = set(of_type(expanded, "AWS::Lambda::Function"))
    mappings = of_type(expanded, "AWS::Lambda::EventSourceMapping")
    for logical_id, mapping in mappings.items():
        assert mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 1000) <= 100, logical_id
    assert functions - {reference(one["FunctionName"]) for one in mappings.values()} == {"Api"}
    for logical_id, stage in of_type(expanded, "AWS::ApiGatewayV2::Stage").items():
        limits = stage.get("DefaultRouteSettings", {})
        for limit in ("ThrottlingRateLimit", "ThrottlingBurstLimit"):
            assert 0 < limits.get(limit, 0) <= 1000, logical_id
        assert "RouteSettings" not in stage, "no route has limits of its own"


def test_only_the_gateway_calls_a_function(expanded: Template) -> None:
    """The one permission is that of the gateway, for this API; there are no function URLs."""
    (permission,) = of_type(expanded, "AWS::Lambda::Permission").values()
    assert (reference(permission["FunctionName"]), permission["Principal"]) == ("Api", "apigateway.amazonaws.com")
    source, names = permission["SourceArn"]["Fn::Sub"]
    assert source == "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${__ApiId__}/${__Stage__}/*"
    assert names["__ApiId__"] == {"Ref": "HttpApi"}


def test_secrets_are_made_where_they_are_kept(expanded: Template) -> None:
    """Every secret is generated, so nobody knows it; none comes in as a parameter, and none lies in a variable."""
    secrets = of_type(expanded, "AWS::SecretsManager::Secret")
    for logical_id, secret in secrets.items():
        assert "SecretString" not in secret, logical_id
        assert secret["GenerateSecretString"]["PasswordLength"] >= 64, logical_id
    assert not [name for name, one in expanded["Parameters"].items() if "NoEcho" in one]
    for function in of_type(expanded, "AWS::Lambda::Function").values():
        for name, value in function["Environment"]["Variables"].items():
            assert "resolve:" not in str(value), name
            assert "SECRET" not in name or reference(value) in {*secrets, "SmtpSecretArn"}, name


def test_whatever_fails_rings(expanded: Template) -> None:
    """Each function's errors and throttles, each queue's oldest message and each stage's 5xx have an alarm."""
    functions, queues = (set(of_type(expanded, kind)) for kind in ("AWS::Lambda::Function", "AWS::SQS::Queue"))
    assert watched(expanded, "Errors") == functions
    assert watched(expanded, "Throttles") == functions
    assert watched(expanded, "ApproximateAgeOfOldestMessage") == queues
    stages = of_type(expanded, "AWS::ApiGatewayV2::Stage").values()
    assert watched(expanded, "5xx") == {reference(one["ApiId"]) for one in stages}
