"""What CloudFormation gets, after SAM has expanded template.yaml."""

import json
from pathlib import Path

import pytest
from cfnlint.api import lint_all

from local.template import load
from tests.contract.resources import Template, reference

OWN_LAYER = dict.fromkeys(["FetchExternalData", "SendWebhook"], "OutboundLayer") | dict.fromkeys(
    ["ProcessCsv", "ScanCsv", "SplitCsv", "ProcessCsvChunk", "MergeCsv"], "CsvPipelineLayer"
)
"""The layer that no other function has, of those that call addresses of users' choice, and of those that read CSV."""

PARAMETERS = {
    "JwtIssuer": "https://login.example.com",
    "JwtAudience": "afterward",
    "SmtpHost": "smtp.example.com",
    "SmtpSender": "afterward@example.com",
}


@pytest.fixture(scope="module")
def expanded(root: Path) -> Template:
    return dict(load(root / "template.yaml", PARAMETERS).document)


def of_type(expanded: Template, kind: str) -> dict[str, Template]:
    return {key: value["Properties"] for key, value in expanded["Resources"].items() if value["Type"] == kind}


def test_cloudformation_would_take_it(expanded: Template) -> None:
    """cfn-lint finds no error and nothing to warn of in the expanded template, as in the one that is written."""
    found = lint_all(json.dumps(expanded))
    assert [str(match) for match in found if match.rule.severity != "informational"] == []


def test_each_function_stays_what_it_is(expanded: Template, tasks: dict[str, str]) -> None:
    """Every function runs on the one runtime with its layers, is traced, and is called by its own module's handler."""
    functions = of_type(expanded, "AWS::Lambda::Function")
    names = {**tasks, "Api": "api", "S3Upload": "s3_upload", "DeadLetter": "dead_letter"}
    assert {key: value["Handler"] for key, value in functions.items()} == {
        key: f"{name}.lambda_handler" for key, name in names.items()
    }
    for key, properties in functions.items():
        assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["x86_64"])
        layers = [one["Ref"].rstrip("0123456789abcdef") for one in properties["Layers"]]
        assert layers == ["AfterwardLayer", "CatalogLayer", *([OWN_LAYER[key]] if key in OWN_LAYER else [])]
        assert properties["TracingConfig"] == {"Mode": "Active"}


def test_each_queue_feeds_its_function(expanded: Template, tasks: dict[str, str]) -> None:
    """Every queue is polled for its own function, and all answers are partial batch responses."""
    mappings = of_type(expanded, "AWS::Lambda::EventSourceMapping")
    assert {(reference(one["EventSourceArn"]), reference(one["FunctionName"])) for one in mappings.values()} == {
        (f"{logical_id}Queue", logical_id) for logical_id in [*tasks, "S3Upload", "DeadLetter"]
    }
    assert all(one["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for one in mappings.values())


def test_every_request_must_carry_a_token(expanded: Template) -> None:
    """Every route of the gateway goes to the API through the JWT authorizer."""
    (api,) = of_type(expanded, "AWS::ApiGatewayV2::Api").values()
    methods = [method for path in api["Body"]["paths"].values() for method in path.values()]
    assert methods
    for method in methods:
        assert method["security"] == [{"Jwt": []}]
        assert method["x-amazon-apigateway-integration"]["payloadFormatVersion"] == "2.0"
        assert "${Api.Arn}" in method["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    schemes = api["Body"]["components"]["securitySchemes"]
    assert schemes["Jwt"]["x-amazon-apigateway-authorizer"]["jwtConfiguration"] == {
        "issuer": {"Ref": "JwtIssuer"},
        "audience": [{"Ref": "JwtAudience"}],
    }


def test_the_stage_is_throttled_and_logged(expanded: Template) -> None:
    """The gateway deploys each change at once, to `$default`, with a limit and an access log."""
    (stage,) = of_type(expanded, "AWS::ApiGatewayV2::Stage").values()
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] > 0
    assert reference(stage["AccessLogSettings"]["DestinationArn"]) == "HttpApiLogs"


def test_nothing_fails_in_silence(expanded: Template, tasks: dict[str, str]) -> None:
    """Crashes and throttling of each function, waiting in each queue, dead letters and 5xx each raise an alarm."""
    watched = {
        (one["MetricName"], reference(one["Dimensions"][0]["Value"]))
        for one in of_type(expanded, "AWS::CloudWatch::Alarm").values()
    }
    consumers = [*tasks, "S3Upload", "DeadLetter"]
    assert watched == {
        *(("Errors", logical_id) for logical_id in ["Api", *consumers]),
        *(("Throttles", logical_id) for logical_id in ["Api", *consumers]),
        *(("ApproximateAgeOfOldestMessage", f"{logical_id}Queue") for logical_id in consumers),
        ("NumberOfMessagesReceived", "DeadLetterQueue"),
        ("5xx", "HttpApi"),
    }


def test_every_alarm_speaks_where_a_topic_is_given(expanded: Template) -> None:
    """All alarms notify AlarmTopicArn if there is one, and none takes missing data for a failure."""
    for one in of_type(expanded, "AWS::CloudWatch::Alarm").values():
        assert one["AlarmActions"] == {
            "Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}],
        }
        assert one["TreatMissingData"] == "notBreaching"


def test_roles_have_no_policies_but_the_templates(expanded: Template) -> None:
    """SAM would attach AWS's own, which speak of all logs and queues of the account."""
    for properties in of_type(expanded, "AWS::IAM::Role").values():
        assert len(properties["ManagedPolicyArns"]) <= 10, "IAM takes no more"
        for policy in properties["ManagedPolicyArns"]:
            assert reference(policy) in {"AddJobsPolicy", "RunJobsPolicy", "TracePolicy"}


def test_outputs_name_what_an_operator_looks_for(expanded: Template, tasks: dict[str, str]) -> None:
    """The stack tells where the API, each queue, the tables and the bucket are."""
    assert set(expanded["Outputs"]) == {
        "ApiUrl",
        "JobsTable",
        "NotificationsTable",
        "ActivityTable",
        "StatisticsTable",
        "Bucket",
        "DeadLetterQueue",
        "S3UploadQueue",
        *(f"{logical_id}Queue" for logical_id in tasks),
    }
