"""review_iam_permissions as declared: it asks first, and nobody can shorten what counts as use."""

from typing import Any

import pytest

from lambdas.remediation.contracts import Mode, RunbookRequest
from lambdas.remediation.errors import InvalidRequestError, TargetNotFoundError
from lambdas.remediation.platform import IamRole, Platform, RunbookSettings
from lambdas.remediation.request import read_request
from lambdas.runbooks.review_iam_permissions.runbook import RUNBOOK

PLATFORM = Platform(name="test", roles=(IamRole(role_name="chat"),))


def read(platform: Platform = PLATFORM, **given: Any) -> RunbookRequest:
    return read_request(
        RUNBOOK, platform, "remediation", {"target": {"role_name": "chat"}, **given}
    )


def test_asks_first_after_a_first_deploy():
    assert read().mode is Mode.PROPOSE
    assert read(mode="observe").mode is Mode.OBSERVE
    with pytest.raises(InvalidRequestError, match="act is above the ceiling propose"):
        read(mode="act")


def test_platform_can_have_reports_only():
    settings = {RUNBOOK.name: RunbookSettings(mode=Mode.OBSERVE)}
    platform = Platform(name="test", roles=PLATFORM.roles, runbooks=settings)
    assert read(platform).mode is Mode.OBSERVE


def test_actions_can_be_kept():
    assert read(parameters={"keep": ["s3:Get*"]}).parameters == {"keep": ["s3:Get*"]}


@pytest.mark.parametrize(
    "parameters", [{"keep": "s3:Get*"}, {"unused_days": 1}, {"edit_deployed_roles": True}], ids=str
)
def test_nobody_can_have_more_taken_out(parameters):
    with pytest.raises(InvalidRequestError):
        read(parameters=parameters)


def test_other_roles_are_refused():
    with pytest.raises(TargetNotFoundError, match=r"'admin' is not in platform\.json"):
        read(target={"role_name": "admin"})


def test_drift_is_not_allowed_by_default():
    assert RUNBOOK.options_for(PLATFORM) == {"edit_deployed_roles": False}
    assert RUNBOOK.schedulable is True
