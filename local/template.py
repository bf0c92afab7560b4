"""template.yaml as AWS SAM expands it, cut down to what moto can create."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from local.account import session
from local.errors import CannotStart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Resource = dict[str, Any]

API = "AWS::ApiGatewayV2::Api"
BUCKET = "AWS::S3::Bucket"
FUNCTION = "AWS::Lambda::Function"
LAYER = "AWS::Lambda::LayerVersion"
MAPPING = "AWS::Lambda::EventSourceMapping"
POLICY = "AWS::IAM::ManagedPolicy"
QUEUE = "AWS::SQS::Queue"
ROLE = "AWS::IAM::Role"
RULE = "AWS::Events::Rule"
SCHEDULE = "AWS::Scheduler::Schedule"
SECRET = "AWS::SecretsManager::Secret"  # noqa: S105 - the name of a type
TABLE = "AWS::DynamoDB::Table"

# What is left to moto's CloudFormation. Permissions, alarms and log groups change nothing locally.
_CREATED = {
    BUCKET,
    FUNCTION,
    MAPPING,
    QUEUE,
    RULE,
    TABLE,
    "AWS::KMS::Key",
    "AWS::SNS::Topic",
    "AWS::SSM::Parameter",
}
# What moto's CloudFormation ignores or does not know, and `local.stack` makes up for. Each is handed back as an
# output of the stack, which makes moto resolve what the property refers to.
RESTORED = {
    API: ["Body"],
    BUCKET: ["CorsConfiguration", "NotificationConfiguration"],
    POLICY: ["PolicyDocument"],
    ROLE: ["ManagedPolicyArns", "Policies"],
    SCHEDULE: ["ScheduleExpression", "Target", "State"],
    SECRET: ["GenerateSecretString", "SecretString"],
    TABLE: ["TimeToLiveSpecification"],
}
_SOURCE = "local-folder"
# It warns that it has not told AWS of what it was used for.
logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)


def output_of(resource: str, property_: str) -> str:
    """Name the output that hands back a property."""
    return f"{resource}Property{property_}"


@dataclass(frozen=True)
class Template:
    """An expanded template and the values of its parameters."""

    path: Path
    document: Mapping[str, Any]
    parameters: Mapping[str, str]

    def resources(self, kind: str) -> dict[str, Resource]:
        """Properties of the resources of one type, by logical id."""
        found = self.document["Resources"].items()
        return {name: resource.get("Properties", {}) for name, resource in found if resource["Type"] == kind}

    def folder_of(self, function: str) -> Path:
        return self._folder(self.resources(FUNCTION)[function].get("Code", {}), function)

    def layers_of(self, function: str) -> list[Path]:
        """Folders of a function's layers, in the order in which Lambda lays them over each other."""
        layers = self.resources(LAYER)
        used = [layer.get("Ref") for layer in self.resources(FUNCTION)[function].get("Layers", [])]
        return [self._folder(layers[name]["Content"], name) for name in used if name in layers]

    def for_moto(self, stand_ins: Mapping[str, str]) -> dict[str, Any]:
        """Leave out what moto cannot create; references to it get their stand-in, or the name of what they refer to."""
        resources = self.document["Resources"]
        kept = {name: _adapted(resource) for name, resource in resources.items() if resource["Type"] in _CREATED}
        document = {**self.document, "Resources": kept | _ROLES, "Outputs": self._outputs()}
        document.pop("Description", None)
        substituted: dict[str, Any] = _Substitution(set(resources) - set(kept), stand_ins).of(document)
        return substituted

    def _outputs(self) -> dict[str, Any]:
        return {
            output_of(name, property_): {"Value": {"Fn::ToJsonString": {"": resource[property_]}}}
            for kind, properties in RESTORED.items()
            for name, resource in self.resources(kind).items()
            for property_ in properties
            if resource.get(property_) is not None
        }

    def _folder(self, code: Mapping[str, Any], name: str) -> Path:
        if code.get("S3Bucket") != _SOURCE:
            raise CannotStart(f"{self.path}: {name} has no code in a folder of this machine.")
        folder: Path = self.path.parent / code["S3Key"]
        if not folder.is_dir():
            raise CannotStart(f"{self.path}: the folder of {name} does not exist: {folder}")
        return folder


def load(path: Path, values: Mapping[str, str]) -> Template:
    """Read and expand a template; values of parameters that it does not have are left aside."""
    source = _read(path)
    declared = source.get("Parameters", {})
    missing = [name for name, parameter in declared.items() if "Default" not in parameter and name not in values]
    if missing:
        named = ", ".join(missing)
        raise CannotStart(
            f"{path}: no local value for the parameter {named}; give it a Default, or one in local/cloud.py."
        )
    chosen = {name: str(values.get(name, parameter.get("Default"))) for name, parameter in declared.items()}
    for properties in (source.get("Globals", {}).get("Function"), *_properties(source)):
        _mark_folders(properties or {})
    try:
        expanded = Translator({}, Parser(), boto_session=session()).translate(source, dict(chosen))
    except InvalidDocumentException as error:
        raise CannotStart(
            f"{path}: {_one_line(error.message)} {' '.join(_one_line(cause.message) for cause in error.causes)}"
        ) from error
    return Template(path, expanded, chosen)


def _read(path: Path) -> dict[str, Any]:
    try:
        source = yaml_parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotStart(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CannotStart(f"{path}: {_one_line(str(error))}") from error
    resources = source.get("Resources") if isinstance(source, dict) else None
    if not isinstance(resources, dict) or not all(isinstance(r, dict) and "Type" in r for r in resources.values()):
        raise CannotStart(f"{path}: not a template: it needs Resources, each with a Type.")
    return dict(source)


def _properties(source: Mapping[str, Any]) -> Iterator[Resource | None]:
    return (resource.get("Properties") for resource in source["Resources"].values())


def _mark_folders(properties: Resource) -> None:
    """Write folders as objects in S3: SAM takes nothing else, and gives them back where CloudFormation has them."""
    for name in ("CodeUri", "ContentUri"):
        if isinstance(properties.get(name), str):
            properties[name] = {"Bucket": _SOURCE, "Key": properties[name]}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _adapted(resource: Resource) -> Resource:
    """Change what would make moto fail, or act by itself."""
    properties = dict(resource.get("Properties", {}))
    if resource["Type"] == FUNCTION:
        properties = {
            **properties,
            "Code": {"ZipFile": "The code runs from its folder."},
            "Layers": [],
            "Role": {"Fn::GetAtt": [_ROLE, "Arn"]},
        }
    if resource["Type"] == MAPPING:
        # moto would receive each message, and delete it whatever the function made of it.
        properties["Enabled"] = False
    return {**resource, "Properties": properties, "DependsOn": []}


# moto wants a role that exists, whatever it allows; what a function may do, `local.guard` sees to.
_ROLE = "RoleOfLocalFunctions"
_ROLES = {_ROLE: {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}}
_SUB = re.compile(r"\$\{([A-Za-z0-9]+(?:\.[A-Za-z0-9.]+)?)\}")


class _Substitution:
    """Replaces references to resources that do not exist locally."""

    def __init__(self, absent: set[str], stand_ins: Mapping[str, str]) -> None:
        self._absent = absent
        self._stand_ins = stand_ins

    def of(self, node: Any) -> Any:
        match node:
            case {"Ref": str(name)} if name in self._absent:
                return self._stand_in(name)
            case {"Fn::GetAtt": [str(name), str(attribute)]} if name in self._absent:
                return self._stand_in(f"{name}.{attribute}")
            case {"Fn::Sub": text}:
                return {"Fn::Sub": self._in_sub(text)}
            case dict():
                return {key: self.of(value) for key, value in node.items()}
            case list():
                return [self.of(value) for value in node]
        return node

    def _in_sub(self, text: Any) -> Any:
        return self._in_text(text) if isinstance(text, str) else [self._in_text(text[0]), self.of(text[1])]

    def _in_text(self, text: str) -> str:
        return _SUB.sub(lambda found: self._replaced(found[0], found[1]), text)

    def _replaced(self, reference: str, name: str) -> str:
        return self._stand_in(name) if name.partition(".")[0] in self._absent else reference

    def _stand_in(self, name: str) -> str:
        return self._stand_ins.get(name, name)
