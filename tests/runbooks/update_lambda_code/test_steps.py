"""Steps of update_lambda_code in the order of its machine, and what crosses them."""

import dataclasses

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import Kind, Plan, Prepared, Verdict
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    RollbackFailedError,
)
from lambdas.runbooks.update_lambda_code import steps
from lambdas.runbooks.update_lambda_code.runbook import RUNBOOK
from tests.remediation.release_run import EARLY, LAST, ReleaseRun
from tests.remediation.release_service import ONE, TWO

FUNCTION = {
    "function_name": "chat",
    "alias": "live",
    "code_bucket": "packages",
    "smoke_event": {"path": "/health"},
}


class Cloud(ReleaseRun):
    """The function, and its package in S3."""

    def __init__(self, head, use_platform) -> None:
        super().__init__(
            RUNBOOK,
            steps,
            first="update_code",
            parameters={"key": "chat/2.zip", "version_id": "v2", "sha256": TWO},
        )
        self.use_platform = use_platform
        head.will_answer(*[{"ContentLength": 1_000}] * 3)
        self.function()

    def function(self, **changed) -> None:
        kept = {k: v for k, v in {**FUNCTION, **changed}.items() if v is not None}
        self.use_platform(functions=[kept])

    def plan(self) -> Plan:
        prepared: Prepared = self.step("prepare")
        return prepared.plan


@pytest.fixture
def cloud(environment, use_platform, clock, calls_of) -> Cloud:
    return Cloud(calls_of("s3", "HeadObject"), use_platform)


def test_goes_from_the_package_to_all_the_traffic(cloud):
    plan = cloud.plan()
    change = cloud.step("update_code", plan)
    settled = cloud.step("check_code", plan, attempt=EARLY)
    change = cloud.step("publish_version", plan, change=change)
    proven = cloud.step("check_version", plan, attempt=EARLY)
    before_canary = cloud.service.served
    change = cloud.step("start_canary", plan, change=change)
    shared = cloud.service.served
    canary = cloud.step("check_canary", plan, change=change, attempt=LAST)
    change = cloud.step("shift_traffic", plan, change=change)
    verified = cloud.step("verify", plan, change=change, attempt=LAST)

    assert [v.verdict for v in (settled, proven, canary, verified)] == [
        Verdict.PASSED,
        Verdict.PASSED,
        Verdict.INCONCLUSIVE,
        Verdict.PASSED,
    ]
    assert (before_canary, shared, cloud.service.served) == (
        ("7", {}),
        ("7", {"8": 0.1}),
        ("8", {}),
    )
    assert [c.api for c in change.calls] == [
        "lambda:UpdateFunctionCode",
        "lambda:PublishVersion",
        "lambda:UpdateAlias",
        "lambda:UpdateAlias",
    ]


def test_each_changing_step_may_be_repeated(cloud):
    plan = cloud.plan()
    for name in ("update_code", "publish_version", "start_canary", "shift_traffic"):
        for _ in range(2):
            cloud.step(name, plan)

    assert cloud.service.changing() == [
        "UpdateFunctionCode",
        "PublishVersion",
        "UpdateAlias",
        "UpdateAlias",
    ]


def test_looking_changes_nothing(cloud):
    cloud.plan()

    assert cloud.service.changing() == []


def test_the_test_invocation_goes_to_the_version_before_it_serves(cloud):
    plan = cloud.plan()
    cloud.until("publish_version", plan)
    cloud.step("check_version", plan, attempt=EARLY)

    asked = cloud.service.asked("Invoke")
    assert (asked["Qualifier"], asked["Payload"]) == ("8", b'{"path":"/health"}')
    assert cloud.service.served == ("7", {})


def test_a_version_that_raises_is_stopped_and_says_what_stays(cloud):
    plan = cloud.plan()
    cloud.until("publish_version", plan)
    cloud.service.answers["8"] = {"FunctionError": "Unhandled"}

    with pytest.raises(ChangeFailedError) as caught:
        cloud.step("check_version", plan, attempt=EARLY)
    assert str(caught.value) == (
        "version 8 is Active; the smoke invocation of version 8 failed (Unhandled); "
        "the unpublished code ($LATEST) stays as it is now: no alias serves it, but whoever "
        "publishes next releases it; to put the code of version 7 there, release its package with "
        'update_lambda_code, or: curl -so code.zip "$(aws lambda get-function --function-name chat '
        '--qualifier 7 --query Code.Location --output text)" && aws lambda update-function-code '
        "--function-name chat --zip-file fileb://code.zip"
    )


def test_a_package_of_other_code_is_found_out_before_it_is_published(cloud):
    plan = cloud.plan()
    cloud.service.packages["chat/2.zip"] = ONE[::-1]
    cloud.step("update_code", plan)

    with pytest.raises(ChangeFailedError) as caught:
        cloud.step("check_code", plan, attempt=EARLY)
    assert f"not with code {TWO}" in str(caught.value)


def test_code_that_somebody_else_put_there_is_not_published(cloud):
    plan = cloud.plan()
    cloud.step("update_code", plan)
    cloud.service.touch(CodeSha256=ONE)

    with pytest.raises(ConcurrentChangeError):
        cloud.step("publish_version", plan)
    assert list(cloud.service.versions) == ["7"]


@pytest.mark.parametrize("last", ["publish_version", "start_canary", "shift_traffic"])
def test_roll_back_gives_all_the_traffic_to_the_old_version(cloud, last):
    plan = cloud.plan()
    cloud.until(last, plan)
    back = cloud.step("roll_back", plan)

    assert cloud.service.served == ("7", {})
    assert [c.api for c in back.calls] == ["lambda:UpdateAlias"]
    assert back.calls[0].after == {"FunctionVersion": "7", "AdditionalVersionWeights": {}}


def test_roll_back_of_nothing_says_so(cloud):
    assert cloud.step("roll_back", cloud.plan()).calls == []


@pytest.mark.parametrize("last", ["start_canary", "shift_traffic"])
def test_roll_back_leaves_an_alias_that_somebody_moved(cloud, last):
    plan = cloud.plan()
    cloud.until(last, plan)
    cloud.service.point("7", v8=0.3)

    with pytest.raises(RollbackFailedError):
        cloud.step("roll_back", plan)
    assert cloud.service.served == ("7", {"8": 0.3})


def test_a_canary_that_somebody_moved_is_not_given_all_the_traffic(cloud):
    plan = cloud.plan()
    change = cloud.until("start_canary", plan)
    cloud.service.point("7")

    with pytest.raises(ConcurrentChangeError):
        cloud.step("shift_traffic", plan, change=change)
    assert cloud.service.served == ("7", {})


def test_failing_canary_is_counted_by_its_own_version(cloud, clock):
    plan = cloud.plan()
    change = cloud.until("start_canary", plan)
    for name, value in (("Invocations", 10), ("Errors", 2)):
        clients.client("cloudwatch").put_metric_data(
            Namespace="AWS/Lambda",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [
                        {"Name": "FunctionName", "Value": "chat"},
                        {"Name": "Resource", "Value": "chat:live"},
                        {"Name": "ExecutedVersion", "Value": "8"},
                    ],
                    "Timestamp": clock.now(),
                    "Value": value,
                }
            ],
        )

    with pytest.raises(ChangeFailedError) as caught:
        cloud.step("check_canary", plan, change=change, attempt=EARLY)
    assert "2 of 10 invocations failed of the new version" in str(caught.value)


def test_an_alias_that_somebody_moved_is_not_verified(cloud):
    plan = cloud.plan()
    change = cloud.until("shift_traffic", plan)
    cloud.service.point("7")
    judged = cloud.step("verify", plan, change=change, attempt=EARLY)

    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.reason == "someone else has moved the alias to version 7 since"


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("alias", "set functions[].alias"),
        ("code_bucket", "set functions[].code_bucket"),
        ("smoke_event", "set functions[].smoke_event"),
    ],
)
def test_what_the_platform_file_lacks_is_refused_with_the_fix(cloud, missing, told):
    cloud.function(**{missing: None})

    with pytest.raises(PrerequisiteNotMetError) as caught:
        cloud.plan()
    assert told in str(caught.value)


def test_undo_needs_a_version_that_can_serve(cloud):
    plan = cloud.plan()
    back = Plan(decision=plan.decision, reason="", calls=[plan.calls[-1].inverse()])
    cloud.step("check_undo", back)
    cloud.service.versions["7"]["State"] = "Failed"

    with pytest.raises(PrerequisiteNotMetError) as failed:
        cloud.step("check_undo", back)
    del cloud.service.versions["7"]
    with pytest.raises(PrerequisiteNotMetError) as deleted:
        cloud.step("check_undo", back)
    assert "version 7 is Failed" in str(failed.value)
    assert "version 7 is deleted" in str(deleted.value)


def undone(cloud, plan: Plan):
    """What the undo of the run says of itself, once the alias is back."""
    cloud.step("roll_back", plan)
    cloud.run = dataclasses.replace(cloud.run, kind=Kind.UNDO)
    back = Plan(decision=plan.decision, reason="", calls=[plan.calls[-1].inverse()])
    return cloud.step("verify", back, attempt=LAST)


def test_an_undo_says_that_the_undone_code_would_be_published_next(cloud):
    plan = cloud.plan()
    cloud.until("shift_traffic", plan)
    judged = undone(cloud, plan)

    assert judged.verdict is Verdict.PASSED
    assert judged.reason.startswith(
        f"the alias is where it was; the unpublished code ($LATEST) is still {TWO}, not that of "
        "version 7: whoever publishes next releases it, and update_lambda_environment refuses; "
        "to put the code of version 7 there, release its package with update_lambda_code, or: curl"
    )


def test_an_undo_says_nothing_once_the_code_was_put_back(cloud):
    plan = cloud.plan()
    cloud.until("shift_traffic", plan)
    cloud.service.touch(CodeSha256=ONE)

    assert undone(cloud, plan).reason == "everything is where it was"
