"""Steps of review_iam_permissions against simulated AWS: calls, changes, errors and answers."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import (
    Change,
    Decision,
    Execution,
    Kind,
    Mode,
    Plan,
    Run,
    Trigger,
    Verdict,
)
from lambdas.remediation.errors import (
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
)
from lambdas.remediation.step import Attempt, Clock, call_step, steps_of
from lambdas.runbooks.review_iam_permissions import steps
from lambdas.runbooks.review_iam_permissions.runbook import RUNBOOK

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ARN = "arn:aws:iam::123456789012:role/chat"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat-lambda"
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=15, final=True)
GET = {"Sid": "Get", "Effect": "Allow", "Action": ["dynamodb:GetItem"], "Resource": "*"}
WIDE = {
    "Version": "2012-10-17",
    "Statement": [GET | {"Action": ["dynamodb:GetItem", "dynamodb:DeleteTable"]}],
}
NARROW = {"Version": "2012-10-17", "Statement": [GET]}
USED = {
    "ServiceNamespace": "dynamodb",
    "LastAuthenticated": NOON,
    "TrackedActionsLastAccessed": [{"ActionName": "DeleteTable"}],
}
PLATFORM = {
    "functions": [{"function_name": "chat-lambda", "alias": "live"}, {"function_name": "other"}],
    "roles": [{"role_name": "chat", "must_allow": ["dynamodb:GetItem"]}],
}


class FixedClock(Clock):
    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment


class Aws:
    """Simulated AWS with the role `chat` of `chat-lambda`; what moto lacks is answered here."""

    def __init__(self, calls_of) -> None:
        self.calls: set[str] = set()
        self.iam = clients.client("iam")
        self.iam.create_role(RoleName="chat", AssumeRolePolicyDocument="{}")
        self.put(WIDE)
        shared = self.iam.create_policy(PolicyName="Shared", PolicyDocument=json.dumps(NARROW))
        self.iam.attach_role_policy(RoleName="chat", PolicyArn=shared["Policy"]["Arn"])
        self.role = calls_of("iam", "GetRole")
        self.report = calls_of("iam", "GetServiceLastAccessedDetails")
        calls_of("iam", "GenerateServiceLastAccessedDetails").will_answer({"JobId": "1" * 36})
        self.simulated = calls_of("iam", "SimulateCustomPolicy")
        self.validated = calls_of("accessanalyzer", "ValidatePolicy")
        self.compared = calls_of("accessanalyzer", "CheckNoNewAccess")
        self.stack = calls_of("cloudformation", "DescribeStackResources")
        self.configured = calls_of("lambda", "GetFunctionConfiguration")
        self.logs = calls_of("logs", "FilterLogEvents")
        for service in ("iam", "accessanalyzer", "cloudformation", "lambda", "logs", "cloudwatch"):
            clients.client(service).meta.events.register("provide-client-params", self._note)

    def _note(self, model, **_) -> None:
        prefix = {"accessanalyzer": "access-analyzer"}
        service = model.service_model.service_name
        self.calls.add(f"{prefix.get(service, service)}:{model.name}")

    def answers(self, *, status: str = "COMPLETED", result: str = "PASS", denials: int = 0) -> None:
        """What the services tell that moto does not know, or only of today."""
        role = {"RoleName": "chat", "Arn": ARN, "CreateDate": NOON - timedelta(days=400)}
        self.role.will_answer({"Role": role})
        self.report.will_answer({"JobStatus": status, "ServicesLastAccessed": [USED]})
        self.validated.will_answer({"findings": []})
        self.compared.will_answer({"result": result, "message": "more"})
        allowed = {
            "EvalActionName": "dynamodb:GetItem",
            "EvalResourceName": "*",
            "EvalDecision": "allowed",
        }
        self.simulated.will_answer(
            {"EvaluationResults": [allowed]}, {"EvaluationResults": [allowed]}
        )
        error = {"Code": "ValidationError", "Message": "Stack for chat does not exist"}
        self.stack.will_answer({"Error": error})
        self.configured.will_answer({"Role": ARN}, {"Role": f"{ARN}-other"})
        self.denied(denials)

    def denied(self, denials: int) -> None:
        self.logs.will_answer({"events": [{"message": "AccessDenied"}] * denials})

    def put(self, document: dict) -> None:
        self.iam.put_role_policy(
            RoleName="chat", PolicyName="Chat", PolicyDocument=json.dumps(document)
        )

    def document(self) -> dict:
        found = self.iam.get_role_policy(RoleName="chat", PolicyName="Chat")
        return found["PolicyDocument"]

    def serve(self, invocations: int, errors: int = 0) -> None:
        """Traffic of five minutes after noon."""
        pairs = (("FunctionName", "chat-lambda"), ("Resource", "chat-lambda:live"))
        for minute in range(5):
            clients.client("cloudwatch").put_metric_data(
                Namespace="AWS/Lambda",
                MetricData=[
                    {
                        "MetricName": name,
                        "Dimensions": [{"Name": n, "Value": v} for n, v in pairs],
                        "Timestamp": NOON + minute * MINUTE,
                        "Value": value,
                    }
                    for name, value in (("Invocations", invocations), ("Errors", errors))
                ],
            )

    def step(self, name: str, *, now: datetime = NOON, run: Run | None = None, **known):
        return call_step(getattr(steps, name), clock=FixedClock(now), run=run or RUN, **known)

    def plan(self) -> Plan:
        self.answers()
        return self.step("prepare").plan


RUN = Run(
    id="review-iam-permissions:run-1",
    runbook=RUNBOOK.name,
    kind=Kind.CHANGE,
    mode=Mode.PROPOSE,
    trigger=Trigger.PERSON,
    target={"role_name": "chat"},
    target_arn=ARN,
    parameters={},
    reason="",
    requested_by="person",
    execution=Execution(
        arn="arn:aws:states:us-east-1:123456789012:execution:m:run-1",
        name="run-1",
        started_at=NOON,
    ),
    lease_until=NOON + timedelta(hours=1),
    limits=RUNBOOK.limits.as_dict(),
    options=dict(RUNBOOK.options),
)
CHANGED = Change(calls=[], applied_at=NOON)


@pytest.fixture
def aws(environment, use_platform, calls_of):
    use_platform(**PLATFORM)
    return Aws(calls_of)


# --- prepare ---


def test_smaller_policy_is_planned_checked_and_nothing_changed(aws):
    aws.answers(denials=2)
    prepared = aws.step("prepare")
    (call,) = prepared.plan.calls
    assert (call.api, call.resource) == ("iam:PutRolePolicy", ARN)
    assert call.after == {"Chat": {"Version": "2012-10-17", "Statement": {"Get": GET}}}
    assert [json.loads(c["newPolicyDocument"]) for c in aws.compared.made] == [NARROW]
    assert [json.loads(c["existingPolicyDocument"]) for c in aws.compared.made] == [WIDE]
    assert [c["ActionNames"] for c in aws.simulated.made] == [["dynamodb:GetItem"]] * 2
    assert prepared.plan.evidence["functions"] == ["chat-lambda"]
    assert prepared.plan.evidence["denials_before"] == 2
    assert prepared.snapshot["inline"][0]["document"] == WIDE
    assert aws.document() == WIDE


def test_prepare_makes_the_calls_it_declares(aws):
    aws.plan()
    assert aws.calls == set(steps_of(steps)["prepare"].calls)


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"result": "FAIL"}, PrerequisiteNotMetError, "fails its checks: new access: more"),
        ({"status": "IN_PROGRESS"}, ResourceBusyError, "look again"),
    ],
)
def test_what_is_not_proven_is_not_planned(aws, given, error, why):
    aws.answers(**given)
    with pytest.raises(error, match=why):
        aws.step("prepare")


def test_loss_of_what_must_stay_is_refused(aws):
    aws.simulated.will_answer(
        {
            "EvaluationResults": [
                {
                    "EvalActionName": "dynamodb:GetItem",
                    "EvalResourceName": "*",
                    "EvalDecision": "allowed",
                }
            ]
        },
        {"EvaluationResults": []},
    )
    aws.answers()
    with pytest.raises(PrerequisiteNotMetError, match=r"dynamodb:GetItem on \* would be denied"):
        aws.step("prepare")


def test_access_analyzer_that_may_not_be_asked_refuses(aws):
    aws.validated.will_fail("AccessDeniedException")
    aws.answers()
    with pytest.raises(PrerequisiteNotMetError, match=r"Access Analyzer: .*AccessDenied"):
        aws.step("prepare")


def test_missing_role_is_refused(aws):
    aws.role.will_fail("NoSuchEntity")
    with pytest.raises(TargetNotFoundError, match="role chat"):
        aws.step("prepare")


def test_what_is_to_be_kept_must_be_an_action(aws):
    run = dataclasses.replace(RUN, parameters={"keep": ["DeleteTable"]})
    with pytest.raises(InvalidRequestError, match=r"parameters\.keep: 'DeleteTable'"):
        aws.step("prepare", run=run)


def test_role_that_uses_the_run_table_is_the_products_own(aws):
    used = {"Sid": "Used", "Resource": "arn:aws:dynamodb:us-east-1:123456789012:table/run-table"}
    aws.put({**WIDE, "Statement": [*WIDE["Statement"], GET | used]})
    aws.answers()
    plan = aws.step("prepare").plan
    assert (plan.decision, plan.report, plan.calls) == (Decision.HAND_OVER, True, [])
    assert "the role is the remediator's own" in plan.reason
    assert aws.compared.made == []


# --- change ---


def test_change_is_made_once_and_taken_back(aws):
    plan = aws.plan()
    first = aws.step("narrow_policies", plan=plan)
    again = aws.step("narrow_policies", plan=plan)
    assert aws.document() == NARROW
    assert [c.already_applied for c in (*first.calls, *again.calls)] == [False, True]
    aws.step("roll_back", plan=plan)
    assert aws.document() == WIDE


def test_policy_that_someone_changed_is_left_alone(aws):
    plan = aws.plan()
    theirs = {"Version": "2012-10-17", "Statement": [GET | {"Action": "dynamodb:*"}]}
    aws.put(theirs)
    with pytest.raises(ConcurrentChangeError, match="someone else changed it"):
        aws.step("narrow_policies", plan=plan)
    with pytest.raises(RollbackFailedError):
        aws.step("roll_back", plan=plan)
    assert aws.document() == theirs


# --- verify ---

LATER = NOON + 5 * MINUTE


def test_calm_functions_prove_the_smaller_policy(aws):
    plan = aws.plan()
    aws.step("narrow_policies", plan=plan)
    aws.serve(10)
    aws.denied(0)
    judged = aws.step("verify", plan=plan, change=CHANGED, attempt=EARLY, now=LATER)
    assert judged.verdict is Verdict.PASSED
    assert judged.reason == "chat-lambda: 50 invocations, 0.0 % failed, 0 calls denied"


@pytest.mark.parametrize(
    ("errors", "denials", "attempt", "verdict"),
    [
        (1, 0, EARLY, Verdict.PENDING),
        (1, 0, LAST, Verdict.FAILED),
        (0, 1, EARLY, Verdict.FAILED),
    ],
)
def test_functions_that_suffer_do_not(aws, errors, denials, attempt, verdict):
    plan = aws.plan()
    aws.step("narrow_policies", plan=plan)
    aws.serve(10, errors)
    aws.denied(denials)
    judged = aws.step("verify", plan=plan, change=CHANGED, attempt=attempt, now=LATER)
    assert judged.verdict is verdict


def test_denial_while_it_is_watched_is_no_hold(aws):
    plan = aws.plan()
    aws.step("narrow_policies", plan=plan)
    aws.serve(10)
    aws.denied(1)
    judged = aws.step("watch_hold", plan=plan, change=CHANGED, now=LATER)
    assert (judged.verdict, judged.reason) == (
        Verdict.FAILED,
        "1 calls of chat-lambda were denied since, 0 before",
    )


def test_silence_proves_nothing(aws):
    plan = aws.plan()
    aws.step("narrow_policies", plan=plan)
    aws.denied(0)
    judged = aws.step("verify", plan=plan, change=CHANGED, attempt=LAST, now=LATER)
    assert judged.verdict is Verdict.INCONCLUSIVE


def test_denials_are_counted_since_the_change_and_no_longer_than_before_it(aws):
    plan = aws.plan()
    aws.step("narrow_policies", plan=plan)
    for now in (NOON + MINUTE, NOON + 20 * MINUTE):
        aws.denied(0)
        aws.step("watch_hold", plan=plan, change=CHANGED, now=now)
    before, early, late = [
        (call["startTime"] - int(NOON.timestamp() * 1000)) / 60_000 for call in aws.logs.made
    ]
    assert (before, early, late) == (-15, 0, 5)


def test_policy_that_someone_changed_since_proves_nothing(aws):
    plan = aws.plan()
    judged = aws.step("verify", plan=plan, change=CHANGED, attempt=LAST)
    assert (judged.verdict, judged.reason) == (
        Verdict.INCONCLUSIVE,
        "someone else has changed Chat since",
    )


def test_undo_is_proven_by_the_policy(aws):
    plan = aws.plan()
    undo = dataclasses.replace(RUN, kind=Kind.UNDO)
    back = dataclasses.replace(plan, calls=[c.inverse() for c in plan.calls])
    aws.step("narrow_policies", plan=plan)
    waiting = aws.step("verify", plan=back, run=undo, attempt=EARLY)
    aws.step("roll_back", plan=plan)
    done = aws.step("verify", plan=back, run=undo, attempt=EARLY)
    assert (waiting.verdict, done.verdict) == (Verdict.PENDING, Verdict.PASSED)


@pytest.mark.parametrize("name", ["narrow_policies", "verify", "watch_hold", "roll_back"])
def test_later_steps_make_only_the_calls_they_declare(aws, name):
    plan = aws.plan()
    if name != "narrow_policies":
        aws.step("narrow_policies", plan=plan)
    aws.denied(0)
    aws.calls.clear()
    aws.step(name, plan=plan, change=CHANGED, now=LATER)
    assert aws.calls == set(steps_of(steps)[name].calls)
