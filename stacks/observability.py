"""The dashboard, and alarms on the remediator's own failure, stops and silence."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk.aws_cloudwatch_actions import SnsAction
from constructs import Construct

from lambdas.remediation.contracts import OutcomeName
from lambdas.remediation.observability import NAMESPACE
from stacks.core import Core
from stacks.detection import Detection
from stacks.oversight import Oversight
from stacks.routing import SWEEP_INTERVAL
from stacks.runbook import RunbookConstruct

_MINUTE = cdk.Duration.minutes(1)
# Three missed sweeps are silence.
SILENCE_SWEEPS = 3


class Observability(Construct):
    """Dashboard `<prefix>`, and five alarms that go to the operators."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        runbooks: tuple[RunbookConstruct, ...],
        oversight: Oversight,
        detection: Detection,
        core: Core,
        prefix: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.prefix = prefix
        self.action = SnsAction(core.operators)
        self._own_alarms(oversight, core)
        self._dashboard(runbooks, detection)

    def _own_alarms(self, oversight: Oversight, core: Core) -> None:
        dead = core.dead_letters.metric_approximate_number_of_messages_visible(
            period=_MINUTE, statistic="Maximum"
        )
        self._alarm(
            "DeadLetters", "dead-letters", dead, "events that nothing handled", "Dead letters"
        )
        self._alarm(
            "BreakerOpened",
            "breaker-opened",
            _own_metric("BreakerOpened"),
            "a runbook failed too often and is stopped",
            "Breaker",
        )
        self._alarm(
            "Quarantine",
            "target-quarantined",
            _own_metric("TargetQuarantined"),
            "a failed roll-back left a target in an unknown state",
            "Quarantine",
        )
        failures = cloudwatch.MathExpression(
            expression="FILL(interrupted,0)+FILL(sweeps,0)",
            using_metrics={
                "interrupted": _own_metric("RunInterrupted"),
                "sweeps": oversight.sweep.function.metric_errors(period=_MINUTE, statistic="Sum"),
            },
            period=_MINUTE,
            label="interrupted runs and failed sweeps",
        )
        self._alarm(
            "OwnFailure", "own-failure", failures, "the remediator itself failed", "Own failure"
        )
        cloudwatch.Alarm(
            self,
            "Silence",
            alarm_name=f"{self.prefix}-silent",
            alarm_description="The sweep has stopped: see docs/operate.md, Silence",
            # Without FILL the alarm would look further back for points, and be late.
            metric=cloudwatch.MathExpression(
                expression="FILL(sweeps,0)",
                using_metrics={
                    "sweeps": oversight.sweep.function.metric_invocations(
                        period=SWEEP_INTERVAL, statistic="Sum"
                    )
                },
                period=SWEEP_INTERVAL,
                label="sweeps",
            ),
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluation_periods=SILENCE_SWEEPS,
            datapoints_to_alarm=SILENCE_SWEEPS,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        ).add_alarm_action(self.action)

    def _alarm(
        self,
        construct_id: str,
        symptom: str,
        metric: cloudwatch.IMetric,
        meaning: str,
        section: str,
    ) -> None:
        cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=f"{self.prefix}-{symptom}",
            alarm_description=f"{meaning.capitalize()}: see docs/operate.md, {section}",
            metric=metric,
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            datapoints_to_alarm=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        ).add_alarm_action(self.action)

    def _dashboard(self, runbooks: tuple[RunbookConstruct, ...], detection: Detection) -> None:
        dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=self.prefix)
        dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(
                title="Alarms that start runbooks", alarms=list(detection.alarms.values()), width=24
            )
        )
        for runbook in runbooks:
            dashboard.add_widgets(
                cloudwatch.GraphWidget(
                    title=f"{runbook.runbook.title}: outcomes",
                    left=[
                        _own_metric(
                            "RemediationOutcome",
                            Runbook=runbook.runbook.name,
                            Outcome=outcome.value,
                        )
                        for outcome in OutcomeName
                    ],
                    width=12,
                ),
                cloudwatch.GraphWidget(
                    title=f"{runbook.runbook.title}: executions",
                    left=[
                        runbook.state_machine.metric_started(),
                        runbook.state_machine.metric_failed(),
                        runbook.state_machine.metric_timed_out(),
                    ],
                    width=12,
                ),
            )


def _own_metric(name: str, **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        # Powertools adds the service as a dimension to every metric.
        dimensions_map={**dimensions, "service": "remediation"},
        statistic="Sum",
        period=_MINUTE,
    )
