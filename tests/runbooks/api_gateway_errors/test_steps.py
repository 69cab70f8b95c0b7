"""Steps of api_gateway_errors against simulated AWS: what they call, change, raise and answer."""

import dataclasses
import threading
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from lambdas.remediation import clients, diagnosis
from lambdas.remediation.contracts import (
    Change,
    Decision,
    Execution,
    Kind,
    Mode,
    Plan,
    Prepared,
    Run,
    Trigger,
    Verdict,
    Verification,
    canonical_json,
    encode,
)
from lambdas.remediation.errors import (
    ChangeFailedError,
    ConcurrentChangeError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.ledger import ReleaseLedger
from lambdas.remediation.step import Attempt, call_step, resource, steps_of
from lambdas.runbooks.api_gateway_errors import steps
from lambdas.runbooks.api_gateway_errors.runbook import RUNBOOK
from tests.conftest import NOW
from tests.runbooks.api_gateway_errors.services import (
    FUNCTION_ARN,
    HTTP,
    HTTP_ARN,
    MINUTE,
    ORDERS,
    PLATFORM,
    REST_ARN,
    Services,
)

EARLY, LAST = Attempt(number=1, final=False), Attempt(number=15, final=True)
# The three minutes before the run, in which the stage answers with errors.
BAD = [NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW - MINUTE]
SECRET = "postgres://user:hunter2@db"


@pytest.fixture
def aws(environment, use_platform, clock) -> Services:
    use_platform(**PLATFORM)
    services = Services(clients.client)
    services.deployments = {
        "good": NOW - timedelta(days=9),
        "new": NOW - 10 * MINUTE,
        "canary": NOW - 10 * MINUTE,
    }
    return services


@pytest.fixture
def failing_stage(aws) -> Services:
    """A third of the requests fails; the function was reached by the others and is healthy."""
    aws.requests(BAD, failed=30)
    aws.invocations(BAD, count=70, failed=0)
    return aws


@pytest.fixture
def run() -> Run:
    return Run(
        id="api-gateway-errors:one",
        runbook="api_gateway_errors",
        kind=Kind.CHANGE,
        mode=Mode.ACT,
        trigger=Trigger.ALARM,
        target={"api_name": "chat-api"},
        target_arn=REST_ARN,
        parameters={},
        reason="",
        requested_by="alarm",
        execution=Execution(
            arn="arn:aws:states:us-east-1:123456789012:execution:remediation-x:one",
            name="one",
            started_at=NOW,
        ),
        lease_until=NOW + timedelta(hours=2),
        limits=RUNBOOK.limits.as_dict(),
    )


@pytest.fixture
def http_run(run) -> Run:
    return dataclasses.replace(run, target={"api_name": "http-api"}, target_arn=HTTP_ARN)


@pytest.fixture
def undo(run) -> Run:
    return dataclasses.replace(run, id="api-gateway-errors:two", kind=Kind.UNDO, undoes=run.id)


def note_release(arn: str, good: str, new: str) -> None:
    """What the poll has seen: the good release for days, the new one ten minutes ago."""
    ledger = resource(ReleaseLedger)
    ledger.note(arn, good, healthy=True, now=NOW - timedelta(days=3))
    ledger.note(arn, good, healthy=True, now=NOW - timedelta(hours=2))
    ledger.note(arn, new, healthy=False, now=NOW - 10 * MINUTE)


def prepare(run: Run) -> Prepared:
    return call_step(steps.prepare, run=run)


def verify(
    run: Run, plan: Plan, change: Change | None = None, attempt: Attempt = EARLY
) -> Verification:
    return call_step(steps.verify, run=run, plan=plan, change=change, attempt=attempt)


def hold(run: Run, change: Change | None = None) -> Verification:
    return call_step(steps.watch_hold, run=run, change=change)


def move(plan: Plan) -> Change:
    return call_step(steps.move_stage, plan=plan)


@pytest.fixture
def plan(failing_stage, run) -> Plan:
    """Moves the REST stage from `new` back to `good`."""
    note_release(REST_ARN, "good", "new")
    made = prepare(run).plan
    failing_stage.calls.clear()
    return made


@pytest.fixture
def http_plan(aws, http_run) -> Plan:
    """Moves the HTTP stage from `new` back to `good`."""
    aws.requests(BAD, failed=30, api=HTTP)
    note_release(HTTP_ARN, "good", "new")
    return prepare(http_run).plan


@pytest.fixture
def canary_plan(failing_stage, run) -> Plan:
    """Turns the canary off."""
    failing_stage.canary()
    return prepare(run).plan


DELEGATED = Plan(decision=Decision.DELEGATE, reason="somebody else's")


def inverse(plan: Plan) -> Plan:
    """The undo run's plan."""
    calls = [c.inverse() for c in reversed(plan.calls)]
    return Plan(decision=Decision.CHANGE, reason="undo", calls=calls)


class TestCurrentReleases:
    def read(self) -> dict[str, str]:
        return call_step(steps.current_releases)

    def test_are_the_deployments_that_the_stages_serve(self, aws):
        aws.http["DeploymentId"] = "other"

        assert self.read() == {"chat-api": "new", "http-api": "other"}

    def test_leaves_out_a_stage_that_is_gone(self, aws):
        aws.broken["apigateway:GetStage"] = "NotFoundException"

        assert self.read() == {"http-api": "new"}

    def test_leaves_out_a_stage_that_was_never_deployed(self, aws):
        del aws.http["DeploymentId"]

        assert self.read() == {"chat-api": "new"}


class TestPrepare:
    def test_a_new_deployment_goes_back(self, failing_stage, run):
        note_release(REST_ARN, "good", "new")

        prepared = prepare(run)

        (call,) = prepared.plan.calls
        assert (call.resource, call.before, call.after) == (
            REST_ARN,
            {"deploymentId": "new"},
            {"deploymentId": "good"},
        )
        assert prepared.snapshot["stage"]["deployment_id"] == "new"

    def test_a_new_deployment_of_an_http_api_goes_back(self, http_plan):
        (call,) = http_plan.calls

        assert (call.api, call.resource) == ("apigatewayv2:UpdateStage", HTTP_ARN)

    def test_auto_deploy_is_left_to_a_person(self, aws, http_run):
        aws.http["AutoDeploy"] = True
        aws.requests(BAD, failed=30, api=HTTP)
        note_release(HTTP_ARN, "good", "new")

        plan = prepare(http_run).plan

        assert plan.decision is Decision.HAND_OVER
        assert "AutoDeploy is on" in plan.reason

    def test_a_deployment_that_is_deleted_is_not_gone_back_to(self, failing_stage, run):
        del failing_stage.deployments["good"]
        note_release(REST_ARN, "good", "new")

        plan = prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert "is deleted" in plan.reason

    def test_an_empty_ledger_is_no_evidence(self, failing_stage, run):
        plan = prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["stage"]["release"] == "never seen"

    def test_a_new_canary_is_turned_off(self, canary_plan):
        assert canary_plan.calls[0].after == {"canarySettings": None}

    def test_a_failing_new_function_is_left_to_its_runbook(self, failing_stage, run):
        failing_stage.invocations(BAD, count=100, failed=30)
        note_release(FUNCTION_ARN, "6", "7")

        plan = prepare(run).plan

        assert plan.child is not None
        assert (plan.child.runbook, plan.child.target) == (
            "lambda_errors",
            {"function_name": "chat"},
        )

    def test_a_failing_function_that_is_being_rolled_out_too(self, failing_stage, run):
        failing_stage.invocations(BAD, count=100, failed=30)
        failing_stage.weights = {"8": 0.3}

        assert prepare(run).plan.decision is Decision.DELEGATE

    def test_errors_of_an_older_incident_are_not_blamed_on_the_function_again(
        self, failing_stage, run
    ):
        earlier = [NOW - 12 * MINUTE, NOW - 11 * MINUTE]
        failing_stage.requests(earlier, failed=90)
        failing_stage.invocations(earlier, count=100, failed=90)
        note_release(FUNCTION_ARN, "6", "7")
        note_release(REST_ARN, "good", "new")

        plan = prepare(run).plan

        assert plan.evidence["functions"][0]["health"] == "healthy"
        assert plan.calls[0].after == {"deploymentId": "good"}

    def test_a_function_throttled_by_lambda_is_not_healthy(self, failing_stage, run):
        failing_stage.put(
            "Throttles",
            (("FunctionName", "chat"), ("Resource", "chat:live")),
            dict.fromkeys(BAD, 30.0),
        )
        note_release(REST_ARN, "good", "new")

        plan = prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["functions"][0]["health"] == "unclear"

    def test_a_throttled_table_is_left_to_its_runbook(self, failing_stage, run):
        failing_stage.put("WriteThrottleEvents", ORDERS, {NOW - MINUTE: 9.0})

        plan = prepare(run).plan

        assert plan.child is not None
        assert plan.child.target == {"table_name": "orders"}

    def test_a_table_that_is_not_behind_the_api_does_not_count(
        self, failing_stage, run, use_platform
    ):
        apart = {**PLATFORM["apis"][0], "tables": []}
        use_platform(**{**PLATFORM, "apis": [apart]})
        failing_stage.put("WriteThrottleEvents", ORDERS, {NOW - MINUTE: 9.0})

        assert prepare(run).plan.decision is Decision.HAND_OVER

    def test_a_function_without_an_alias_has_no_release(self, failing_stage, run, use_platform):
        use_platform(**{**PLATFORM, "functions": [{"function_name": "chat"}]})
        failing_stage.put("Invocations", (("FunctionName", "chat"),), dict.fromkeys(BAD, 100.0))
        failing_stage.put("Errors", (("FunctionName", "chat"),), dict.fromkeys(BAD, 30.0))

        plan = prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["functions"][0]["health"] == "failing"
        assert "lambda:GetAlias" not in failing_stage.calls

    def test_a_running_deployment_is_not_fought(self, failing_stage, run):
        failing_stage.status, failing_stage.status_at = "UPDATE_IN_PROGRESS", NOW - 90 * MINUTE
        note_release(REST_ARN, "good", "new")

        plan = prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert "A deployment is running: AppStack" in plan.reason

    @pytest.mark.parametrize(("minutes_ago", "told"), [(60, 1), (61, 0)])
    def test_an_operation_that_is_over_is_evidence_for_an_hour(
        self, failing_stage, run, minutes_ago, told
    ):
        failing_stage.status = "UPDATE_COMPLETE"
        failing_stage.status_at = NOW - minutes_ago * MINUTE

        assert len(prepare(run).plan.evidence["stack_operations"]) == told

    def test_errors_that_are_over(self, failing_stage, run):
        failing_stage.requests(BAD, failed=0)
        failing_stage.requests([NOW - 5 * MINUTE], failed=50)

        with pytest.raises(PrerequisiteNotMetError):
            prepare(run)

    def test_a_stage_without_errors(self, aws, run):
        aws.requests(BAD)

        with pytest.raises(PrerequisiteNotMetError):
            prepare(run)

    def test_the_running_period_counts(self, aws, run):
        aws.requests([NOW], failed=50)

        assert prepare(run).plan.decision is Decision.HAND_OVER

    def test_values_of_stage_variables_are_nowhere(self, failing_stage, run):
        failing_stage.rest["variables"] = {"DATABASE": SECRET}
        failing_stage.canary(stageVariableOverrides={"DATABASE": SECRET})

        prepared = prepare(run)

        assert prepared.plan.decision is Decision.HAND_OVER
        text = canonical_json(encode(prepared))
        assert "DATABASE" in text
        assert "hunter2" not in text


class TestUnknown:
    """What cannot be read stops no run, and is no reason for anything."""

    @pytest.fixture(autouse=True)
    def _new_deployment(self, failing_stage):
        note_release(REST_ARN, "good", "new")

    @pytest.mark.parametrize(
        ("operation", "decision", "unknown"),
        [
            ("cloudformation:DescribeStackEvents", Decision.CHANGE, "stack AppStack"),
            ("lambda:GetAlias", Decision.CHANGE, "alias of chat"),
            ("apigateway:GetDeployment", Decision.HAND_OVER, "last good deployment"),
        ],
    )
    def test_one_finding(self, failing_stage, run, operation, decision, unknown):
        failing_stage.broken[operation] = "AccessDeniedException"

        plan = prepare(run).plan

        assert plan.decision is decision
        (told,) = plan.evidence["unknown"]
        assert told.startswith(f"{unknown}: ClientError: ")

    def test_metrics(self, failing_stage, run):
        failing_stage.broken["cloudwatch:GetMetricData"] = "Throttling"

        plan = prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["requests"] == "unknown"
        assert plan.evidence["throttle_events"] == "unknown"
        assert plan.evidence["functions"][0]["health"] == "unclear"

    def test_a_finding_that_takes_too_long(self, failing_stage, run, monkeypatch):
        released = threading.Event()
        clients.client("cloudformation").meta.events.register_first(
            "before-call", lambda **_: released.wait(30) and None
        )
        monkeypatch.setattr(diagnosis, "_DIAGNOSIS_SECONDS", 0.5)

        plan = prepare(run).plan
        released.set()

        assert "stack AppStack: TimeoutError: took too long" in plan.evidence["unknown"]

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("NotFoundException", TargetNotFoundError),
            ("TooManyRequestsException", ThrottledError),
            ("ConflictException", ResourceBusyError),
            ("AccessDeniedException", ClientError),
        ],
    )
    def test_the_stage_itself_has_to_be_readable(self, failing_stage, run, code, expected):
        failing_stage.broken["apigateway:GetStage"] = code

        with pytest.raises(expected):
            prepare(run)


def test_findings_are_read_at_the_same_time(failing_stage, run):
    """Each of four services answers only once all four were asked."""
    together = threading.Barrier(4)
    for service in ("apigateway", "cloudformation", "cloudwatch", "lambda"):
        first = iter([together])

        def meet(first=first, **_):
            for barrier in first:
                barrier.wait(20)

        clients.client(service).meta.events.register_first("before-call", meet)

    assert "unknown" not in prepare(run).plan.evidence


class TestMoveStage:
    def test_moves_the_stage(self, aws, plan):
        change = move(plan)

        assert aws.rest["deploymentId"] == "good"
        assert change.applied_at == NOW
        assert change.calls[0].already_applied is False

    def test_moves_an_http_stage(self, aws, http_plan):
        move(http_plan)

        assert aws.http["DeploymentId"] == "good"

    def test_turns_the_canary_off_and_leaves_the_deployment(self, aws, canary_plan):
        move(canary_plan)

        assert aws.rest == {"deploymentId": "new", "stageName": "prod"}

    def test_does_nothing_twice(self, aws, plan):
        move(plan)
        aws.calls.clear()

        again = move(plan)

        assert again.calls[0].already_applied is True
        assert "apigateway:PATCH" not in aws.calls

    def test_does_not_overwrite_somebody_elses_deployment(self, aws, plan):
        aws.rest["deploymentId"] = "fix"

        with pytest.raises(ConcurrentChangeError):
            move(plan)

        assert aws.rest["deploymentId"] == "fix"

    def test_does_not_drop_a_canary_that_was_changed(self, aws, canary_plan):
        aws.canary(percentTraffic=1.0)

        with pytest.raises(ConcurrentChangeError):
            move(canary_plan)

        assert aws.rest["canarySettings"]["percentTraffic"] == 1.0

    def test_a_stage_that_is_gone(self, aws, plan):
        aws.broken["apigateway:GetStage"] = "NotFoundException"

        with pytest.raises(ConcurrentChangeError):
            move(plan)

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("BadRequestException", ChangeFailedError),
            ("NotFoundException", ChangeFailedError),
            ("LimitExceededException", ChangeFailedError),
            ("ConflictException", ResourceBusyError),
            ("TooManyRequestsException", ThrottledError),
            ("UnauthorizedException", ClientError),
        ],
    )
    def test_aws_refuses(self, aws, plan, code, expected):
        aws.broken["apigateway:UpdateStage"] = code

        with pytest.raises(expected):
            move(plan)

        assert aws.rest["deploymentId"] == "new"


def after(minutes: int) -> list:
    """The first minutes after the stage was moved."""
    return [NOW + i * MINUTE for i in range(minutes)]


class TestVerify:
    @pytest.fixture
    def change(self, plan) -> Change:
        return move(plan)

    def seen(self):
        return resource(ReleaseLedger).read(REST_ARN)

    def test_five_good_minutes_with_traffic(self, aws, run, plan, change, clock):
        aws.requests(after(5), failed=2)
        clock.advance(minutes=5)

        found = verify(run, plan, change)

        assert found.verdict is Verdict.PASSED
        assert found.reason == (
            "10 of 500 requests were answered with 5XX, traffic in 5 of 5 periods"
        )

    def test_four_minutes_are_too_early(self, aws, run, plan, change, clock):
        aws.requests(after(5))
        clock.advance(minutes=4, seconds=59)

        assert verify(run, plan, change).verdict is Verdict.PENDING

    def test_right_after_the_change_nothing_is_known(self, aws, run, plan, change, clock):
        clock.advance(seconds=10)
        aws.calls.clear()

        assert verify(run, plan, change).verdict is Verdict.PENDING
        assert "cloudwatch:GetMetricData" not in aws.calls

    def test_errors_of_the_minute_of_the_change_do_not_count(self, aws, run, plan, clock):
        clock.advance(seconds=1)
        change = move(plan)
        aws.requests([NOW], failed=100)
        aws.requests(after(6)[1:])
        clock.advance(minutes=6)

        assert verify(run, plan, change).verdict is Verdict.PASSED

    def test_errors_that_go_on_fail_at_the_last_look(self, aws, run, plan, change, clock):
        aws.requests(after(5), failed=30)
        clock.advance(minutes=5)

        assert verify(run, plan, change).verdict is Verdict.PENDING
        assert verify(run, plan, change, LAST).verdict is Verdict.FAILED

    def test_silence_is_not_healing(self, run, plan, change, clock):
        clock.advance(minutes=5)

        assert verify(run, plan, change).verdict is Verdict.PENDING
        assert verify(run, plan, change, LAST).verdict is Verdict.INCONCLUSIVE

    def test_few_requests_are_not_healing(self, aws, run, plan, change, clock):
        aws.requests(after(5), count=3)
        clock.advance(minutes=5)

        assert verify(run, plan, change, LAST).verdict is Verdict.INCONCLUSIVE

    def test_an_http_api_has_metrics_of_its_own(self, aws, http_run, http_plan, clock):
        change = move(http_plan)
        aws.requests(after(5), api=HTTP)
        clock.advance(minutes=5)

        assert verify(http_run, http_plan, change).verdict is Verdict.PASSED

    def test_a_stage_that_somebody_moved_since_says_nothing(self, aws, run, plan, change, clock):
        aws.requests(after(5))
        aws.rest["deploymentId"] = "fix"
        clock.advance(minutes=5)

        found = verify(run, plan, change)

        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.reason == "someone else has changed the stage since"
        assert [s.bad for s in self.seen()] == [False, False]

    def test_a_move_that_helped_goes_to_the_ledger(self, aws, run, plan, change, clock):
        aws.requests(after(5))
        clock.advance(minutes=5)

        verify(run, plan, change)
        verify(run, plan, change)

        assert [(s.value, s.bad, s.by_run) for s in self.seen()] == [
            ("good", False, None),
            ("new", True, None),
            ("good", False, "api-gateway-errors:one"),
        ]

    def test_a_move_that_did_not_help_does_not(self, aws, run, plan, change, clock):
        aws.requests(after(5), failed=30)
        clock.advance(minutes=5)

        verify(run, plan, change, LAST)

        assert [s.bad for s in self.seen()] == [False, False]

    def test_a_canary_is_no_release_of_the_ledger(self, aws, run, canary_plan, clock):
        change = move(canary_plan)
        aws.requests(after(5))
        clock.advance(minutes=5)

        assert verify(run, canary_plan, change).verdict is Verdict.PASSED
        assert self.seen() == ()

    def test_another_runs_remedy_is_measured_from_the_start_of_this_run(self, aws, run, clock):
        aws.requests(BAD, failed=100)
        aws.requests(after(5))
        clock.advance(minutes=4)
        early = verify(run, DELEGATED)
        clock.advance(minutes=1)

        assert early.verdict is Verdict.PENDING
        assert verify(run, DELEGATED).verdict is Verdict.PASSED
        assert self.seen() == ()

    def test_another_runs_remedy_that_takes_its_time(self, aws, run, clock):
        aws.requests(after(3), failed=100)
        aws.requests(after(8)[3:])
        clock.advance(minutes=7)
        early = verify(run, DELEGATED)
        clock.advance(minutes=1)

        assert early.verdict is Verdict.PENDING
        assert verify(run, DELEGATED).verdict is Verdict.PASSED

    def test_an_undo_passes_with_the_old_deployment(self, aws, undo, plan, change):
        way_back = inverse(plan)

        early, late = verify(undo, way_back), verify(undo, way_back, None, LAST)
        move(way_back)

        assert (early.verdict, late.verdict) == (Verdict.PENDING, Verdict.FAILED)
        assert verify(undo, way_back).verdict is Verdict.PASSED
        assert [s.by_run for s in self.seen()] == [None, None]

    def test_a_stage_that_is_gone(self, aws, run, plan, change):
        aws.broken["apigateway:GetStage"] = "NotFoundException"

        with pytest.raises(ConcurrentChangeError):
            verify(run, plan, change)

    def test_metrics_that_cannot_be_read_now(self, aws, run, plan, change, clock):
        aws.broken["cloudwatch:GetMetricData"] = "Throttling"
        clock.advance(minutes=5)

        with pytest.raises(ThrottledError):
            verify(run, plan, change)


class TestWatchHold:
    def test_good(self, aws, run, clock):
        aws.requests(after(11))
        clock.advance(minutes=11)

        assert hold(run).verdict is Verdict.PASSED

    def test_errors_again(self, aws, run, clock):
        aws.requests(after(11))
        aws.requests(after(11)[-2:], failed=30)
        clock.advance(minutes=11)

        assert hold(run).verdict is Verdict.FAILED

    def test_silence_says_nothing(self, aws, run, clock):
        clock.advance(minutes=11)

        assert hold(run).verdict is Verdict.INCONCLUSIVE

    def test_a_short_interval_needs_no_more_samples_than_it_has_periods(self, aws, run, clock):
        short = dataclasses.replace(run, limits={**run.limits, "hold_interval_seconds": 60})
        aws.requests(after(11)[-1:])
        clock.advance(minutes=11)

        assert hold(short).verdict is Verdict.PASSED


class TestCheckUndo:
    def check(self, run: Run, plan: Plan) -> None:
        call_step(steps.check_undo, run=run, plan=plan)

    def test_allows_a_deployment_that_exists(self, aws, undo, plan, canary_plan):
        self.check(undo, inverse(plan))
        self.check(undo, inverse(canary_plan))

        assert "apigateway:PATCH" not in aws.calls

    @pytest.mark.parametrize(("which", "gone"), [("plan", "new"), ("canary_plan", "canary")])
    def test_refuses_one_that_is_deleted(self, aws, undo, request, which, gone):
        way_back = inverse(request.getfixturevalue(which))
        del aws.deployments[gone]

        with pytest.raises(PrerequisiteNotMetError) as caught:
            self.check(undo, way_back)

        assert f"deployment {gone} is deleted" in str(caught.value)

    def test_refuses_a_stage_that_deploys_by_itself_now(self, aws, undo, http_plan):
        aws.http["AutoDeploy"] = True
        http_undo = dataclasses.replace(undo, target={"api_name": "http-api"}, target_arn=HTTP_ARN)

        with pytest.raises(PrerequisiteNotMetError) as caught:
            self.check(http_undo, inverse(http_plan))

        assert "AutoDeploy is on by now" in str(caught.value)

    def test_a_stage_that_is_gone(self, aws, undo, plan):
        aws.broken["apigateway:GetStage"] = "NotFoundException"

        with pytest.raises(TargetNotFoundError):
            self.check(undo, inverse(plan))


class TestRollBack:
    def back(self, plan: Plan) -> Change:
        return call_step(steps.roll_back, plan=plan)

    def test_puts_the_stage_where_it_was(self, aws, plan):
        move(plan)

        self.back(plan)

        assert aws.rest["deploymentId"] == "new"

    def test_puts_an_http_stage_where_it_was(self, aws, http_plan):
        move(http_plan)

        self.back(http_plan)

        assert aws.http["DeploymentId"] == "new"

    def test_brings_the_canary_back_as_it_was(self, aws, canary_plan):
        move(canary_plan)

        self.back(canary_plan)

        assert resource(steps.RestStages).present(canary_plan.calls[0]) == {
            "canarySettings": {
                "deploymentId": "canary",
                "percentTraffic": 30.0,
                "useStageCache": False,
            }
        }

    def test_leaves_alone_what_was_not_moved(self, aws, plan):
        assert self.back(plan).calls == []
        assert "apigateway:PATCH" not in aws.calls

    def test_takes_nothing_back_of_what_another_run_did(self, aws):
        assert self.back(DELEGATED).calls == []

    def test_does_not_overwrite_somebody_elses_deployment(self, aws, plan):
        move(plan)
        aws.rest["deploymentId"] = "fix"

        with pytest.raises(RollbackFailedError):
            self.back(plan)

        assert aws.rest["deploymentId"] == "fix"

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("BadRequestException", RollbackFailedError),
            ("ConflictException", ResourceBusyError),
            ("TooManyRequestsException", ThrottledError),
        ],
    )
    def test_aws_refuses(self, aws, plan, code, expected):
        move(plan)
        aws.broken["apigateway:UpdateStage"] = code

        with pytest.raises(expected):
            self.back(plan)

    def test_a_stage_that_is_gone(self, aws, plan):
        move(plan)
        aws.broken["apigateway:GetStage"] = "NotFoundException"

        with pytest.raises(RollbackFailedError):
            self.back(plan)


class TestDeclaredCalls:
    """`calls` is what the roles are made of: no more and no less than what is really called.

    The ledger is not in it: the run table belongs to the life of every run.
    """

    def declared(self, name: str) -> list[str]:
        return sorted(steps_of(steps)[name].calls)

    def made(self, aws) -> list[str]:
        return sorted(set(aws.calls))

    def test_current_releases(self, aws):
        call_step(steps.current_releases)

        assert self.made(aws) == self.declared("current_releases")

    def test_prepare(self, failing_stage, run):
        prepare(run)

        assert self.made(failing_stage) == self.declared("prepare")

    def test_move_stage(self, aws, plan):
        move(plan)

        assert self.made(aws) == self.declared("move_stage")

    def test_verify(self, aws, run, plan, clock):
        change = move(plan)
        aws.calls.clear()
        clock.advance(minutes=5)

        verify(run, plan, change)

        assert self.made(aws) == self.declared("verify")

    def test_watch_hold(self, aws, run, clock):
        clock.advance(minutes=5)

        hold(run)

        assert self.made(aws) == self.declared("watch_hold")

    def test_check_undo(self, aws, undo, plan):
        call_step(steps.check_undo, run=undo, plan=inverse(plan))

        assert self.made(aws) == self.declared("check_undo")

    def test_roll_back(self, aws, plan):
        move(plan)
        aws.calls.clear()

        call_step(steps.roll_back, plan=plan)

        assert self.made(aws) == self.declared("roll_back")

    def test_every_step_is_covered_here(self):
        covered = {n.removeprefix("test_") for n in dir(self) if n.startswith("test_")}

        assert set(steps_of(steps)) == covered - {"every_step_is_covered_here"}


def test_planned_calls_have_a_resource(plan, http_plan):
    apis = {api for kind in steps.RESOURCES for api in kind.apis}

    assert {plan.calls[0].api, http_plan.calls[0].api} == apis
