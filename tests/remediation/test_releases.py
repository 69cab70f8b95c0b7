"""What every release is judged by: settling, the test invocation, the canary, the traffic."""

import dataclasses

import pytest

from lambdas.remediation import releases
from lambdas.remediation.contracts import Decision, Plan, PlannedCall, Verdict, Verification
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.platform import Function
from lambdas.remediation.releases import ReleaseLimits, Traffic
from lambdas.remediation.resources.lambda_alias import Alias, Invocation
from lambdas.remediation.resources.lambda_release import Configuration

ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat"
LIMITS = ReleaseLimits()
ALIAS = Alias(function_name="chat", name="live", arn=f"{ARN}:live", version="7", revision_id="a1")
VERSION = Configuration(
    version="8", state="Active", last_update_status="Successful", code_sha256="code"
)
BEFORE = {"FunctionVersion": "7", "AdditionalVersionWeights": {}}
AFTER = {"FunctionVersion": "release:run:one", "AdditionalVersionWeights": {}}
SHARED = {"FunctionVersion": "7", "AdditionalVersionWeights": {"release:run:one": 0.1}}


def plan_of(canary: int) -> Plan:
    calls = releases.release_calls(
        ARN, ALIAS, release="run:one", code_sha256="code", published=None, canary=canary
    )
    return Plan(decision=Decision.CHANGE, reason="", calls=calls)


class TestCanary:
    @pytest.mark.parametrize(("asked", "share"), [(None, 10), (0, 0), (50, 50)])
    def test_its_share_is_the_smaller_part(self, asked, share):
        assert releases.canary_percent(asked, LIMITS) == share

    @pytest.mark.parametrize("asked", [-1, 51])
    def test_more_than_half_is_no_canary(self, asked):
        with pytest.raises(InvalidRequestError) as caught:
            releases.canary_percent(asked, LIMITS)

        assert str(caught.value).startswith(f"parameters.canary_percent: {asked} is outside 0 to")

    def test_is_a_stage_of_the_planned_move(self):
        canary, shift = releases.canary_call(plan_of(10)), releases.shift_call(plan_of(10))

        assert canary is not None
        assert (canary.before, canary.after) == (BEFORE, SHARED)
        assert (shift.before, shift.after, shift.arguments) == (SHARED, AFTER, {})

    def test_without_one_the_move_keeps_the_revision_of_the_plan(self):
        assert releases.canary_call(plan_of(0)) is None
        assert releases.shift_call(plan_of(0)).arguments["RevisionId"] == "a1"

    @pytest.mark.parametrize(
        "present",
        [
            BEFORE,
            AFTER,
            {"FunctionVersion": "7", "AdditionalVersionWeights": {"9": 0.1}},
            {"FunctionVersion": "7", "AdditionalVersionWeights": {"release:run:one": 0.2}},
            {"FunctionVersion": "6", "AdditionalVersionWeights": {"release:run:one": 0.1}},
        ],
        ids=["before", "after", "other version", "other share", "other main version"],
    )
    def test_only_its_own_stage_is_taken_for_it(self, present):
        assert releases.is_canary(plan_of(10), SHARED) is True
        assert releases.is_canary(plan_of(10), present) is False

    @pytest.mark.parametrize(
        ("errors", "invocations", "final", "verdict"),
        [
            (0, 100, False, Verdict.PENDING),
            (0, 100, True, Verdict.PASSED),
            (5, 100, True, Verdict.PASSED),
            (6, 100, True, Verdict.FAILED),
            (6, 100, False, Verdict.FAILED),
            (4, 4, False, Verdict.PENDING),
            (0, 4, True, Verdict.INCONCLUSIVE),
        ],
    )
    def test_is_taken_out_as_soon_as_too_many_fail(self, errors, invocations, final, verdict):
        seen = Traffic(errors=errors, invocations=invocations)

        assert releases.judge_canary(seen, LIMITS, final=final).verdict is verdict


class TestVersion:
    @pytest.mark.parametrize(
        ("changed", "final", "verdict"),
        [
            ({}, False, Verdict.PASSED),
            ({"state": "Inactive"}, False, Verdict.PASSED),
            ({"state": "Pending"}, False, Verdict.PENDING),
            ({"state": "Pending"}, True, Verdict.FAILED),
            ({"state": "Failed"}, False, Verdict.FAILED),
            ({"code_sha256": "other"}, False, Verdict.FAILED),
        ],
    )
    def test_must_serve_the_planned_code(self, changed, final, verdict):
        found = dataclasses.replace(VERSION, **changed)

        assert releases.judge_version(found, "code", final=final).verdict is verdict

    @pytest.mark.parametrize(
        ("answer", "verdict"),
        [
            (Invocation(status_code=200, executed_version="8"), Verdict.PASSED),
            (
                Invocation(status_code=200, executed_version="8", function_error="Unhandled"),
                Verdict.FAILED,
            ),
            (Invocation(status_code=200, executed_version="7"), Verdict.FAILED),
            (Invocation(status_code=202, executed_version="8"), Verdict.FAILED),
        ],
    )
    def test_must_answer_itself_and_without_an_error(self, answer, verdict):
        judged = Verification(verdict=Verdict.PASSED, reason="version 8 is Active")

        assert releases.with_smoke(judged, answer, "8").verdict is verdict


@pytest.mark.parametrize(
    ("changed", "applied", "final", "verdict"),
    [
        ({}, True, False, Verdict.PASSED),
        ({}, False, False, Verdict.FAILED),
        ({"last_update_status": "InProgress"}, True, False, Verdict.PENDING),
        ({"last_update_status": "InProgress"}, True, True, Verdict.FAILED),
        ({"last_update_status": "Failed"}, True, False, Verdict.FAILED),
    ],
)
def test_an_update_must_settle_as_planned(changed, applied, final, verdict):
    latest = dataclasses.replace(VERSION, **changed)
    judged = releases.judge_settled(latest, applied=applied, what="code", final=final)

    assert judged.verdict is verdict


class TestTraffic:
    def seen(self, **changed):
        whole = Traffic(errors=0, invocations=100, samples=5, periods=5, wanted_periods=5)
        return dataclasses.replace(whole, **changed)

    @pytest.mark.parametrize(
        ("changed", "final", "verdict"),
        [
            ({}, False, Verdict.PASSED),
            ({"periods": 4}, False, Verdict.PENDING),
            ({"errors": 6}, False, Verdict.PENDING),
            ({"errors": 6}, True, Verdict.FAILED),
            ({"invocations": 19}, True, Verdict.INCONCLUSIVE),
            ({"samples": 2}, True, Verdict.INCONCLUSIVE),
            ({"invocations": 0, "samples": 0}, True, Verdict.INCONCLUSIVE),
        ],
    )
    def test_silence_is_never_a_pass(self, changed, final, verdict):
        judged = releases.judge_traffic(self.seen(**changed), LIMITS, final=final)

        assert judged.verdict is verdict

    @pytest.mark.parametrize(("errors", "may"), [(0, True), (10, False)])
    def test_a_test_invocation_decides_only_where_little_traffic_did_not_fail(self, errors, may):
        seen = self.seen(invocations=19, errors=errors)
        judged = releases.judge_traffic(seen, LIMITS, final=True)

        assert releases.may_be_proven_by_smoke(judged, seen, LIMITS) is may


def test_a_failure_says_that_new_code_stays_unserved():
    failed = Verification(verdict=Verdict.FAILED, reason="bad")
    update = PlannedCall(
        api="lambda:UpdateFunctionCode", resource=ARN, arguments={}, before={}, after={}
    )
    with_code = dataclasses.replace(plan_of(10), calls=[update, *plan_of(10).calls])

    assert releases.told(failed, plan_of(10)).reason == "bad"
    assert releases.told(failed, with_code).reason.startswith(
        "bad; the unpublished code ($LATEST) stays as it is now: no alias serves it, but whoever "
        "publishes next releases it; to put the code of version 7 there, release its package"
    )


def test_what_cannot_be_proven_or_gone_back_from_is_refused():
    bare = Function(function_name="chat")

    with pytest.raises(PrerequisiteNotMetError) as unproven:
        releases.require_smoke_event(bare, required=True, runbook="update_lambda_code")
    with pytest.raises(PrerequisiteNotMetError) as no_alias:
        releases.require_alias(bare)
    assert "runbooks.update_lambda_code.options.require_smoke_event to false" in str(unproven.value)
    assert "set functions[].alias" in str(no_alias.value)
    releases.require_smoke_event(bare, required=False, runbook="update_lambda_code")
