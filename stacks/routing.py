"""From an event to the thing that handles it: alarms, ended executions, the sweep's clock."""

import json

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from lambdas.remediation.platform import Platform
from stacks.oversight import Oversight
from stacks.runbook import RunbookConstruct

# An hour-old remediation is dangerous: after this the event goes to the dead-letter queue.
MAX_EVENT_AGE = cdk.Duration.minutes(15)
RETRY_ATTEMPTS = 20
SWEEP_INTERVAL = cdk.Duration.minutes(5)
# EventBridge takes patterns of 4,096 characters; what stands around the names needs the rest.
MAX_NAMES_CHARACTERS = 3_500


class Routing(Construct):
    """Rules with retry, maximum age and dead-letter queue."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        runbooks: tuple[RunbookConstruct, ...],
        oversight: Oversight,
        platform: Platform,
        prefix: str,
        dead_letters: sqs.IQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = dead_letters
        for runbook in runbooks:
            names = [a.name for a in runbook.runbook.alarms(platform, prefix)]
            for i, chunk in enumerate(name_chunks(names)):
                self._alarms(runbook, chunk, i)
            self._ended(runbook)
            self._scheduled(runbook, platform)
        events.Rule(
            self,
            "SweepClock",
            description="Every few minutes: alarms that no run owns, runs that nobody closed",
            schedule=events.Schedule.rate(SWEEP_INTERVAL),
            targets=[
                targets.LambdaFunction(
                    oversight.sweep.function,
                    dead_letter_queue=dead_letters,
                    max_event_age=MAX_EVENT_AGE,
                    retry_attempts=2,
                )
            ],
        )

    def _alarms(self, runbook: RunbookConstruct, names: list[str], number: int) -> None:
        events.Rule(
            self,
            f"{runbook.node.id}Alarms{number or ''}",
            description=f"Alarms that start {runbook.runbook.name}",
            # Exact names: a foreign alarm starts nothing. A suppressed one starts nothing either,
            # although CloudWatch sends its event.
            event_pattern=events.EventPattern(
                source=["aws.cloudwatch"],
                detail_type=["CloudWatch Alarm State Change"],
                detail={
                    "alarmName": names,
                    "state": {"value": ["ALARM"], "actionsSuppressedBy": [{"exists": False}]},
                },
            ),
            targets=[
                targets.SfnStateMachine(
                    runbook.state_machine,
                    dead_letter_queue=self.dead_letters,
                    max_event_age=MAX_EVENT_AGE,
                    retry_attempts=RETRY_ATTEMPTS,
                )
            ],
        )

    def _scheduled(self, runbook: RunbookConstruct, platform: Platform) -> None:
        declared = runbook.runbook
        expression = platform.settings(declared.name).schedule
        # One rule per target: EventBridge starts at most five per rule.
        for i, name in enumerate(declared.target.names(platform) if expression else ()):
            events.Rule(
                self,
                f"{runbook.node.id}Schedule{i}",
                description=f"Starts {declared.name} on {name}",
                schedule=events.Schedule.expression(str(expression)),
                targets=[
                    targets.SfnStateMachine(
                        runbook.state_machine,
                        input=events.RuleTargetInput.from_object(
                            {"target": {declared.target.key: name}, "reason": "schedule"}
                        ),
                        dead_letter_queue=self.dead_letters,
                        max_event_age=MAX_EVENT_AGE,
                        retry_attempts=RETRY_ATTEMPTS,
                    )
                ],
            )

    def _ended(self, runbook: RunbookConstruct) -> None:
        events.Rule(
            self,
            f"{runbook.node.id}Ended",
            description=f"Closes runs of {runbook.runbook.name} that ended without an outcome",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [runbook.state_machine.state_machine_arn],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            ),
            targets=[
                targets.LambdaFunction(
                    runbook.observe.function,
                    dead_letter_queue=self.dead_letters,
                    max_event_age=cdk.Duration.hours(6),
                    retry_attempts=RETRY_ATTEMPTS,
                )
            ],
        )


def name_chunks(names: list[str]) -> list[list[str]]:
    """Alarm names in lists that each fit one event pattern."""
    chunks: list[list[str]] = []
    for name in names:
        if not chunks or len(json.dumps([*chunks[-1], name])) > MAX_NAMES_CHARACTERS:
            chunks.append([])
        chunks[-1].append(name)
    return chunks
