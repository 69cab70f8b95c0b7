"""Steps of disable_user against a pool in memory: calls, changes, errors and answers."""

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
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    RollbackFailedError,
)
from lambdas.remediation.resources.cognito_users import UsersToDisable
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.disable_user import steps
from lambdas.runbooks.disable_user.runbook import RUNBOOK
from tests.remediation.user_pool import (
    ARN,
    CLIENT_SECRET,
    NOON,
    POOL_ID,
    FakePool,
    calls_made,
)

ADDRESS = "former@example.com"
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=3, final=True)


class FixedClock(Clock):
    def now(self) -> datetime:
        return NOON


def a_run(**overrides) -> Run:
    values = {
        "id": "disable-user:one",
        "runbook": "disable_user",
        "kind": Kind.CHANGE,
        "mode": Mode.ACT,
        "trigger": Trigger.PERSON,
        "target": {"user_pool_id": POOL_ID},
        "target_arn": ARN,
        "parameters": {"username": ADDRESS},
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
    """The steps, on a pool in memory with one user."""

    def __init__(self) -> None:
        self.pool = FakePool()
        self.pool.app_clients = [{"ClientId": "one", "ClientName": "web"}]
        self.user = self.pool.add(ADDRESS, username="u-1")
        self.users = UsersToDisable(self.pool.client)

    def prepare(self, **parameters):
        return steps.prepare(
            run=a_run(parameters={"username": ADDRESS} | parameters), users=self.users
        )

    def disable(self, plan: Plan) -> Change:
        return steps.disable_user(plan=plan, clock=FixedClock(), users=self.users)

    def sign_out(self, plan: Plan, change: Change | None) -> Change:
        return steps.sign_out(plan=plan, change=change, clock=FixedClock(), users=self.users)

    def verify(self, plan: Plan, change: Change | None = None, kind: Kind = Kind.CHANGE):
        return steps.verify(
            run=a_run(kind=kind), plan=plan, change=change, attempt=LAST, users=self.users
        )

    def roll_back(self, plan: Plan) -> Change:
        return steps.roll_back(plan=plan, clock=FixedClock(), users=self.users)


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def plan(aws) -> Plan:
    return aws.prepare().plan


class TestPrepare:
    def test_names_the_user_as_cognito_does(self, aws, plan):
        """An address may belong to somebody else tomorrow."""
        assert [c.after for c in plan.calls] == [
            {"u-1": {"Enabled": False}},
            {"u-1": {"Sessions": "ended"}},
        ]
        assert ADDRESS in plan.reason
        assert aws.user["Enabled"] is True

    def test_tells_how_long_tokens_stay_good_but_no_client_secret(self, aws):
        prepared = encode(aws.prepare())

        assert prepared["plan"]["evidence"] == {
            "longest_validity_seconds": 3600,
            "app_clients": {"web": {"access_seconds": 3600, "id_seconds": 3600}},
        }
        assert CLIENT_SECRET not in repr(prepared)

    @pytest.mark.parametrize("call", ["ListUserPoolClients", "DescribeUserPoolClient"])
    def test_app_clients_that_cannot_be_read_keep_nobody_from_being_shut_out(self, aws, call):
        aws.pool.errors[call] = "TooManyRequestsException"

        plan = aws.prepare().plan

        assert len(plan.calls) == 2
        assert "stay good for an unknown time" in plan.reason

    def test_nobody(self, aws):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            aws.prepare(username="nobody@example.com")

        assert str(caught.value) == "user pool us-east-1_Pool has no user nobody@example.com"

    def test_without_a_username(self, aws):
        with pytest.raises(InvalidRequestError):
            steps.prepare(run=a_run(parameters={}), users=aws.users)


class TestChange:
    def test_disables_then_signs_out(self, aws, plan):
        aws.pool.calls.clear()

        change = aws.sign_out(plan, aws.disable(plan))

        changing = [c for c in aws.pool.calls if "Get" not in c]
        assert changing == ["cognito-idp:AdminDisableUser", "cognito-idp:AdminUserGlobalSignOut"]
        assert [c.api for c in change.calls] == changing
        assert (aws.user["Enabled"], aws.pool.signed_out) == (False, ["u-1"])

    def test_a_second_time_disables_nobody_and_signs_out_again(self, aws, plan):
        aws.sign_out(plan, aws.disable(plan))
        change = aws.sign_out(plan, aws.disable(plan))

        assert [c.already_applied for c in change.calls] == [True, False]
        assert aws.pool.calls.count("cognito-idp:AdminDisableUser") == 1

    def test_a_user_that_is_gone_is_left_alone(self, aws, plan):
        aws.pool.users.clear()

        with pytest.raises(ConcurrentChangeError):
            aws.disable(plan)

    @pytest.mark.parametrize("code", ["TooManyRequestsException", "NotAuthorizedException"])
    def test_a_failed_sign_out_leaves_the_user_disabled(self, aws, plan, code):
        change = aws.disable(plan)
        aws.pool.errors["AdminUserGlobalSignOut"] = code

        found = aws.sign_out(plan, change)

        assert found.calls == change.calls
        assert aws.user["Enabled"] is False
        assert aws.verify(plan, found).reason.startswith(
            "the user is disabled, but its sessions were not ended"
        )


class TestVerify:
    def test_disabled_and_signed_out(self, aws, plan):
        change = aws.sign_out(plan, aws.disable(plan))

        assert aws.verify(plan, change).verdict is Verdict.PASSED

    def test_still_enabled(self, aws, plan):
        assert aws.verify(plan).verdict is Verdict.FAILED

    def test_an_undo_passes_when_the_user_is_enabled(self, aws, plan):
        undoing = dataclasses.replace(plan, calls=[plan.calls[0].inverse()])
        aws.disable(plan)
        before = aws.verify(undoing, kind=Kind.UNDO)
        aws.roll_back(plan)

        assert before.verdict is Verdict.FAILED
        assert aws.verify(undoing, kind=Kind.UNDO).verdict is Verdict.PASSED


class TestRollBack:
    def test_enables_the_user(self, aws, plan):
        aws.sign_out(plan, aws.disable(plan))

        change = aws.roll_back(plan)

        assert aws.user["Enabled"] is True
        assert [c.api for c in change.calls] == ["cognito-idp:AdminDisableUser"]

    def test_what_was_not_disabled_is_not_enabled(self, aws, plan):
        assert aws.roll_back(plan).calls == []
        assert "cognito-idp:AdminEnableUser" not in aws.pool.calls

    def test_a_user_that_is_gone(self, aws, plan):
        aws.pool.users.clear()

        with pytest.raises(RollbackFailedError):
            aws.roll_back(plan)


def declared(name: str) -> list[str]:
    return sorted(steps_of(steps)[name].calls)


def test_declared_calls_are_those_made(aws, plan):
    made = {
        "prepare": calls_made(aws.pool, aws.prepare),
        "disable_user": calls_made(aws.pool, lambda: aws.disable(plan)),
        "sign_out": calls_made(aws.pool, lambda: aws.sign_out(plan, None)),
        "verify": calls_made(aws.pool, lambda: aws.verify(plan)),
        "watch_hold": calls_made(
            aws.pool,
            lambda: steps.watch_hold(run=a_run(), plan=plan, change=None, users=aws.users),
        ),
        "check_undo": calls_made(aws.pool, lambda: steps.check_undo(plan=plan)),
        "roll_back": calls_made(aws.pool, lambda: aws.roll_back(plan)),
    }

    assert made == {name: declared(name) for name in steps_of(steps)}
