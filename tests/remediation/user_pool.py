"""A user pool in memory, behind a real client: every request is checked against botocore's model.

It refuses what Cognito refuses and the local engine does not: a reset of a user who is disabled or
has never signed in.
"""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
POOL_ID = "us-east-1_Pool"
ARN = f"arn:aws:cognito-idp:us-east-1:123456789012:userpool/{POOL_ID}"
CLIENT_SECRET = "planted-client-secret"


class _Http:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


class CognitoError(Exception):
    pass


class FakePool:
    """One pool whose users sign in with their e-mail address.

    `errors` fails the next call of an operation, before or (`after:`) with its effect; `calls` are
    those made, as IAM names them; `now` is Cognito's clock.
    """

    def __init__(self, **description: Any) -> None:
        self.description = {"Id": POOL_ID, "UsernameAttributes": ["email"], **description}
        self.users: dict[str, dict[str, Any]] = {}
        self.groups = {"Analysts", "Editors"}
        self.app_clients: list[dict[str, Any]] = []
        self.errors: dict[str, str] = {}
        self.calls: list[str] = []
        self.signed_out: list[str] = []
        self.now = NOON + timedelta(seconds=5)
        self.client = boto3.client(
            "cognito-idp",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.client.meta.events.register("before-call.cognito-identity-provider", self._answer)

    def add(self, address: str, **overrides: Any) -> dict[str, Any]:
        """A user that is there."""
        verified = overrides.pop("verified", True)
        username = overrides.pop("username", str(uuid.UUID(int=len(self.users) + 1)))
        user = {
            "Username": username,
            "UserStatus": "CONFIRMED",
            "Enabled": True,
            "UserCreateDate": NOON - timedelta(days=9),
            "UserLastModifiedDate": NOON - timedelta(days=1),
            "UserAttributes": [
                {"Name": "email", "Value": address},
                {"Name": "email_verified", "Value": str(verified).lower()},
            ],
            "groups": [],
            **overrides,
        }
        self.users[username] = user
        return user

    def find(self, name: str) -> dict[str, Any] | None:
        for user in self.users.values():
            addresses = [a["Value"] for a in user["UserAttributes"] if a["Name"] == "email"]
            if name in (user["Username"], *addresses):
                return user
        return None

    def _answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[_Http, dict[str, Any]]:
        self.calls.append(f"cognito-idp:{model.name}")
        given = json.loads(params["body"])
        try:
            self._fail(model.name)
            answer = getattr(self, f"_{model.name}")(given)
            self._fail(f"after:{model.name}")
        except CognitoError as error:
            return _Http(400), {
                "Error": {"Code": str(error), "Message": "why"},
                "ResponseMetadata": {},
            }
        return _Http(200), {"ResponseMetadata": {}, **(answer or {})}

    def _fail(self, key: str) -> None:
        if key in self.errors:
            raise CognitoError(self.errors.pop(key))

    def _user(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.find(given["Username"])
        if found is None:
            raise CognitoError("UserNotFoundException")
        return found

    def _touch(self, user: dict[str, Any], **values: Any) -> None:
        user.update(values, UserLastModifiedDate=self.now)

    # --- operations ---

    def _DescribeUserPool(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {"UserPool": self.description}

    def _GetGroup(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["GroupName"] not in self.groups:
            raise CognitoError("ResourceNotFoundException")
        return {"Group": {"GroupName": given["GroupName"]}}

    def _AdminGetUser(self, given: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in self._user(given).items() if k != "groups"}

    def _AdminListGroupsForUser(self, given: dict[str, Any]) -> dict[str, Any]:
        # One on a page, so that nobody forgets the next page.
        groups = self._user(given)["groups"]
        start = int(given.get("NextToken", 0))
        page = {"Groups": [{"GroupName": g} for g in groups[start : start + 1]]}
        return page | ({"NextToken": str(start + 1)} if start + 1 < len(groups) else {})

    def _AdminCreateUser(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.find(given["Username"])
        if given.get("MessageAction") == "RESEND":
            self._touch(self._user(given))
            return {}
        if found is not None:
            raise CognitoError("UsernameExistsException")
        self.add(
            given["Username"],
            verified=False,
            UserStatus="FORCE_CHANGE_PASSWORD",
            UserCreateDate=self.now,
            UserLastModifiedDate=self.now,
        )
        return {}

    def _AdminDeleteUser(self, given: dict[str, Any]) -> None:
        del self.users[self._user(given)["Username"]]

    def _AdminAddUserToGroup(self, given: dict[str, Any]) -> None:
        self._user(given)["groups"].append(given["GroupName"])

    def _AdminDisableUser(self, given: dict[str, Any]) -> None:
        self._touch(self._user(given), Enabled=False)

    def _AdminEnableUser(self, given: dict[str, Any]) -> None:
        self._touch(self._user(given), Enabled=True)

    def _AdminUserGlobalSignOut(self, given: dict[str, Any]) -> None:
        self.signed_out.append(self._user(given)["Username"])

    def _AdminResetUserPassword(self, given: dict[str, Any]) -> None:
        user = self._user(given)
        if not user["Enabled"] or user["UserStatus"] == "FORCE_CHANGE_PASSWORD":
            raise CognitoError("NotAuthorizedException")
        self._touch(user, UserStatus="RESET_REQUIRED")

    def _ListUserPoolClients(self, given: dict[str, Any]) -> dict[str, Any]:
        listed = [{"ClientId": c["ClientId"]} for c in self.app_clients]
        return {"UserPoolClients": listed[: given["MaxResults"]]}

    def _DescribeUserPoolClient(self, given: dict[str, Any]) -> dict[str, Any]:
        (found,) = [c for c in self.app_clients if c["ClientId"] == given["ClientId"]]
        return {"UserPoolClient": {"ClientSecret": CLIENT_SECRET, **found}}


def calls_made(pool: FakePool, act: Callable[[], object]) -> list[str]:
    """The IAM actions that something needs."""
    pool.calls.clear()
    act()
    return sorted(set(pool.calls))
