"""What AWS itself writes about requests holds nothing of what they asked for."""

import json
import re
from typing import Any

from tests.contract.resources import Template

HARMLESS = {
    "requestId",
    "requestTime",
    "httpMethod",
    "status",
    "responseLatency",
    "responseLength",
    "authorizer.error",
    "integrationErrorMessage",
}
"""What a gateway may write of a request: neither its path, its query, its route's variables, nor who sent it."""

TELLING = re.compile(r"AWS::Logs::(MetricFilter|SubscriptionFilter)|AWS::CloudTrail::.*|AWS::ApiGateway.*::Route.*")
"""What could take parts of requests elsewhere."""


def found(value: Any, name: str) -> list[Any]:
    """Find what stands under a name, however deep."""
    if isinstance(value, list):
        return [one for part in value for one in found(part, name)]
    if not isinstance(value, dict):
        return []
    return [*([value[name]] if name in value else []), *(one for part in value.values() for one in found(part, name))]


def test_access_logs_have_no_more_than_they_need(template: Template) -> None:
    """Every access log is JSON of known fields; a new one has to be looked at first."""
    logs = found(template["Resources"], "AccessLogSettings")
    assert logs
    for log in logs:
        fields = re.findall(r"\$context\.([a-zA-Z.]+)", log["Format"])
        assert {*fields} <= HARMLESS
        assert len(fields) == len(json.loads(log["Format"])) == log["Format"].count("$")


def test_no_request_is_traced_or_counted_by_what_it_holds(template: Template) -> None:
    """No metric has dimensions from logs, no log goes elsewhere, and no gateway traces bodies."""
    assert [name for name, one in template["Resources"].items() if TELLING.fullmatch(one["Type"])] == []
    assert [*found(template, "DataTraceEnabled"), *found(template, "LoggingLevel")] == []
    named = {one["Name"] for dimensions in found(template["Resources"], "Dimensions") for one in dimensions}
    assert named <= {"ApiId", "FunctionName", "QueueName"}
