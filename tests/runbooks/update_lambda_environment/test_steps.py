"""Steps of update_lambda_environment in order, and that no value crosses them."""

import dataclasses
import json

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import Kind, Prepared, Verdict, encode
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    RollbackFailedError,
)
from lambdas.runbooks.update_lambda_environment import steps
from lambdas.runbooks.update_lambda_environment.runbook import RUNBOOK
from tests.remediation.release_run import EARLY, LAST, ReleaseRun
from tests.remediation.release_service import FIRST, ONE, SECOND, TWO, SecretService

OLD = {"MODE": "old", "KEPT": "kept"}
NEW = {"KEPT": "kept", "MODE": "n3w-value", "ADDED": "add3d-value"}
FUNCTION = {
    "function_name": "chat",
    "alias": "live",
    "smoke_event": {"path": "/health"},
    "variables_secret_id": "chat/variables",
}


class Cloud(ReleaseRun):
    """The function, and the secret of its variables."""

    def __init__(self) -> None:
        super().__init__(
            RUNBOOK, steps, first="update_variables", parameters={"set": ["MODE", "ADDED"]}
        )
        self.secret = SecretService(clients.client("secretsmanager"))
        self.secret.texts[FIRST] = json.dumps({"MODE": "n3w-value", "ADDED": "add3d-value"})

    def prepared(self) -> Prepared:
        found: Prepared = self.step("prepare")
        return found


@pytest.fixture
def cloud(environment, use_platform, clock) -> Cloud:
    use_platform(functions=[FUNCTION])
    return Cloud()


def test_goes_from_the_secret_to_all_the_traffic_without_showing_a_value(cloud):
    prepared = cloud.prepared()
    plan = prepared.plan
    change = cloud.step("update_variables", plan)
    settled = cloud.step("check_variables", plan, attempt=EARLY)
    change = cloud.step("publish_version", plan, change=change)
    proven = cloud.step("check_version", plan, attempt=EARLY)
    change = cloud.step("start_canary", plan, change=change)
    change = cloud.step("shift_traffic", plan, change=change)
    verified = cloud.step("verify", plan, change=change, attempt=LAST)

    assert [v.verdict for v in (settled, proven, verified)] == [Verdict.PASSED] * 3
    assert (cloud.service.variables, cloud.service.served) == (NEW, ("8", {}))
    assert cloud.service.versions["8"]["Environment"]["Variables"] == NEW
    told = json.dumps(encode([prepared, change, settled, proven, verified]))
    assert [v for v in (*OLD.values(), *NEW.values()) if f'"{v}"' in told] == []
    assert "n3w-value" not in told
    assert "add3d-value" not in told


def test_each_changing_step_may_be_repeated(cloud):
    plan = cloud.prepared().plan
    for name in ("update_variables", "publish_version", "start_canary", "shift_traffic"):
        for _ in range(2):
            cloud.step(name, plan)

    assert cloud.service.changing() == [
        "UpdateFunctionConfiguration",
        "PublishVersion",
        "UpdateAlias",
        "UpdateAlias",
    ]


def test_looking_changes_nothing(cloud):
    cloud.prepared()

    assert cloud.service.changing() == []


def test_the_current_version_of_the_secret_is_pinned_by_the_plan(cloud):
    plan = cloud.prepared().plan
    cloud.secret.texts[SECOND] = json.dumps({"MODE": "newer", "ADDED": "newer"})
    cloud.step("update_variables", plan)

    assert plan.calls[0].after["Variables"]["secret_version"] == FIRST
    assert cloud.service.variables == NEW


def test_variables_that_no_version_keeps_are_published_before_they_are_changed(cloud):
    cloud.service.touch(Environment={"Variables": {"MODE": "drifted"}})
    plan = cloud.prepared().plan
    cloud.step("update_variables", plan)
    cloud.step("publish_version", plan)

    assert {v: d["Environment"]["Variables"] for v, d in cloud.service.versions.items()} == {
        "7": OLD,
        "8": {"MODE": "drifted"},
        "9": {"MODE": "n3w-value", "ADDED": "add3d-value"},
    }
    cloud.step("roll_back", plan)
    assert cloud.service.variables == {"MODE": "drifted"}


def test_variables_that_somebody_set_since_the_plan_are_not_changed(cloud):
    plan = cloud.prepared().plan
    cloud.service.touch(Environment={"Variables": {"MODE": "theirs"}})

    with pytest.raises(ConcurrentChangeError) as caught:
        cloud.step("update_variables", plan)
    assert caught.value.untouched is True
    assert cloud.service.changing() == []


def test_variables_that_somebody_set_after_the_change_are_not_published(cloud):
    plan = cloud.prepared().plan
    cloud.step("update_variables", plan)
    cloud.service.touch(Environment={"Variables": {"MODE": "theirs"}})

    with pytest.raises(ChangeFailedError):
        cloud.step("check_variables", plan, attempt=EARLY)
    with pytest.raises(ConcurrentChangeError):
        cloud.step("publish_version", plan)
    assert list(cloud.service.versions) == ["7"]


@pytest.mark.parametrize(
    "last", ["update_variables", "publish_version", "start_canary", "shift_traffic"]
)
def test_roll_back_brings_back_alias_and_variables(cloud, last):
    plan = cloud.prepared().plan
    cloud.until(last, plan)
    cloud.step("roll_back", plan)

    assert (cloud.service.variables, cloud.service.served) == (OLD, ("7", {}))


def test_the_alias_goes_back_before_the_variables(cloud):
    plan = cloud.prepared().plan
    cloud.until("shift_traffic", plan)
    back = cloud.step("roll_back", plan)

    assert [c.api for c in back.calls] == [
        "lambda:UpdateAlias",
        "lambda:UpdateFunctionConfiguration",
    ]


def test_roll_back_of_nothing_says_so(cloud):
    assert cloud.step("roll_back", cloud.prepared().plan).calls == []


def test_roll_back_where_the_record_was_never_published_changes_nothing(cloud):
    cloud.service.touch(Environment={"Variables": {"MODE": "drifted"}})
    plan = cloud.prepared().plan
    cloud.service.failing["PublishVersion"] = "InvalidParameterValueException"
    with pytest.raises(ChangeFailedError):
        cloud.step("update_variables", plan)

    assert cloud.step("roll_back", plan).calls == []
    assert cloud.service.variables == {"MODE": "drifted"}


def test_roll_back_does_not_overwrite_variables_that_somebody_set(cloud):
    plan = cloud.prepared().plan
    cloud.until("shift_traffic", plan)
    cloud.service.touch(Environment={"Variables": {"MODE": "theirs"}})

    with pytest.raises(RollbackFailedError) as caught:
        cloud.step("roll_back", plan)
    assert (cloud.service.variables, cloud.service.served) == ({"MODE": "theirs"}, ("7", {}))
    assert "theirs" not in str(caught.value)


def test_unpublished_code_is_not_released_with_the_variables(cloud):
    cloud.service.touch(CodeSha256=TWO)

    with pytest.raises(PrerequisiteNotMetError) as caught:
        cloud.prepared()
    assert str(caught.value) == (
        "function chat: the unpublished code ($LATEST) is not that of version 7, which live "
        "serves, and would be released with the variables: it was never released, or its release "
        "was taken back, which leaves it there. Release it with update_lambda_code first; or, to "
        "put the code of version 7 there, release its package with update_lambda_code, or: curl "
        '-so code.zip "$(aws lambda get-function --function-name chat --qualifier 7 --query '
        'Code.Location --output text)" && aws lambda update-function-code --function-name chat '
        "--zip-file fileb://code.zip"
    )


def test_variables_that_cannot_be_decrypted_stop_the_run(cloud):
    cloud.service.touch(Environment={"Error": {"ErrorCode": "AccessDeniedException"}})

    with pytest.raises(PrerequisiteNotMetError) as caught:
        cloud.prepared()
    assert "allow kms:Decrypt on its key first" in str(caught.value)


@pytest.mark.parametrize(("code", "told"), [(ONE, False), (TWO, True)])
def test_an_undo_says_when_other_code_than_what_serves_is_unpublished(cloud, code, told):
    plan = cloud.prepared().plan
    cloud.until("shift_traffic", plan)
    cloud.step("roll_back", plan)
    cloud.service.touch(CodeSha256=code)
    cloud.run = dataclasses.replace(cloud.run, kind=Kind.UNDO)
    back = [c.inverse() for c in reversed(plan.calls) if c.reversible]
    judged = cloud.step("verify", dataclasses.replace(plan, calls=back), attempt=LAST)

    assert judged.verdict is Verdict.PASSED
    assert ("($LATEST) is still" in judged.reason) is told
