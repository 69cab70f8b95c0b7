"""Which actions are unused for certain, what a smaller policy leaves alone, when it is proven."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation.contracts import Decision, Verdict
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.resources.role_policies import Role, RolePolicy, ServiceUse
from lambdas.runbooks.review_iam_permissions import policy
from lambdas.runbooks.review_iam_permissions.policy import Health, Situation
from lambdas.runbooks.review_iam_permissions.runbook import ReviewIamPermissionsLimits

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SINCE = NOON - timedelta(days=90)
YESTERDAY, LONG_AGO = NOON - timedelta(days=1), NOON - timedelta(days=91)
LIMITS = ReviewIamPermissionsLimits()
ROLE = Role(
    name="chat",
    arn="arn:aws:iam::123456789012:role/chat",
    created_at=NOON - timedelta(days=400),
)
USE = {
    "dynamodb": ServiceUse(
        namespace="dynamodb",
        last_used=YESTERDAY,
        actions={"DescribeTable": YESTERDAY, "DeleteTable": LONG_AGO, "CreateTable": None},
    ),
    "s3": ServiceUse(namespace="s3", last_used=LONG_AGO),
    "sqs": ServiceUse(namespace="sqs"),
    "iam": ServiceUse(namespace="iam"),
    "ec2": ServiceUse(namespace="ec2"),
}
READ = {"Effect": "Allow", "Action": ["dynamodb:GetItem"], "Resource": "*"}
BOTH = {
    "Effect": "Allow",
    "Action": ["dynamodb:GetItem", "dynamodb:DeleteTable"],
    "Resource": ["arn:aws:dynamodb:us-east-1:123456789012:table/orders"],
    "Condition": {"Bool": {"aws:SecureTransport": "true"}},
}


def document(*listed: dict) -> dict:
    return {"Version": "2012-10-17", "Statement": list(listed)}


def situation(**changes) -> Situation:
    given = {
        "role": ROLE,
        "inline": (RolePolicy(name="Chat", document=document(BOTH)),),
        "use": tuple(USE.values()),
        "functions": ("chat-lambda",),
        "limits": LIMITS,
        "now": NOON,
    }
    return Situation(**(given | changes))


@pytest.mark.parametrize(
    ("action", "unused"),
    [
        ("dynamodb:DescribeTable", False),
        ("dynamodb:DeleteTable", True),
        ("DynamoDB:deletetable", True),
        ("dynamodb:CreateTable", True),
        # An action on data: IAM does not track it.
        ("dynamodb:GetItem", False),
        ("dynamodb:Delete*", False),
        ("dynamodb:*", False),
        ("s3:GetObject", True),
        ("s3:*", True),
        ("sqs:SendMessage", True),
        ("*", False),
        # IAM reports on the services that it knows.
        ("mystery:Do", False),
    ],
)
def test_only_what_was_certainly_not_called_is_unused(action, unused):
    assert policy.is_unused(action, USE, (), SINCE) is unused


@pytest.mark.parametrize(
    ("action", "kept"),
    [
        ("s3:GetObject", "s3:GetObject"),
        ("s3:GetObject", "S3:getobject"),
        ("s3:GetObject", "s3:Get*"),
        ("s3:*", "s3:GetObject"),
        ("s3:Get?bject", "s3:GetObject"),
    ],
)
def test_what_must_stay_is_kept_also_where_a_wildcard_grants_it(action, kept):
    assert not policy.is_unused(action, USE, (kept,), SINCE)


def test_calls_at_the_very_limit_count_as_use():
    use = {"s3": ServiceUse(namespace="s3", last_used=SINCE)}
    assert not policy.is_unused("s3:GetObject", use, (), SINCE)


def test_smaller_policy_lacks_the_action_and_nothing_else():
    plan = policy.decide(situation())
    (call,) = plan.calls
    assert plan.decision is Decision.CHANGE
    assert call.before == {"Chat": {"Version": "2012-10-17", "Statement": {"0": BOTH}}}
    left = {**BOTH, "Action": ["dynamodb:GetItem"]}
    assert call.after == {"Chat": {"Version": "2012-10-17", "Statement": {"0": left}}}
    assert plan.reason == (
        "Take out what was unused for 90 days: dynamodb:DeleteTable in policy Chat."
    )


def test_statement_without_actions_goes_and_others_stay():
    kept = [
        READ,
        {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"},
        {"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"},
    ]
    gone = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    given = RolePolicy(name="Chat", document=document(kept[0], gone, *kept[1:]))
    (call,) = policy.decide(situation(inline=(given,))).calls
    assert list(call.after["Chat"]["Statement"].values()) == kept


def test_pass_role_and_what_lambda_needs_in_a_vpc_stay():
    actions = ["iam:PassRole", "ec2:CreateNetworkInterface", "iam:GetRole"]
    given = RolePolicy(name="Chat", document=document({**READ, "Action": actions}))
    (call,) = policy.decide(situation(inline=(given,))).calls
    (left,) = call.after["Chat"]["Statement"].values()
    assert left["Action"] == ["iam:PassRole", "ec2:CreateNetworkInterface"]


def test_nothing_unused_is_refused():
    given = RolePolicy(name="Chat", document=document(READ))
    with pytest.raises(PrerequisiteNotMetError, match="nothing to do: role chat"):
        policy.decide(situation(inline=(given,)))


def test_everything_kept_is_nothing_to_do():
    with pytest.raises(PrerequisiteNotMetError, match="nothing to do"):
        policy.decide(situation(keep=("dynamodb:*",)))


def test_young_role_is_not_judged():
    young = dataclasses.replace(ROLE, created_at=NOON - timedelta(days=89))
    with pytest.raises(PrerequisiteNotMetError, match="it is 89 days old and judged from 90"):
        policy.decide(situation(role=young))


MANAGED = RolePolicy(
    name="Shared", arn="arn:aws:iam::123456789012:policy/Shared", document=document(BOTH)
)
ONLY_UNUSED = RolePolicy(
    name="Old", document=document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stack_name": "EnergyStack"}, "stack EnergyStack deploys the role"),
        ({"is_own": True, "edit_deployed_roles": True}, "the role is the remediator's own"),
        ({"functions": ()}, "no function of the platform file has the role"),
        ({"inline": (), "managed": (MANAGED,)}, "managed policies"),
        ({"inline": (ONLY_UNUSED,)}, "policies that would be empty"),
    ],
)
def test_what_may_not_be_changed_here_is_reported(changes, why):
    plan = policy.decide(situation(**changes))
    assert (plan.decision, plan.report, plan.calls) == (Decision.HAND_OVER, True, [])
    assert why in plan.reason
    assert list(plan.evidence["unused"]) == list(plan.evidence["smaller_policies"]) != []


def test_report_holds_the_policy_to_put_into_the_app():
    plan = policy.decide(situation(stack_name="EnergyStack"))
    smaller = document({**BOTH, "Action": ["dynamodb:GetItem"]})
    assert plan.evidence["smaller_policies"] == {"Chat": smaller}
    assert plan.evidence["unused"] == {"Chat": ["dynamodb:DeleteTable"]}


def test_deployed_role_is_edited_where_the_platform_allows_the_drift():
    plan = policy.decide(situation(stack_name="EnergyStack", edit_deployed_roles=True))
    assert plan.decision is Decision.CHANGE


def test_only_the_inline_policies_with_something_left_are_changed():
    inline = (*situation().inline, ONLY_UNUSED)
    managed = (MANAGED, RolePolicy(name="ReadOnlyAccess", arn="arn:aws:iam::aws:policy/R"))
    plan = policy.decide(situation(inline=inline, managed=managed))
    assert [name for call in plan.calls for name in call.after] == ["Chat"]
    assert "Only reported: s3:* in policy Old; dynamodb:DeleteTable in policy Shared." in (
        plan.reason
    )
    assert plan.evidence["unread_policies"] == ["ReadOnlyAccess"]


@pytest.mark.parametrize("wrong", ["GetItem", "dynamodb:", "dynamodb:Get Item", ""])
def test_what_is_no_action_cannot_be_kept(wrong):
    with pytest.raises(InvalidRequestError, match=r"parameters\.keep: "):
        policy.asked_to_keep([wrong])


def test_simulator_is_asked_where_the_policy_allows_something():
    given = document(
        BOTH,
        {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::secret"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::${aws:userid}"},
    )
    assert policy.simulated(given, ("s3:GetObject", "dynamodb:*", "dynamodb:GetItem")) == (
        ["dynamodb:GetItem", "s3:GetObject"],
        ["arn:aws:dynamodb:us-east-1:123456789012:table/orders"],
    )


def test_loss_of_what_must_stay_is_a_problem():
    before, after = {("s3:GetObject", "*"), ("s3:PutObject", "*")}, {("s3:PutObject", "*")}
    assert policy.lost(before, after) == ["s3:GetObject on * would be denied"]
    assert policy.lost(after, before) == []
    with pytest.raises(PrerequisiteNotMetError, match=r"policy Chat: .* fails its checks: a; b"):
        policy.require_sound("Chat", ["a", "b"])


# --- verification ---

PLAN = policy.decide(situation())
PLAN = dataclasses.replace(
    PLAN,
    evidence=policy.with_baseline(PLAN, Health(denials=2, errors=1, invocations=8)),
)
CALM = Health(errors=0, invocations=50, samples=5, denials=2, periods=5, wanted_periods=5)


@pytest.mark.parametrize(
    ("changes", "verdict", "final_verdict"),
    [
        ({}, Verdict.PASSED, Verdict.PASSED),
        # 12.5 % failed before.
        ({"errors": 6}, Verdict.PASSED, Verdict.PASSED),
        ({"errors": 7}, Verdict.PENDING, Verdict.FAILED),
        ({"invocations": 9}, Verdict.PENDING, Verdict.INCONCLUSIVE),
        ({"samples": 2}, Verdict.PENDING, Verdict.INCONCLUSIVE),
        ({"periods": 4}, Verdict.PENDING, Verdict.INCONCLUSIVE),
        # One more than before is enough, at once.
        ({"denials": 3, "periods": 0, "invocations": 0}, Verdict.FAILED, Verdict.FAILED),
    ],
)
def test_smaller_policy_is_judged_by_what_was_usual(changes, verdict, final_verdict):
    health = dataclasses.replace(CALM, **changes)
    assert policy.judge(PLAN, health, LIMITS, final=False).verdict is verdict
    assert policy.judge(PLAN, health, LIMITS, final=True).verdict is final_verdict


def test_denied_calls_are_named():
    judged = policy.judge(PLAN, dataclasses.replace(CALM, denials=3), LIMITS, final=False)
    assert judged.reason == "3 calls of chat-lambda were denied since, 2 before"
    assert judged.checks[0].name == "access_denied_in_logs"


def test_undo_is_proven_by_the_policies():
    assert policy.put_back(PLAN.calls, [], final=False).verdict is Verdict.PASSED
    assert policy.put_back(PLAN.calls, ["Chat"], final=False).verdict is Verdict.PENDING
    assert policy.put_back(PLAN.calls, ["Chat"], final=True).verdict is Verdict.FAILED
