"""User pools of the engine tests, the mail that Cognito sends, and all that is kept of a run."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from local.engine.process import ACCOUNT_ID, REGION
from tests.e2e.product import Product, eventually

GROUP = "Analysts"
PASSWORD = "planted-Passw0rd!"


def pool_ids(word: str, count: int) -> list[str]:
    """Ids that look like those that Cognito makes up."""
    return [f"{REGION}_{word}{number:02}" for number in range(count)]


def listed(word: str, count: int) -> list[dict[str, Any]]:
    """The section of the platform file for these pools."""
    return [{"user_pool_id": pool_id, "groups": [GROUP]} for pool_id in pool_ids(word, count)]


class People:
    """A user pool that no other test uses: people sign in with their e-mail address."""

    def __init__(self, product: Product, pool_id: str, *, groups: tuple[str, ...] = (GROUP,)):
        self.product = product
        self.pool_id = pool_id
        self.target = {"user_pool_id": pool_id}
        self.arn = f"arn:aws:cognito-idp:{REGION}:{ACCOUNT_ID}:userpool/{pool_id}"
        self.cognito = product.client("cognito-idp")
        self.cognito.create_user_pool(
            PoolName=pool_id,
            UsernameAttributes=["email"],
            UserPoolTags={"ms-custom-id": pool_id},
        )
        for group in groups:
            self.cognito.create_group(UserPoolId=pool_id, GroupName=group)

    def invite(self, address: str) -> None:
        """What an administrator does."""
        self.cognito.admin_create_user(
            UserPoolId=self.pool_id,
            Username=address,
            UserAttributes=[
                {"Name": "email", "Value": address},
                {"Name": "email_verified", "Value": "true"},
            ],
            DesiredDeliveryMediums=["EMAIL"],
        )

    def sign_up(self, address: str) -> None:
        """A user who has chosen a password."""
        self.invite(address)
        self.cognito.admin_set_user_password(
            UserPoolId=self.pool_id, Username=address, Password=PASSWORD, Permanent=True
        )

    def user(self, address: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.cognito.admin_get_user(
                UserPoolId=self.pool_id, Username=address
            )
        except self.cognito.exceptions.UserNotFoundException:
            return None
        return found

    def status(self, address: str) -> tuple[bool, str] | None:
        """Whether the user is enabled, and its status; None if there is none."""
        found = self.user(address)
        return (found["Enabled"], found["UserStatus"]) if found else None

    def groups(self, address: str) -> list[str]:
        found = self.cognito.admin_list_groups_for_user(UserPoolId=self.pool_id, Username=address)
        return sorted(g["GroupName"] for g in found["Groups"])

    def mails(self, address: str) -> list[str]:
        """What Cognito has mailed to an address, oldest first."""
        url = f"{self.product.engine.url}/_ministack/ses/messages"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)["messages"].get(ACCOUNT_ID, [])
        return [str(m["BodyText"]) for m in found if address in m["To"]]

    def start(self, runbook: str, **given: Any) -> str:
        return self.product.start(
            {"target": self.target, **given} if "undo" not in given else given,
            machine=self.product.machine(runbook),
        )

    def run(self, runbook: str, **given: Any) -> dict[str, Any]:
        return self.product.ended(self.start(runbook, **given))

    def approved(self, runbook: str, **given: Any) -> dict[str, Any]:
        """A run that a person said yes to."""
        return self.product.ended(self.approve(runbook, self.start(runbook, **given)))

    def approve(self, runbook: str, execution: str) -> str:
        run_id = f"{runbook}:{execution.rpartition(':')[2]}"
        item = eventually(
            lambda: "approval_token" in (r := self.product.record(run_id)) and r, what="the token"
        )
        yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
        self.product.run(yes, machine=self.product.approve_machine)
        return execution

    def kept(self, answer: dict[str, Any]) -> str:
        """All that is kept of a run: its answer, record, messages and execution history."""
        record = self.product.client("dynamodb").get_item(
            TableName=self.product.run_table, Key={"pk": {"S": f"RUN#{answer['run_id']}"}}
        )["Item"]
        pages = self.product.client("stepfunctions").get_paginator("get_execution_history")
        history = [
            page["events"] for page in pages.paginate(executionArn=record["execution_arn"]["S"])
        ]
        messages = self.product.told(answer["run_id"])
        return json.dumps([answer, record, history, messages], default=str)
