"""From facts to the one outcome, and to who is told."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from lambdas.remediation import errors
from lambdas.remediation.contracts import (
    CallResult,
    Change,
    Decision,
    Execution,
    Kind,
    Mode,
    OutcomeName,
    Plan,
    Run,
    Trigger,
    Verdict,
    Verification,
)
from lambdas.remediation.outcomes import (
    COOLING,
    COUNTING,
    REFUSALS,
    Facts,
    Failure,
    Outcome,
    audience,
    judge,
    read_facts,
    read_failure,
)

NOW = datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
PASSED = Verification(verdict=Verdict.PASSED, reason="No throttling in 5 minutes.")
FAILED = Verification(verdict=Verdict.FAILED, reason="12 throttle events.")
INCONCLUSIVE = Verification(verdict=Verdict.INCONCLUSIVE, reason="No traffic.")
CALL = CallResult(api="dynamodb:UpdateTable", resource="arn", before={"x": 1}, after={"x": 2})
CHANGE = Change(calls=[CALL], applied_at=NOW)
TAKEN_BACK = Change(
    calls=[CallResult(api=CALL.api, resource="arn", before={"x": 2}, after={"x": 1})],
    applied_at=NOW,
)
NOTHING_TO_TAKE_BACK = Change(calls=[], applied_at=NOW)
PLAN = Plan(decision=Decision.CHANGE, reason="Too little capacity.")
HAND_OVER = Plan(decision=Decision.HAND_OVER, reason="A hot key; capacity does not help.")
BUMP_FAILED = Failure(error="ChangeFailedError", message="refused by AWS", state="BumpCapacity")


def run(*, mode: Mode = Mode.ACT, trigger: Trigger = Trigger.ALARM) -> Run:
    return Run(
        id="x:run-1",
        runbook="x",
        kind=Kind.CHANGE,
        mode=mode,
        trigger=trigger,
        target={"table_name": "orders"},
        target_arn="arn",
        parameters={},
        reason="",
        requested_by="alarm",
        execution=Execution(arn="a:b:c:d:e", name="run-1", started_at=NOW),
        lease_until=NOW,
        limits={},
    )


def refused(error: str, message: str = "because") -> Failure:
    return Failure(error=error, message=message, state="Begin")


# --- outcome ---


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        (
            Facts(change=CHANGE, verification=PASSED, hold=PASSED),
            Outcome(name=OutcomeName.VERIFIED, reason="Too little capacity.", held=True),
        ),
        (
            Facts(change=CHANGE, verification=PASSED),
            Outcome(name=OutcomeName.VERIFIED, reason="Too little capacity.", held=None),
        ),
        (
            Facts(change=CHANGE, verification=PASSED, hold=FAILED),
            Outcome(
                name=OutcomeName.VERIFIED,
                reason="Too little capacity. 12 throttle events.",
                held=False,
            ),
        ),
        (
            Facts(change=CHANGE, verification=PASSED, hold=INCONCLUSIVE),
            Outcome(
                name=OutcomeName.VERIFIED, reason="Too little capacity. No traffic.", held=False
            ),
        ),
        (
            Facts(change=CHANGE, verification=FAILED),
            Outcome(
                name=OutcomeName.INEFFECTIVE, reason="Too little capacity. 12 throttle events."
            ),
        ),
        (
            Facts(change=CHANGE, verification=INCONCLUSIVE),
            Outcome(name=OutcomeName.INEFFECTIVE, reason="Too little capacity. No traffic."),
        ),
        (
            Facts(change=CHANGE, verification=FAILED, rollback=TAKEN_BACK),
            Outcome(name=OutcomeName.ROLLED_BACK, reason="12 throttle events."),
        ),
        (
            Facts(failure=BUMP_FAILED, rollback=TAKEN_BACK),
            Outcome(name=OutcomeName.ROLLED_BACK, reason="refused by AWS"),
        ),
        (
            Facts(failure=BUMP_FAILED, rollback=NOTHING_TO_TAKE_BACK),
            Outcome(name=OutcomeName.HANDED_OVER, reason="nothing was changed: refused by AWS"),
        ),
        (
            # RollBack was retried: its first try had taken the change back already.
            Facts(change=CHANGE, verification=FAILED, rollback=NOTHING_TO_TAKE_BACK),
            Outcome(name=OutcomeName.ROLLED_BACK, reason="12 throttle events."),
        ),
        (
            Facts(
                failure=BUMP_FAILED,
                rollback_failure=Failure(
                    error="RollbackFailedError", message="neither 5 nor 10", state="RollBack"
                ),
            ),
            Outcome(
                name=OutcomeName.ROLLBACK_FAILED,
                reason="refused by AWS; taking it back failed: neither 5 nor 10",
            ),
        ),
        (
            Facts(failure=Failure(error="KeyError", message="'Table'", state="Prepare")),
            Outcome(name=OutcomeName.HANDED_OVER, reason="Prepare failed: KeyError: 'Table'"),
        ),
        (
            Facts(),
            Outcome(name=OutcomeName.HANDED_OVER, reason="the run ended before verification"),
        ),
    ],
    ids=[
        "verified and held",
        "verified without a watch",
        "verified but came back",
        "verified, then no traffic",
        "did not help",
        "no traffic after the change",
        "did not help, taken back",
        "change failed, taken back",
        "change failed before anything changed",
        "taken back by an earlier try",
        "could not be taken back",
        "crashed",
        "ended early",
    ],
)
def test_outcome_of_a_run_that_acts(facts, outcome):
    assert judge(run(), PLAN, facts) == outcome


def test_observed_run_is_proposed():
    assert judge(run(mode=Mode.OBSERVE), PLAN, Facts()) == Outcome(
        name=OutcomeName.PROPOSED, reason="Too little capacity."
    )


def test_observed_run_without_a_remedy_is_still_a_report():
    assert judge(run(mode=Mode.OBSERVE), HAND_OVER, Facts()).name is OutcomeName.PROPOSED


def test_plan_without_a_remedy_is_handed_over():
    assert judge(run(), HAND_OVER, Facts()) == Outcome(
        name=OutcomeName.HANDED_OVER, reason="A hot key; capacity does not help."
    )


def test_report_is_a_note_in_every_mode():
    report = dataclasses.replace(HAND_OVER, report=True)
    outcome = judge(run(), report, Facts())
    assert outcome.name is OutcomeName.PROPOSED
    assert audience(outcome.name, run(), None) == "note"


def test_run_without_a_record_is_handed_over():
    assert judge(None, None, Facts()) == Outcome(
        name=OutcomeName.HANDED_OVER, reason="the run lost its record"
    )


def test_no_answer_in_time_leaves_a_proposal():
    late = Failure(error="States.Timeout", message="", state="AwaitApproval")
    assert judge(run(mode=Mode.PROPOSE), PLAN, Facts(failure=late)) == Outcome(
        name=OutcomeName.PROPOSED, reason="not approved in time; nothing was changed"
    )


def test_time_out_without_a_message_ends_without_a_colon():
    timed_out = Failure(error="States.Timeout", message="", state="Verify")
    outcome = judge(run(), PLAN, Facts(failure=timed_out))
    assert outcome.reason == "Verify failed: States.Timeout"


def test_time_out_of_another_state_is_not_a_proposal():
    late = Failure(error="States.Timeout", message="", state="Prepare")
    assert judge(run(mode=Mode.PROPOSE), PLAN, Facts(failure=late)).name is (
        OutcomeName.HANDED_OVER
    )


def test_duplicate_is_told_from_other_refusals():
    failure = refused("DuplicateRunError", "event 1 was already taken")
    assert judge(None, None, Facts(failure=failure)) == Outcome(
        name=OutcomeName.DUPLICATE, reason="event 1 was already taken"
    )


@pytest.mark.parametrize("error", sorted(REFUSALS - {"DuplicateRunError"}))
def test_every_refusal_is_refused(error):
    assert judge(run(), PLAN, Facts(failure=refused(error))) == Outcome(
        name=OutcomeName.REFUSED, reason="because"
    )


def test_refusals_are_the_leaves_of_one_family():
    assert {
        "InvalidRequestError",
        "TargetNotFoundError",
        "PrerequisiteNotMetError",
        "MutedError",
        "DuplicateRunError",
        "TargetLockedError",
        "TargetQuarantinedError",
        "CoolDownActiveError",
        "BreakerOpenError",
        "BudgetExceededError",
        "ApprovalDeniedError",
        "WorldMovedError",
        "NotAdmittedError",
    } == REFUSALS


# --- what a state caught ---


def test_message_of_a_lambda_error_is_read_from_its_cause():
    cause = json.dumps({"errorMessage": "no capacity", "errorType": "ChangeFailedError"})
    assert read_failure({"Error": "ChangeFailedError", "Cause": cause}, "Bump") == Failure(
        error="ChangeFailedError", message="no capacity", state="Bump"
    )


@pytest.mark.parametrize("cause", ["Internal error.", '"text"', "[1]"])
def test_cause_that_is_no_lambda_error_is_the_message(cause):
    assert read_failure({"Error": "States.Runtime", "Cause": cause}, "Bump") == Failure(
        error="States.Runtime", message=cause, state="Bump"
    )


def test_error_without_a_cause_has_an_empty_message():
    assert read_failure({"Error": "States.Timeout"}, "AwaitApproval") == Failure(
        error="States.Timeout", message="", state="AwaitApproval"
    )


def test_endless_message_is_cut():
    assert len(read_failure({"Error": "A", "Cause": "x" * 32_000}, "Turn").message) == 4_000


@pytest.mark.parametrize("caught", [None, {}])
def test_no_error_is_no_failure(caught):
    assert read_failure(caught, None) is None


def test_facts_of_a_machine_that_assigned_nothing_are_empty():
    names = ("change", "verification", "hold", "failure", "failed_state", "rollback")
    assert read_facts({"step": "finish", **dict.fromkeys(names)}) == Facts()


def test_facts_keep_both_errors_with_their_states():
    facts = read_facts(
        {
            "failure": {"Error": "A", "Cause": "a"},
            "failed_state": "Turn",
            "rollback_failure": {"Error": "B", "Cause": "b"},
        }
    )
    assert facts == Facts(
        failure=Failure(error="A", message="a", state="Turn"),
        rollback_failure=Failure(error="B", message="b", state="RollBack"),
    )


# --- who is told ---


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (OutcomeName.VERIFIED, "note"),
        (OutcomeName.PROPOSED, "note"),
        (OutcomeName.DUPLICATE, "nobody"),
        (OutcomeName.HANDED_OVER, "page"),
        (OutcomeName.INEFFECTIVE, "page"),
        (OutcomeName.ROLLED_BACK, "page"),
        (OutcomeName.ROLLBACK_FAILED, "page"),
    ],
)
@pytest.mark.parametrize("trigger", Trigger)
def test_who_is_told_of_an_outcome(outcome, told, trigger):
    assert audience(outcome, run(trigger=trigger), None) == told


@pytest.mark.parametrize("trigger", [Trigger.ALARM, Trigger.SWEEP])
@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (refused("MutedError", "automation is switched off (OPS-7); switch it on"), "page"),
        (refused("MutedError", "maintenance until 2026-03-02T13:00:00.000Z: release"), "nobody"),
        (refused("CoolDownActiveError"), "page"),
        (refused("BreakerOpenError"), "page"),
        (refused("BudgetExceededError"), "page"),
        (refused("TargetQuarantinedError"), "page"),
        (refused("PrerequisiteNotMetError"), "page"),
        (refused("WorldMovedError"), "page"),
        (refused("TargetLockedError"), "nobody"),
        (refused("ApprovalDeniedError"), "nobody"),
    ],
)
def test_refused_alarm_pages_unless_somebody_is_on_it(trigger, failure, told):
    assert audience(OutcomeName.REFUSED, run(trigger=trigger), failure) == told


def test_refused_person_reads_the_answer_and_nobody_else_is_told():
    failure = refused("CoolDownActiveError")
    assert audience(OutcomeName.REFUSED, run(trigger=Trigger.PERSON), failure) == "nobody"


def test_input_that_was_never_a_run_tells_nobody():
    failure = refused("InvalidRequestError")
    assert audience(OutcomeName.REFUSED, None, failure) == "nobody"


def test_outcomes_that_start_the_cool_down():
    assert {o.value for o in COOLING} == {"verified", "handed_over", "ineffective", "rolled_back"}


def test_outcomes_that_count_for_the_breaker():
    assert {o.value for o in COUNTING} == {"ineffective", "rolled_back", "rollback_failed"}


def test_every_error_ends_in_error_and_says_what_it_means():
    families = (
        errors.RetryableError,
        errors.RefusedError,
        errors.ChangeError,
        errors.RollbackError,
    )
    leaves = [leaf for family in families for leaf in family.__subclasses__()]
    assert all(leaf.__name__.endswith("Error") and leaf.__doc__ for leaf in leaves)
