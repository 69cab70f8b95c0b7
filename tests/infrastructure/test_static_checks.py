"""What others say about the template and the machines: AWS's linters, all offline."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks

from stacks.runbook import composed
from tests.infrastructure.synthesis import PREFIX, ROOT, synthesise

TEMPLATE = "RemediationStack.template.json"
# Rule, what the message must look like, and why it is no fault.
NO_FAULT = (
    (
        "W3005",
        r"dependency already enforced by a 'GetAtt'",
        "CDK orders a role's policy before its user; the order on the role itself is surplus",
    ),
    (
        "E3601",
        r"'\{% .* %\}' is not of type 'number' at 'States/\w+/TimeoutSeconds'",
        "JSONata in TimeoutSeconds is allowed; the rule's schema knows numbers only",
    ),
)
ASL_VALIDATOR = ROOT / "node_modules/.bin/asl-validator"
CDK = ROOT / "node_modules/.bin/cdk"
MIN_REASON_CHARACTERS = 40


# --- cfn-lint ---


def lint(template: Path) -> list[tuple[str, str]]:
    """Rule and message of every finding of cfn-lint."""
    result = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--format", "json", template],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout, result.stderr
    return [(f["Rule"]["Id"], f["Message"]) for f in json.loads(result.stdout)]


@pytest.fixture(scope="module")
def findings(product, tmp_path_factory):
    template = tmp_path_factory.mktemp("lint") / TEMPLATE
    template.write_text(json.dumps(product.inlined()))
    return lint(template)


def is_no_fault(finding):
    return any(finding[0] == rule and re.search(text, finding[1]) for rule, text, _ in NO_FAULT)


def test_cfn_lint_finds_no_fault(findings):
    assert [finding for finding in findings if not is_no_fault(finding)] == []


def test_every_finding_that_is_no_fault_still_occurs(findings):
    for rule, text, _ in NO_FAULT:
        assert any(f[0] == rule and re.search(text, f[1]) for f in findings), rule


def test_cfn_lint_looks_into_the_machines(product, tmp_path):
    machines = product.of_type("AWS::StepFunctions::StateMachine").values()
    asl = json.loads(product.definition_text(next(iter(machines))))
    next(iter(asl["States"].values()))["Retires"] = []
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": "arn:aws:iam::123456789012:role/machine",
            "DefinitionString": json.dumps(asl),
        },
    }
    (tmp_path / TEMPLATE).write_text(json.dumps({"Resources": {"Machine": machine}}))

    assert any(rule == "E3601" and "Retires" in text for rule, text in lint(tmp_path / TEMPLATE))


# --- asl-validator ---


def validate(folder: Path, machines: dict[str, dict]) -> subprocess.CompletedProcess:
    arguments = []
    for name, machine in machines.items():
        (folder / f"{name}.json").write_text(json.dumps(machine))
        arguments += ["--json-path", folder / f"{name}.json"]
    return subprocess.run([ASL_VALIDATOR, *arguments], capture_output=True, text=True, check=False)


def with_arns(machine):
    """The deployed definition, with ARNs where the template has references."""
    text = re.sub(r"<(\w+)(\.Arn)?>", r"arn:aws:x:us-east-1:000000000000:\1", json.dumps(machine))
    return json.loads(text)


def test_asl_validator_accepts_every_deployed_machine(product, tmp_path):
    machines = {
        m["StateMachineName"]: with_arns(product.definition(m))
        for m in product.of_type("AWS::StepFunctions::StateMachine").values()
    }

    result = validate(tmp_path, machines)

    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("is valid") == len(machines)


def test_asl_validator_refuses_a_broken_machine(product, tmp_path):
    machine = composed(product.entries[0], product.config.platform)
    machine["States"]["Begin"]["Next"] = "Nowhere"

    assert validate(tmp_path, {"broken": machine}).returncode != 0


# --- the CDK CLI, its own strict checks, and cdk-nag, as `make synth` runs them ---


def test_cdk_synth_is_clean_without_credentials(tmp_path):
    """Plain app.py through the CLI: cdk-nag is on, and findings of CDK's own rules are errors."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CI": "true",
    }
    result = subprocess.run(
        [
            CDK,
            "synth",
            "--quiet",
            "--strict",
            "--no-notices",
            "--no-version-reporting",
            "--output",
            tmp_path / "cdk.out",
            "--context",
            "@aws-cdk/core:validateAgainstDefaultRules=true",
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "cdk.out" / TEMPLATE).exists()


@pytest.mark.parametrize(
    ("validation", "plugins"),
    [(None, [AwsSolutionsChecks]), ("false", []), ("0", [AwsSolutionsChecks])],
)
def test_only_cdks_own_switch_leaves_cdk_nag_out(monkeypatch, tmp_path, validation, plugins):
    added = []
    monkeypatch.setattr(cdk.Validations, "add_plugins", lambda _, *given: added.extend(given))
    context = {"platform": str(ROOT / "platform.json"), "prefix": PREFIX}
    app = cdk.App(outdir=str(tmp_path), context=context)
    monkeypatch.setattr(app, "synth", lambda: None)
    monkeypatch.setattr(cdk, "App", lambda: app)
    monkeypatch.delenv("CDK_VALIDATION", raising=False)
    if validation is not None:
        monkeypatch.setenv("CDK_VALIDATION", validation)

    runpy.run_path(str(ROOT / "app.py"))

    assert [type(plugin) for plugin in added] == plugins


def nagged(prepare=lambda _stack: None):
    """Hook for `synthesise` that turns cdk-nag on, as app.py does."""

    def hook(app, stack):
        prepare(stack)
        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))

    return hook


def findings_of_nag(outdir: Path) -> set[str]:
    report = json.loads((outdir / "validation-report.json").read_text())
    return {v["ruleName"] for plugin in report["pluginReports"] for v in plugin["violations"]}


def test_cdk_nag_stops_a_resource_that_nobody_accepted(tmp_path):
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        synthesise(tmp_path / "cdk.out", prepare=nagged(lambda stack: s3.Bucket(stack, "Careless")))

    assert findings_of_nag(tmp_path / "cdk.out") == {"AwsSolutions-S1", "AwsSolutions-S10"}


def test_cdk_nag_stops_one_more_wildcard_on_an_accepted_role(tmp_path):
    def widen(stack):
        stack.runbooks[0].change.role.add_to_policy(
            iam.PolicyStatement(actions=["dynamodb:*"], resources=[stack.core.key.key_arn])
        )

    with pytest.raises(RuntimeError, match="ValidationFailed"):
        synthesise(tmp_path / "cdk.out", prepare=nagged(widen))

    assert findings_of_nag(tmp_path / "cdk.out") == {"AwsSolutions-IAM5[Action::dynamodb:*]"}


@pytest.mark.parametrize(
    "tables", [[], [{"table_name": "Orders", "indexes": ["by-day"]}, {"table_name": "A.b_c"}]]
)
def test_cdk_nag_accepts_other_platforms_too(tmp_path, tables):
    """Acknowledgements follow the platform file: a team's own names need none of its own."""
    platform = json.loads((ROOT / "platform.json").read_text())
    platform["tables"] = tables
    platform["notifications"]["email"] = ["ops@example.com"]
    (tmp_path / "platform.json").write_text(json.dumps(platform))

    synthesise(tmp_path / "cdk.out", platform=tmp_path / "platform.json", prepare=nagged())


def test_every_acknowledgement_is_for_one_finding_of_one_resource_with_a_reason(product):
    metadata = json.loads((product.outdir / "RemediationStack.metadata.json").read_text())
    accepted = [
        (path, rule, reason)
        for path, entries in metadata.items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for rule, reason in entry["data"].items()
    ]

    assert accepted
    for path, rule, reason in accepted:
        # A part of the stack or the stack itself would accept it for all that is below.
        assert path.count("/") >= 3, path
        assert re.fullmatch(r".*AwsSolutions-(SQS3|IAM5\[(Action|Resource)::.+\])", rule), rule
        assert len(reason) >= MIN_REASON_CHARACTERS, (rule, reason)


def test_the_strict_rules_of_cdk_stop_a_wrong_property(tmp_path):
    def break_it(_app, stack):
        function = stack.runbooks[0].observe.function.node.default_child
        function.add_property_override("Timeout", "soon")

    with pytest.raises(RuntimeError, match="ValidationFailed"):
        synthesise(
            tmp_path / "cdk.out",
            prepare=break_it,
            builtin_cloud_formation_validation=True,
            context={"@aws-cdk/core:validateAgainstDefaultRules": True},
        )
