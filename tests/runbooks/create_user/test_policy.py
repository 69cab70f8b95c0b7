"""Decisions of create_user: who may be created, in which groups, and what counts as there."""

import dataclasses
from datetime import timedelta

import pytest

from lambdas.remediation.contracts import Decision, Plan, Verdict, decode, encode
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.resources.cognito_users import User, UserPool
from lambdas.runbooks.create_user.policy import (
    Situation,
    asked_groups,
    asked_username,
    decide,
    judge,
    undo_obstacle,
)
from tests.remediation.user_pool import ARN, NOON, POOL_ID

ADDRESS = "new@example.com"
POOL = UserPool(pool_id=POOL_ID, username_attributes=("email",))
USER = User(
    username="u-1",
    status="FORCE_CHANGE_PASSWORD",
    enabled=True,
    created_at=NOON,
    modified_at=NOON,
    email=ADDRESS,
)


def situation(**overrides) -> Situation:
    values = {
        "pool": POOL,
        "pool_arn": ARN,
        "username": ADDRESS,
        "not_before": NOON,
        "not_after": NOON + timedelta(hours=1),
        **overrides,
    }
    return Situation(**values)


class TestAsked:
    @pytest.mark.parametrize("given", ["new@example.com", "a.b+c@sub.example.co.uk"])
    def test_an_address(self, given):
        assert asked_username(given) == given

    @pytest.mark.parametrize("given", [None, "new", "new@example", "@example.com", "a@b@c.d"])
    def test_what_is_no_address(self, given):
        with pytest.raises(InvalidRequestError) as caught:
            asked_username(given)

        assert str(caught.value).startswith("parameters.username: ")

    def test_groups_once_each(self):
        assert asked_groups(["b", "a", "b"], accepted=("a", "b"), most=2) == ["a", "b"]

    def test_no_groups(self):
        assert asked_groups(None, accepted=(), most=0) == []

    def test_a_foreign_group(self):
        with pytest.raises(InvalidRequestError) as caught:
            asked_groups(["Admins"], accepted=("Analysts",), most=5)

        assert str(caught.value) == (
            "parameters.groups: 'Admins' is not one of Analysts; "
            "add it to the pool's groups in platform.json"
        )

    def test_too_many_groups(self):
        with pytest.raises(InvalidRequestError) as caught:
            asked_groups(["a", "b"], accepted=("a", "b"), most=1)

        assert "limits.max_groups" in str(caught.value)


class TestDecide:
    def test_without_groups(self):
        plan = decide(situation())

        assert (plan.decision, len(plan.calls)) == (Decision.CHANGE, 1)
        assert (
            plan.reason == "Create user new@example.com in us-east-1_Pool and mail the invitation."
        )

    def test_with_groups(self):
        plan = decide(situation(groups=("Analysts", "Editors")))

        assert [c.reversible for c in plan.calls] == [True, False, False]
        assert plan.reason.endswith("Then add it to Analysts, Editors; undo deletes the user.")

    def test_a_pool_with_free_usernames_takes_an_address_too(self):
        plan = decide(situation(pool=UserPool(pool_id=POOL_ID)))

        assert plan.decision is Decision.CHANGE

    @pytest.mark.parametrize(
        ("pool", "why"),
        [
            ({"username_attributes": ("phone_number",)}, "takes no e-mail address"),
            ({"username_attributes": (), "alias_attributes": ("email",)}, "takes no e-mail"),
            ({"first_factors": ("PASSWORD", "EMAIL_OTP")}, "signs in without a password"),
        ],
        ids=["by phone", "by alias", "without a password"],
    )
    def test_a_pool_that_would_invite_nobody_is_refused(self, pool, why):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            decide(situation(pool=dataclasses.replace(POOL, **pool)))

        assert why in str(caught.value)

    def test_a_user_that_exists_is_refused(self):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            decide(situation(user=USER))

        assert str(caught.value) == (
            "user new@example.com exists already (FORCE_CHANGE_PASSWORD) and is not touched; "
            "reset_user_password sends an invitation again, groups are changed by hand"
        )

    def test_a_plan_survives_the_run_table(self):
        plan = decide(situation(groups=("Analysts",)))

        assert decode(Plan, encode(plan)) == plan


class TestJudge:
    PLAN = decide(situation(groups=("Analysts",)))

    def judge(self, groups=("Analysts", "Others"), final=False, **overrides):
        return judge(self.PLAN, dataclasses.replace(USER, **overrides), groups, final=final)

    @pytest.mark.parametrize("status", ["FORCE_CHANGE_PASSWORD", "CONFIRMED"])
    def test_there(self, status):
        assert self.judge(status=status).verdict is Verdict.PASSED

    @pytest.mark.parametrize(
        ("found", "reason"),
        [
            ({"enabled": False}, "the user is disabled and FORCE_CHANGE_PASSWORD"),
            ({"status": "UNCONFIRMED"}, "the user is enabled and UNCONFIRMED"),
            ({"groups": ()}, "the user is not in Analysts"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize(
        ("final", "verdict"), [(False, Verdict.PENDING), (True, Verdict.FAILED)]
    )
    def test_not_as_planned(self, found, reason, final, verdict):
        judged = self.judge(final=final, **found)

        assert (judged.verdict, judged.reason) == (verdict, reason)

    def test_nobody(self):
        judged = judge(self.PLAN, None, (), final=True)

        assert (judged.verdict, judged.reason) == (Verdict.FAILED, "there is no such user")


class TestUndoObstacle:
    @pytest.mark.parametrize("user", [None, USER], ids=["gone", "invited"])
    def test_none(self, user):
        assert undo_obstacle(user, ADDRESS) is None

    def test_somebody_has_signed_in(self):
        found = undo_obstacle(dataclasses.replace(USER, status="CONFIRMED"), ADDRESS)

        assert found is not None
        assert found.startswith("user new@example.com is CONFIRMED")
