"""The alarms that start runbooks: one factory per kind of trigger.

They are in nested stacks: a platform of a hundred tables has more of them than a stack takes.
"""

from collections.abc import Callable

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from aws_cdk.aws_cloudwatch_actions import SnsAction
from constructs import Construct

from lambdas.remediation.alarms import (
    Alarm,
    AlarmSpec,
    ApiErrorRateAlarm,
    FunctionErrorRateAlarm,
    OutageAlarm,
    TableThrottleAlarm,
)
from lambdas.remediation.platform import Platform
from lambdas.remediation.runbook import Runbook
from stacks.catalog import CatalogEntry

# A template may have 500 resources, and each alarm of a nested stack is one.
ALARMS_PER_STACK = 200
# PutCompositeAlarm: children of one alarm, and characters of its rule.
MAX_CHILDREN = 100
MAX_RULE_CHARACTERS = 10_240


class Detection(Construct):
    """Every alarm that starts a runbook. Each also goes to the operators by itself.

    Attributes
    ----------
    alarms
        Alarm by name, as others refer to it.
    outage
        The composite alarm of a complete outage; None without an API, or with nothing behind it.
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
        self.alarms: dict[str, cloudwatch.IAlarm] = {}
        self._nested: list[cdk.NestedStack] = []
        action = SnsAction(operators)
        for entry in entries:
            limits = entry.runbook.limits_for(platform).as_dict()
            for trigger in entry.runbook.triggers:
                if isinstance(trigger, OutageAlarm):
                    continue  # made of the others
                for spec in trigger.alarms(platform, prefix):
                    alarm = FACTORIES[type(trigger)](self._room(), spec, entry.runbook, limits)
                    # Broken code of ours must not mute an incident: the alarm reports itself too.
                    alarm.add_alarm_action(action)
                    self.alarms[spec.name] = self._known(spec.name)
        self.outage = self._outage(entries, platform, prefix)
        if self.outage:
            self.outage.add_alarm_action(action)

    def _room(self) -> Construct:
        """The nested stack that the next alarm goes to."""
        number = len(self.alarms) // ALARMS_PER_STACK
        if number == len(self._nested):
            self._nested.append(
                cdk.NestedStack(
                    self,
                    f"Alarms{number or ''}",
                    description="Self-remediation: alarms that start runbooks",
                    suppress_template_indentation=True,
                )
            )
        return self._nested[number]

    def _known(self, name: str) -> cloudwatch.IAlarm:
        """The alarm by its name: a nested stack may tell no more than 200 values."""
        arn = cdk.Stack.of(self).format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name=name,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        return cloudwatch.Alarm.from_alarm_arn(self, f"Known{len(self.alarms)}", arn)

    def _outage(
        self, entries: tuple[CatalogEntry, ...], platform: Platform, prefix: str
    ) -> cloudwatch.CompositeAlarm | None:
        """Every API answers with errors, and something behind them is red too."""
        triggers = [t for entry in entries for t in entry.runbook.triggers]

        def named(*kinds: type[Alarm]) -> list[str]:
            found = [t for kind in kinds for t in triggers if isinstance(t, kind)]
            return [a.name for t in found for a in t.alarms(platform, prefix)]

        fronts = named(ApiErrorRateAlarm)
        # One of many tables fewer makes no outage; a rule that is too long is no alarm at all.
        behind = named(FunctionErrorRateAlarm, TableThrottleAlarm)
        behind = behind[: max(0, MAX_CHILDREN - len(fronts))]
        while behind and len(outage_rule(fronts, behind)) > MAX_RULE_CHARACTERS:
            behind.pop()
        if not fronts or not behind:
            return None
        outage = cloudwatch.CompositeAlarm(
            self,
            "Outage",
            composite_alarm_name=f"{prefix}-outage",
            alarm_description=(
                "Every API answers with errors and something behind them is red: "
                "see docs/operate.md, Outage"
            ),
            alarm_rule=cloudwatch.AlarmRule.from_string(outage_rule(fronts, behind)),
        )
        outage.node.add_dependency(*self._nested)
        return outage


def outage_rule(fronts: list[str], behind: list[str]) -> str:
    """Rule of the composite alarm: all of the one, any of the other."""
    every = " AND ".join(f'ALARM("{name}")' for name in fronts)
    some = " OR ".join(f'ALARM("{name}")' for name in behind)
    return f"{every} AND ({some})"


def table_throttle_alarm(
    scope: Construct, spec: AlarmSpec, runbook: Runbook, limits: dict[str, int]
) -> cloudwatch.Alarm:
    """Throttle events of one table or one index, reads and writes together.

    Notes
    -----
    The metrics are sparse (no throttling, no datapoint), hence `FILL`; DynamoDB alarms ignore
    missing data whatever `TreatMissingData` says, so nothing waits for this alarm to turn OK.
    """

    def events(name: str) -> cloudwatch.Metric:
        return _metric("AWS/DynamoDB", name, "Sum", spec, limits)

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


def function_error_rate_alarm(
    scope: Construct, spec: AlarmSpec, runbook: Runbook, limits: dict[str, int]
) -> cloudwatch.Alarm:
    """Failed invocations in percent, in periods with enough of them.

    Notes
    -----
    Throttled invocations are in neither metric (Lambda Developer Guide, "Types of metrics").
    """

    def metric(name: str) -> cloudwatch.Metric:
        return _metric("AWS/Lambda", name, "Sum", spec, limits)

    return _rate_alarm(
        scope,
        spec,
        runbook,
        limits,
        failed=metric("Errors"),
        all_of_them=metric("Invocations"),
        minimum=limits["minimum_invocations"],
        meaning="invocations failed",
    )


def api_error_rate_alarm(
    scope: Construct, spec: AlarmSpec, runbook: Runbook, limits: dict[str, int]
) -> cloudwatch.Alarm:
    """Requests of a stage answered with 5XX, in percent, in periods with enough of them.

    Notes
    -----
    The two kinds of API name the metric differently, and count requests by `SampleCount` of
    `Count` (API Gateway Developer Guide, "Amazon API Gateway dimensions and metrics").
    """
    name = "5XXError" if "ApiName" in spec.dimensions else "5xx"
    return _rate_alarm(
        scope,
        spec,
        runbook,
        limits,
        failed=_metric("AWS/ApiGateway", name, "Sum", spec, limits),
        all_of_them=_metric("AWS/ApiGateway", "Count", "SampleCount", spec, limits),
        minimum=limits["minimum_requests"],
        meaning="requests were answered with 5XX",
    )


def _rate_alarm(
    scope: Construct,
    spec: AlarmSpec,
    runbook: Runbook,
    limits: dict[str, int],
    *,
    failed: cloudwatch.Metric,
    all_of_them: cloudwatch.Metric,
    minimum: int,
    meaning: str,
) -> cloudwatch.Alarm:
    percent = limits["error_rate_percent"]
    return cloudwatch.Alarm(
        scope,
        _construct_id(spec, runbook),
        alarm_name=spec.name,
        alarm_description=(
            f"{next(iter(spec.target.values()))}: more than {percent} % of the {meaning}. "
            f"Starts {runbook.name}; next step: docs/runbooks/{runbook.name}.md"
        ),
        metric=cloudwatch.MathExpression(
            # A rate of three requests says nothing.
            expression=f"IF(total>={minimum},100*FILL(failed,0)/total,0)",
            using_metrics={"failed": failed, "total": all_of_them},
            label=f"percent: {meaning}",
            period=cdk.Duration.seconds(limits["metric_period_seconds"]),
        ),
        threshold=percent,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluation_periods=limits["alarm_evaluation_periods"],
        datapoints_to_alarm=limits["alarm_datapoints"],
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )


def _metric(
    namespace: str, name: str, statistic: str, spec: AlarmSpec, limits: dict[str, int]
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=spec.dimensions,
        statistic=statistic,
        period=cdk.Duration.seconds(limits["metric_period_seconds"]),
    )


def _construct_id(spec: AlarmSpec, runbook: Runbook) -> str:
    return "".join(
        part.title() for part in [runbook.name.replace("_", " "), *spec.dimensions.values()]
    ).replace(" ", "")


FACTORIES: dict[
    type[Alarm], Callable[[Construct, AlarmSpec, Runbook, dict[str, int]], cloudwatch.Alarm]
] = {
    ApiErrorRateAlarm: api_error_rate_alarm,
    FunctionErrorRateAlarm: function_error_rate_alarm,
    TableThrottleAlarm: table_throttle_alarm,
}
