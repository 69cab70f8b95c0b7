"""disable_user on the deployed product.

The engine accepts a global sign-out and lets tokens work on: only the call is verified, as on AWS.
"""

import pytest

from tests.e2e.product import Product
from tests.e2e.test_dynamodb_throttling_iam import role_of, without
from tests.e2e.user_pools import People, pool_ids

pytestmark = pytest.mark.engine
IDS = pool_ids("Disable", 6)
ADDRESS = "former.colleague@example.com"
GIVEN = {"username": ADDRESS}


@pytest.fixture
def people(product: Product, request: pytest.FixtureRequest) -> People:
    made = People(product, request.param)
    made.sign_up(ADDRESS)
    return made


def disable(people: People, **given):
    return people.run("disable-user", **({"parameters": GIVEN} | given))


@pytest.mark.parametrize("people", [IDS[0]], indirect=True)
def test_user_is_disabled_and_enabled_by_undo(people: People) -> None:
    answer = disable(people)
    disabled = people.status(ADDRESS)
    undone = people.run("disable-user", undo=answer["run_id"])
    assert (answer["outcome"], disabled) == ("verified", (False, "CONFIRMED"))
    assert [c["api"] for c in answer["changes"]] == [
        "cognito-idp:AdminDisableUser",
        "cognito-idp:AdminUserGlobalSignOut",
    ]
    assert answer["verification"]["reason"] == (
        "the user is disabled, and Cognito has accepted its sign-out"
    )
    assert (undone["outcome"], people.status(ADDRESS)) == ("verified", (True, "CONFIRMED"))


@pytest.mark.parametrize("people", [IDS[1]], indirect=True)
def test_plan_tells_how_long_tokens_stay_good_and_no_client_secret(people: People) -> None:
    made = people.cognito.create_user_pool_client(
        UserPoolId=people.pool_id,
        ClientName="web",
        GenerateSecret=True,
        AccessTokenValidity=15,
        IdTokenValidity=90,
        TokenValidityUnits={"AccessToken": "minutes", "IdToken": "minutes"},
    )["UserPoolClient"]
    answer = disable(people, mode="observe")
    kept = people.kept(answer)
    assert (answer["outcome"], people.status(ADDRESS)) == ("proposed", (True, "CONFIRMED"))
    assert "stay good for up to 90 minutes" in answer["reason"]
    assert made["ClientSecret"] not in kept
    assert answer["run_id"] in kept


@pytest.mark.parametrize("people", [IDS[2]], indirect=True)
def test_disabled_user_is_refused(people: People) -> None:
    people.cognito.admin_disable_user(UserPoolId=people.pool_id, Username=ADDRESS)
    answer = disable(people)
    assert answer["outcome"] == "refused"
    assert answer["reason"] == f"nothing to do: user {ADDRESS} is disabled already"


@pytest.mark.parametrize("people", [IDS[3]], indirect=True)
def test_undo_is_refused_after_somebody_enabled_the_user(people: People) -> None:
    answer = disable(people)
    people.cognito.admin_enable_user(UserPoolId=people.pool_id, Username=ADDRESS)
    undone = people.run("disable-user", undo=answer["run_id"])
    assert (undone["outcome"], people.status(ADDRESS)) == ("refused", (True, "CONFIRMED"))


def test_disabled_and_enabled_with_the_deployed_roles(enforced: Product) -> None:
    people = People(enforced, IDS[4])
    people.sign_up(ADDRESS)
    answer = disable(people)
    undone = people.run("disable-user", undo=answer["run_id"])
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]


def test_user_that_cannot_be_signed_out_stays_disabled_and_a_person_is_told(
    enforced: Product,
) -> None:
    people = People(enforced, IDS[5])
    people.sign_up(ADDRESS)
    change = role_of(enforced, "disable_user.handler.change")
    with without(enforced, change, "cognito-idp:AdminUserGlobalSignOut"):
        answer = disable(people)
    (message,) = enforced.told(answer["run_id"])
    assert (answer["error"], people.status(ADDRESS)) == ("handed_over", (False, "CONFIRMED"))
    assert [c["api"] for c in answer["changes"]] == ["cognito-idp:AdminDisableUser"]
    assert answer["undo"] is not None
    assert message["severity"] == "page"
