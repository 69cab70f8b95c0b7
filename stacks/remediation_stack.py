"""The product: one stack, wired from its parts."""

import aws_cdk as cdk
from constructs import Construct

from stacks.bundling import functions_code
from stacks.catalog import CatalogEntry, check_children
from stacks.config import PlatformConfig
from stacks.core import Core
from stacks.detection import Detection
from stacks.observability import Observability
from stacks.oversight import Oversight
from stacks.rotation import ROTATE, Rotation
from stacks.routing import Routing
from stacks.runbook import RunbookConstruct


class RemediationStack(cdk.Stack):
    """Detection, routing, one state machine per runbook, oversight.

    Parameters
    ----------
    config
        The validated platform file.
    entries
        Discovered runbooks.
    prefix
        Leads every name that people type.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: PlatformConfig,
        entries: tuple[CatalogEntry, ...],
        prefix: str,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Self-remediation: alarms start guarded runbooks",
            # A quarter of a large template is spaces, and CloudFormation counts them.
            suppress_template_indentation=True,
        )
        check_children(entries)
        config.check_alarm_names(prefix)
        for i, warning in enumerate(config.warnings):
            cdk.Annotations.of(self).add_warning_v2(f"platform-file-{i}", warning)
        platform = config.platform
        code = functions_code(config.text)
        self.core = Core(self, "Core", platform=platform)
        self.runbooks = tuple(
            RunbookConstruct(
                self,
                entry.runbook.name.title().replace("_", ""),
                entry=entry,
                platform=platform,
                prefix=prefix,
                core=self.core,
                code=code,
            )
            for entry in entries
        )
        rotating = next((r for r in self.runbooks if r.runbook.name == ROTATE), None)
        if rotating is not None and platform.secrets:
            self.rotation = Rotation(
                self,
                "Rotation",
                rotating=rotating,
                platform=platform,
                prefix=prefix,
                code=code,
            )
        self.detection = Detection(
            self,
            "Detection",
            entries=entries,
            platform=platform,
            prefix=prefix,
            operators=self.core.operators,
        )
        self.oversight = Oversight(
            self,
            "Oversight",
            runbooks=self.runbooks,
            prefix=prefix,
            core=self.core,
            code=code,
        )
        self.routing = Routing(
            self,
            "Routing",
            runbooks=self.runbooks,
            oversight=self.oversight,
            platform=platform,
            prefix=prefix,
            dead_letters=self.core.dead_letters,
        )
        self.observability = Observability(
            self,
            "Observability",
            runbooks=self.runbooks,
            oversight=self.oversight,
            detection=self.detection,
            core=self.core,
            prefix=prefix,
        )
        for name, value in (
            ("OperatorTopicArn", self.core.operators.topic_arn),
            ("ChatTopicArn", self.core.chat.topic_arn),
            ("RunTableName", self.core.run_table.table_name),
        ):
            cdk.CfnOutput(self, name, value=value)
