"""Decisions of optimize_cold_starts: who may have how many, and whether they help."""

import dataclasses

import pytest

from lambdas.remediation.contracts import Decision, Plan, Verdict, Verification, decode, encode
from lambdas.remediation.errors import PrerequisiteNotMetError, ResourceBusyError
from lambdas.remediation.resources.function_logs import Reports
from lambdas.remediation.resources.lambda_alias import Alias, FunctionState
from lambdas.remediation.resources.provisioned_concurrency import (
    Allocation,
    FunctionSetup,
    Headroom,
    provision,
)
from lambdas.runbooks.optimize_cold_starts.policy import (
    ColdStarts,
    Served,
    Situation,
    decide,
    judge,
    judge_allocation,
    measure,
    require_alias,
    undo_obstacles,
)
from lambdas.runbooks.optimize_cold_starts.runbook import OptimizeColdStartsLimits

ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat:live"
KEY = "ProvisionedConcurrentExecutions"
LIMITS = OptimizeColdStartsLimits()
ALIAS = Alias(function_name="chat", name="live", arn=ARN, version="7", revision_id="r")
SETUP = FunctionSetup(memory_mb=512, snap_start=False, could_snap_start=False)
SERVING = FunctionState(version="7", state="Active", last_update_status="Successful")
SEEN = ColdStarts(count=20, invocations=400, p95_milliseconds=812.4)


def situation(**overrides) -> Situation:
    values = {
        "alias": ALIAS,
        "state": SERVING,
        "setup": SETUP,
        "present": None,
        "cold_starts": SEEN,
        "peak_concurrency": 4.0,
        "headroom": Headroom(unreserved=1_000),
        "scaled": False,
        "asked": None,
        "limits": LIMITS,
    }
    return Situation(**{**values, **overrides})


def provisioned(number: int, **overrides) -> Allocation:
    return Allocation(**{"requested": number, "allocated": number, "status": "READY", **overrides})


def wanted(**overrides) -> int:
    (call,) = decide(situation(**overrides)).calls
    return call.after[KEY]


def refused(**overrides) -> str:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        decide(situation(**overrides))
    return str(caught.value)


class TestMeasure:
    def test_counts_and_ranks(self):
        reports = Reports(invocations=50, init_milliseconds=tuple(float(n) for n in range(20)))

        found = measure(reports)

        assert (found.count, found.invocations, found.percent) == (20, 50, 40.0)
        # 19 of 20 are at most 18.
        assert found.p95_milliseconds == 18.0

    @pytest.mark.parametrize(("inits", "p95"), [((), 0.0), ((300.0,), 300.0), ((9.0, 1.0), 9.0)])
    def test_few(self, inits, p95):
        assert measure(Reports(invocations=2, init_milliseconds=inits)).p95_milliseconds == p95

    def test_nothing_is_no_share(self):
        assert measure(Reports()).percent == 0


class TestDecide:
    def test_as_many_as_were_busy_at_once(self):
        plan = decide(situation())

        assert plan.decision is Decision.CHANGE
        assert plan.calls == [provision(ARN, before=None, wanted=4)]
        assert plan.reason == (
            "20 of 400 invocations of chat:live started cold in 60 min, 95 % of them within "
            "812 ms. Keep 4 environments of 512 MB ready, as many as were busy at once (peak 4, at "
            "most 10). That is 7,200 GB-seconds an hour, billed without traffic too, until it is "
            "given back."
        )
        assert plan.evidence == {
            "look_back_seconds": 3_600,
            "invocations": 400,
            "cold_starts": 20,
            "cold_start_percent": 5.0,
            "cold_start_p95_milliseconds": 812.4,
            "log_read": "all",
            "peak_concurrency": 4.0,
            "gb_seconds_per_hour": 7_200,
            "snap_start_possible": False,
        }

    @pytest.mark.parametrize(("peak", "number"), [(0.0, 1), (0.4, 1), (2.1, 3), (10.0, 10)])
    def test_rounded_up_and_at_least_one(self, peak, number):
        assert wanted(peak_concurrency=peak) == number

    def test_never_more_than_the_limit(self):
        assert wanted(peak_concurrency=80.0) == 10

    def test_as_a_person_asks_whatever_was_measured(self):
        plan = decide(situation(asked=2, cold_starts=ColdStarts()))

        assert plan.calls[0].after == {KEY: 2}
        assert plan.reason.startswith(
            "0 of 0 invocations of chat:live started cold in 60 min. Keep 2 environments of 512 MB "
            "ready, as asked."
        )

    def test_a_person_may_lower_it(self):
        plan = decide(situation(asked=2, present=provisioned(5)))

        assert plan.calls == [provision(ARN, before=5, wanted=2)]
        assert "ready instead of 5, as asked" in plan.reason

    def test_says_that_the_log_was_read_in_part(self):
        plan = decide(situation(cold_starts=dataclasses.replace(SEEN, complete=False)))

        assert "in 60 min, read in part, 95 %" in plan.reason
        assert plan.evidence["log_read"] == "in part, oldest first"

    def test_advises_snap_start_where_the_runtime_has_it(self):
        plan = decide(situation(setup=dataclasses.replace(SETUP, could_snap_start=True)))

        assert plan.reason.endswith(
            "SnapStart may cost less: the runtime has it, and it is off; it takes a release."
        )

    @pytest.mark.parametrize(
        ("count", "invocations", "few"),
        [(4, 10, True), (5, 500, False), (5, 501, True), (0, 0, True)],
    )
    def test_rare_cold_starts_are_left_alone(self, count, invocations, few):
        seen = ColdStarts(count=count, invocations=invocations, p95_milliseconds=100)
        if few:
            message = refused(cold_starts=seen)
            assert message.startswith(
                f"nothing to do: {count} of {invocations} invocations of chat:live started cold"
            )
            assert "give parameters.provisioned_concurrency" in message
        else:
            assert wanted(cold_starts=seen) == 4

    def test_nothing_to_do_where_it_is_so_already(self):
        assert refused(asked=3, present=provisioned(3)) == (
            "nothing to do: 3 are provisioned for chat:live already"
        )

    def test_a_failed_allocation_is_not_repeated(self):
        present = provisioned(3, allocated=0, status="FAILED", status_reason="no capacity")

        assert refused(asked=3, present=present) == (
            "chat:live: Lambda could not allocate the 3 that were asked for: no capacity; ask for "
            "another number"
        )

    def test_a_measurement_never_lowers_it(self):
        message = refused(present=provisioned(6))

        assert "But 6 are provisioned already, and 4 is what was measured" in message

    def test_no_alias(self):
        with pytest.raises(PrerequisiteNotMetError) as caught:
            require_alias("chat", None)

        assert "platform.json names no alias" in str(caught.value)

    @pytest.mark.parametrize(
        ("overrides", "why"),
        [
            ({"alias": dataclasses.replace(ALIAS, version="$LATEST")}, "serves $LATEST"),
            ({"alias": dataclasses.replace(ALIAS, weights={"8": 0.1})}, "between two versions"),
            ({"setup": dataclasses.replace(SETUP, snap_start=True)}, "version 7 uses SnapStart"),
            ({"state": dataclasses.replace(SERVING, state="Failed")}, "cannot serve, it is Failed"),
            ({"scaled": True}, "Application Auto Scaling sets"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_an_alias_that_cannot_have_it(self, overrides, why):
        assert why in refused(asked=1, **overrides)

    @pytest.mark.parametrize(
        "overrides",
        [
            {"state": dataclasses.replace(SERVING, state="Pending")},
            {"present": provisioned(3, allocated=1, status="IN_PROGRESS")},
        ],
        ids=["version", "allocation"],
    )
    def test_waits_for_what_is_under_way(self, overrides):
        with pytest.raises(ResourceBusyError):
            decide(situation(**overrides))

    def test_leaves_a_hundred_to_other_functions(self):
        assert wanted(asked=10, headroom=Headroom(unreserved=110)) == 10
        assert refused(asked=10, headroom=Headroom(unreserved=109)) == (
            "chat:live: 10 of 109 unreserved concurrent executions would leave 99, and 100 must "
            "stay for other functions"
        )

    def test_what_is_reserved_for_the_function_is_taken_from_there(self):
        assert wanted(asked=10, headroom=Headroom(unreserved=100, reserved=10)) == 10
        assert refused(asked=10, headroom=Headroom(unreserved=1_000, reserved=9)) == (
            "chat:live: 10 are more than the 9 that are reserved for the function"
        )

    def test_a_plan_survives_the_run_table(self):
        plan = decide(situation())

        assert decode(Plan, encode(plan)) == plan


class TestAllocation:
    CALL = provision(ARN, before=None, wanted=4)

    def judge(self, found, *, call=CALL, final=False):
        judged = judge_allocation(call, found, final=final)
        return judged.verdict, judged.reason

    def test_all_of_it(self):
        assert self.judge(provisioned(4)) == (
            Verdict.PASSED,
            "4 environments are allocated and READY",
        )

    @pytest.mark.parametrize(
        ("final", "verdict"), [(False, Verdict.PENDING), (True, Verdict.FAILED)]
    )
    def test_part_of_it(self, final, verdict):
        found = provisioned(4, allocated=3, status="IN_PROGRESS")

        assert self.judge(found, final=final) == (
            verdict,
            "3 of 4 environments are allocated, IN_PROGRESS",
        )

    def test_failed_is_final_and_says_why(self):
        found = provisioned(4, allocated=0, status="FAILED", status_reason="role is missing")

        assert self.judge(found) == (
            Verdict.FAILED,
            "0 of 4 environments are allocated, FAILED: role is missing",
        )

    @pytest.mark.parametrize(
        ("found", "now"),
        [(None, "nothing is provisioned"), (provisioned(9), "9 are provisioned")],
    )
    def test_changed_by_someone_else(self, found, now):
        assert self.judge(found) == (
            Verdict.INCONCLUSIVE,
            f"someone else has changed it since: {now} instead of 4 are provisioned",
        )

    def test_a_way_back_to_nothing(self):
        back = self.CALL.inverse()

        assert self.judge(None, call=back) == (
            Verdict.PASSED,
            "nothing is provisioned any more",
        )


class TestJudge:
    READY = Verification(verdict=Verdict.PASSED, reason="4 environments are allocated and READY")
    WARM = Served(
        invocations=100,
        warm=100,
        spilled=0,
        samples=5,
        minimum_samples=3,
        periods=5,
        wanted_periods=5,
    )

    def judge(self, *, final=False, before=5.0, **overrides):
        served = dataclasses.replace(self.WARM, **overrides)
        return judge(self.READY, served, before_percent=before, final=final)

    def test_all_warm(self):
        found = self.judge()

        assert found.verdict is Verdict.PASSED
        assert found.reason == (
            "4 environments are allocated and READY; 100 invocations in 5 of 5 periods, 0 spilled "
            "over, 0.0 % beside provisioned environments (5.0 % cold before)"
        )
        assert all(c.passed for c in found.checks)

    @pytest.mark.parametrize(
        "overrides",
        [
            {"spilled": 1, "warm": 99},
            {"warm": 0},
            {"warm": 95},
        ],
        ids=["spilled over", "not provisioned at all", "no fewer than before"],
    )
    def test_not_all_warm_fails_at_the_last_look(self, overrides):
        assert self.judge(**overrides).verdict is Verdict.PENDING
        assert self.judge(final=True, **overrides).verdict is Verdict.FAILED

    def test_a_smaller_share_beside_passes(self):
        """Metrics of one invocation may come in two periods."""
        assert self.judge(warm=96).verdict is Verdict.PASSED

    def test_waits_for_the_whole_window(self):
        assert self.judge(periods=4).verdict is Verdict.PENDING
        assert self.judge(periods=4, final=True).verdict is Verdict.INCONCLUSIVE

    def test_waits_for_more_traffic_until_the_last_look(self):
        assert self.judge(samples=2).verdict is Verdict.PENDING
        assert self.judge(samples=2, final=True).verdict is Verdict.PASSED

    def test_without_traffic_goes_by_the_allocation_and_says_so(self):
        silent = {"invocations": 0, "warm": 0, "samples": 0}

        assert self.judge(**silent).verdict is Verdict.PENDING
        found = self.judge(final=True, **silent)

        assert found.verdict is Verdict.PASSED
        assert found.reason == (
            "4 environments are allocated and READY; no traffic to measure: judged by the "
            "allocation alone"
        )

    def test_no_cold_starts_before_need_not_become_fewer(self):
        assert self.judge(before=0.0).verdict is Verdict.PASSED


class TestUndoObstacles:
    def test_less_needs_no_room(self):
        calls = [provision(ARN, before=2, wanted=5).inverse()]

        assert undo_obstacles(calls, Headroom(unreserved=100), LIMITS) == []

    def test_nothing_needs_no_room(self):
        calls = [provision(ARN, before=None, wanted=5).inverse()]

        assert undo_obstacles(calls, Headroom(unreserved=100), LIMITS) == []

    def test_more_needs_room(self):
        calls = [provision(ARN, before=5, wanted=2).inverse()]

        assert undo_obstacles(calls, Headroom(unreserved=105), LIMITS) == []
        (found,) = undo_obstacles(calls, Headroom(unreserved=104), LIMITS)
        assert found.startswith("5 of 104 unreserved")
