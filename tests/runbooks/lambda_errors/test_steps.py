"""Steps of lambda_errors against simulated AWS: what they call, change, raise and answer."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from lambdas.remediation import changes, clients
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
    encode,
)
from lambdas.remediation.errors import (
    ConcurrentChangeError,
    InvalidRequestError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    RollbackFailedError,
    TargetNotFoundError,
    ThrottledError,
)
from lambdas.remediation.ledger import ReleaseLedger
from lambdas.remediation.step import Attempt, Clock, call_step, resource, steps_of
from lambdas.runbooks.lambda_errors import steps
from lambdas.runbooks.lambda_errors.runbook import RUNBOOK
from tests.runbooks.lambda_errors.lambda_service import FUNCTION_ARN, LambdaService, failure

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=8, final=True)


class FixedClock(Clock):
    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment


class Aws:
    """Simulated AWS with the function `chat`, and a record of the calls made."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lambda_ = LambdaService(clients.client("lambda"), self.calls)
        self.log_events: list[str] = []
        self.log_error: str | None = None
        for service in ("cloudwatch", "logs"):
            clients.client(service).meta.events.register_first("before-call", self._before_call)
        self.ledger: ReleaseLedger = resource(ReleaseLedger)

    def _before_call(self, model, **_):
        call = f"{model.service_model.service_name}:{model.name}"
        self.calls.append(call)
        if call != "logs:FilterLogEvents":
            return None
        if self.log_error:
            return SimpleNamespace(status_code=400), {
                "ResponseMetadata": {},
                **failure(self.log_error),
            }
        events = [{"message": m} for m in self.log_events]
        return SimpleNamespace(status_code=200), {"events": events}

    def put(self, namespace: str, name: str, at: datetime, value: float, **dimensions) -> None:
        clients.client("cloudwatch").put_metric_data(
            Namespace=namespace,
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items()],
                    "Timestamp": at,
                    "Value": value,
                }
            ],
        )

    def serve(
        self, at: datetime, invocations: int, errors: int = 0, *, version: str | None = None
    ) -> None:
        """Traffic of one minute through the alias."""
        dimensions = {"FunctionName": "chat", "Resource": "chat:live"}
        if version:
            dimensions["ExecutedVersion"] = version
        self.put("AWS/Lambda", "Invocations", at, invocations, **dimensions)
        self.put("AWS/Lambda", "Errors", at, errors, **dimensions)

    def serve_after(self, errors: int = 0, invocations: int = 30) -> None:
        """Five minutes of traffic after noon."""
        for n in range(5):
            self.serve(NOON + n * MINUTE, invocations, errors)

    def release(self, *, days: int = 0, minutes: int = 5) -> None:
        """Version 7 came after version 6, which was good."""
        since = NOON - timedelta(days=days, minutes=minutes)
        arn = FUNCTION_ARN
        self.ledger.note(arn, "6", healthy=True, now=since - timedelta(minutes=5))
        self.ledger.note(arn, "7", healthy=False, now=since)

    def throttle(self, count: float) -> None:
        at = NOON - 2 * MINUTE
        self.put("AWS/DynamoDB", "WriteThrottleEvents", at, count, TableName="ChatSession-prod")

    # --- steps, called as the functions call them ---

    def step(self, name: str, *, now: datetime = NOON, **known):
        return call_step(getattr(steps, name), clock=FixedClock(now), **known)

    def prepare(self, run: Run) -> Prepared:
        return self.step("prepare", run=run)

    def move(self, plan: Plan) -> Change:
        return self.step("move_alias", plan=plan)

    def verify(
        self,
        run: Run,
        plan: Plan,
        change: Change | None,
        attempt: Attempt = EARLY,
        now: datetime = NOON + 5 * MINUTE,
    ) -> Verification:
        return self.step("verify", run=run, plan=plan, change=change, attempt=attempt, now=now)

    def hold(self, run: Run, plan: Plan, change: Change | None, now: datetime) -> Verification:
        return self.step("watch_hold", run=run, plan=plan, change=change, now=now)


@pytest.fixture
def platform(use_platform):
    """Replace keys of the function `chat` in the platform file."""

    def use(**overrides):
        chat = {"function_name": "chat", "alias": "live", **overrides}
        other = {"function_name": "no-alias"}
        use_platform(functions=[{k: v for k, v in chat.items() if v is not None}, other])

    use()
    return use


@pytest.fixture
def cloud(environment, platform) -> Aws:
    return Aws()


@pytest.fixture
def run() -> Run:
    return Run(
        id="lambda-errors:one",
        runbook="lambda_errors",
        kind=Kind.CHANGE,
        mode=Mode.ACT,
        trigger=Trigger.ALARM,
        target={"function_name": "chat"},
        target_arn=FUNCTION_ARN,
        parameters={},
        reason="",
        requested_by="alarm",
        execution=Execution(
            arn="arn:aws:states:us-east-1:123456789012:execution:remediation-lambda-errors:one",
            name="one",
            started_at=NOON,
        ),
        lease_until=NOON + timedelta(hours=2),
        limits=RUNBOOK.limits.as_dict(),
        options=dict(RUNBOOK.options),
    )


@pytest.fixture
def undo(run) -> Run:
    return dataclasses.replace(run, id="lambda-errors:two", kind=Kind.UNDO, undoes=run.id)


@pytest.fixture
def failing(cloud) -> None:
    """Twelve of thirty invocations failed two minutes before noon."""
    cloud.serve(NOON - 2 * MINUTE, 30, 12)


@pytest.fixture
def plan(cloud, run, failing) -> Plan:
    """Moves the alias from 7 to 6."""
    cloud.release()
    made = cloud.prepare(run).plan
    cloud.calls.clear()
    return made


@pytest.fixture
def change(cloud, plan) -> Change:
    made = cloud.move(plan)
    cloud.calls.clear()
    return made


@pytest.fixture
def delegated(cloud, run, failing) -> Plan:
    cloud.release(days=2)
    cloud.throttle(50)
    made = cloud.prepare(run).plan
    cloud.calls.clear()
    return made


def inverse(plan: Plan) -> Plan:
    """The undo run's plan."""
    calls = [c.inverse() for c in reversed(plan.calls)]
    return Plan(decision=Decision.CHANGE, reason="undo", calls=calls)


class TestCurrentReleases:
    def test_version_behind_each_alias(self, cloud):
        assert cloud.step("current_releases") == {"chat": "7"}

    def test_a_missing_alias_is_left_out(self, cloud):
        cloud.lambda_.exists = False

        assert cloud.step("current_releases") == {}

    def test_latest_is_no_release(self, cloud):
        cloud.lambda_.point("$LATEST")

        assert cloud.step("current_releases") == {}

    def test_a_throttled_call_may_be_repeated(self, cloud):
        cloud.lambda_.errors["GetAlias"] = "TooManyRequestsException"

        with pytest.raises(ThrottledError):
            cloud.step("current_releases")


class TestPrepare:
    def test_plans_the_way_back_and_records_what_is_there(self, cloud, run, failing):
        cloud.release()

        prepared = cloud.prepare(run)

        assert prepared.plan.decision is Decision.CHANGE
        assert prepared.plan.calls[0].after["FunctionVersion"] == "6"
        assert prepared.plan.calls[0].arguments["RevisionId"] == "1"
        assert prepared.snapshot["alias"]["version"] == "7"
        assert prepared.snapshot["release"]["previous_good"] == "6"

    def test_the_fast_way_reads_neither_tables_nor_logs(self, cloud, run, failing):
        cloud.release()

        cloud.prepare(run)

        assert cloud.calls.count("cloudwatch:GetMetricData") == 1
        assert "logs:FilterLogEvents" not in cloud.calls

    def test_counts_the_minute_that_is_not_over(self, cloud, run):
        cloud.release()
        cloud.serve(NOON, 30, 30)

        assert cloud.prepare(run).plan.evidence["errors"] == 30

    def test_what_was_before_the_look_back_does_not_count(self, cloud, run):
        cloud.release()
        cloud.serve(NOON - 16 * MINUTE, 30, 30)

        with pytest.raises(PrerequisiteNotMetError):
            cloud.prepare(run)

    def test_takes_a_bad_canary_out(self, cloud, run, failing):
        cloud.release(days=2)
        cloud.lambda_.point("7", v8=0.5)
        cloud.serve(NOON - 2 * MINUTE, 30, 0, version="7")
        cloud.serve(NOON - 2 * MINUTE, 30, 12, version="8")

        plan = cloud.prepare(run).plan

        assert plan.calls[0].before["AdditionalVersionWeights"] == {"8": 0.5}
        assert plan.calls[0].after == {"FunctionVersion": "7", "AdditionalVersionWeights": {}}

    def test_an_older_release_leaves_a_throttled_table_to_its_runbook(self, delegated):
        assert delegated.decision is Decision.DELEGATE
        assert delegated.child.target == {"table_name": "ChatSession-prod"}

    def test_a_child_delegates_nothing(self, cloud, run, failing):
        cloud.release(days=2)
        cloud.throttle(50)

        plan = cloud.prepare(dataclasses.replace(run, parent="api-gateway-errors:one")).plan

        assert plan.decision is Decision.HAND_OVER

    def test_an_empty_ledger_changes_nothing(self, cloud, run, failing):
        plan = cloud.prepare(run).plan

        assert (plan.decision, plan.calls) == (Decision.HAND_OVER, [])

    def test_a_function_without_alias_is_measured_as_a_whole(self, cloud, run, platform):
        platform(alias=None)
        for name in ("Invocations", "Errors"):
            cloud.put("AWS/Lambda", name, NOON - MINUTE, 40, FunctionName="chat")

        plan = cloud.prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason.startswith("40 of 40 invocations of chat failed")

    def test_goes_to_the_version_a_person_asks_for(self, cloud, run):
        asked = dataclasses.replace(run, parameters={"version": "5"}, trigger=Trigger.PERSON)

        plan = cloud.prepare(asked).plan

        assert plan.calls[0].after["FunctionVersion"] == "5"

    @pytest.mark.parametrize(
        ("version", "error"),
        [("live", InvalidRequestError), ("4", PrerequisiteNotMetError)],
    )
    def test_refuses_a_version_that_is_none(self, cloud, run, version, error):
        with pytest.raises(error):
            cloud.prepare(dataclasses.replace(run, parameters={"version": version}))

    @pytest.mark.parametrize("version", ["$LATEST", "6"])
    def test_waits_while_code_is_being_updated(self, cloud, run, failing, version):
        cloud.release()
        cloud.lambda_.configurations[version] = {"LastUpdateStatus": "InProgress"}

        with pytest.raises(ResourceBusyError):
            cloud.prepare(run)

    def test_a_version_that_was_deleted_is_for_a_person(self, cloud, run, failing):
        cloud.release()
        del cloud.lambda_.configurations["6"]

        plan = cloud.prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert "is deleted" in plan.reason

    def test_a_missing_alias(self, cloud, run, failing):
        cloud.lambda_.exists = False

        with pytest.raises(TargetNotFoundError):
            cloud.prepare(run)


class TestLogEvidence:
    def test_hand_over_tells_the_most_frequent_errors(self, cloud, run, failing):
        cloud.log_events = ["[ERROR] KeyError: 'user_id'"] * 3 + ["[ERROR] TypeError: no"]

        plan = cloud.prepare(run).plan

        assert plan.reason.endswith("Most logged (3 of 4): KeyError: 'user_id'")
        assert plan.evidence["error_patterns"][1] == {"pattern": "TypeError: no", "count": 1}
        assert plan.evidence["log_group"] == "/aws/lambda/chat"

    @pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
    def test_a_log_that_cannot_be_read_stops_nothing(self, cloud, run, failing, code):
        cloud.log_error = code

        plan = cloud.prepare(run).plan

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["log_read"].startswith("not readable: ")

    def test_neither_log_nor_environment_gives_a_secret_away(self, cloud, run, failing):
        cloud.log_events = [
            "[ERROR] ValueError: password=hunter2 refused for jane@example.com",
            json.dumps({"level": "ERROR", "message": "key AKIAIOSFODNN7EXAMPLE is bad"}),
        ]

        recorded = json.dumps(encode(cloud.prepare(run)))

        assert "password=<masked> refused for <email>" in recorded
        assert "hunter2" not in recorded
        assert "jane" not in recorded
        assert "AKIA" not in recorded


class TestMoveAlias:
    def test_moves_once(self, cloud, plan):
        change = cloud.move(plan)

        assert cloud.lambda_.place == ("6", {})
        assert [(c.before["FunctionVersion"], c.already_applied) for c in change.calls] == [
            ("7", False)
        ]
        assert change.applied_at == NOON

    def test_a_repeat_changes_nothing(self, cloud, plan, change):
        again = cloud.move(plan)

        assert [c.already_applied for c in again.calls] == [True]
        assert "lambda:UpdateAlias" not in cloud.calls

    def test_an_alias_that_someone_moved_is_left_alone(self, cloud, plan):
        cloud.lambda_.point("8")

        with pytest.raises(ConcurrentChangeError):
            cloud.move(plan)

        assert cloud.lambda_.place == ("8", {})

    def test_also_one_that_was_moved_away_and_back(self, cloud, plan):
        cloud.lambda_.point("8")
        cloud.lambda_.point("7")

        with pytest.raises(ConcurrentChangeError):
            cloud.move(plan)

        assert cloud.lambda_.place == ("7", {})

    def test_an_alias_that_is_gone_was_deleted_by_someone(self, cloud, plan):
        cloud.lambda_.exists = False

        with pytest.raises(ConcurrentChangeError):
            cloud.move(plan)

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("ResourceConflictException", ResourceBusyError),
            ("TooManyRequestsException", ThrottledError),
        ],
    )
    def test_what_may_be_repeated(self, cloud, plan, code, error):
        cloud.lambda_.errors["UpdateAlias"] = code

        with pytest.raises(error):
            cloud.move(plan)


class TestVerify:
    def test_passes_once_a_whole_window_is_calm_and_busy(self, cloud, run, plan, change):
        cloud.serve_after()

        early = cloud.verify(run, plan, change, now=NOON + 4 * MINUTE)
        passed = cloud.verify(run, plan, change)

        assert early.verdict is Verdict.PENDING
        assert passed.verdict is Verdict.PASSED
        assert passed.reason == "0 of 150 invocations failed, traffic in 5 of 5 periods"

    def test_the_period_that_the_change_was_in_does_not_count(self, cloud, run, plan):
        change = dataclasses.replace(cloud.move(plan), applied_at=NOON + timedelta(seconds=30))
        cloud.serve(NOON, 30, 30)
        for n in range(1, 6):
            cloud.serve(NOON + n * MINUTE, 30)

        early = cloud.verify(run, plan, change, now=NOON + 5 * MINUTE)
        passed = cloud.verify(run, plan, change, now=NOON + 6 * MINUTE)

        assert (early.verdict, early.checks[0].samples) == (Verdict.PENDING, 4)
        assert passed.verdict is Verdict.PASSED
        assert passed.reason.startswith("0 of 150 invocations failed")

    def test_fails_at_the_last_look_only(self, cloud, run, plan, change):
        cloud.serve_after(errors=10)

        assert cloud.verify(run, plan, change).verdict is Verdict.PENDING
        assert cloud.verify(run, plan, change, LAST).verdict is Verdict.FAILED

    def test_silence_is_not_healed(self, cloud, run, plan, change):
        assert cloud.verify(run, plan, change).verdict is Verdict.PENDING
        assert cloud.verify(run, plan, change, LAST).verdict is Verdict.INCONCLUSIVE
        assert cloud.lambda_.invoked == []

    def test_passing_marks_the_version_it_left_as_bad(self, cloud, run, plan, change):
        cloud.serve_after()

        cloud.verify(run, plan, change)

        seen = cloud.ledger.read(FUNCTION_ARN)
        assert [(s.value, s.bad, s.by_run) for s in seen] == [
            ("6", False, None),
            ("7", True, None),
            ("6", False, "lambda-errors:one"),
        ]

    def test_failing_marks_nothing(self, cloud, run, plan, change):
        cloud.serve_after(errors=10)
        before = cloud.ledger.read(FUNCTION_ARN)

        cloud.verify(run, plan, change, LAST)

        assert cloud.ledger.read(FUNCTION_ARN) == before

    def test_says_nothing_of_an_alias_that_someone_moved_meanwhile(self, cloud, run, plan, change):
        cloud.serve_after()
        cloud.lambda_.point("8")

        judged = cloud.verify(run, plan, change)

        assert judged.verdict is Verdict.INCONCLUSIVE
        assert judged.reason == "someone else has moved the alias to version 8 since"

    def test_an_alias_that_is_gone(self, cloud, run, plan, change):
        cloud.lambda_.exists = False

        with pytest.raises(ConcurrentChangeError):
            cloud.verify(run, plan, change)

    def test_a_delegated_run_looks_at_its_own_symptom(self, cloud, run, delegated):
        cloud.serve_after()
        before = cloud.ledger.read(FUNCTION_ARN)

        assert cloud.verify(run, delegated, None).verdict is Verdict.PASSED
        assert cloud.ledger.read(FUNCTION_ARN) == before

    def test_an_undo_is_proven_by_where_the_alias_is(self, cloud, undo, plan, change):
        pending = cloud.verify(undo, inverse(plan), None)
        failed = cloud.verify(undo, inverse(plan), None, LAST)
        cloud.move(inverse(plan))
        passed = cloud.verify(undo, inverse(plan), None)

        assert [v.verdict for v in (pending, failed, passed)] == [
            Verdict.PENDING,
            Verdict.FAILED,
            Verdict.PASSED,
        ]
        assert pending.reason == "the alias points to version 6"


class TestSmokeInvocation:
    @pytest.fixture(autouse=True)
    def _configured(self, platform):
        platform(smoke_event={"ping": True})

    def test_answers_where_traffic_does_not(self, cloud, run, plan, change):
        judged = cloud.verify(run, plan, change, LAST)

        assert judged.verdict is Verdict.PASSED
        assert judged.reason.endswith("the smoke invocation succeeded")
        assert cloud.lambda_.invoked == [
            {
                "FunctionName": "chat",
                "Qualifier": "live",
                "InvocationType": "RequestResponse",
                "Payload": b'{"ping":true}',
            }
        ]
        assert cloud.ledger.read(FUNCTION_ARN)[-1].by_run == "lambda-errors:one"

    def test_a_function_error_is_a_failure(self, cloud, run, plan, change):
        cloud.lambda_.invocation = {"StatusCode": 200, "FunctionError": "Unhandled"}

        assert cloud.verify(run, plan, change, LAST).verdict is Verdict.FAILED

    def test_is_not_made_before_the_last_look(self, cloud, run, plan, change):
        assert cloud.verify(run, plan, change).verdict is Verdict.PENDING
        assert cloud.lambda_.invoked == []

    @pytest.mark.parametrize("errors", [0, 10])
    def test_is_not_made_where_traffic_answers(self, cloud, run, plan, change, errors):
        cloud.serve_after(errors=errors)

        cloud.verify(run, plan, change, LAST)

        assert cloud.lambda_.invoked == []

    def test_the_option_switches_it_off(self, cloud, run, plan, change):
        off = dataclasses.replace(run, options={"allow_smoke_invocation": False})

        assert cloud.verify(off, plan, change, LAST).verdict is Verdict.INCONCLUSIVE
        assert cloud.lambda_.invoked == []


class TestWatchHold:
    LATER = NOON + 20 * MINUTE

    @pytest.mark.parametrize(("errors", "expected"), [(0, Verdict.PASSED), (10, Verdict.FAILED)])
    def test_looks_at_what_came_since_the_last_look(
        self, cloud, run, plan, change, errors, expected
    ):
        for n in range(15, 20):
            cloud.serve(NOON + n * MINUTE, 30, errors)

        assert cloud.hold(run, plan, change, self.LATER).verdict is expected

    def test_silence_is_inconclusive(self, cloud, run, plan, change):
        assert cloud.hold(run, plan, change, self.LATER).verdict is Verdict.INCONCLUSIVE


class TestCheckUndo:
    def test_allows_a_version_that_was_found_bad(self, cloud, run, undo, plan, change):
        cloud.serve_after()
        cloud.verify(run, plan, change)

        cloud.step("check_undo", run=undo, plan=inverse(plan))

    @pytest.mark.parametrize("version", ["7", "8"])
    def test_refuses_when_a_version_is_gone(self, cloud, run, undo, failing, version):
        cloud.release()
        cloud.lambda_.point("7", v8=0.5)
        for v in ("7", "8"):
            cloud.serve(NOON - 2 * MINUTE, 30, 12, version=v)
        plan = cloud.prepare(run).plan
        cloud.move(plan)
        del cloud.lambda_.configurations[version]

        with pytest.raises(PrerequisiteNotMetError) as caught:
            cloud.step("check_undo", run=undo, plan=inverse(plan))

        assert str(caught.value) == (f"function chat: not taken back: version {version} is deleted")

    def test_refuses_when_the_version_cannot_serve(self, cloud, undo, plan, change):
        cloud.lambda_.configurations["7"] = {"State": "Failed"}

        with pytest.raises(PrerequisiteNotMetError):
            cloud.step("check_undo", run=undo, plan=inverse(plan))


class TestRollBack:
    def test_undo_of_a_move_is_what_was_there_weights_included(self, cloud, run, failing):
        cloud.release()
        cloud.lambda_.point("7", v8=0.5)
        for version in ("7", "8"):
            cloud.serve(NOON - 2 * MINUTE, 30, 12, version=version)
        plan = cloud.prepare(run).plan
        cloud.move(plan)
        moved = cloud.lambda_.place

        change = cloud.step("roll_back", plan=plan)

        assert moved == ("6", {})
        assert cloud.lambda_.place == ("7", {"8": 0.5})
        assert [c.after["FunctionVersion"] for c in change.calls] == ["7"]

    def test_takes_the_present_revision(self, cloud, plan, change):
        cloud.lambda_.revision = 77

        cloud.step("roll_back", plan=plan)

        assert cloud.lambda_.place == ("7", {})

    def test_what_was_not_moved_is_not_taken_back(self, cloud, plan):
        assert cloud.step("roll_back", plan=plan).calls == []
        assert "lambda:UpdateAlias" not in cloud.calls

    def test_an_alias_that_someone_moved_since_is_left_alone(self, cloud, plan, change):
        cloud.lambda_.point("8")

        with pytest.raises(RollbackFailedError):
            cloud.step("roll_back", plan=plan)

        assert cloud.lambda_.place == ("8", {})

    def test_an_alias_that_is_gone_cannot_be_restored(self, cloud, plan, change):
        cloud.lambda_.exists = False

        with pytest.raises(RollbackFailedError):
            cloud.step("roll_back", plan=plan)

    def test_a_delegated_run_has_nothing_to_take_back(self, cloud, delegated):
        assert cloud.step("roll_back", plan=delegated).calls == []


class TestDeclaredCalls:
    """`calls` is what the roles are made of: no more and no less than what is really called."""

    def declared(self, name: str) -> list[str]:
        return sorted(steps_of(steps)[name].calls)

    def made(self, cloud) -> list[str]:
        return sorted(set(cloud.calls))

    def test_current_releases(self, cloud):
        cloud.step("current_releases")

        assert self.made(cloud) == self.declared("current_releases")

    def test_prepare(self, cloud, run, failing):
        cloud.calls.clear()

        cloud.prepare(run)

        assert self.made(cloud) == self.declared("prepare")

    def test_move_alias(self, cloud, plan):
        cloud.move(plan)

        assert self.made(cloud) == self.declared("move_alias")

    def test_verify(self, cloud, run, plan, change, platform):
        platform(smoke_event={})

        cloud.verify(run, plan, change, LAST)

        assert self.made(cloud) == self.declared("verify")

    def test_watch_hold(self, cloud, run, plan, change):
        cloud.hold(run, plan, change, NOON + 5 * MINUTE)

        assert self.made(cloud) == self.declared("watch_hold")

    def test_check_undo(self, cloud, undo, plan, change):
        cloud.step("check_undo", run=undo, plan=inverse(plan))

        assert self.made(cloud) == self.declared("check_undo")

    def test_roll_back(self, cloud, plan, change):
        cloud.step("roll_back", plan=plan)

        assert self.made(cloud) == self.declared("roll_back")

    def test_every_step_is_covered_here(self):
        covered = {n.removeprefix("test_") for n in dir(self) if n.startswith("test_")}

        assert set(steps_of(steps)) == covered - {"every_step_is_covered_here"}


def test_planned_calls_have_a_resource(plan):
    resources = [resource(kind) for kind in steps.RESOURCES]

    assert [changes.resource_for(c, resources).service for c in plan.calls] == ["lambda"]
