"""The template's stack: created in moto, and everything that runs on it read back from there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from local import template as kinds
from local.errors import CannotStart
from local.guard import told
from local.roles import roles_of

if TYPE_CHECKING:
    from pathlib import Path

    from local.account import Account
    from local.policies import Role
    from local.template import Template

NAME = "afterward"
Properties = Mapping[str, Any]
Restored = tuple[str, str, Properties]
"""Type, logical id and resolved properties."""


@dataclass(frozen=True)
class FunctionSettings:
    """What Lambda knows of a function."""

    name: str
    physical_name: str
    arn: str
    handler: str
    timeout: int
    memory: int
    concurrency: int | None
    variables: Mapping[str, str]
    folder: Path
    layers: tuple[Path, ...]


@dataclass(frozen=True)
class QueueSource:
    """An event source mapping of an SQS queue."""

    function: str
    queue_arn: str
    queue_url: str
    batch_size: int
    window: int
    concurrency: int | None
    reports_failures: bool


@dataclass(frozen=True)
class Schedule:
    """A rule or schedule that fires by the clock."""

    arn: str
    expression: str
    target_arn: str
    input: str | None


@dataclass(frozen=True)
class Stack:
    """What was created."""

    functions: Mapping[str, FunctionSettings]
    sources: tuple[QueueSource, ...]
    schedules: tuple[Schedule, ...]
    apis: tuple[Properties, ...]
    resources: Mapping[str, str]
    """Physical ids by logical id."""
    roles: Mapping[str, Role]
    """By logical id of the function."""


def create(template: Template, account: Account, url: str) -> Stack:
    """Create what the template describes; `url` is where its HTTP API will be."""
    try:
        return _Creation(template, account).stack(url)
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise CannotStart(f"{template.path}: {' '.join(str(error).split())}") from error


class _Creation:
    def __init__(self, template: Template, account: Account) -> None:
        self._template = template
        self._account = account
        self._cloudformation = account.client("cloudformation")
        self._lambda = account.client("lambda")

    def stack(self, url: str) -> Stack:
        secrets = self._secrets()
        endpoints = {f"{name}.ApiEndpoint": url for name in self._template.resources(kinds.API)}
        outputs = self._create({**secrets, **{f"{name}.Id": arn for name, arn in secrets.items()}, **endpoints})
        described = self._cloudformation.describe_stack_resources(StackName=NAME)["StackResources"]
        # What a Condition left out is described without its names.
        resources = {
            each["LogicalResourceId"]: each["PhysicalResourceId"] for each in described if "PhysicalResourceId" in each
        }
        restored = _restored(self._template, outputs)
        self._restore(restored, resources | secrets)
        functions = {
            name: self._function(name, resources[name])
            for name in self._template.resources(kinds.FUNCTION)
            if name in resources
        }
        resolved = {name: dict[str, Any]() for name in self._template.resources(kinds.ROLE)}
        resolved |= {name: dict(found) for kind, name, found in restored if kind in {kinds.POLICY, kinds.ROLE}}
        roles = roles_of(self._template, functions, resolved)
        self._account.restrict(told({functions[name].physical_name: role for name, role in roles.items()}))
        return Stack(
            functions=functions,
            sources=tuple(self._sources({function.arn: function.name for function in functions.values()})),
            schedules=(*self._rules(), *_schedules(restored)),
            apis=tuple(properties["Body"] for kind, _, properties in restored if kind == kinds.API),
            resources=resources | secrets,
            roles=roles,
        )

    def _create(self, stand_ins: Mapping[str, str]) -> dict[str, str]:
        values = self._template.parameters.items()
        self._cloudformation.create_stack(
            StackName=NAME,
            TemplateBody=json.dumps(self._template.for_moto(stand_ins)),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values],
        )
        (described,) = self._cloudformation.describe_stacks(StackName=NAME)["Stacks"]
        if described["StackStatus"] != "CREATE_COMPLETE":
            raise CannotStart(
                f"{self._template.path}: {described['StackStatus']} {described.get('StackStatusReason', '')}"
            )
        return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}

    def _secrets(self) -> dict[str, str]:
        """Create the secrets, empty: moto's CloudFormation has none."""
        manager = self._account.client("secretsmanager")
        names = self._template.resources(kinds.SECRET)
        return {name: manager.create_secret(Name=f"{NAME}-{name}", SecretString="{}")["ARN"] for name in names}

    def _restore(self, restored: list[Restored], resources: Mapping[str, str]) -> None:
        for kind, name, properties in restored:
            if kind == kinds.SECRET:
                self._fill_secret(resources[name], properties)
            elif kind == kinds.TABLE:
                ttl = properties["TimeToLiveSpecification"]
                self._account.client("dynamodb").update_time_to_live(
                    TableName=resources[name], TimeToLiveSpecification=ttl
                )
            elif kind == kinds.BUCKET:
                self._configure_bucket(resources[name], properties)

    def _fill_secret(self, arn: str, properties: Properties) -> None:
        manager = self._account.client("secretsmanager")
        value = properties.get("SecretString")
        if value is None:
            wanted = dict(properties.get("GenerateSecretString", {}))
            around, key = wanted.pop("SecretStringTemplate", None), wanted.pop("GenerateStringKey", None)
            value = manager.get_random_password(**wanted)["RandomPassword"]
            value = json.dumps({**json.loads(around), key: value}) if around else value
        manager.put_secret_value(SecretId=arn, SecretString=value)

    def _configure_bucket(self, bucket: str, properties: Properties) -> None:
        s3 = self._account.client("s3")
        if cors := properties.get("CorsConfiguration"):
            s3.put_bucket_cors(
                Bucket=bucket, CORSConfiguration={"CORSRules": [_cors(rule) for rule in cors["CorsRules"]]}
            )
        if notifications := properties.get("NotificationConfiguration"):
            if notifications.get("LambdaConfigurations"):
                raise CannotStart(
                    f"{self._template.path}: {bucket} notifies a function directly; put a queue between them."
                )
            queues = [_notification(queue) for queue in notifications.get("QueueConfigurations", [])]
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration={"QueueConfigurations": queues}, SkipDestinationValidation=True
            )

    def _function(self, name: str, physical_name: str) -> FunctionSettings:
        settings = self._lambda.get_function_configuration(FunctionName=physical_name)
        concurrency = self._lambda.get_function_concurrency(FunctionName=physical_name)
        return FunctionSettings(
            name=name,
            physical_name=physical_name,
            arn=settings["FunctionArn"],
            handler=settings["Handler"],
            timeout=settings["Timeout"],
            memory=settings["MemorySize"],
            concurrency=concurrency.get("ReservedConcurrentExecutions"),
            variables={
                key: _text(value) for key, value in settings.get("Environment", {}).get("Variables", {}).items()
            },
            folder=self._template.folder_of(name),
            layers=tuple(self._template.layers_of(name)),
        )

    def _sources(self, functions: Mapping[str, str]) -> Iterator[QueueSource]:
        sqs = self._account.client("sqs")
        for mapping in self._lambda.list_event_source_mappings()["EventSourceMappings"]:
            arn, function = mapping["EventSourceArn"], functions[mapping["FunctionArn"]]
            if arn.split(":")[2] != "sqs" or mapping.get("FilterCriteria"):
                raise CannotStart(
                    f"{self._template.path}: {function} has an event source that is not polled here: {arn}"
                )
            yield QueueSource(
                function=function,
                queue_arn=arn,
                queue_url=sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"],
                batch_size=mapping["BatchSize"],
                window=mapping.get("MaximumBatchingWindowInSeconds", 0),
                concurrency=mapping.get("ScalingConfig", {}).get("MaximumConcurrency"),
                reports_failures="ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", []),
            )

    def _rules(self) -> Iterator[Schedule]:
        events = self._account.client("events")
        for rule in events.list_rules()["Rules"] if self._template.resources(kinds.RULE) else ():
            if "ScheduleExpression" in rule and rule["State"] == "ENABLED":
                for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                    yield Schedule(rule["Arn"], rule["ScheduleExpression"], target["Arn"], target.get("Input"))


def _schedules(restored: list[Restored]) -> Iterator[Schedule]:
    for kind, name, properties in restored:
        if kind == kinds.SCHEDULE and properties.get("State", "ENABLED") == "ENABLED":
            target = properties["Target"]
            yield Schedule(name, properties["ScheduleExpression"], target["Arn"], target.get("Input"))


def _restored(template: Template, outputs: Mapping[str, str]) -> list[Restored]:
    """Collect what moto's CloudFormation left out."""
    restored: list[Restored] = []
    for kind, names in kinds.RESTORED.items():
        for name in template.resources(kind):
            keys = {property_: kinds.output_of(name, property_) for property_ in names}
            told = {property_: json.loads(outputs[key]) for property_, key in keys.items() if key in outputs}
            # What is !Ref AWS::NoValue is left out of what an output holds.
            properties = {property_: value[""] for property_, value in told.items() if "" in value}
            if properties:
                restored.append((kind, name, properties))
    return restored


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cors(rule: Properties) -> dict[str, Any]:
    """Spell a CloudFormation rule as S3 does."""
    names = {"ExposedHeaders": "ExposeHeaders", "MaxAge": "MaxAgeSeconds", "Id": "ID"}
    return {names.get(name, name): int(value) if name == "MaxAge" else value for name, value in rule.items()}


def _notification(queue: Properties) -> dict[str, Any]:
    rules = queue.get("Filter", {}).get("S3Key", {}).get("Rules", [])
    filtered = {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}
    return {"QueueArn": queue["Queue"], "Events": [queue["Event"]], **filtered}
