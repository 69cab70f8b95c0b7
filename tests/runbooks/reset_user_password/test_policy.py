"""Decisions of reset_user_password: by status, by the ways to reach a user, and what is proof."""

import dataclasses
from datetime import timedelta

import pytest

from lambdas.remediation.contracts import CallResult, Change, Plan, Verdict, decode, encode
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.resources.cognito_users import User, UserPool
from lambdas.runbooks.reset_user_password.policy import Situation, decide, judge
from tests.remediation.user_pool import ARN, NOON, POOL_ID

ADDRESS = "colleague@example.com"
PHONE = "+15555550100"
POOL = UserPool(pool_id=POOL_ID, username_attributes=("email",))
USER = User(
    username="u-1",
    status="CONFIRMED",
    enabled=True,
    created_at=NOON - timedelta(days=9),
    modified_at=NOON - timedelta(days=1),
    email=ADDRESS,
    email_verified=True,
)


def decided(pool: UserPool = POOL, end_sessions: bool = True, **user) -> Plan:
    return decide(
        Situation(
            pool=pool,
            pool_arn=ARN,
            username=ADDRESS,
            user=dataclasses.replace(USER, **user),
            end_sessions=end_sessions,
        )
    )


def refusal(pool: UserPool = POOL, **user) -> str:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        decided(pool, **user)
    return str(caught.value)


class TestByStatus:
    @pytest.mark.parametrize("status", ["CONFIRMED", "RESET_REQUIRED"])
    def test_reset(self, status):
        plan = decided(status=status)

        assert plan.calls[0].api == "cognito-idp:AdminResetUserPassword"
        assert plan.reason == (
            "Reset the password of user colleague@example.com of us-east-1_Pool; Cognito sends a "
            "code. Then end its sessions. This cannot be undone."
        )

    def test_sessions_stay_open_if_asked(self):
        plan = decided(end_sessions=False)

        assert [c.api for c in plan.calls] == ["cognito-idp:AdminResetUserPassword"]
        assert "sessions" not in plan.reason

    def test_invited_again(self):
        plan = decided(status="FORCE_CHANGE_PASSWORD", email_verified=False)

        assert plan.calls[0].api == "cognito-idp:AdminCreateUser"
        assert plan.calls[0].arguments["MessageAction"] == "RESEND"
        assert "a new invitation, by EMAIL" in plan.reason

    @pytest.mark.parametrize(
        ("user", "why"),
        [
            ({"enabled": False}, "is disabled; enable it first"),
            ({"status": "EXTERNAL_PROVIDER"}, "signs in with another identity provider"),
            ({"status": "UNCONFIRMED"}, "has not confirmed the sign-up"),
            ({"status": "COMPROMISED"}, "is COMPROMISED, which has no reset"),
            ({"status": "UNKNOWN"}, "is UNKNOWN, which has no reset"),
        ],
        ids=str,
    )
    def test_refused(self, user, why):
        assert why in refusal(**user)

    def test_nobody(self):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            decide(Situation(pool=POOL, pool_arn=ARN, username=ADDRESS))

        assert str(caught.value) == "user pool us-east-1_Pool has no user colleague@example.com"


class TestRecovery:
    @pytest.mark.parametrize(
        ("recovery", "user"),
        [
            (None, {}),
            (("verified_email",), {}),
            (("verified_phone_number", "verified_email"), {}),
            (
                ("verified_phone_number",),
                {"phone_number": PHONE, "phone_number_verified": True, "email": None},
            ),
        ],
    )
    def test_a_code_reaches_the_user(self, recovery, user):
        pool = dataclasses.replace(POOL, recovery=recovery)

        assert decided(pool, **user).calls[0].api == "cognito-idp:AdminResetUserPassword"

    @pytest.mark.parametrize(
        ("recovery", "user"),
        [
            (None, {"email_verified": False}),
            (("verified_email",), {"email": None}),
            (("verified_phone_number",), {}),
            (("verified_phone_number",), {"phone_number": PHONE}),
        ],
    )
    def test_a_code_would_reach_nobody(self, recovery, user):
        pool = dataclasses.replace(POOL, recovery=recovery)

        assert "so a code would reach nobody" in refusal(pool, **user)

    def test_only_administrators_recover(self):
        pool = dataclasses.replace(POOL, recovery=("admin_only",))

        assert "lets only administrators recover a user" in refusal(pool)


class TestInvitation:
    @pytest.mark.parametrize(
        ("attributes", "user", "name", "medium"),
        [
            (("email",), {}, ADDRESS, "EMAIL"),
            ((), {}, "u-1", "EMAIL"),
            (("phone_number",), {"phone_number": PHONE}, PHONE, "EMAIL"),
            (("phone_number",), {"phone_number": PHONE, "email": None}, PHONE, "SMS"),
        ],
    )
    def test_goes_to_the_name_and_medium_of_the_user(self, attributes, user, name, medium):
        pool = dataclasses.replace(POOL, username_attributes=attributes)

        call = decided(pool, status="FORCE_CHANGE_PASSWORD", **user).calls[0]

        assert call.arguments == {
            "Username": name,
            "MessageAction": "RESEND",
            "DesiredDeliveryMediums": [medium],
        }
        assert list(call.after) == ["u-1"]

    def test_without_any_address(self):
        assert "has neither e-mail address nor phone number" in refusal(
            status="FORCE_CHANGE_PASSWORD", email=None
        )


class TestJudge:
    PLAN = decided()
    CHANGE = Change(
        calls=[CallResult(api=c.api, resource=ARN, before={}, after={}) for c in PLAN.calls],
        applied_at=NOON,
    )

    def judge(self, *, status="RESET_REQUIRED", changed=True, final=False, change=CHANGE):
        user = dataclasses.replace(USER, status=status)
        return judge(self.PLAN, user, change, changed=changed, final=final)

    def test_reset(self):
        judged = self.judge()

        assert judged.verdict is Verdict.PASSED
        assert [c.name for c in judged.checks] == [
            "user is RESET_REQUIRED",
            "user was changed since the plan",
            "sign-out was accepted",
        ]

    @pytest.mark.parametrize(
        ("found", "missing"),
        [
            ({"status": "CONFIRMED"}, "(user is RESET_REQUIRED: no)"),
            ({"changed": False}, "(user was changed since the plan: no)"),
            ({"change": None}, "(sign-out was accepted: no)"),
        ],
        ids=str,
    )
    def test_not_proven(self, found, missing):
        early, late = self.judge(**found), self.judge(**found, final=True)

        assert (early.verdict, late.verdict) == (Verdict.PENDING, Verdict.INCONCLUSIVE)
        assert late.reason.endswith(missing)

    def test_a_user_that_is_gone_proves_nothing(self):
        judged = judge(self.PLAN, None, self.CHANGE, changed=False, final=True)

        assert judged.verdict is Verdict.INCONCLUSIVE

    def test_a_new_invitation_leaves_the_status(self):
        plan = decided(status="FORCE_CHANGE_PASSWORD", end_sessions=False)
        user = dataclasses.replace(USER, status="FORCE_CHANGE_PASSWORD")

        assert judge(plan, user, None, changed=True, final=False).verdict is Verdict.PASSED


def test_a_plan_survives_the_run_table():
    assert decode(Plan, encode(TestJudge.PLAN)) == TestJudge.PLAN
