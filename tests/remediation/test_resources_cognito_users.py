"""Users of a pool: what is read, the calls that are made, and what a lost answer leads to."""

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    InvalidRequestError,
    ResourceBusyError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.resources.cognito_users import (
    AppClient,
    CognitoUsers,
    User,
    UserPool,
    add_to_group,
    checked_username,
    create_user,
    disable_user,
    invite_again,
    reset_password,
    sign_out,
)
from tests.remediation.user_pool import ARN, CLIENT_SECRET, NOON, POOL_ID, FakePool

ADDRESS = "new@example.com"
LIFE = "2026-03-02T12:00:00.000Z/2026-03-02T13:00:00.000Z"
CREATE = create_user(ARN, ADDRESS, not_before=NOON, not_after=NOON + timedelta(hours=1))
JOIN = add_to_group(ARN, ADDRESS, "Analysts")


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def users(pool) -> CognitoUsers:
    return CognitoUsers(pool.client)


def test_calls_are_written_out():
    assert (CREATE.api, CREATE.resource, CREATE.before, CREATE.after, CREATE.reversible) == (
        "cognito-idp:AdminCreateUser",
        ARN,
        {ADDRESS: None},
        {ADDRESS: {"UserCreateDate": LIFE}},
        True,
    )
    # No MessageAction, no TemporaryPassword, no email_verified.
    assert CREATE.arguments == {
        "Username": ADDRESS,
        "UserAttributes": [{"Name": "email", "Value": ADDRESS}],
        "DesiredDeliveryMediums": ["EMAIL"],
    }
    assert (JOIN.before, JOIN.after, JOIN.reversible) == (
        {ADDRESS: {"Groups": {"Analysts": False}}},
        {ADDRESS: {"Groups": {"Analysts": True}}},
        False,
    )


class TestReading:
    def test_a_pool(self, pool, users):
        pool.description |= {
            "AliasAttributes": ["phone_number"],
            "AccountRecoverySetting": {
                "RecoveryMechanisms": [{"Priority": 1, "Name": "verified_email"}]
            },
            "Policies": {"SignInPolicy": {"AllowedFirstAuthFactors": ["PASSWORD"]}},
        }

        assert users.pool(POOL_ID) == UserPool(
            pool_id=POOL_ID,
            username_attributes=("email",),
            alias_attributes=("phone_number",),
            recovery=("verified_email",),
            first_factors=("PASSWORD",),
        )

    def test_a_pool_without_settings_of_its_own(self, users):
        found = users.pool(POOL_ID)

        assert (found.recovery, found.first_factors) == (None, ())

    def test_no_such_pool(self, pool, users):
        pool.errors["DescribeUserPool"] = "ResourceNotFoundException"

        with pytest.raises(TargetNotFoundError):
            users.pool(POOL_ID)

    def test_a_user_by_its_address(self, pool, users):
        pool.add(ADDRESS, username="u-1")

        assert users.user(POOL_ID, ADDRESS) == User(
            username="u-1",
            status="CONFIRMED",
            enabled=True,
            created_at=NOON - timedelta(days=9),
            modified_at=NOON - timedelta(days=1),
            email=ADDRESS,
            email_verified=True,
        )

    def test_nobody(self, users):
        assert users.user(POOL_ID, ADDRESS) is None
        assert users.groups_of(POOL_ID, ADDRESS) == ()

    def test_groups_of_all_pages(self, pool, users):
        pool.add(ADDRESS, groups=["Editors", "Analysts"])

        assert users.groups_of(POOL_ID, ADDRESS) == ("Analysts", "Editors")

    def test_whether_a_group_exists(self, users):
        assert users.group_exists(POOL_ID, "Analysts") is True
        assert users.group_exists(POOL_ID, "Admins") is False

    def test_app_clients_with_the_validity_of_their_tokens_and_without_their_secret(
        self, pool, users
    ):
        units = {"AccessToken": "minutes", "IdToken": "days"}
        pool.app_clients = [
            {"ClientId": "one", "ClientName": "web"},
            {"ClientId": "two", "AccessTokenValidity": 2, "IdTokenValidity": 3},
            {
                "ClientId": "three",
                "AccessTokenValidity": 5,
                "IdTokenValidity": 1,
                "TokenValidityUnits": units,
            },
        ]

        found = users.app_clients(POOL_ID, most=20)

        assert found == (
            AppClient(name="web", access_seconds=3_600, id_seconds=3_600),
            AppClient(name="two", access_seconds=7_200, id_seconds=10_800),
            AppClient(name="three", access_seconds=300, id_seconds=86_400),
        )
        assert CLIENT_SECRET not in repr(found)

    def test_no_more_app_clients_than_asked_for(self, pool, users):
        pool.app_clients = [{"ClientId": str(n)} for n in range(5)]

        assert len(users.app_clients(POOL_ID, most=2)) == 2

    def test_throttled(self, pool, users):
        pool.errors["AdminGetUser"] = "InternalErrorException"

        with pytest.raises(ThrottledError):
            users.user(POOL_ID, ADDRESS)


class TestCreate:
    def test_before_and_after(self, users):
        before = users.present(CREATE)
        users.apply(CREATE)

        assert (before, users.present(CREATE)) == (CREATE.before, CREATE.after)

    @pytest.mark.parametrize("offset", [timedelta(seconds=-1), timedelta(hours=1, seconds=1)])
    def test_a_user_created_before_or_after_the_run_is_not_its_own(self, pool, users, offset):
        pool.add(ADDRESS, UserCreateDate=NOON + offset)

        (found,) = users.present(CREATE).values()

        assert found["UserCreateDate"] not in (None, LIFE)

    def test_that_somebody_else_was_first_is_a_concurrent_change(self, pool, users):
        pool.add(ADDRESS)

        with pytest.raises(ConcurrentChangeError):
            users.apply(CREATE)

    def test_a_repeated_call_whose_first_answer_was_lost_is_no_failure(self, pool, users):
        users.apply(CREATE)
        users.apply(CREATE)

        assert len(pool.users) == 1

    @pytest.mark.parametrize("key", ["AdminCreateUser", "after:AdminCreateUser"])
    def test_an_invitation_that_could_not_be_delivered_is_a_failure(self, pool, users, key):
        """Also if the user is there now: nobody got the way in."""
        pool.errors[key] = "CodeDeliveryFailureException"

        with pytest.raises(ChangeFailedError) as caught:
            users.apply(CREATE)

        assert "could not deliver the message" in str(caught.value)

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("UserLambdaValidationException", ChangeFailedError),
            ("InvalidParameterException", ChangeFailedError),
            ("TooManyRequestsException", ThrottledError),
            ("AccessDeniedException", ClientError),
        ],
    )
    def test_refused(self, pool, users, code, error):
        pool.errors["AdminCreateUser"] = code

        with pytest.raises(error):
            users.apply(CREATE)

    def test_no_answer_and_no_effect_is_looked_at_again(self, pool, users):
        def lose(**_):
            raise ReadTimeoutError(endpoint_url="https://cognito-idp.us-east-1.amazonaws.com")

        pool.client.meta.events.register_first(
            "before-call.cognito-identity-provider.AdminCreateUser", lose
        )

        with pytest.raises(ResourceBusyError):
            users.apply(CREATE)

    def test_taken_back(self, pool, users):
        users.apply(CREATE)
        users.apply(CREATE.inverse())

        assert users.present(CREATE) == CREATE.before
        assert pool.users == {}

    def test_a_deleted_user_is_not_brought_back(self, users):
        with pytest.raises(ChangeFailedError):
            users.apply(CREATE.inverse().inverse())


def test_a_group_before_and_after(pool, users):
    pool.add(ADDRESS)
    before = users.present(JOIN)
    users.apply(JOIN)

    assert (before, users.present(JOIN)) == (JOIN.before, JOIN.after)


def test_disabled_and_enabled_again(pool, users):
    user = pool.add(ADDRESS, username="u-1")
    call = disable_user(ARN, "u-1")
    users.apply(call)
    disabled = (user["Enabled"], users.present(call))
    users.apply(call.inverse())

    assert disabled == (False, {"u-1": {"Enabled": False}})
    assert (user["Enabled"], users.present(call)) == (True, {"u-1": {"Enabled": True}})


def test_a_deleted_user_is_neither_enabled_nor_disabled(users):
    assert users.present(disable_user(ARN, "u-1")) == {"u-1": {"Enabled": None}}


def test_sign_out_leaves_nothing_to_read(pool, users):
    pool.add(ADDRESS, username="u-1")
    call = sign_out(ARN, "u-1")
    users.apply(call)

    assert pool.signed_out == ["u-1"]
    assert users.present(call) == call.before == {"u-1": {"Sessions": "open"}}
    assert call.api in users.unreadable


class TestReset:
    def test_of_a_confirmed_user(self, pool, users):
        pool.add(ADDRESS, username="u-1")
        call = reset_password(ARN, users.user(POOL_ID, ADDRESS))
        before = users.present(call)
        users.apply(call)

        assert before == call.before
        assert call.before == {
            "u-1": {"UserLastModifiedDate": "2026-03-01T12:00:00.000Z", "UserStatus": "CONFIRMED"}
        }
        assert users.present(call) == {
            "u-1": {
                "UserLastModifiedDate": "later than 2026-03-01T12:00:00.000Z",
                "UserStatus": "RESET_REQUIRED",
            }
        }

    def test_once_more(self, pool, users):
        pool.add(ADDRESS, username="u-1", UserStatus="RESET_REQUIRED")
        call = reset_password(ARN, users.user(POOL_ID, ADDRESS))
        before = users.present(call)
        users.apply(call)

        assert (before, users.present(call)) == (call.before, call.after)
        assert call.before == {"u-1": {"UserLastModifiedDate": "2026-03-01T12:00:00.000Z"}}

    def test_of_a_user_that_somebody_else_changed_is_neither_before_nor_after(self, pool, users):
        user = pool.add(ADDRESS, username="u-1")
        call = reset_password(ARN, users.user(POOL_ID, ADDRESS))
        user["UserLastModifiedDate"] = NOON

        assert users.present(call) not in (call.before, call.after)

    def test_of_a_user_that_is_gone(self, pool, users):
        pool.add(ADDRESS, username="u-1")
        call = reset_password(ARN, users.user(POOL_ID, ADDRESS))
        pool.users.clear()

        assert users.present(call) == {"u-1": None}

    def test_cognito_refuses_it_for_a_disabled_user(self, pool, users):
        user = pool.add(ADDRESS, username="u-1")
        call = reset_password(ARN, users.user(POOL_ID, ADDRESS))
        user["Enabled"] = False

        with pytest.raises(ChangeFailedError) as caught:
            users.apply(call)

        assert "NotAuthorizedException" in str(caught.value)

    def test_a_new_invitation(self, pool, users):
        pool.add(ADDRESS, username="u-1", UserStatus="FORCE_CHANGE_PASSWORD")
        call = invite_again(ARN, users.user(POOL_ID, ADDRESS), sign_in_name=ADDRESS, medium="EMAIL")
        before = users.present(call)
        users.apply(call)

        assert (before, users.present(call)) == (call.before, call.after)
        assert call.arguments == {
            "Username": ADDRESS,
            "MessageAction": "RESEND",
            "DesiredDeliveryMediums": ["EMAIL"],
        }
        assert len(pool.users) == 1


class TestCheckedUsername:
    def test_what_people_type(self):
        assert checked_username("a.b+c@example.com") == "a.b+c@example.com"

    def test_what_is_missing_is_said_to_be(self):
        with pytest.raises(InvalidRequestError) as caught:
            checked_username(None)

        assert str(caught.value) == (
            "parameters.username: missing; the user: username, id, or e-mail address"
        )

    @pytest.mark.parametrize("given", [None, "", "two words", "line\nbreak", "x" * 129])
    def test_what_cognito_would_not_take(self, given):
        with pytest.raises(InvalidRequestError) as caught:
            checked_username(given)

        assert str(caught.value).startswith("parameters.username: ")
