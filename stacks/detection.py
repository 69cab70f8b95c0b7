"""The alarms that start runbooks: one factory per kind of trigger."""

from collections.abc import Callable

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from aws_cdk.aws_cloudwatch_actions import SnsAction
from constructs import Construct

from lambdas.remediation.platform import Platform
from lambdas.remediation.runbook import Alarm, AlarmSpec, Runbook, TableThrottleAlarm
from stacks.catalog import CatalogEntry


class Detection(Construct):
    """Every alarm that starts a runbook. Each also goes to the operators by itself.

    Attributes
    ----------
    alarms
        Alarm by name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        entries: tuple[CatalogEntry, ...],
        platform: Platform,
        prefix: str,
        operators: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self.alarms: dict[str, cloudwatch.Alarm] = {}
        action = SnsAction(operators)
        for entry in entries:
            limits = entry.runbook.limits_for(platform).as_dict()
            for trigger in entry.runbook.triggers:
                for spec in trigger.alarms(platform, prefix):
                    alarm = FACTORIES[type(trigger)](self, spec, entry.runbook, limits)
                    # Broken code of ours must not mute an incident: the alarm reports itself too.
                    alarm.add_alarm_action(action)
                    self.alarms[spec.name] = alarm


def table_throttle_alarm(
    scope: Construct, spec: AlarmSpec, runbook: Runbook, limits: dict[str, int]
) -> cloudwatch.Alarm:
    """Throttle events of one table or one index, reads and writes together.

    Notes
    -----
    The metrics are sparse (no throttling, no datapoint), hence `FILL`; DynamoDB alarms ignore
    missing data whatever `TreatMissingData` says, so nothing waits for this alarm to turn OK.
    """

    def events(metric: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/DynamoDB",
            metric_name=metric,
            dimensions_map=spec.dimensions,
            statistic="Sum",
            period=cdk.Duration.seconds(limits["metric_period_seconds"]),
        )

    return cloudwatch.Alarm(
        scope,
        _construct_id(spec, runbook),
        alarm_name=spec.name,
        alarm_description=(
            f"{' / '.join(spec.dimensions.values())} throttles requests. "
            f"Starts {runbook.name}; next step: docs/runbooks/{runbook.name}.md"
        ),
        metric=cloudwatch.MathExpression(
            expression="FILL(reads,0)+FILL(writes,0)",
            using_metrics={
                "reads": events("ReadThrottleEvents"),
                "writes": events("WriteThrottleEvents"),
            },
            label="throttled requests",
            period=cdk.Duration.seconds(limits["metric_period_seconds"]),
        ),
        threshold=limits["throttled_requests_per_period"],
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluation_periods=limits["alarm_evaluation_periods"],
        datapoints_to_alarm=limits["alarm_datapoints"],
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )


def _construct_id(spec: AlarmSpec, runbook: Runbook) -> str:
    return "".join(
        part.title() for part in [runbook.name.replace("_", " "), *spec.dimensions.values()]
    ).replace(" ", "")


FACTORIES: dict[
    type[Alarm], Callable[[Construct, AlarmSpec, Runbook, dict[str, int]], cloudwatch.Alarm]
] = {TableThrottleAlarm: table_throttle_alarm}
