"""The product synthesised in this process, and how its template is read by the tests."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from stacks.catalog import CatalogEntry, discover
from stacks.config import PlatformConfig
from stacks.remediation_stack import RemediationStack

ROOT = Path(__file__).parents[2]
PREFIX = "remediation"
# The checks of every synthesis are asked for once, in test_static_checks.py: they take the longest.
WITHOUT_CHECKS: dict[str, Any] = {
    "builtin_cloud_formation_validation": False,
    "tree_metadata": False,
}
Properties = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Synthesised:
    """One synthesis: the template, and what it was made of."""

    template: dict[str, Any]
    entries: tuple[CatalogEntry, ...]
    config: PlatformConfig
    outdir: Path

    @property
    def resources(self) -> dict[str, Any]:
        return self.template["Resources"]

    def of_type(self, kind: str) -> dict[str, Properties]:
        """Properties by logical id, those in nested stacks too."""
        resources = {
            k: r for t in [self.template, *self.nested.values()] for k, r in t["Resources"].items()
        }
        return {k: r["Properties"] for k, r in resources.items() if r["Type"] == kind}

    @property
    def nested(self) -> dict[str, dict[str, Any]]:
        """Template of each nested stack by file name."""
        files = sorted(self.outdir.glob("*.nested.template.json"))
        return {file.name: json.loads(file.read_text()) for file in files}

    def one(self, kind: str, start: str) -> Properties:
        """Properties of the one resource of a type whose logical id starts like this."""
        (found,) = [p for k, p in self.of_type(kind).items() if k.startswith(start)]
        return found

    def alarms(self) -> dict[str, Properties]:
        return {p["AlarmName"]: p for p in self.of_type("AWS::CloudWatch::Alarm").values()}

    def statements(self, role: str) -> list[Properties]:
        """Statements of every policy attached to a role, given by logical id.

        What does not fit into the policy of a role, CDK moves into a managed one.
        """
        kinds = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        return [
            statement
            for policy in [p for kind in kinds for p in self.of_type(kind).values()]
            if {"Ref": role} in policy.get("Roles", [])
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def allowed(self, role: str) -> set[tuple[str, str]]:
        """Every pair of action and resource that a role's policies allow."""
        return {
            (action, flat(resource))
            for s in self.statements(role)
            for action in as_list(s["Action"])
            for resource in as_list(s["Resource"])
        }

    def definition_text(self, machine: Properties) -> str:
        """The machine's ASL, as it is stored: in the template, or beside it."""
        if "DefinitionString" in machine:
            return str(machine["DefinitionString"])
        stored = machine["DefinitionS3Location"]["Key"]
        return (self.outdir / f"asset.{stored}").read_text()

    def definition(self, machine: Properties) -> dict[str, Any]:
        """The machine's ASL with its substitutions as `<LogicalId...>`."""
        text = self.definition_text(machine)
        for token, value in machine["DefinitionSubstitutions"].items():
            text = text.replace("${" + token + "}", flat(value))
        found: dict[str, Any] = json.loads(text)
        return found

    def inlined(self) -> dict[str, Any]:
        """The template with every machine in it, for tools that look at nothing else."""
        template: dict[str, Any] = json.loads(json.dumps(self.template))
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::StepFunctions::StateMachine":
                properties = resource["Properties"]
                properties["DefinitionString"] = self.definition_text(properties)
                properties.pop("DefinitionS3Location", None)
        return template


def synthesise(
    outdir: Path,
    *,
    platform: Path = ROOT / "platform.json",
    prepare: Callable[[cdk.App, RemediationStack], None] = lambda _app, _stack: None,
    **app_properties: Any,
) -> Synthesised:
    """Synthesise as app.py does, without the checks unless `app_properties` turn them on."""
    entries = discover()
    config = PlatformConfig.read(platform, [entry.runbook for entry in entries])
    app = cdk.App(outdir=str(outdir), **WITHOUT_CHECKS | app_properties)
    stack = RemediationStack(app, "RemediationStack", config=config, entries=entries, prefix=PREFIX)
    prepare(app, stack)
    app.synth()
    return Synthesised(
        template=json.loads((outdir / "RemediationStack.template.json").read_text()),
        entries=entries,
        config=config,
        outdir=outdir,
    )


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def flat(value: Any) -> str:
    """A resolved value as text: `<LogicalId>`, `<LogicalId.Attribute>`, or joined text."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Ref":
        return f"<{argument}>"
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    if function == "Fn::Sub":
        return re.sub(r"\$\{([^}]+)\}", r"<\1>", argument)
    if function == "Fn::Join":
        return argument[0].join(flat(part) for part in argument[1])
    raise AssertionError(f"{function} is not expected here: {value}")


def logical_id(value: Any) -> str:
    """Logical id in a reference or ARN of a resource of this template."""
    return flat(value).strip("<>").partition(".")[0]


def every_state(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and body of every state, those in branches and iterators too."""
    for name, state in machine["States"].items():
        yield name, state
        for branch in [*state.get("Branches", []), state.get("ItemProcessor")]:
            if branch:
                yield from every_state(branch)
