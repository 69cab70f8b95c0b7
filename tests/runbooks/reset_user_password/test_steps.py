"""Steps of reset_user_password against a pool in memory: calls, changes, errors and answers."""

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
    PrerequisiteNotMetError,
    ThrottledError,
)
from lambdas.remediation.resources.cognito_users import UsersToReset
from lambdas.remediation.step import Attempt, Clock, steps_of
from lambdas.runbooks.reset_user_password import steps
from lambdas.runbooks.reset_user_password.runbook import RUNBOOK
from tests.remediation.user_pool import ARN, NOON, POOL_ID, FakePool, calls_made

ADDRESS = "colleague@example.com"
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=3, final=True)


class FixedClock(Clock):
    def now(self) -> datetime:
        return NOON


def a_run(**overrides) -> Run:
    values = {
        "id": "reset-user-password:one",
        "runbook": "reset_user_password",
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

    def __init__(self, status: str = "CONFIRMED") -> None:
        self.pool = FakePool()
        self.user = self.pool.add(ADDRESS, username="u-1", UserStatus=status)
        self.users = UsersToReset(self.pool.client)

    def prepare(self, **parameters):
        return steps.prepare(
            run=a_run(parameters={"username": ADDRESS} | parameters), users=self.users
        )

    def reset(self, plan: Plan) -> Change:
        return steps.reset_user(plan=plan, clock=FixedClock(), users=self.users)

    def sign_out(self, plan: Plan, change: Change | None) -> Change:
        return steps.sign_out(plan=plan, change=change, clock=FixedClock(), users=self.users)

    def verify(self, plan: Plan, change: Change | None, attempt: Attempt = EARLY):
        return steps.verify(
            run=a_run(), plan=plan, change=change, attempt=attempt, users=self.users
        )


@pytest.fixture
def aws() -> Aws:
    return Aws()


class TestPrepare:
    def test_plans_a_reset_and_a_sign_out(self, aws):
        prepared = aws.prepare()

        assert [(c.api, c.reversible) for c in prepared.plan.calls] == [
            ("cognito-idp:AdminResetUserPassword", False),
            ("cognito-idp:AdminUserGlobalSignOut", False),
        ]
        assert encode(prepared)["snapshot"] == {"user": {"username": "u-1", "status": "CONFIRMED"}}

    def test_sessions_stay_open_if_asked(self, aws):
        assert len(aws.prepare(sign_out=False).plan.calls) == 1

    def test_an_invited_user_is_named_by_its_address(self):
        """AdminCreateUser takes no other name in a pool without usernames."""
        call = Aws("FORCE_CHANGE_PASSWORD").prepare().plan.calls[0]

        assert (call.api, call.arguments) == (
            "cognito-idp:AdminCreateUser",
            {"Username": ADDRESS, "MessageAction": "RESEND", "DesiredDeliveryMediums": ["EMAIL"]},
        )

    def test_nobody(self, aws):
        with pytest.raises(PrerequisiteNotMetError):
            aws.prepare(username="nobody@example.com")


class TestReset:
    @pytest.mark.parametrize("status", ["CONFIRMED", "RESET_REQUIRED", "FORCE_CHANGE_PASSWORD"])
    def test_resets_or_invites_then_signs_out_and_is_verified(self, status):
        aws = Aws(status)
        plan = aws.prepare().plan

        change = aws.sign_out(plan, aws.reset(plan))

        assert [c.already_applied for c in change.calls] == [False, False]
        assert aws.pool.signed_out == ["u-1"]
        assert aws.verify(plan, change).verdict is Verdict.PASSED

    @pytest.mark.parametrize("status", ["CONFIRMED", "RESET_REQUIRED", "FORCE_CHANGE_PASSWORD"])
    def test_a_second_time_sends_no_other_mail(self, status):
        aws = Aws(status)
        plan = aws.prepare().plan
        aws.reset(plan)
        aws.pool.calls.clear()

        change = aws.reset(plan)

        assert change.calls[0].already_applied is True
        assert aws.pool.calls == ["cognito-idp:AdminGetUser"]

    def test_somebody_else_changed_the_user(self, aws):
        plan = aws.prepare().plan
        aws.user["UserLastModifiedDate"] = NOON

        with pytest.raises(ConcurrentChangeError):
            aws.reset(plan)

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("NotAuthorizedException", ChangeFailedError),
            ("LimitExceededException", ChangeFailedError),
            ("InvalidEmailRoleAccessPolicyException", ChangeFailedError),
            ("TooManyRequestsException", ThrottledError),
        ],
    )
    def test_refused(self, aws, code, error):
        plan = aws.prepare().plan
        aws.pool.errors["AdminResetUserPassword"] = code

        with pytest.raises(error):
            aws.reset(plan)

    def test_a_refused_sign_out_is_an_error(self, aws):
        plan = aws.prepare().plan
        aws.pool.errors["AdminUserGlobalSignOut"] = "NotAuthorizedException"

        with pytest.raises(ChangeFailedError):
            aws.sign_out(plan, aws.reset(plan))


class TestVerify:
    def test_nothing_changed_yet(self, aws):
        plan = aws.prepare().plan

        assert aws.verify(plan, None).verdict is Verdict.PENDING
        assert aws.verify(plan, None, LAST).verdict is Verdict.INCONCLUSIVE

    def test_watch_hold(self, aws):
        plan = aws.prepare(sign_out=False).plan
        change = aws.reset(plan)

        found = steps.watch_hold(run=a_run(), plan=plan, change=change, users=aws.users)

        assert found.verdict is Verdict.PASSED


def declared(name: str) -> list[str]:
    return sorted(steps_of(steps)[name].calls)


def test_declared_calls_are_those_made(aws):
    plan = aws.prepare().plan
    invited = Aws("FORCE_CHANGE_PASSWORD")
    again = invited.prepare().plan
    made = {
        "prepare": calls_made(aws.pool, aws.prepare),
        "reset_user": sorted(
            set(calls_made(aws.pool, lambda: aws.reset(plan)))
            | set(calls_made(invited.pool, lambda: invited.reset(again)))
        ),
        "sign_out": calls_made(aws.pool, lambda: aws.sign_out(plan, None)),
        "verify": calls_made(aws.pool, lambda: aws.verify(plan, None)),
        "watch_hold": calls_made(
            aws.pool,
            lambda: steps.watch_hold(run=a_run(), plan=plan, change=None, users=aws.users),
        ),
    }

    assert made == {name: declared(name) for name in steps_of(steps)}
