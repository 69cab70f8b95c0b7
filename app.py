"""Composition root: read the platform file, build the stack, synthesise."""

import os
from pathlib import Path

import aws_cdk as cdk

from stacks.catalog import discover
from stacks.config import PlatformConfig
from stacks.remediation_stack import RemediationStack

app = cdk.App()
entries = discover()
RemediationStack(
    app,
    "RemediationStack",
    config=PlatformConfig.read(
        Path(app.node.get_context("platform")), [entry.runbook for entry in entries]
    ),
    entries=entries,
    prefix=app.node.get_context("prefix"),
)
# The variable by which CDK leaves out its own checks, too: loading these takes a while.
if os.environ.get("CDK_VALIDATION") != "false":
    from cdk_nag import AwsSolutionsChecks

    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
app.synth()
