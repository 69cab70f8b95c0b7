"""create_user on the deployed product: invited, undone, refused, rolled back, with its roles."""

import pytest

from tests.e2e.product import Product
from tests.e2e.test_dynamodb_throttling_iam import role_of, without
from tests.e2e.user_pools import GROUP, People, pool_ids

pytestmark = pytest.mark.engine
IDS = pool_ids("Create", 8)
ADDRESS = "new.colleague@example.com"
GIVEN = {"username": ADDRESS, "groups": [GROUP]}


def create(people: People, **given):
    return people.run("create-user", **({"parameters": GIVEN} | given))


def test_user_is_invited_added_to_its_group_and_deleted_by_undo(product: Product) -> None:
    people = People(product, IDS[0])
    answer = create(people)
    there = (people.status(ADDRESS), people.groups(ADDRESS))
    undone = people.run("create-user", undo=answer["run_id"])
    assert (answer["outcome"], there) == ("verified", ((True, "FORCE_CHANGE_PASSWORD"), [GROUP]))
    assert [c["api"] for c in answer["changes"]] == [
        "cognito-idp:AdminCreateUser",
        "cognito-idp:AdminAddUserToGroup",
    ]
    assert (undone["outcome"], people.user(ADDRESS)) == ("verified", None)


def test_mailed_password_is_nowhere_in_what_is_kept_of_the_run(product: Product) -> None:
    people = People(product, IDS[1])
    answer = create(people, parameters={"username": "invited@example.com"})
    (mail,) = people.mails("invited@example.com")
    password = mail.partition("password is ")[2].rstrip(".")
    kept = people.kept(answer)
    assert answer["outcome"] == "verified"
    assert len(password) == 12
    assert "invited@example.com" in kept
    assert password not in kept


def test_observe_creates_nobody(product: Product) -> None:
    people = People(product, IDS[2])
    answer = create(people, mode="observe")
    assert answer["outcome"] == "proposed"
    assert answer["plan"]["calls"][0]["arguments"] == {
        "Username": ADDRESS,
        "UserAttributes": [{"Name": "email", "Value": ADDRESS}],
        "DesiredDeliveryMediums": ["EMAIL"],
    }
    assert people.user(ADDRESS) is None


def test_user_that_exists_is_refused_and_not_touched(product: Product) -> None:
    people = People(product, IDS[3])
    people.sign_up(ADDRESS)
    before = people.user(ADDRESS)
    answer = create(people)
    after = people.user(ADDRESS)
    assert answer["outcome"] == "refused"
    assert "exists already (CONFIRMED) and is not touched" in answer["reason"]
    assert after["UserLastModifiedDate"] == before["UserLastModifiedDate"]
    assert people.groups(ADDRESS) == []


def test_user_that_has_signed_in_is_not_deleted_by_undo(product: Product) -> None:
    people = People(product, IDS[4])
    answer = create(people)
    people.cognito.admin_set_user_password(
        UserPoolId=people.pool_id, Username=ADDRESS, Password="Chosen-Passw0rd", Permanent=True
    )
    undone = people.run("create-user", undo=answer["run_id"])
    assert (undone["outcome"], people.status(ADDRESS)) == ("refused", (True, "CONFIRMED"))
    assert "use disable_user" in undone["reason"]


def test_undo_of_a_user_that_is_gone_is_refused(product: Product) -> None:
    people = People(product, IDS[5])
    answer = create(people, parameters={"username": ADDRESS})
    people.cognito.admin_delete_user(UserPoolId=people.pool_id, Username=ADDRESS)
    undone = people.run("create-user", undo=answer["run_id"])
    assert (answer["outcome"], undone["outcome"]) == ("verified", "refused")
    assert undone["reason"].startswith("undo: nothing of run")


def test_user_and_group_with_the_deployed_roles(enforced: Product) -> None:
    people = People(enforced, IDS[6])
    answer = create(people)
    undone = people.run("create-user", undo=answer["run_id"])
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified"), answer["reason"]
    assert people.user(ADDRESS) is None


def test_user_that_cannot_be_added_to_its_group_is_deleted(enforced: Product) -> None:
    people = People(enforced, IDS[7])
    change = role_of(enforced, "create_user.handler.change")
    with without(enforced, change, "cognito-idp:AdminAddUserToGroup"):
        answer = create(people)
    assert (answer["error"], people.user(ADDRESS)) == ("rolled_back", None)
    enforced.delete_item("BREAKER#create_user")
