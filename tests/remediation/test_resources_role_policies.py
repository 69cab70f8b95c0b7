"""Roles: their policies page by page, their use, and replacing an inline policy."""

import json
from datetime import UTC, datetime

import pytest
from botocore.stub import Stubber

from lambdas.remediation import changes, clients
from lambdas.remediation.errors import (
    ChangeFailedError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.role_policies import (
    Role,
    RolePolicies,
    RolePolicy,
    ServiceUse,
    by_statement,
    document_of,
    put_policy,
)

ARN = "arn:aws:iam::123456789012:role/chat"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
READ = {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*"}
WRITE = {"Sid": "Write", "Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "*"}
WIDE = {"Version": "2012-10-17", "Statement": [READ, WRITE]}
NARROW = {"Version": "2012-10-17", "Statement": [READ]}
ROLE = Role(name="chat", arn=ARN, created_at=NOON)
CALL = put_policy(ROLE, RolePolicy(name="Chat", document=WIDE), NARROW)


@pytest.fixture
def iam(aws):
    client = clients.client("iam")
    client.create_role(RoleName="chat", AssumeRolePolicyDocument="{}")
    client.put_role_policy(RoleName="chat", PolicyName="Chat", PolicyDocument=json.dumps(WIDE))
    return client


@pytest.fixture
def policies(iam):
    return RolePolicies(iam)


def present(iam):
    return iam.get_role_policy(RoleName="chat", PolicyName="Chat")["PolicyDocument"]


# --- documents as values ---


@pytest.mark.parametrize(
    ("listed", "keys"),
    [
        ([READ, WRITE], ["Read", "Write"]),
        ([{**READ, "Sid": ""}, WRITE], ["0", "1"]),
        ([READ, {**WRITE, "Sid": "Read"}], ["0", "1"]),
        ([], []),
    ],
)
def test_document_is_taken_apart_by_sid_where_all_have_one(listed, keys):
    document = {"Version": "2012-10-17", "Statement": listed}
    value = by_statement(document)
    assert list(value["Statement"]) == keys
    assert document_of(value) == document


def test_single_statement_may_stand_without_a_list():
    assert by_statement({"Statement": READ}) == {"Statement": {"Read": READ}}


# --- reading ---


def test_role_tells_age_and_stack(policies, iam):
    iam.tag_role(
        RoleName="chat", Tags=[{"Key": "aws:cloudformation:stack-name", "Value": "EnergyStack"}]
    )
    found = policies.role("chat")
    assert (found.name, found.arn, found.stack_name) == ("chat", ARN, "EnergyStack")
    assert found.created_at.tzinfo is UTC


def test_missing_role_is_not_found(policies):
    with pytest.raises(TargetNotFoundError, match="role gone: not found"):
        policies.role("gone")


def test_inline_policies_are_read_from_every_page(policies, calls_of):
    listed = calls_of("iam", "ListRolePolicies")
    listed.will_answer(
        {"PolicyNames": ["Chat"], "IsTruncated": True, "Marker": "next"},
        {"PolicyNames": ["Audit"], "IsTruncated": False},
    )
    calls_of("iam", "GetRolePolicy").will_answer(
        {"PolicyDocument": json.dumps(NARROW)}, {"PolicyDocument": json.dumps(WIDE)}
    )
    assert policies.inline("chat") == (
        RolePolicy(name="Audit", document=NARROW),
        RolePolicy(name="Chat", document=WIDE),
    )
    assert listed.made[1]["Marker"] == "next"


def test_managed_policies_are_read_in_their_default_version_and_those_of_aws_named(
    policies, iam, calls_of
):
    arn = iam.create_policy(PolicyName="Shared", PolicyDocument=json.dumps(NARROW))["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(WIDE), SetAsDefault=True)
    aws = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    calls_of("iam", "ListAttachedRolePolicies").will_answer(
        *[
            {"AttachedPolicies": [{"PolicyName": a.rpartition("/")[2], "PolicyArn": a}]}
            | {"IsTruncated": more, "Marker": "next"}
            for a, more in ((arn, True), (aws, False))
        ]
    )
    assert policies.managed("chat") == (
        RolePolicy(name="AWSLambdaBasicExecutionRole", arn=aws),
        RolePolicy(name="Shared", arn=arn, document=WIDE),
    )


# --- use ---

JOB = "12345678-1234-1234-1234-123456789012"


def report(status="COMPLETED", services=(), **fields):
    return {"JobStatus": status, "ServicesLastAccessed": list(services), **fields}


@pytest.fixture
def generate(policies, calls_of):
    calls = calls_of("iam", "GenerateServiceLastAccessedDetails")
    calls.will_answer({"JobId": JOB}, {"JobId": JOB.replace("1", "9")})
    return calls


@pytest.fixture
def reports(policies, calls_of):
    return calls_of("iam", "GetServiceLastAccessedDetails")


def test_use_is_read_action_by_action_from_every_page(policies, generate, reports):
    s3 = {
        "ServiceNamespace": "s3",
        "LastAuthenticated": NOON,
        "TrackedActionsLastAccessed": [
            {"ActionName": "ListAllMyBuckets", "LastAccessedTime": NOON},
            {"ActionName": "CreateBucket"},
        ],
    }
    reports.will_answer(
        report(services=[s3], IsTruncated=True, Marker="next"),
        report(services=[{"ServiceNamespace": "sqs"}]),
    )
    assert policies.use(ARN) == (
        ServiceUse(
            namespace="s3",
            last_used=NOON,
            actions={"ListAllMyBuckets": NOON, "CreateBucket": None},
        ),
        ServiceUse(namespace="sqs"),
    )
    assert generate.made == [{"Arn": ARN, "Granularity": "ACTION_LEVEL"}]
    assert reports.made == [{"JobId": JOB}, {"JobId": JOB, "Marker": "next"}]


def test_retry_finds_the_report_that_is_being_made(policies, generate, reports):
    reports.will_answer(report("IN_PROGRESS"), report())
    with pytest.raises(ResourceBusyError, match="IAM is making them"):
        policies.use(ARN)
    assert policies.use(ARN) == ()
    assert len(generate.made) == 1
    assert [call["JobId"] for call in reports.made] == [JOB, JOB]


def test_next_run_asks_for_a_new_report(policies, generate, reports):
    reports.will_answer(report(), report())
    policies.use(ARN)
    policies.use(ARN)
    assert len(generate.made) == 2


def test_report_that_failed_is_refused_with_its_reason(policies, iam):
    failed = report("FAILED", Error={"Message": "why", "Code": "Failed"})
    dates = {"JobCreationDate": NOON, "JobCompletionDate": NOON}
    with Stubber(iam) as stubber:
        for answer in (failed, report()):
            stubber.add_response("generate_service_last_accessed_details", {"JobId": JOB})
            stubber.add_response("get_service_last_accessed_details", answer | dates)
        with pytest.raises(PrerequisiteNotMetError, match="IAM could not make them: why"):
            policies.use(ARN)
        assert policies.use(ARN) == ()
        stubber.assert_no_pending_responses()


def test_report_that_is_gone_is_asked_for_anew(policies, generate, reports):
    reports.will_fail("NoSuchEntity")
    reports.will_answer(report())
    with pytest.raises(ResourceBusyError, match="ask anew"):
        policies.use(ARN)
    assert policies.use(ARN) == ()
    assert len(generate.made) == 2


# --- simulator ---


def test_simulator_tells_what_a_document_allows(policies, calls_of):
    simulated = calls_of("iam", "SimulateCustomPolicy")
    decisions = [("s3:GetObject", "allowed"), ("s3:PutObject", "implicitDeny")]
    simulated.will_answer(
        {
            "EvaluationResults": [
                {"EvalActionName": a, "EvalResourceName": "*", "EvalDecision": d}
                for a, d in decisions
            ]
        }
    )
    assert policies.allowed(NARROW, ["s3:GetObject", "s3:PutObject"], ["*"]) == {
        ("s3:GetObject", "*")
    }
    assert json.loads(simulated.made[0]["PolicyInputList"][0]) == NARROW


@pytest.mark.parametrize(
    ("code", "error"),
    [("InvalidInput", PrerequisiteNotMetError), ("Throttling", ThrottledError)],
)
def test_simulator_that_does_not_answer(policies, calls_of, code, error):
    calls_of("iam", "SimulateCustomPolicy").will_fail(code, times=3)
    with pytest.raises(error, match="policy simulator"):
        policies.allowed(NARROW, ["s3:GetObject"], ["*"])


# --- change ---


def test_policy_is_replaced_and_put_back_from_the_call_alone(policies, iam):
    changes.apply([CALL], [policies], lambda: NOON)
    assert present(iam) == NARROW
    assert changes.position(CALL, [policies]) is changes.Position.AFTER
    policies.apply(CALL.inverse())
    assert present(iam) == WIDE


def test_policy_that_someone_deleted_is_elsewhere(policies, iam):
    iam.delete_role_policy(RoleName="chat", PolicyName="Chat")
    assert policies.present(CALL) == {"Chat": None}
    assert changes.position(CALL, [policies]) is changes.Position.ELSEWHERE


@pytest.mark.parametrize("code", ["MalformedPolicyDocument", "LimitExceeded", "UnmodifiableEntity"])
def test_policy_that_iam_refuses_is_a_failed_change(policies, calls_of, code):
    calls_of("iam", "PutRolePolicy").will_fail(code)
    with pytest.raises(ChangeFailedError, match=code):
        policies.apply(CALL)


def test_iam_that_has_a_bad_moment_is_asked_again(policies, calls_of):
    calls_of("iam", "PutRolePolicy").will_fail("ServiceFailure", times=3)
    with pytest.raises(ThrottledError):
        policies.apply(CALL)
