import json
from pathlib import Path
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.errors import CannotStart
from local.schedule import seconds_of
from local.stack import Schedule
from local.template import load
from tests.stack.waiting import eventually

APP = Path(__file__).parent / "app" / "template.yaml"
VALUES = {"JwtIssuer": "https://issuer", "JwtAudience": "us", "SmtpPort": "25"}


def witnessed(cloud: LocalCloud) -> list[Any]:
    """List the events that the witness saw."""
    return [line.fields["event"] for line in cloud.logs if line.source == "Witness" and line.fields]


def uploads(cloud: LocalCloud) -> list[list[str]]:
    """List the keys of uploaded objects, by the events in which they came."""
    records = [[json.loads(record["body"]) for record in event.get("Records", [])] for event in witnessed(cloud)]
    return [[each["s3"]["object"]["key"] for body in bodies for each in body.get("Records", [])] for bodies in records]


def test_what_motos_cloudformation_ignores_is_there_all_the_same(cloud: LocalCloud) -> None:
    """Time to live, CORS and notifications are as in the template."""
    ttl = cloud.client("dynamodb").describe_time_to_live(TableName=cloud.resources["Table"])["TimeToLiveDescription"]
    assert (ttl["AttributeName"], ttl["TimeToLiveStatus"]) == ("expires", "ENABLED")
    (rule,) = cloud.client("s3").get_bucket_cors(Bucket=cloud.resources["Bucket"])["CORSRules"]
    assert rule == {"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 600}


def test_a_secret_is_generated(cloud: LocalCloud) -> None:
    """The template's wishes about it are kept."""
    value = json.loads(
        cloud.client("secretsmanager").get_secret_value(SecretId=cloud.resources["Secret"])["SecretString"]
    )
    assert value["username"] == "afterward"
    assert len(value["password"]) == 24


def test_a_condition_leaves_out_its_resources(cloud: LocalCloud) -> None:
    """What would not be deployed does not exist."""
    assert "Absent" not in cloud.resources
    assert "Queue" in cloud.resources


def test_an_uploaded_object_reaches_its_function(cloud: LocalCloud) -> None:
    """Bucket, queue and function are wired as in the template, prefix and batching window included."""
    for key in ("elsewhere/a.csv", "uploads/first ü.csv", "uploads/second.csv"):
        cloud.client("s3").put_object(Bucket=cloud.resources["Bucket"], Key=key, Body=b"x")
    expected = ["uploads/first+%C3%BC.csv", "uploads/second.csv"]
    eventually(lambda: expected in uploads(cloud))
    assert not [key for keys in uploads(cloud) for key in keys if key.startswith("elsewhere")]


def test_a_schedule_fires(cloud: LocalCloud) -> None:
    """Again and again, with the input of the template."""
    eventually(lambda: witnessed(cloud).count({"tick": True}) >= 2)


def test_a_schedule_that_is_no_rate_is_refused() -> None:
    """Better no start than a schedule that never fires."""
    with pytest.raises(CannotStart, match=r"is not a rate.*: cron\(0 12 \* \* \? \*\)"):
        seconds_of(Schedule("arn", "cron(0 12 * * ? *)", "target", None))


def test_a_parameter_without_a_value_is_named() -> None:
    """The line says which, and what to do."""
    with pytest.raises(CannotStart, match=r"no local value for the parameter JwtIssuer, SmtpPort; give it a Default"):
        load(APP, {"JwtAudience": "us"})


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("Resources: [", r"template.yaml: while parsing .* line 1"),
        ("just words", r"not a template"),
        ("Resources: {A: {}}", r"each with a Type"),
        (
            "Resources: {F: {Type: 'AWS::Serverless::Function', Properties: {}}}",
            r"\[F\] is invalid",
        ),
    ],
)
def test_a_broken_template_is_one_line(tmp_path: Path, source: str, reason: str) -> None:
    """It names the file and what is wrong."""
    path = tmp_path / "template.yaml"
    path.write_text(source)
    with pytest.raises(CannotStart, match=reason) as raised:
        load(path, VALUES)
    assert "\n" not in str(raised.value)


def test_a_missing_template_is_one_line(tmp_path: Path) -> None:
    """The file is named."""
    with pytest.raises(CannotStart, match=r"template.yaml: No such file or directory"):
        load(tmp_path / "template.yaml", VALUES)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Code that is not there is found before anything runs."""
    path = tmp_path / "template.yaml"
    path.write_text(APP.read_text())
    with pytest.raises(CannotStart, match=r"the folder of Echo does not exist"):
        load(path, VALUES).folder_of("Echo")
