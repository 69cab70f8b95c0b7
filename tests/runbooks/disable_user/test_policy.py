"""Decisions of disable_user: who is disabled, for how long tokens stay good, what counts as out."""

import pytest

from lambdas.remediation.contracts import CallResult, Change, Plan, Verdict, decode, encode
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.resources.cognito_users import SIGN_OUT, AppClient, User
from lambdas.runbooks.disable_user.policy import Situation, decide, exposure_seconds, judge
from tests.remediation.user_pool import ARN, NOON, POOL_ID

ADDRESS = "former@example.com"
WEB = AppClient(name="web", access_seconds=300, id_seconds=5_401)
APP = AppClient(name="app", access_seconds=3_600, id_seconds=60)
CHANGE = Change(
    calls=[CallResult(api=SIGN_OUT, resource=ARN, before={}, after={})], applied_at=NOON
)


def user(*, enabled: bool = True) -> User:
    return User(
        username="u-1", status="CONFIRMED", enabled=enabled, created_at=NOON, modified_at=NOON
    )


def situation(**overrides) -> Situation:
    values = {
        "pool_id": POOL_ID,
        "pool_arn": ARN,
        "username": ADDRESS,
        "user": user(),
        "app_clients": (WEB, APP),
        **overrides,
    }
    return Situation(**values)


class TestDecide:
    def test_disables_first_and_only_that_can_be_taken_back(self):
        plan = decide(situation())

        assert [(c.api, c.reversible) for c in plan.calls] == [
            ("cognito-idp:AdminDisableUser", True),
            ("cognito-idp:AdminUserGlobalSignOut", False),
        ]
        assert plan.reason == (
            "Disable user former@example.com of us-east-1_Pool and end its sessions. Tokens that "
            "are out already stay good for up to 91 minutes where Cognito is not asked, as at API "
            "Gateway authorizers."
        )
        assert plan.evidence["longest_validity_seconds"] == 5_401

    @pytest.mark.parametrize(
        ("app_clients", "told"),
        [
            ((), "The pool has no app client, so nobody holds a token of it."),
            (None, "stay good for an unknown time where Cognito is not asked"),
            (
                (AppClient(name="web", access_seconds=60, id_seconds=60),),
                "stay good for up to 1 minute where",
            ),
        ],
        ids=["none", "unknown", "short"],
    )
    def test_tells_the_exposure(self, app_clients, told):
        assert told in decide(situation(app_clients=app_clients)).reason

    def test_nobody(self):
        with pytest.raises(PrerequisiteNotMetError):
            decide(situation(user=None))

    def test_disabled_already(self):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            decide(situation(user=user(enabled=False)))

        assert str(caught.value) == "nothing to do: user former@example.com is disabled already"

    def test_a_plan_survives_the_run_table(self):
        plan = decide(situation())

        assert decode(Plan, encode(plan)) == plan


def test_the_longest_lived_token_counts():
    assert exposure_seconds((APP, WEB)) == 5_401
    assert exposure_seconds(()) == 0
    assert exposure_seconds(None) is None


class TestJudge:
    @pytest.mark.parametrize(
        ("enabled", "change", "undoing", "final", "verdict"),
        [
            (False, CHANGE, False, False, Verdict.PASSED),
            (False, None, False, False, Verdict.FAILED),
            (True, CHANGE, False, False, Verdict.PENDING),
            (True, CHANGE, False, True, Verdict.FAILED),
            (True, None, True, False, Verdict.PASSED),
            (False, None, True, False, Verdict.PENDING),
            (False, None, True, True, Verdict.FAILED),
        ],
    )
    def test_by_flag_and_sign_out(self, enabled, change, undoing, final, verdict):
        judged = judge(user(enabled=enabled), change, undoing=undoing, final=final)

        assert judged.verdict is verdict

    def test_a_user_that_is_gone_proves_nothing(self):
        assert judge(None, CHANGE, undoing=False, final=True).verdict is Verdict.INCONCLUSIVE
