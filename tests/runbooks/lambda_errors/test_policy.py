"""Decisions of lambda_errors, cause by cause, and verdicts."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation.contracts import (
    ChildRequest,
    Decision,
    Plan,
    PlannedCall,
    Verdict,
    decode,
    encode,
)
from lambdas.remediation.errors import InvalidRequestError, PrerequisiteNotMetError
from lambdas.remediation.ledger import Release
from lambdas.remediation.resources.function_logs import ErrorPattern, LoggedErrors
from lambdas.remediation.resources.lambda_alias import Alias, FunctionState, Invocation
from lambdas.runbooks.lambda_errors import policy
from lambdas.runbooks.lambda_errors.policy import Health, Situation, Traffic, decide
from lambdas.runbooks.lambda_errors.runbook import LambdaErrorsLimits

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ARN = "arn:aws:lambda:us-east-1:123456789012:function:chat:live"
LIMITS = LambdaErrorsLimits()

ALIAS = Alias(function_name="chat", name="live", arn=ARN, version="7", revision_id="r1")
CANARY = dataclasses.replace(ALIAS, weights={"8": 0.1})
FAILING = Traffic(errors=96, invocations=240, samples=3, bad_periods=3)
FINE = Traffic(errors=1, invocations=900, samples=15)
UNMEASURED = Traffic(errors=3, invocations=10, samples=5)
NEW = Release(current="7", known=True, recent=True, previous_good="6", since=NOON - 9 * MINUTE)
OLD = Release(current="7", known=True, previous_good="6", since=NOON - timedelta(days=3))
GOOD = FunctionState(version="6", state="Active", last_update_status="Successful")


def situation(**overrides) -> Situation:
    values = {
        "function_name": "chat",
        "alias": ALIAS,
        "traffic": FAILING,
        "release": NEW,
        "candidate": GOOD,
        "limits": LIMITS,
        **overrides,
    }
    return Situation(**values)


def canary(main: Traffic, other: Traffic, **overrides) -> Situation:
    return situation(alias=CANARY, by_version={"7": main, "8": other}, **overrides)


def refusal(given: Situation) -> str:
    with pytest.raises(PrerequisiteNotMetError) as caught:
        decide(given)
    return str(caught.value)


class TestTraffic:
    def test_adds_up_periods_and_counts_the_bad_ones_as_the_alarm_does(self):
        periods = [NOON + n * MINUTE for n in range(5)]
        # At the threshold; above it; too few to count; no invocation; above it.
        invocations = dict(zip(periods, [100, 100, 19, 0, 20], strict=True))
        errors = dict(zip(periods, [5, 6, 19, 0, 2], strict=True))

        assert policy.traffic(errors, invocations, periods, LIMITS) == Traffic(
            errors=32, invocations=239, samples=4, bad_periods=2
        )

    def test_periods_outside_and_missing_values_do_not_count(self):
        seen = policy.traffic({NOON - MINUTE: 50}, {NOON: 40}, [NOON, NOON + MINUTE], LIMITS)

        assert seen == Traffic(errors=0, invocations=40, samples=1, bad_periods=0)

    def test_silence_has_no_rate(self):
        assert Traffic().error_rate_percent == 0


class TestRecentRelease:
    def test_goes_back_to_the_version_that_was_good(self):
        plan = decide(situation())

        assert plan.decision is Decision.CHANGE
        assert plan.calls == [
            PlannedCall(
                api="lambda:UpdateAlias",
                resource=ARN,
                arguments={
                    "FunctionName": "chat",
                    "Name": "live",
                    "FunctionVersion": "6",
                    "RoutingConfig": {"AdditionalVersionWeights": {}},
                    "RevisionId": "r1",
                },
                before={"FunctionVersion": "7", "AdditionalVersionWeights": {}},
                after={"FunctionVersion": "6", "AdditionalVersionWeights": {}},
            )
        ]

    def test_reason_is_short_and_has_the_numbers(self):
        assert decide(situation()).reason == (
            "96 of 240 invocations of chat:live failed in 15 min. Version 7 is there since 11:51 "
            "UTC: move the alias from version 7 to 6, which was good before."
        )

    def test_a_release_younger_than_the_last_poll_has_no_time(self):
        plan = decide(situation(release=dataclasses.replace(NEW, since=None)))

        assert "Version 7 is there since a few minutes at most" in plan.reason
        assert plan.decision is Decision.CHANGE

    def test_evidence_has_the_measurements(self):
        evidence = decide(situation()).evidence

        assert evidence["errors"] == 96
        assert evidence["invocations"] == 240
        assert evidence["error_rate_percent"] == 40.0
        assert evidence["release"]["previous_good"] == "6"

    def test_plan_survives_its_record(self):
        plan = decide(canary(FINE, FAILING))

        assert decode(Plan, encode(plan)) == plan

    def test_a_throttled_table_does_not_excuse_a_new_release(self):
        assert decide(situation(throttled={"orders": 900.0})).decision is Decision.CHANGE

    def test_without_an_earlier_good_version_a_person_has_to(self):
        release = dataclasses.replace(NEW, previous_good=None)

        plan = decide(situation(release=release, candidate=None))

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason.endswith("no earlier version was seen without this alarm.")

    @pytest.mark.parametrize(
        ("candidate", "why"),
        [(None, "is deleted."), (dataclasses.replace(GOOD, state="Failed"), "is Failed.")],
    )
    def test_an_earlier_version_that_cannot_serve_is_not_gone_back_to(self, candidate, why):
        plan = decide(situation(candidate=candidate))

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason.endswith(f"version 6, the last one that was good, {why}")

    def test_an_inactive_version_serves(self):
        candidate = dataclasses.replace(GOOD, state="Inactive")

        assert decide(situation(candidate=candidate)).decision is Decision.CHANGE


class TestSymptom:
    def test_nothing_that_fails_is_nothing_to_mend(self):
        assert refusal(situation(traffic=FINE)) == (
            "1 of 900 invocations of chat:live failed in 15 min. That is not more than 5 % of at "
            "least 20, so there is nothing to mend"
        )

    def test_one_bad_period_is_enough_however_calm_the_rest_was(self):
        seen = Traffic(errors=30, invocations=9_000, samples=15, bad_periods=1)

        assert decide(situation(traffic=seen)).decision is Decision.CHANGE

    def test_a_rate_over_all_periods_is_enough_where_each_has_little_traffic(self):
        seen = Traffic(errors=12, invocations=60, samples=15, bad_periods=0)

        assert decide(situation(traffic=seen)).decision is Decision.CHANGE

    def test_a_handful_of_invocations_says_nothing(self):
        refusal(situation(traffic=Traffic(errors=19, invocations=19, samples=5)))

    def test_a_person_may_go_back_from_a_recent_release_that_looks_fine(self):
        assert decide(situation(traffic=FINE, by_person=True)).decision is Decision.CHANGE

    @pytest.mark.parametrize(
        "release",
        [OLD, dataclasses.replace(NEW, previous_good=None), Release(current="7", known=False)],
    )
    def test_a_person_may_not_without_a_release_to_take_back(self, release):
        refusal(situation(traffic=FINE, by_person=True, release=release))


class TestNothingToGoBackTo:
    def test_a_function_without_alias(self):
        plan = decide(situation(alias=None, release=None, candidate=None))

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason == (
            "96 of 240 invocations of chat failed in 15 min. The platform file names no alias, so "
            "there is no release to go back to."
        )

    def test_an_alias_on_latest(self):
        alias = dataclasses.replace(ALIAS, version="$LATEST")

        plan = decide(situation(alias=alias))

        assert plan.decision is Decision.HAND_OVER
        assert "serves $LATEST" in plan.reason

    @pytest.mark.parametrize("alias", [ALIAS, CANARY])
    def test_an_empty_ledger_is_no_evidence(self, alias):
        plan = decide(
            situation(
                alias=alias,
                by_version={"7": FINE, "8": FAILING},
                release=Release(current="7", known=False),
                throttled={"orders": 900.0},
            )
        )

        assert (plan.decision, plan.calls) == (Decision.HAND_OVER, [])
        assert "ledger of releases is empty" in plan.reason


class TestRollout:
    def test_takes_a_bad_second_version_out(self):
        plan = decide(canary(FINE, FAILING, release=OLD))

        assert plan.decision is Decision.CHANGE
        assert [(c.before, c.after) for c in plan.calls] == [
            (
                {"FunctionVersion": "7", "AdditionalVersionWeights": {"8": 0.1}},
                {"FunctionVersion": "7", "AdditionalVersionWeights": {}},
            )
        ]
        assert plan.reason.endswith(
            "Of the two versions only 8 fails (40 % of 240 against 0 % of 900): take it out, from "
            "version 7 with 10% to 8 to 7."
        )

    def test_also_where_the_main_version_is_new(self):
        assert decide(canary(FINE, FAILING)).calls[0].after["FunctionVersion"] == "7"

    def test_a_fix_that_is_being_rolled_out_is_left_to_its_people(self):
        plan = decide(canary(FAILING, FINE))

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason.endswith(
            "Version 7 fails, and version 8, which is being rolled out, does not: finish that "
            "rollout."
        )

    def test_a_new_main_version_gives_way_to_the_good_one_beside_it(self):
        release = dataclasses.replace(NEW, previous_good="8")

        plan = decide(canary(FAILING, FINE, release=release))

        assert plan.calls[0].after == {"FunctionVersion": "8", "AdditionalVersionWeights": {}}

    def test_both_bad_and_new_goes_back_from_both(self):
        plan = decide(canary(FAILING, FAILING))

        assert plan.calls[0].before["AdditionalVersionWeights"] == {"8": 0.1}
        assert plan.calls[0].after == {"FunctionVersion": "6", "AdditionalVersionWeights": {}}

    def test_both_bad_and_old_has_another_cause(self):
        plan = decide(canary(FAILING, FAILING, release=OLD))

        assert plan.decision is Decision.HAND_OVER
        assert "the cause is elsewhere" in plan.reason

    def test_both_bad_does_not_go_back_to_one_of_them(self):
        release = dataclasses.replace(NEW, previous_good="8")

        assert decide(canary(FAILING, FAILING, release=release)).decision is Decision.HAND_OVER

    @pytest.mark.parametrize(
        ("main", "other"), [(UNMEASURED, FAILING), (FAILING, UNMEASURED), (FINE, UNMEASURED)]
    )
    def test_numbers_that_tell_nothing_apart_are_for_a_person(self, main, other):
        plan = decide(canary(main, other))

        assert plan.decision is Decision.HAND_OVER
        assert "do not tell which one to keep" in plan.reason

    def test_evidence_has_both_versions(self):
        by_version = decide(canary(FINE, FAILING)).evidence["by_version"]

        assert {v: n["errors"] for v, n in by_version.items()} == {"7": 1, "8": 96}


class TestCauseElsewhere:
    def test_the_most_throttled_table_goes_to_its_own_runbook(self):
        plan = decide(situation(release=OLD, throttled={"orders": 300.0, "users": 5.0}))

        assert plan.decision is Decision.DELEGATE
        assert plan.calls == []
        assert plan.child == ChildRequest(
            runbook="dynamodb_throttling",
            target={"table_name": "orders"},
            reason="chat:live fails while the table throttles",
        )
        assert plan.evidence["throttle_events"] == {"orders": 300, "users": 5}

    @pytest.mark.parametrize(
        ("events", "expected"), [(48.0, Decision.DELEGATE), (47.0, Decision.HAND_OVER)]
    )
    def test_throttling_must_explain_at_least_half_of_the_failures(self, events, expected):
        plan = decide(situation(release=OLD, throttled={"orders": events}))

        assert plan.decision is expected

    def test_a_child_starts_no_other_run(self):
        plan = decide(situation(release=OLD, throttled={"orders": 300.0}, is_child=True))

        assert (plan.decision, plan.child) == (Decision.HAND_OVER, None)
        assert "table orders throttled 300 requests" in plan.reason

    def test_a_move_of_ours_that_did_not_help_names_its_run(self):
        release = Release(current="6", known=True, previous_good="5", by_run="lambda-errors:1")

        plan = decide(situation(release=release))

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason.endswith(
            "Run lambda-errors:1 has moved the alias to version 6, and it still fails: going back "
            "has not helped."
        )

    def test_an_old_release_is_not_taken_back(self):
        plan = decide(situation(release=OLD))

        assert plan.decision is Decision.HAND_OVER
        assert plan.reason.endswith(
            "Version 7 is not new and no table throttles enough to explain it: the cause is "
            "elsewhere."
        )


class TestAskedVersion:
    @pytest.mark.parametrize("version", ["$LATEST", "live", "", "0", "6 ", "-1", "v6"])
    def test_only_published_versions(self, version):
        with pytest.raises(InvalidRequestError) as caught:
            policy.asked_version(version)

        assert str(caught.value).startswith(f"parameters.version: {version!r}")

    def test_is_optional(self):
        assert policy.asked_version(None) is None
        assert policy.asked_version("12") == "12"

    @pytest.mark.parametrize("release", [OLD, Release(current="7", known=False)])
    def test_needs_neither_symptom_nor_ledger(self, release):
        plan = decide(
            situation(
                asked_version="4",
                traffic=Traffic(),
                release=release,
                candidate=dataclasses.replace(GOOD, version="4"),
            )
        )

        assert plan.calls[0].after == {"FunctionVersion": "4", "AdditionalVersionWeights": {}}
        assert plan.reason == (
            "0 of 0 invocations of chat:live failed in 15 min. Move the alias from version 7 to 4, "
            "as asked."
        )

    def test_the_version_that_serves_everything_already(self):
        assert refusal(situation(asked_version="7")) == (
            "chat:live: version 7 serves all traffic now"
        )

    def test_the_main_version_while_another_has_a_share(self):
        plan = decide(situation(alias=CANARY, asked_version="7"))

        assert plan.calls[0].after == {"FunctionVersion": "7", "AdditionalVersionWeights": {}}

    @pytest.mark.parametrize(
        ("overrides", "expected"),
        [
            ({"candidate": None}, "chat:live: there is no version 4"),
            (
                {"candidate": dataclasses.replace(GOOD, state="Failed")},
                "chat:live: version 4 cannot serve, it is Failed",
            ),
            (
                {"alias": None},
                "function chat: platform.json names no alias that could be moved",
            ),
        ],
    )
    def test_what_cannot_serve_is_refused(self, overrides, expected):
        assert refusal(situation(asked_version="4", **overrides)) == expected


def test_candidate_is_what_was_asked_for_or_what_was_good():
    assert policy.candidate_version("4", NEW) == "4"
    assert policy.candidate_version(None, NEW) == "6"
    assert policy.candidate_version(None, OLD) is None


class TestLog:
    PLAN = Plan(decision=Decision.HAND_OVER, reason="It fails.", evidence={"errors": 96})

    def test_the_most_frequent_error_is_in_the_reason(self):
        logged = LoggedErrors(
            patterns=(
                ErrorPattern(pattern="KeyError: 'user_id'", count=90),
                ErrorPattern(pattern="TypeError", count=4),
            ),
            errors=95,
        )

        plan = policy.with_errors(self.PLAN, "/aws/lambda/chat", logged)

        assert plan.reason == "It fails. Most logged (90 of 95): KeyError: 'user_id'"
        assert plan.evidence == {
            "errors": 96,
            "log_group": "/aws/lambda/chat",
            "logged_errors": 95,
            "log_read": "all",
            "error_patterns": [
                {"pattern": "KeyError: 'user_id'", "count": 90},
                {"pattern": "TypeError", "count": 4},
            ],
        }

    def test_a_log_without_errors_changes_no_reason(self):
        plan = policy.with_errors(self.PLAN, "g", LoggedErrors(complete=False))

        assert plan.reason == "It fails."
        assert plan.evidence["log_read"] == "in part, oldest first"

    def test_a_log_that_cannot_be_read_is_said_so(self):
        plan = policy.without_errors(self.PLAN, "g", "no such group")

        assert plan.reason == "It fails."
        assert plan.evidence["log_read"] == "not readable: no such group"


def health(errors: float = 0, invocations: float = 100, **overrides) -> Health:
    seen = {"samples": 5, "bad_periods": 0} | {
        k: overrides.pop(k) for k in ("samples", "bad_periods") if k in overrides
    }
    values = {"periods": 5, "wanted_periods": 5, "minimum_samples": 3, **overrides}
    return Health(
        traffic=Traffic(errors=errors, invocations=invocations, **seen), limits=LIMITS, **values
    )


class TestJudge:
    @pytest.mark.parametrize(
        ("given", "early", "last"),
        [
            (health(), Verdict.PASSED, Verdict.PASSED),
            (health(errors=5), Verdict.PASSED, Verdict.PASSED),  # at the threshold
            (health(errors=6), Verdict.PENDING, Verdict.FAILED),
            # As many bad periods as turn the alarm red, though the rate is low altogether.
            (health(errors=6, invocations=900, bad_periods=2), Verdict.PENDING, Verdict.FAILED),
            (health(errors=6, invocations=900, bad_periods=1), Verdict.PASSED, Verdict.PASSED),
            (health(periods=4), Verdict.PENDING, Verdict.INCONCLUSIVE),
            # Not a whole window yet: too early to take the change back.
            (health(errors=90, periods=4), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (health(samples=2), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (health(invocations=19), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (health(errors=19, invocations=19), Verdict.PENDING, Verdict.INCONCLUSIVE),
            (health(invocations=0, samples=0), Verdict.PENDING, Verdict.INCONCLUSIVE),
        ],
    )
    def test_verdict(self, given, early, last):
        assert policy.judge(given, final=False).verdict is early
        assert policy.judge(given, final=True).verdict is last

    def test_says_what_was_measured(self):
        judged = policy.judge(health(errors=6, samples=4), final=True)

        assert judged.reason == "6 of 100 invocations failed, traffic in 4 of 5 periods"
        assert [(c.name, c.observed, c.threshold, c.passed) for c in judged.checks] == [
            ("error_rate_percent", 6.0, 5.0, False),
            ("invocations", 100.0, 20.0, True),
            ("periods_with_traffic", 4.0, 3.0, True),
        ]


class TestSmoke:
    ANSWER = Invocation(status_code=200, executed_version="6")

    @pytest.mark.parametrize(
        ("answer", "errors", "expected", "found"),
        [
            (ANSWER, 0, Verdict.PASSED, "succeeded"),
            (ANSWER, 9, Verdict.INCONCLUSIVE, "succeeded, but too many others failed"),
            (
                dataclasses.replace(ANSWER, function_error="Unhandled"),
                0,
                Verdict.FAILED,
                "failed (Unhandled)",
            ),
            (
                dataclasses.replace(ANSWER, executed_version="7"),
                0,
                Verdict.INCONCLUSIVE,
                "ran version 7 and answered 200",
            ),
            (
                dataclasses.replace(ANSWER, status_code=202),
                0,
                Verdict.INCONCLUSIVE,
                "ran version 6 and answered 202",
            ),
        ],
    )
    def test_verdict(self, answer, errors, expected, found):
        measured = health(errors=errors, invocations=10)
        judged = policy.judge(measured, final=True)

        smoked = policy.with_smoke(judged, measured, answer, "6")

        assert smoked.verdict is expected
        assert smoked.reason == f"{judged.reason}; the smoke invocation {found}"
        assert smoked.checks[-1].name == "smoke_invocation"
        assert smoked.checks[-1].passed is (answer == self.ANSWER)

    def test_any_version_will_do_where_none_was_moved(self):
        measured = health(invocations=0)
        judged = policy.judge(measured, final=True)

        assert policy.with_smoke(judged, measured, self.ANSWER, None).verdict is Verdict.PASSED


CALL = CANARY.moved_to("6")


def test_where_the_alias_points_instead():
    assert policy.moved_away(CALL, CALL.after) is None
    assert policy.moved_away(CALL, CALL.before) == "version 7 with weights {'8': 0.1}"
    assert policy.moved_away(CALL, ALIAS.settings) == "version 7"


def test_version_that_a_move_leaves():
    assert policy.left_version(CALL) == "7"
    assert policy.left_version(CANARY.moved_to("7")) == "8"


def test_versions_that_settings_name():
    assert policy.versions_in(CALL.before) == ["7", "8"]
