"""Users of Cognito user pools: who is there, and the calls that invite, disable or reset them.

Nothing here ever sees a password: Cognito makes temporary ones up and sends them itself.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from lambdas.remediation.contracts import PlannedCall, iso, parse_time
from lambdas.remediation.errors import (
    ChangeFailedError,
    InvalidRequestError,
    TargetNotFoundError,
)
from lambdas.remediation.frozen import Frozen
from lambdas.remediation.resources.client_errors import changing, reading

CREATE = "cognito-idp:AdminCreateUser"
ADD_TO_GROUP = "cognito-idp:AdminAddUserToGroup"
DISABLE = "cognito-idp:AdminDisableUser"
SIGN_OUT = "cognito-idp:AdminUserGlobalSignOut"
RESET = "cognito-idp:AdminResetUserPassword"
CREATED, MODIFIED = "UserCreateDate", "UserLastModifiedDate"
# UserStatusType of the user pools API.
INVITED, CONFIRMED, RESET_REQUIRED = "FORCE_CHANGE_PASSWORD", "CONFIRMED", "RESET_REQUIRED"
# Amazon Cognito user pools API Reference, AdminCreateUser: Username.
_MAX_USERNAME = 128
_PAGE = 60
_UNITS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
_DEFAULT_TOKEN_SECONDS = 3_600


class UserPool(Frozen):
    """A user pool, as far as it says who can sign in by what and recover how.

    Parameters
    ----------
    username_attributes
        What a user signs in with instead of a username: `email`, `phone_number`.
    alias_attributes
        What a user may sign in with beside a username.
    recovery
        Ways back for a user who forgot a password; None where the pool has Cognito's default.
    first_factors
        What a sign-in may begin with; empty where that is a password only.
    """

    pool_id: str
    username_attributes: tuple[str, ...] = ()
    alias_attributes: tuple[str, ...] = ()
    recovery: tuple[str, ...] | None = None
    first_factors: tuple[str, ...] = ()


class User(Frozen):
    """A user. `username` is Cognito's own: made up where people sign in with an e-mail address."""

    username: str
    status: str
    enabled: bool
    created_at: datetime
    modified_at: datetime
    email: str | None = None
    email_verified: bool = False
    phone_number: str | None = None
    phone_number_verified: bool = False


class AppClient(Frozen):
    """An app client of a pool, and how long the tokens it hands out are good for."""

    name: str
    access_seconds: int
    id_seconds: int


# --- the calls ---


def create_user(
    pool_arn: str, username: str, *, not_before: datetime, not_after: datetime
) -> PlannedCall:
    """The call that creates and invites a user; its inverse deletes the user it created.

    The user has no id before the call. What tells it from one of the same name that somebody else
    creates later, or had created before, is when it was created: within the life of the run.
    """
    return PlannedCall(
        api=CREATE,
        resource=pool_arn,
        arguments={
            "Username": username,
            "UserAttributes": [{"Name": "email", "Value": username}],
            "DesiredDeliveryMediums": ["EMAIL"],
        },
        before={username: None},
        after={username: {CREATED: f"{iso(not_before)}/{iso(not_after)}"}},
    )


def add_to_group(pool_arn: str, username: str, group: str) -> PlannedCall:
    """The call that adds a new user to a group; whoever deletes the user takes it back too."""
    return PlannedCall(
        api=ADD_TO_GROUP,
        resource=pool_arn,
        arguments={"Username": username, "GroupName": group},
        before={username: {"Groups": {group: False}}},
        after={username: {"Groups": {group: True}}},
        reversible=False,
    )


def disable_user(pool_arn: str, username: str) -> PlannedCall:
    """The call that disables a user; its inverse enables the user again."""
    return PlannedCall(
        api=DISABLE,
        resource=pool_arn,
        arguments={"Username": username},
        before={username: {"Enabled": True}},
        after={username: {"Enabled": False}},
    )


def sign_out(pool_arn: str, username: str) -> PlannedCall:
    """The call that ends all sessions of a user."""
    return PlannedCall(
        api=SIGN_OUT,
        resource=pool_arn,
        arguments={"Username": username},
        before={username: {"Sessions": "open"}},
        after={username: {"Sessions": "ended"}},
        reversible=False,
    )


def reset_password(pool_arn: str, user: User) -> PlannedCall:
    """The call that makes a user choose a new password, with a code that Cognito sends."""
    before = {MODIFIED: iso(user.modified_at)}
    after = {MODIFIED: _later(user.modified_at)}
    if user.status != RESET_REQUIRED:
        before["UserStatus"] = user.status
        after["UserStatus"] = RESET_REQUIRED
    return PlannedCall(
        api=RESET,
        resource=pool_arn,
        arguments={"Username": user.username},
        before={user.username: before},
        after={user.username: after},
        reversible=False,
    )


def invite_again(pool_arn: str, user: User, *, sign_in_name: str, medium: str) -> PlannedCall:
    """The call that sends an invited user a new temporary password.

    Parameters
    ----------
    sign_in_name
        What AdminCreateUser takes for this user: in a pool without usernames, the address.
    medium
        `EMAIL` or `SMS`.
    """
    return PlannedCall(
        api=CREATE,
        resource=pool_arn,
        arguments={
            "Username": sign_in_name,
            "MessageAction": "RESEND",
            "DesiredDeliveryMediums": [medium],
        },
        before={user.username: {MODIFIED: iso(user.modified_at)}},
        after={user.username: {MODIFIED: _later(user.modified_at)}},
        reversible=False,
    )


def checked_username(given: str | None) -> str:
    """The username that a person typed, if it can be one.

    Raises
    ------
    InvalidRequestError
        There is none, or Cognito would not take it.
    """
    if not given:
        raise InvalidRequestError(
            "parameters.username: missing; the user: username, id, or e-mail address"
        )
    visible = given.isprintable() and not any(c.isspace() for c in given)
    if len(given) > _MAX_USERNAME or not visible:
        raise InvalidRequestError(
            f"parameters.username: must be at most {_MAX_USERNAME} characters without spaces"
        )
    return given


def username_of(call: PlannedCall) -> str:
    """The user that a call is about."""
    return next(iter(call.after))


class CognitoUsers:
    """Reads, invites, disables, signs out and resets users; deletes only what was just created.

    A runbook uses the one of its subclasses that makes its calls and no other.

    Parameters
    ----------
    client
        boto3 client of Cognito user pools.
    """

    service: ClassVar[str] = "cognito-idp"
    apis: ClassVar[tuple[str, ...]] = (CREATE, ADD_TO_GROUP, DISABLE, SIGN_OUT, RESET)
    # No API tells whether a user was signed out.
    unreadable: ClassVar[tuple[str, ...]] = (SIGN_OUT,)

    def __init__(self, client: Any) -> None:
        self._client = client

    def pool(self, pool_id: str) -> UserPool:
        """Describe a user pool.

        Raises
        ------
        TargetNotFoundError
            There is no such pool.
        """
        with reading(f"user pool {pool_id}"):
            found = self._client.describe_user_pool(UserPoolId=pool_id)["UserPool"]
        ways = found.get("AccountRecoverySetting", {}).get("RecoveryMechanisms")
        policies = found.get("Policies", {}).get("SignInPolicy", {})
        return UserPool(
            pool_id=pool_id,
            username_attributes=tuple(found.get("UsernameAttributes", ())),
            alias_attributes=tuple(found.get("AliasAttributes", ())),
            recovery=tuple(way["Name"] for way in ways) if ways else None,
            first_factors=tuple(policies.get("AllowedFirstAuthFactors", ())),
        )

    def user(self, pool_id: str, username: str) -> User | None:
        """A user by username, id or address; None if there is no such user."""
        try:
            with reading(f"user of {pool_id}"):
                found = self._client.admin_get_user(UserPoolId=pool_id, Username=username)
        except TargetNotFoundError:
            return None
        attributes = {a["Name"]: a.get("Value", "") for a in found.get("UserAttributes", ())}
        return User(
            username=found["Username"],
            status=found["UserStatus"],
            enabled=found["Enabled"],
            created_at=found["UserCreateDate"].astimezone(UTC),
            modified_at=found["UserLastModifiedDate"].astimezone(UTC),
            email=attributes.get("email"),
            email_verified=attributes.get("email_verified") == "true",
            phone_number=attributes.get("phone_number"),
            phone_number_verified=attributes.get("phone_number_verified") == "true",
        )

    def groups_of(self, pool_id: str, username: str) -> tuple[str, ...]:
        """Groups of a user, by name; none if there is no such user."""
        pages = self._client.get_paginator("admin_list_groups_for_user").paginate(
            UserPoolId=pool_id, Username=username
        )
        try:
            with reading(f"groups of a user of {pool_id}"):
                return tuple(
                    sorted(g["GroupName"] for page in pages for g in page.get("Groups", ()))
                )
        except TargetNotFoundError:
            return ()

    def group_exists(self, pool_id: str, group: str) -> bool:
        """Whether a (present) pool has a group of this name."""
        try:
            with reading(f"group {group} of {pool_id}"):
                self._client.get_group(UserPoolId=pool_id, GroupName=group)
        except TargetNotFoundError:
            return False
        return True

    def app_clients(self, pool_id: str, *, most: int) -> tuple[AppClient, ...]:
        """The first app clients of a pool, and how long their tokens are good for.

        A description holds the secret of the app client: it is dropped here.
        """
        with reading(f"app clients of {pool_id}"):
            listed = self._client.list_user_pool_clients(
                UserPoolId=pool_id, MaxResults=min(most, _PAGE)
            )["UserPoolClients"]
            return tuple(self._app_client(pool_id, found["ClientId"]) for found in listed)

    def _app_client(self, pool_id: str, client_id: str) -> AppClient:
        found = self._client.describe_user_pool_client(UserPoolId=pool_id, ClientId=client_id)[
            "UserPoolClient"
        ]
        return AppClient(
            name=found.get("ClientName") or client_id,
            access_seconds=_seconds(found, "Access"),
            id_seconds=_seconds(found, "Id"),
        )

    def present(self, call: PlannedCall) -> dict[str, Any]:
        """What the call changes about its user, as it is now."""
        username, pool_id = username_of(call), _pool_id(call)
        if call.api == SIGN_OUT:
            return {username: {"Sessions": "open"}}
        if call.api == ADD_TO_GROUP:
            (group,) = call.after[username]["Groups"]
            return {username: {"Groups": {group: group in self.groups_of(pool_id, username)}}}
        user = self.user(pool_id, username)
        if call.api == DISABLE:
            return {username: {"Enabled": user.enabled if user else None}}
        planned = call.after[username] or call.before[username]
        if CREATED in planned:
            return {username: {CREATED: _within(planned[CREATED], user)} if user else None}
        return {username: _moved(call.before[username], user)}

    def apply(self, call: PlannedCall) -> None:
        """Make the call, so that the present value becomes `call.after`.

        Raises
        ------
        ChangeFailedError
            Cognito does not accept the change, or could not deliver the invitation.
        ConcurrentChangeError
            Somebody else has created a user of that name.
        """
        username = username_of(call)
        who = {"UserPoolId": _pool_id(call), "Username": username}
        with changing(call, self.present):
            if call.api == DISABLE:
                enable = call.after[username]["Enabled"]
                act = self._client.admin_enable_user if enable else self._client.admin_disable_user
                act(**who)
            elif call.api == SIGN_OUT:
                self._client.admin_user_global_sign_out(**who)
            elif call.api == RESET:
                self._client.admin_reset_user_password(**who)
            elif call.api == ADD_TO_GROUP:
                (group,) = call.after[username]["Groups"]
                self._client.admin_add_user_to_group(**who, GroupName=group)
            elif call.after[username] is None:
                self._client.admin_delete_user(**who)
            else:
                self._invite(call)

    def _invite(self, call: PlannedCall) -> None:
        if not call.arguments:
            # Taking a deletion back: whoever is created now is somebody else to Cognito.
            raise ChangeFailedError(f"{call.resource}: a deleted user cannot be brought back")
        try:
            self._client.admin_create_user(UserPoolId=_pool_id(call), **call.arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] != "CodeDeliveryFailureException":
                raise
            # Whether there is a user now or not: nobody got the way in.
            raise ChangeFailedError(
                f"{call.resource}: Cognito could not deliver the message; look at the e-mail and "
                "SMS settings of the user pool"
            ) from error


class NewUsers(CognitoUsers):
    """Users as far as they are created."""

    apis: ClassVar[tuple[str, ...]] = (CREATE, ADD_TO_GROUP)


class UsersToDisable(CognitoUsers):
    """Users as far as they are disabled."""

    apis: ClassVar[tuple[str, ...]] = (DISABLE, SIGN_OUT)


class UsersToReset(CognitoUsers):
    """Users as far as their passwords are reset."""

    apis: ClassVar[tuple[str, ...]] = (RESET, CREATE, SIGN_OUT)


def _pool_id(call: PlannedCall) -> str:
    return call.resource.rpartition("/")[2]


def _later(moment: datetime) -> str:
    return f"later than {iso(moment)}"


def _within(interval: str, user: User) -> str:
    """The interval if the user was created in it, else when that was."""
    start, _, end = interval.partition("/")
    created = iso(user.created_at)
    return interval if start <= created <= end else created


def _moved(before: Mapping[str, Any], user: User | None) -> dict[str, Any] | None:
    """Present values of the keys of `before`."""
    if user is None:
        return None
    planned_on = parse_time(before[MODIFIED])
    later = parse_time(iso(user.modified_at)) > planned_on
    now = {
        MODIFIED: _later(planned_on) if later else iso(user.modified_at),
        "UserStatus": user.status,
    }
    return {key: now[key] for key in before}


def _seconds(client: Mapping[str, Any], kind: str) -> int:
    """How long a token is good for: hours, unless the client names another unit."""
    validity = client.get(f"{kind}TokenValidity")
    if not validity:
        return _DEFAULT_TOKEN_SECONDS
    unit = client.get("TokenValidityUnits", {}).get(f"{kind}Token", "hours")
    return int(validity) * _UNITS[unit]
