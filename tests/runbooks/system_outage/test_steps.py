"""What the steps read, against answers at the boto3 boundary."""

import io
from datetime import timedelta

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import (
    Decision,
    Execution,
    Kind,
    Mode,
    Plan,
    Run,
    Trigger,
    Verdict,
)
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.ledger import ReleaseLedger
from lambdas.remediation.step import Attempt, call_step, resource
from lambdas.runbooks.system_outage import steps
from lambdas.runbooks.system_outage.runbook import RUNBOOK
from tests.conftest import NOW
from tests.runbooks.api_gateway_errors.services import (
    FUNCTION_ARN,
    MINUTE,
    PLATFORM,
    REST_ARN,
    Services,
)

FINAL, EARLY = Attempt(number=9, final=True), Attempt(number=1, final=False)
REST_ONLY = PLATFORM | {
    "apis": PLATFORM["apis"][:1],
    "functions": [{"function_name": "chat", "alias": "live", "smoke_event": {"smoke": True}}],
}


class Outage(Services):
    """The same services, with red alarms and a function that is asked its smoke event.

    Attributes
    ----------
    red
        Names of the alarms in ALARM.
    answers
        Whether the function answers without an error.
    """

    def __init__(self, client):
        super().__init__(client)
        self.red: list[str] = []
        self.answers = True
        self._operations = {
            **self._operations,
            "cloudwatch:DescribeAlarms": self._alarms,
            "lambda:Invoke": self._invoke,
        }

    def _alarms(self, given):
        return {
            "MetricAlarms": [
                {
                    "AlarmName": name,
                    "StateValue": "ALARM",
                    "StateTransitionedTimestamp": NOW - 4 * MINUTE,
                }
                for name in given["AlarmNames"]
                if name in self.red
            ]
        }

    def _invoke(self, _given):
        failed = {} if self.answers else {"FunctionError": "Unhandled"}
        return {"StatusCode": 200, "ExecutedVersion": "7", "Payload": io.BytesIO(), **failed}


@pytest.fixture
def aws(environment, use_platform, clock) -> Outage:
    use_platform(**REST_ONLY)
    return Outage(clients.client)


@pytest.fixture
def run() -> Run:
    return Run(
        id="system-outage:one",
        runbook="system_outage",
        kind=Kind.CHANGE,
        mode=Mode.ACT,
        trigger=Trigger.ALARM,
        target={"stack_name": "AppStack"},
        target_arn="arn:aws:cloudformation:us-east-1:123456789012:stack/AppStack/outage",
        parameters={},
        reason="",
        requested_by="alarm",
        execution=Execution(
            arn="arn:aws:states:us-east-1:123456789012:execution:remediation-x:one",
            name="one",
            started_at=NOW - timedelta(hours=1),
        ),
        lease_until=NOW + timedelta(hours=9),
        limits=RUNBOOK.limits.as_dict(),
    )


def note_release(arn: str, good: str, new: str, minutes_ago: float) -> None:
    ledger = resource(ReleaseLedger)
    ledger.note(arn, good, healthy=True, now=NOW - timedelta(days=3))
    ledger.note(arn, new, healthy=False, now=NOW - timedelta(minutes=minutes_ago))


def plan(run: Run):
    return call_step(steps.prepare, run=run).plan


def test_red_alarms_and_the_ledger_give_the_order(aws, run):
    aws.red = ["remediation-chat-errors", "remediation-chat-api-prod-5xx"]
    note_release(FUNCTION_ARN, "6", "7", minutes_ago=30)
    note_release(REST_ARN, "good", "new", minutes_ago=10)
    assert [(c.runbook, c.target) for c in plan(run).children] == [
        ("api_gateway_errors", {"api_name": "chat-api"}),
        ("lambda_errors", {"function_name": "chat"}),
    ]


def test_looking_changes_nothing(aws, run):
    aws.red = ["remediation-chat-errors"]
    note_release(FUNCTION_ARN, "6", "7", minutes_ago=30)
    plan(run)
    assert set(aws.calls) <= {
        "apigateway:GET",
        "cloudformation:DescribeStackEvents",
        "cloudwatch:DescribeAlarms",
        "lambda:GetAlias",
    }


def test_release_that_cannot_be_read_is_no_suspect(aws, run):
    aws.red = ["remediation-chat-errors"]
    aws.broken["lambda:GetAlias"] = "AccessDeniedException"
    note_release(FUNCTION_ARN, "6", "7", minutes_ago=30)
    made = plan(run)
    assert made.decision is Decision.HAND_OVER
    assert any(u.startswith("what chat serves") for u in made.evidence["unknown"])


def test_running_deployment_is_seen(aws, run):
    aws.red = ["remediation-chat-errors"]
    aws.status, aws.status_at = "UPDATE_IN_PROGRESS", NOW - MINUTE
    note_release(FUNCTION_ARN, "6", "7", minutes_ago=30)
    assert "A deployment is running: AppStack" in plan(run).reason


def test_quiet_platform_is_refused(aws, run):
    with pytest.raises(PrerequisiteNotMetError):
        plan(run)


def verify(run: Run, attempt: Attempt = FINAL):
    return call_step(steps.verify, run=run, attempt=attempt)


def minutes(count: int):
    return [NOW - n * MINUTE for n in range(1, count + 1)]


def test_platform_that_answers_again_is_healed(aws, run):
    aws.requests(minutes(5), failed=0)
    assert verify(run, EARLY).verdict is Verdict.PASSED


def test_errors_that_go_on_are_no_recovery(aws, run):
    aws.requests(minutes(5), failed=30)
    assert verify(run, EARLY).verdict is Verdict.PENDING
    assert verify(run).verdict is Verdict.FAILED


def test_function_that_fails_its_smoke_event_is_no_recovery(aws, run):
    aws.requests(minutes(5), failed=0)
    aws.answers = False
    assert verify(run).verdict is Verdict.FAILED


def test_silent_api_is_proven_by_the_smoke_event(aws, run):
    assert verify(run).verdict is Verdict.PASSED


def test_hold_watch_measures_the_same(aws, run):
    aws.requests(minutes(5), failed=30)
    assert call_step(steps.watch_hold, run=run).verdict is Verdict.FAILED


def test_what_children_did_is_not_taken_back_here(aws, run):
    assert call_step(steps.roll_back, run=run).calls == []
    with pytest.raises(PrerequisiteNotMetError, match="undo the runbooks that were started"):
        call_step(
            steps.check_undo,
            run=run,
            plan=Plan(decision=Decision.DELEGATE, reason="cart was released"),
        )
    assert aws.calls == []
