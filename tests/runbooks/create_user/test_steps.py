"""Steps of create_user against a pool in memory: calls, changes, errors and answers."""

import dataclasses
from datetime import datetime, timedelta

import pytest

from lambdas.remediation.contracts import (
    Change,
    Execution,
    Kind,
    Mode,
    Plan,
    Run,
    Trigger,
    Verdict,
    encode,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    RollbackFailedError,
    TargetNotFoundError,
)
from lambdas.remediation.platform import Platform, UserPool
from lambdas.remediation.resources.cognito_users import NewUsers
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.create_user import steps
from lambdas.runbooks.create_user.runbook import RUNBOOK
from tests.remediation.user_pool import ARN, NOON, POOL_ID, FakePool, calls_made

ADDRESS = "new@example.com"
PLATFORM = Platform(
    name="test", user_pools=(UserPool(user_pool_id=POOL_ID, groups=("Analysts", "Admins")),)
)
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=3, final=True)


class FixedClock(Clock):
    def now(self) -> datetime:
        return NOON


def a_run(**overrides) -> Run:
    values = {
        "id": "create-user:one",
        "runbook": "create_user",
        "kind": Kind.CHANGE,
        "mode": Mode.ACT,
        "trigger": Trigger.PERSON,
        "target": {"user_pool_id": POOL_ID},
        "target_arn": ARN,
        "parameters": {"username": ADDRESS, "groups": ["Analysts"]},
        "reason": "",
        "requested_by": "person",
        "execution": Execution(
            arn="arn:aws:states:us-east-1:123456789012:execution:remediation-x:one",
            name="one",
            started_at=NOON,
        ),
        "lease_until": NOON + timedelta(hours=1),
        "limits": RUNBOOK.limits.as_dict(),
        **overrides,
    }
    return Run(**values)


class Aws:
    """The steps, on a pool in memory."""

    def __init__(self) -> None:
        self.pool = FakePool()
        self.users = NewUsers(self.pool.client)

    def prepare(self, **parameters):
        given = {"username": ADDRESS, "groups": ["Analysts"]} | parameters
        return steps.prepare(run=a_run(parameters=given), platform=PLATFORM, users=self.users)

    def create(self, plan: Plan) -> Change:
        return steps.create_user(plan=plan, clock=FixedClock(), users=self.users)

    def verify(self, plan: Plan, attempt: Attempt = EARLY, kind: Kind = Kind.CHANGE):
        return steps.verify(run=a_run(kind=kind), plan=plan, attempt=attempt, users=self.users)

    def check_undo(self, plan: Plan) -> None:
        steps.check_undo(run=a_run(kind=Kind.UNDO), plan=plan, users=self.users)

    def roll_back(self, plan: Plan) -> Change:
        return steps.roll_back(plan=plan, clock=FixedClock(), users=self.users)


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def plan(aws) -> Plan:
    return aws.prepare().plan


def inverse(plan: Plan) -> Plan:
    return dataclasses.replace(plan, calls=[plan.calls[0].inverse()])


class TestPrepare:
    def test_plans_the_user_and_its_group(self, aws, plan):
        assert [c.api for c in plan.calls] == [
            "cognito-idp:AdminCreateUser",
            "cognito-idp:AdminAddUserToGroup",
        ]
        assert plan.calls[0].after == {
            ADDRESS: {"UserCreateDate": "2026-03-02T12:00:00.000Z/2026-03-02T13:00:00.000Z"}
        }
        assert plan.calls[1].arguments == {"Username": ADDRESS, "GroupName": "Analysts"}
        assert aws.pool.users == {}

    def test_answer_is_plain_json(self, aws):
        assert encode(aws.prepare())["snapshot"] == {"user": None}

    def test_a_user_that_exists_is_refused(self, aws):
        aws.pool.add(ADDRESS)

        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.prepare()

        assert "exists already (CONFIRMED) and is not touched" in str(caught.value)

    def test_a_group_that_the_platform_file_does_not_name_is_refused(self, aws):
        """`Editors` is in the pool."""
        with pytest.raises(InvalidRequestError) as caught:
            aws.prepare(groups=["Editors"])

        assert "'Editors' is not one of Analysts, Admins" in str(caught.value)

    def test_a_group_that_the_pool_does_not_have_is_refused(self, aws):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.prepare(groups=["Admins", "Analysts"])

        assert str(caught.value).startswith("group Admins is not in user pool us-east-1_Pool")

    def test_no_such_pool(self, aws):
        aws.pool.errors["DescribeUserPool"] = "ResourceNotFoundException"

        with pytest.raises(TargetNotFoundError):
            aws.prepare()


class TestCreateUser:
    def test_creates_the_user_and_adds_it_to_its_group(self, aws, plan):
        change = aws.create(plan)

        (user,) = aws.pool.users.values()
        assert (user["UserStatus"], user["groups"]) == ("FORCE_CHANGE_PASSWORD", ["Analysts"])
        assert [c.already_applied for c in change.calls] == [False, False]
        verified = [a["Value"] for a in user["UserAttributes"] if a["Name"] == "email_verified"]
        assert verified == ["false"]

    def test_a_second_time_makes_no_call(self, aws, plan):
        aws.create(plan)
        change = aws.create(plan)

        assert [c.already_applied for c in change.calls] == [True, True]
        assert aws.pool.calls.count("cognito-idp:AdminCreateUser") == 1

    def test_somebody_else_was_faster(self, aws, plan):
        """Before the life of the run, and not seen by the plan: Cognito may answer late."""
        aws.pool.add(ADDRESS)

        with pytest.raises(ConcurrentChangeError) as caught:
            aws.create(plan)

        assert caught.value.untouched is True
        assert "cognito-idp:AdminAddUserToGroup" not in aws.pool.calls

    def test_an_invitation_that_is_not_delivered_leaves_no_user(self, aws, plan):
        aws.pool.errors["after:AdminCreateUser"] = "CodeDeliveryFailureException"
        with pytest.raises(ChangeFailedError):
            aws.create(plan)
        left = len(aws.pool.users)

        aws.roll_back(plan)

        assert (left, aws.pool.users) == (1, {})


class TestVerify:
    def test_invited_and_in_its_group(self, aws, plan):
        aws.create(plan)

        found = aws.verify(plan)

        assert (found.verdict, found.reason) == (
            Verdict.PASSED,
            "the user is enabled and FORCE_CHANGE_PASSWORD, in Analysts",
        )

    def test_not_there(self, aws, plan):
        assert aws.verify(plan).verdict is Verdict.PENDING
        assert aws.verify(plan, LAST).verdict is Verdict.FAILED

    def test_an_undo_passes_when_the_user_is_gone(self, aws, plan):
        aws.create(plan)
        early = aws.verify(inverse(plan), EARLY, Kind.UNDO)
        late = aws.verify(inverse(plan), LAST, Kind.UNDO)
        aws.roll_back(plan)

        gone = aws.verify(inverse(plan), EARLY, Kind.UNDO)

        assert (early.verdict, late.verdict) == (Verdict.PENDING, Verdict.FAILED)
        assert (gone.verdict, gone.reason) == (Verdict.PASSED, "the user is deleted")

    def test_watch_hold_fails_when_the_user_is_gone(self, aws, plan):
        found = steps.watch_hold(run=a_run(), plan=plan, users=aws.users)

        assert found.verdict is Verdict.FAILED


class TestUndo:
    def test_a_user_that_never_signed_in_may_be_deleted(self, aws, plan):
        aws.create(plan)

        assert aws.check_undo(inverse(plan)) is None

    @pytest.mark.parametrize("status", ["CONFIRMED", "RESET_REQUIRED"])
    def test_a_user_that_signed_in_is_not_deleted(self, aws, plan, status):
        aws.create(plan)
        aws.pool.find(ADDRESS)["UserStatus"] = status

        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.check_undo(inverse(plan))

        assert "use disable_user" in str(caught.value)

    def test_deletes_the_user_of_this_run_only(self, aws, plan):
        other = aws.pool.add("other@example.com", username="u-2")
        aws.create(plan)

        change = aws.roll_back(plan)

        assert list(aws.pool.users.values()) == [other]
        assert [c.api for c in change.calls] == ["cognito-idp:AdminCreateUser"]

    def test_never_deletes_a_user_of_the_same_name_from_before_the_run(self, aws, plan):
        old = aws.pool.add(ADDRESS)

        with pytest.raises(RollbackFailedError):
            aws.roll_back(plan)

        assert list(aws.pool.users.values()) == [old]

    def test_without_a_user_there_is_nothing_to_do(self, aws, plan):
        assert aws.roll_back(plan).calls == []
        assert "cognito-idp:AdminDeleteUser" not in aws.pool.calls


def declared(name: str) -> list[str]:
    return sorted(steps_of(steps)[name].calls)


def test_declared_calls_are_those_made(aws, plan):
    made = {
        "prepare": calls_made(aws.pool, aws.prepare),
        "create_user": calls_made(aws.pool, lambda: aws.create(plan)),
        "verify": calls_made(aws.pool, lambda: aws.verify(plan)),
        "watch_hold": calls_made(
            aws.pool, lambda: steps.watch_hold(run=a_run(), plan=plan, users=aws.users)
        ),
        "check_undo": calls_made(aws.pool, lambda: aws.check_undo(inverse(plan))),
        "roll_back": calls_made(aws.pool, lambda: aws.roll_back(plan)),
    }

    assert made == {name: declared(name) for name in steps_of(steps)}
