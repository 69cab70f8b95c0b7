"""Decisions of api_gateway_errors, remedy by remedy, and what must hold for all of them."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.remediation.contracts import Decision, Plan, Verdict, canonical_json, decode, encode
from lambdas.remediation.errors import PrerequisiteNotMetError
from lambdas.remediation.ledger import Release
from lambdas.remediation.resources.api_stage import Canary, Stage, drop_canary, move
from lambdas.remediation.resources.stack_events import StackOperation
from lambdas.runbooks.api_gateway_errors.policy import (
    Calm,
    FunctionFinding,
    Health,
    Situation,
    Traffic,
    burst_of,
    canary_explains,
    decide,
    duration,
    judge,
    moved_by_us,
    traffic,
    wanted_deployments,
)
from lambdas.runbooks.api_gateway_errors.runbook import ApiGatewayErrorsLimits

ARN = "arn:aws:apigateway:us-east-1::/restapis/a1b2/stages/prod"
HTTP_ARN = "arn:aws:apigateway:us-east-1::/apis/h1t2/stages/prod"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIMITS = ApiGatewayErrorsLimits()
BAD_PERIODS = (NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW - MINUTE)

# 30 of 100 requests fail, in three bad periods.
ERRORS = Traffic(errors=30, requests=100, samples=3, bad_periods=BAD_PERIODS)
STAGE = Stage(deployment_id="new")
OLD = Release(current="new", known=True, since=NOW - timedelta(days=3), previous_good="good")
NEW = Release(current="new", known=True, recent=True, since=NOW - 10 * MINUTE, previous_good="good")
NEVER_SEEN = Release(current="new", known=False)
CANARY = Canary(deployment_id="canary", percent_traffic=30.0)


def function(name: str = "chat", **overrides) -> FunctionFinding:
    values = {"version": "7", "release": OLD, "errors": 0.0, "invocations": 100.0, "throttles": 0.0}
    return FunctionFinding(function_name=name, **{**values, **overrides})


def failing(name: str = "chat", **overrides) -> FunctionFinding:
    return function(name, **{"errors": 30.0, "release": NEW, **overrides})


def situation(**overrides) -> Situation:
    values = {
        "arn": ARN,
        "stage": STAGE,
        "traffic": ERRORS,
        "burst": ERRORS,
        "release": OLD,
        "previous_exists": True,
        "functions": (function(),),
        "throttled": {},
        "limits": LIMITS,
        "now": NOW,
    }
    return Situation(**{**values, **overrides})


def released(minutes_ago: float | None, **overrides) -> Release:
    since = None if minutes_ago is None else NOW - minutes_ago * MINUTE
    return dataclasses.replace(NEW, since=since, **overrides)


def operation(status: str) -> StackOperation:
    return StackOperation(stack_name="AppStack", status=status, at=NOW - 5 * MINUTE)


class TestTraffic:
    def series(self, *values: float) -> dict[datetime, float]:
        return {NOW + i * MINUTE: v for i, v in enumerate(values)}

    def of(self, errors: list[float], requests: list[float]) -> Traffic:
        periods = [NOW + i * MINUTE for i in range(len(requests))]
        return traffic(self.series(*errors), self.series(*requests), periods, LIMITS)

    def test_a_period_is_bad_above_the_rate_and_with_enough_requests(self):
        # 5 % is not above 5 %; 19 requests are too few.
        found = self.of([5, 6, 19, 0], [100, 100, 19, 0])

        assert found.bad_periods == (NOW + MINUTE,)
        assert (found.errors, found.requests, found.samples) == (30, 219, 3)

    def test_good_periods_after_the_last_bad_one_are_counted(self):
        assert self.of([0, 50, 0, 0, 0], [100, 100, 100, 19, 100]).good_since == 2

    def test_missing_values_are_zero(self):
        assert traffic({}, {}, [NOW], LIMITS) == Traffic()

    def test_the_burst_is_what_one_alarm_can_have_seen(self):
        earlier, last = NOW - 10 * MINUTE, NOW - MINUTE
        seen = dataclasses.replace(ERRORS, bad_periods=(earlier, NOW - 3 * MINUTE, last))

        assert burst_of(seen, LIMITS) == (NOW - 3 * MINUTE, last)
        assert burst_of(Traffic(), LIMITS) == ()


class TestNothingToDo:
    def test_refuses_without_a_bad_period(self):
        calm = Traffic(errors=2, requests=400, samples=15)

        with pytest.raises(PrerequisiteNotMetError) as caught:
            decide(situation(traffic=calm, release=NEW))

        assert "(2 of 400 in all), so there is nothing to heal" in str(caught.value)

    def test_refuses_once_the_errors_are_over(self):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            decide(situation(traffic=dataclasses.replace(ERRORS, good_since=3), release=NEW))

        assert "the errors are over" in str(caught.value)

    def test_two_good_periods_are_not_over(self):
        plan = decide(situation(traffic=dataclasses.replace(ERRORS, good_since=2), release=NEW))

        assert plan.decision is Decision.CHANGE

    def test_unread_requests_are_no_reason_to_act(self):
        plan = decide(
            situation(
                traffic=None,
                burst=None,
                release=NEW,
                functions=(function(errors=None),),
                unknown=("metrics: ThrottledError: slow down",),
            )
        )

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason == "Whether the stage answers with errors could not be read."
        assert plan.evidence["requests"] == "unknown"
        assert plan.evidence["unknown"] == ["metrics: ThrottledError: slow down"]


class TestRunningDeployment:
    @pytest.mark.parametrize(
        "cause",
        [
            {"release": NEW},
            {"functions": (failing(),)},
            {"throttled": {"orders": 9.0}},
            {"stage": Stage(deployment_id="new", canary=CANARY, last_updated_at=NOW)},
        ],
        ids=["stage", "function", "table", "canary"],
    )
    def test_is_never_fought(self, cause):
        plan = decide(situation(operations=(operation("UPDATE_IN_PROGRESS"),), **cause))

        assert plan.decision is Decision.HAND_OVER
        assert "A deployment is running: AppStack (UPDATE_IN_PROGRESS)" in plan.reason

    def test_is_evidence_when_it_is_over(self):
        plan = decide(situation(operations=(operation("UPDATE_COMPLETE"),), release=NEW))

        assert plan.decision is Decision.CHANGE
        assert plan.evidence["stack_operations"] == [
            {
                "stack_name": "AppStack",
                "status": "UPDATE_COMPLETE",
                "at": "2026-03-02T11:55:00.000Z",
            }
        ]


class TestCanary:
    def stage(self, canary: Canary = CANARY, updated_ago: float = 5) -> Stage:
        return dataclasses.replace(STAGE, canary=canary, last_updated_at=NOW - updated_ago * MINUTE)

    def test_a_new_canary_is_turned_off(self):
        plan = decide(situation(stage=self.stage(), canary_made_at=NOW - 5 * MINUTE))

        assert plan.decision is Decision.CHANGE
        (call,) = plan.calls
        assert call.api == "apigateway:UpdateStage"
        assert call.before == {
            "canarySettings": {
                "deploymentId": "canary",
                "percentTraffic": 30.0,
                "useStageCache": False,
            }
        }
        assert call.after == {"canarySettings": None}
        assert call.arguments["patchOperations"] == [{"op": "remove", "path": "/canarySettings"}]

    def test_goes_before_a_stage_that_is_new_too(self):
        plan = decide(situation(stage=self.stage(), canary_made_at=NOW - 5 * MINUTE, release=NEW))

        assert plan.calls[0].after == {"canarySettings": None}

    def test_goes_before_a_function_that_fails_too(self):
        plan = decide(
            situation(stage=self.stage(), canary_made_at=NOW - 5 * MINUTE, functions=(failing(),))
        )

        assert plan.calls[0].after == {"canarySettings": None}

    def test_an_old_deployment_whose_share_was_just_raised_counts_as_new(self):
        plan = decide(situation(stage=self.stage(), canary_made_at=NOW - timedelta(days=2)))

        assert plan.calls[0].after == {"canarySettings": None}

    def test_what_was_changed_of_a_new_stage_was_not_the_canary(self):
        plan = decide(
            situation(stage=self.stage(), canary_made_at=NOW - timedelta(days=2), release=NEW)
        )

        assert plan.calls[0].after == {"deploymentId": "good"}

    @pytest.mark.parametrize("release", [NEVER_SEEN, None], ids=["never seen", "unknown"])
    def test_what_was_changed_of_an_unknown_stage_may_not_have_been_the_canary(self, release):
        plan = decide(situation(stage=self.stage(), release=release))

        assert plan.decision is Decision.HAND_OVER
        assert "the canary (30 % of requests) is not known to be new" in plan.reason

    def test_an_old_canary_is_left_alone(self):
        plan = decide(situation(stage=self.stage(updated_ago=61), canary_made_at=NOW - 61 * MINUTE))

        assert plan.decision is Decision.HAND_OVER

    def test_one_that_cannot_explain_the_errors_is_left_alone(self):
        small = Canary(deployment_id="canary", percent_traffic=1)

        plan = decide(situation(stage=self.stage(small), canary_made_at=NOW))

        assert plan.decision is Decision.HAND_OVER
        assert "the canary (1 % of requests) cannot explain that many errors" in plan.reason

    def test_one_with_overrides_is_left_to_a_person(self):
        overriding = dataclasses.replace(CANARY, overrides={"DATABASE": "00ff"})

        plan = decide(situation(stage=self.stage(overriding), canary_made_at=NOW, release=NEW))

        assert plan.decision is Decision.HAND_OVER
        assert plan.calls == []
        assert "overrides stage variables (DATABASE)" in plan.reason
        assert "op=remove,path=/canarySettings" in plan.reason

    @pytest.mark.parametrize(
        ("percent", "errors", "expected"),
        [
            (0, 1, False),  # takes no request
            (10, 10, True),
            (10, 24, True),  # 10 expected, 9 by chance, 5 from elsewhere
            (10, 25, False),
            (100, 100, True),
        ],
    )
    def test_explains_its_share_and_some_chance(self, percent, errors, expected):
        canary = Canary(deployment_id="canary", percent_traffic=percent)
        seen = Traffic(errors=errors, requests=100)

        assert canary_explains(canary, seen, LIMITS) is expected


class TestStage:
    def test_a_new_deployment_goes_back_to_the_last_good_one(self):
        plan = decide(situation(release=NEW))

        assert plan.decision is Decision.CHANGE
        (call,) = plan.calls
        assert (call.before, call.after) == ({"deploymentId": "new"}, {"deploymentId": "good"})
        assert call.arguments["patchOperations"] == [
            {"op": "replace", "path": "/deploymentId", "value": "good"}
        ]
        assert plan.reason == (
            "30 of 100 requests in 15 min were answered with 5XX (30.0 %). The stage serves "
            "deployment new since 11:50 UTC, and no function behind it fails. Go back to "
            "deployment good, the last one that was seen good."
        )

    def test_one_that_no_poll_has_seen_yet_is_new(self):
        plan = decide(situation(release=released(None)))

        assert plan.calls[0].after == {"deploymentId": "good"}

    def test_an_http_stage_too(self):
        plan = decide(situation(arn=HTTP_ARN, release=NEW))

        (call,) = plan.calls
        assert call.api == "apigatewayv2:UpdateStage"
        assert call.arguments == {"ApiId": "h1t2", "StageName": "prod", "DeploymentId": "good"}

    def test_auto_deploy_is_left_to_a_person(self):
        stage = Stage(deployment_id="new", auto_deploy=True)

        plan = decide(situation(arn=HTTP_ARN, stage=stage, release=NEW))

        assert plan.decision is Decision.HAND_OVER
        assert "AutoDeploy is on" in plan.reason

    @pytest.mark.parametrize(
        ("exists", "said"), [(False, "is deleted"), (None, "exists is unknown")]
    )
    def test_the_last_good_deployment_has_to_exist(self, exists, said):
        plan = decide(situation(release=NEW, previous_exists=exists))

        assert plan.decision is Decision.HAND_OVER
        assert said in plan.reason

    @pytest.mark.parametrize(
        ("release", "said"),
        [
            (OLD, "the stage's deployment is not new"),
            (NEVER_SEEN, "the ledger has not seen this stage yet"),
            (None, "whether the stage's deployment is new is unknown"),
            (dataclasses.replace(NEW, previous_good=None), "none before it was seen good"),
            (
                dataclasses.replace(OLD, by_run="api-gateway-errors:one"),
                "(run api-gateway-errors:one moved it there)",
            ),
        ],
        ids=["old", "never seen", "unknown", "nothing good", "moved by us"],
    )
    def test_stays_without_a_new_deployment_and_a_good_one(self, release, said):
        plan = decide(situation(release=release))

        assert plan.decision is Decision.HAND_OVER
        assert said in plan.reason

    @pytest.mark.parametrize(
        "unclear",
        [
            function(errors=None, invocations=None, throttles=None),
            function(errors=9.0, invocations=19.0),
            function(throttles=50.0),
        ],
        ids=["unread", "few invocations", "throttled"],
    )
    def test_stays_while_a_function_may_be_failing(self, unclear):
        plan = decide(situation(release=NEW, functions=(function("web"), unclear)))

        assert plan.decision is Decision.HAND_OVER
        assert "whether function chat fails is unclear" in plan.reason

    def test_stays_when_a_function_fails_that_was_not_released(self):
        plan = decide(situation(release=NEW, functions=(failing(release=OLD),)))

        assert plan.decision is Decision.HAND_OVER
        assert (
            "chat fails (30 of 100 invocations), but no new release of it is known" in plan.reason
        )

    def test_goes_back_where_no_function_is_behind_it(self):
        assert decide(situation(release=NEW, functions=())).decision is Decision.CHANGE

    def test_goes_back_when_the_function_was_not_even_reached(self):
        unreached = function(invocations=0.0)

        assert decide(situation(release=NEW, functions=(unreached,))).decision is Decision.CHANGE

    def test_goes_before_a_throttled_table(self):
        plan = decide(situation(release=NEW, throttled={"orders": 3.0}))

        assert plan.calls[0].after == {"deploymentId": "good"}
        assert plan.evidence["throttle_events"] == {"orders": 3}


class TestBothNew:
    """Stage and function are new: the function's own errors decide."""

    def test_the_function_if_it_fails(self):
        plan = decide(situation(release=NEW, functions=(failing(),)))

        assert plan.decision is Decision.DELEGATE
        assert plan.child is not None
        assert plan.child.target == {"function_name": "chat"}

    def test_the_stage_if_the_function_is_healthy(self):
        plan = decide(situation(release=NEW, functions=(function(release=NEW),)))

        assert plan.calls[0].after == {"deploymentId": "good"}

    def test_a_healthy_new_function_alone_is_no_cause(self):
        plan = decide(situation(functions=(function(release=NEW),)))

        assert plan.decision is Decision.HAND_OVER


class TestFunction:
    @pytest.mark.parametrize(
        "new",
        [
            failing(),
            failing(release=dataclasses.replace(OLD, by_run="lambda-errors:one")),
            failing(release=OLD, rolling_out=True),
            failing(release=released(None)),
        ],
        ids=["released", "moved by us", "rolling out", "unseen"],
    )
    def test_a_failing_function_with_a_new_release_is_left_to_its_runbook(self, new):
        plan = decide(situation(functions=(function("web"), new)))

        assert plan.decision is Decision.DELEGATE
        assert plan.calls == []
        assert plan.child is not None
        assert (plan.child.runbook, plan.child.target) == (
            "lambda_errors",
            {"function_name": "chat"},
        )
        assert "chat fails (30 of 100 invocations) and was released lately" in plan.child.reason

    def test_goes_before_a_throttled_table(self):
        plan = decide(situation(functions=(failing(),), throttled={"orders": 99.0}))

        assert plan.child is not None
        assert plan.child.runbook == "lambda_errors"

    @pytest.mark.parametrize("release", [OLD, NEVER_SEEN, None], ids=["old", "never", "unknown"])
    def test_without_a_new_release_a_person_takes_over(self, release):
        plan = decide(situation(functions=(failing(release=release),)))

        assert plan.decision is Decision.HAND_OVER
        assert plan.child is None

    def test_of_several_the_newest(self):
        plan = decide(
            situation(
                functions=(
                    failing("chat", release=released(9)),
                    failing("web", release=released(4)),
                    failing("mail", release=released(30)),
                )
            )
        )

        assert plan.child is not None
        assert plan.child.target == {"function_name": "web"}
        assert "(chat, mail too, but released before)" in plan.reason

    def test_one_that_no_poll_has_seen_is_the_newest(self):
        plan = decide(
            situation(
                functions=(
                    failing("chat", release=released(None)),
                    failing("web", release=released(1)),
                )
            )
        )

        assert plan.child is not None
        assert plan.child.target == {"function_name": "chat"}

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (released(5), released(5)),
            (released(None), released(None)),
            (None, released(5)),
        ],
        ids=["same poll", "both unseen", "unknown"],
    )
    def test_of_several_without_a_newest_none(self, one, other):
        plan = decide(
            situation(
                functions=(
                    failing("chat", release=one, rolling_out=True),
                    failing("web", release=other),
                ),
                throttled={"orders": 5.0},
            )
        )

        assert plan.decision is Decision.HAND_OVER
        assert "chat, web fail, were all released, and no one came last" in plan.reason

    def test_one_that_fails_without_release_does_not_count_among_them(self):
        plan = decide(situation(functions=(failing("chat", release=OLD), failing("web"))))

        assert plan.child is not None
        assert plan.child.target == {"function_name": "web"}

    @pytest.mark.parametrize(
        ("errors", "invocations", "throttles", "expected"),
        [
            (6, 100, 0, Health.FAILING),
            (5, 100, 0, Health.HEALTHY),  # not above 5 %
            (20, 20, 0, Health.FAILING),
            (19, 19, 0, Health.UNCLEAR),  # too few
            (0, 0, 0, Health.HEALTHY),  # never reached
            (0, 100, 6, Health.UNCLEAR),  # throttled invocations are no errors
            (0, 100, 5, Health.HEALTHY),
            (0, 0, 1, Health.UNCLEAR),
        ],
    )
    def test_health(self, errors, invocations, throttles, expected):
        found = function(
            errors=float(errors), invocations=float(invocations), throttles=float(throttles)
        )

        assert found.health(LIMITS) is expected


class TestTable:
    def test_the_most_throttled_one_is_left_to_its_runbook(self):
        plan = decide(situation(throttled={"orders": 7.0, "chats": 40.0}))

        assert plan.decision is Decision.DELEGATE
        assert plan.child is not None
        assert (plan.child.runbook, plan.child.target) == (
            "dynamodb_throttling",
            {"table_name": "chats"},
        )
        assert "Table chats throttled 40 requests (also orders 7)" in plan.reason

    def test_behind_a_function_that_fails_without_release(self):
        plan = decide(situation(functions=(failing(release=OLD),), throttled={"orders": 7.0}))

        assert plan.child is not None
        assert plan.child.target == {"table_name": "orders"}

    def test_unread_tables_are_not_throttled_and_not_well(self):
        plan = decide(situation(throttled=None, unknown=("throttled tables: TimeoutError: slow",)))

        assert plan.decision is Decision.HAND_OVER
        assert plan.evidence["throttle_events"] == "unknown"
        assert "no table behind it is throttled" not in plan.reason
        assert "not readable: throttled tables: TimeoutError: slow" in plan.reason


def test_without_any_lead_a_person_gets_every_finding():
    plan = decide(situation())

    assert plan.decision is Decision.HAND_OVER
    assert plan.reason == (
        "30 of 100 requests in 15 min were answered with 5XX (30.0 %). No one cause stands out: "
        "the stage's deployment is not new; no function behind it fails; no table behind it is "
        "throttled."
    )
    assert plan.evidence == {
        "stage": {
            "deployment_id": "new",
            "last_updated_at": None,
            "canary": None,
            "auto_deploy": False,
            "release": "not recent",
            "since": "2026-02-27T12:00:00.000Z",
            "previous_good": "good",
            "by_run": None,
        },
        "requests": {
            "answered_with_5xx": 30,
            "all": 100,
            "bad_periods": 3,
            "look_back_seconds": 900,
        },
        "functions": [
            {
                "function_name": "chat",
                "health": "healthy",
                "errors": 0,
                "invocations": 100,
                "throttles": 0,
                "version": "7",
                "rolling_out": False,
                "in_hands_of": None,
                "release": "not recent",
                "since": "2026-02-27T12:00:00.000Z",
                "previous_good": "good",
                "by_run": None,
            }
        ],
        "throttle_events": {},
        "stack_operations": [],
    }


# --- what holds for every situation ---

RELEASES = st.none() | st.builds(
    Release,
    current=st.just("new"),
    known=st.just(True),
    recent=st.booleans(),
    previous_good=st.none() | st.just("good"),
    since=st.none() | st.integers(0, 7_200).map(lambda s: NOW - timedelta(seconds=s)),
    by_run=st.none() | st.just("lambda-errors:one"),
)
COUNTS = st.none() | st.integers(0, 200).map(float)
FUNCTIONS = st.lists(
    st.builds(
        FunctionFinding,
        function_name=st.sampled_from(["chat", "web", "mail"]),
        version=st.none() | st.just("7"),
        rolling_out=st.booleans(),
        in_hands_of=st.none() | st.just("lambda-errors:run-1"),
        release=RELEASES,
        errors=COUNTS,
        invocations=COUNTS,
        throttles=COUNTS,
    ),
    max_size=3,
    unique_by=lambda f: f.function_name,
).map(tuple)
CANARIES = st.none() | st.builds(
    Canary,
    deployment_id=st.just("canary"),
    percent_traffic=st.floats(0, 100),
    overrides=st.sampled_from([{}, {"DATABASE": "00ff"}]),
)
SITUATIONS = st.builds(
    situation,
    stage=st.builds(
        Stage,
        deployment_id=st.just("new"),
        canary=CANARIES,
        auto_deploy=st.booleans(),
        last_updated_at=st.none() | st.just(NOW - MINUTE),
    ),
    release=RELEASES | st.just(NEVER_SEEN),
    previous_exists=st.sampled_from([True, False, None]),
    canary_made_at=st.none() | st.just(NOW - MINUTE),
    functions=FUNCTIONS,
    throttled=st.none()
    | st.dictionaries(st.sampled_from(["orders", "chats"]), st.integers(0, 9).map(float)),
    operations=st.lists(
        st.sampled_from([operation("UPDATE_COMPLETE"), operation("UPDATE_IN_PROGRESS")]),
        max_size=1,
    ).map(tuple),
)


@given(found=SITUATIONS)
def test_every_plan_is_one_remedy_that_its_findings_single_out(found):
    plan = decide(found)

    assert len(plan.calls) == (plan.decision is Decision.CHANGE)
    assert (plan.child is not None) == (plan.decision is Decision.DELEGATE)
    if plan.decision is not Decision.HAND_OVER:
        assert not any(o.running for o in found.operations)
    for call in plan.calls:
        assert call.before != call.after
        assert call.before.keys() == call.after.keys()
        assert "stageVariableOverrides" not in canonical_json(encode(call))
        if "deploymentId" in call.after:
            assert found.release is not None
            assert found.release.recent is True
            assert found.previous_exists is True
            assert not found.stage.auto_deploy
            assert {f.health(LIMITS) for f in found.functions} <= {Health.HEALTHY}
    if plan.child is not None and plan.child.runbook == "lambda_errors":
        named = plan.child.target["function_name"]
        (blamed,) = [f for f in found.functions if f.function_name == named]
        assert blamed.health(LIMITS) is Health.FAILING
        assert blamed.released


@given(found=SITUATIONS)
def test_every_plan_survives_the_record(found):
    plan = decide(found)

    assert decode(Plan, encode(plan)) == plan


# --- after the change ---


def calm(errors: float, requests: float, **overrides) -> Calm:
    bad = overrides.pop("bad_periods", ())
    values = {
        "traffic": Traffic(
            errors=errors,
            requests=requests,
            samples=overrides.pop("samples", 5),
            bad_periods=bad,
        ),
        "periods": 5,
        "wanted_periods": 5,
        "minimum_samples": 3,
        "limits": LIMITS,
    }
    return Calm(**{**values, **overrides})


class TestJudge:
    @pytest.mark.parametrize(
        ("measured", "early", "late"),
        [
            (calm(0, 100), Verdict.PASSED, Verdict.PASSED),
            (calm(5, 100), Verdict.PASSED, Verdict.PASSED),
            (calm(6, 100), Verdict.PENDING, Verdict.FAILED),
            (calm(0, 0, samples=0), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (calm(0, 19), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (calm(19, 19), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (calm(0, 20), Verdict.PASSED, Verdict.PASSED),
            (calm(0, 100, samples=2), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (calm(0, 100, periods=4), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (calm(50, 100, periods=4), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (calm(4, 100, bad_periods=BAD_PERIODS[:1]), Verdict.PASSED, Verdict.PASSED),
            (calm(4, 100, bad_periods=BAD_PERIODS[:2]), Verdict.PENDING, Verdict.FAILED),
        ],
        ids=[
            "none failed",
            "at the limit",
            "above the limit",
            "silence",
            "few requests",
            "few requests, all failed",
            "just enough requests",
            "few periods with traffic",
            "too early",
            "too early, and bad",
            "one bad period",
            "enough bad periods for the alarm",
        ],
    )
    def test_verdict(self, measured, early, late):
        assert judge(measured, final=False).verdict is early
        assert judge(measured, final=True).verdict is late

    def test_says_what_it_measured(self):
        found = judge(calm(6, 120, samples=4), final=True)

        assert found.reason == (
            "6 of 120 requests were answered with 5XX, traffic in 4 of 5 periods"
        )
        assert [(c.name, c.observed, c.threshold, c.samples, c.passed) for c in found.checks] == [
            ("error_rate_percent", 5.0, 5.0, 5, True),
            ("requests", 120.0, 20.0, 5, True),
            ("periods_with_traffic", 4.0, 3.0, 5, True),
        ]

    @given(
        errors=st.integers(0, 500),
        more=st.integers(0, 500),
        seen=st.integers(0, 5),
        periods=st.integers(0, 5),
    )
    def test_passes_only_with_traffic_and_few_errors(self, errors, more, seen, periods):
        measured = calm(errors, errors + more, samples=seen, periods=periods)

        verdict = judge(measured, final=True).verdict

        assert verdict is not Verdict.PENDING
        if verdict is Verdict.PASSED:
            assert errors + more >= 20
            assert 20 * errors <= errors + more
            assert seen >= 3
            assert periods == 5


def test_what_the_way_back_needs():
    canary_back = drop_canary(ARN, CANARY).inverse()
    stage_back = move(ARN, STAGE, "good").inverse()

    assert wanted_deployments([stage_back, canary_back]) == ["new", "canary"]
    assert wanted_deployments([drop_canary(ARN, CANARY)]) == []


def test_a_canary_is_no_move_of_the_stage():
    assert moved_by_us([move(ARN, STAGE, "good")]) == ("new", "good")
    assert moved_by_us([drop_canary(ARN, CANARY)]) is None
    assert moved_by_us([]) is None


def test_durations_for_people():
    assert (duration(900), duration(45)) == ("15 min", "45 s")
