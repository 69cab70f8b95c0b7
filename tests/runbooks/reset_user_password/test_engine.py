"""reset_user_password on the deployed product.

The engine resets users in any status and lets tokens work on after a global sign-out: that the
wrong status is refused is this runbook's own guard here.
"""

import pytest

from tests.e2e.product import Product
from tests.e2e.user_pools import People, pool_ids

pytestmark = pytest.mark.engine
IDS = pool_ids("Reset", 7)
ADDRESS = "colleague@example.com"
GIVEN = {"username": ADDRESS}
RESET = "reset-user-password"


def test_user_is_reset_after_a_yes_and_signed_out(product: Product) -> None:
    people = People(product, IDS[0])
    people.sign_up(ADDRESS)
    answer = people.approved(RESET, parameters=GIVEN, mode="propose")
    undone = people.run(RESET, undo=answer["run_id"])
    assert (answer["outcome"], people.status(ADDRESS)) == ("verified", (True, "RESET_REQUIRED"))
    assert [c["api"] for c in answer["changes"]] == [
        "cognito-idp:AdminResetUserPassword",
        "cognito-idp:AdminUserGlobalSignOut",
    ]
    assert (answer["undo"], undone["outcome"]) == (None, "refused")


def test_sessions_stay_open_if_asked(product: Product) -> None:
    people = People(product, IDS[1])
    people.sign_up(ADDRESS)
    answer = people.run(RESET, parameters=GIVEN | {"sign_out": False})
    assert answer["outcome"] == "verified"
    assert [c["api"] for c in answer["changes"]] == ["cognito-idp:AdminResetUserPassword"]


def test_invited_user_gets_a_new_invitation_and_nothing_kept_holds_the_password(
    product: Product,
) -> None:
    people = People(product, IDS[2])
    people.invite("invited.again@example.com")
    answer = people.run(RESET, parameters={"username": "invited.again@example.com"})
    mails = people.mails("invited.again@example.com")
    passwords = [m.partition("password is ")[2].rstrip(".") for m in mails]
    kept = people.kept(answer)
    assert answer["outcome"] == "verified"
    assert people.status("invited.again@example.com") == (True, "FORCE_CHANGE_PASSWORD")
    assert [len(p) for p in passwords] == [12, 12]
    assert "invited.again@example.com" in kept
    assert not [p for p in passwords if p in kept]


def test_observe_resets_nobody(product: Product) -> None:
    people = People(product, IDS[3])
    people.sign_up(ADDRESS)
    answer = people.run(RESET, parameters=GIVEN, mode="observe")
    assert (answer["outcome"], people.status(ADDRESS)) == ("proposed", (True, "CONFIRMED"))
    assert [c["reversible"] for c in answer["plan"]["calls"]] == [False, False]


def test_disabled_user_is_refused(product: Product) -> None:
    people = People(product, IDS[4])
    people.sign_up(ADDRESS)
    people.cognito.admin_disable_user(UserPoolId=people.pool_id, Username=ADDRESS)
    answer = people.run(RESET, parameters=GIVEN)
    assert (answer["outcome"], people.status(ADDRESS)) == ("refused", (False, "CONFIRMED"))
    assert answer["reason"] == f"user {ADDRESS} is disabled; enable it first"


def test_user_that_changed_since_the_plan_is_not_reset(product: Product) -> None:
    people = People(product, IDS[5])
    people.sign_up(ADDRESS)
    execution = people.start(RESET, parameters=GIVEN, mode="propose")
    product.wait_for_state(execution, "AwaitApproval")
    people.cognito.admin_disable_user(UserPoolId=people.pool_id, Username=ADDRESS)
    answer = product.ended(people.approve(RESET, execution))
    assert (answer["outcome"], people.status(ADDRESS)) == ("refused", (False, "CONFIRMED"))
    assert "changed since the plan was made" in answer["reason"]


def test_reset_and_new_invitation_with_the_deployed_roles(enforced: Product) -> None:
    people = People(enforced, IDS[6])
    people.sign_up(ADDRESS)
    people.invite("other@example.com")
    reset = people.approved(RESET, parameters=GIVEN, mode="propose")
    invited = people.run(RESET, parameters={"username": "other@example.com"})
    assert (reset["outcome"], invited["outcome"]) == ("verified", "verified"), reset["reason"]
