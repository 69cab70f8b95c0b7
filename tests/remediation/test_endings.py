"""Whole lives: every outcome, what it leaves behind, and who is told; also when it is repeated."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import Decision, PlannedCall, Verdict, Verification
from lambdas.remediation.errors import (
    BreakerOpenError,
    ChangeFailedError,
    ConcurrentChangeError,
    CoolDownActiveError,
    DuplicateRunError,
    InvalidRequestError,
    MutedError,
    NotAdmittedError,
    PrerequisiteNotMetError,
    RefusedError,
    TargetLockedError,
    TargetQuarantinedError,
)
from lambdas.remediation.records import epoch
from tests.conftest import NOW, read_event
from tests.remediation import dial

LOCK = f"TARGET#{dial.ARN}"
PAIR = f"PAIR#stuck_dial#{dial.ARN}"
# No run is open; the last one is remembered for whoever comes in its cool-down.
FREE = {"pk": PAIR, "last_run": "stuck-dial:run-1"}
QUARANTINE = f"QUARANTINE#{dial.ARN}"
BREAKER = "BREAKER#stuck_dial"
RECORD = "RUN#stuck-dial:run-1"
COOLED_DOWN = epoch(NOW) + 900
ACT = {"target": dial.TARGET}
OBSERVE = ACT | {"mode": "observe"}
PROPOSE = ACT | {"mode": "propose"}
PLAN_HASH = dial.PLAN.hash("stuck_dial", dial.ARN)
UNDO_COMMAND = (
    "aws stepfunctions start-execution --state-machine-arn "
    "arn:aws:states:us-east-1:123456789012:stateMachine:remediation-stuck-dial --input "
    '\'{"undo": "stuck-dial:run-1", "reason": ""}\''
)


def turned(name: str, before: int = 1, after: int = 5, *, already: bool = False) -> dict[str, Any]:
    return {
        "api": "dynamodb:TurnDial",
        "resource": dial.ARN,
        "before": {name: before},
        "after": {name: after},
        "already_applied": already,
    }


PLANNED = [
    {
        "api": "dynamodb:TurnDial",
        "resource": dial.ARN,
        "arguments": {"Dial": name, "Position": 5},
        "before": {name: 1},
        "after": {name: 5},
        "reversible": True,
    }
    for name in ("read", "write")
]


def alarm():
    return read_event("alarm_metric_math")


def refused(one, given, error: type[RefusedError]):
    with pytest.raises(error):
        one.begin(given)
    return one


def outcome(result: dict[str, Any]) -> str:
    return result["answer"]["outcome"]


def state_of(alarm_name: str) -> str:
    found = clients.client("cloudwatch").describe_alarms(AlarmNames=[alarm_name])
    return found["MetricAlarms"][0]["StateValue"]


def turn_red(*names: str) -> None:
    for name in names:
        clients.client("cloudwatch").set_alarm_state(
            AlarmName=name, StateValue="ALARM", StateReason="test"
        )


# --- verified ---


def test_answer_of_a_verified_run(execution):
    one = execution("run-1").started(ACT | {"reason": "OPS-9"}).turn().verify().watch_hold()
    assert one.finish() == {
        "answer": {
            "run_id": "stuck-dial:run-1",
            "runbook": "stuck_dial",
            "outcome": "verified",
            "held": True,
            "reason": "Both dials are stuck at 1.",
            "target": {"table_name": "ChatMessage-prod"},
            "mode": "act",
            "plan": {"hash": PLAN_HASH, "calls": PLANNED},
            "changes": [turned("read"), turned("write")],
            "verification": {
                "verdict": "passed",
                "reason": "No errors in 5 minutes.",
                "checks": [],
            },
            "undo": {"command": UNDO_COMMAND},
            "joined": None,
            "duplicate_of": None,
            "next_action": None,
        },
        "cause": one.finish()["cause"],
        "green": True,
    }


def test_answer_has_the_fields_of_the_design_in_its_order(execution):
    answer = execution("run-1").started().turn().verify().finish()["answer"]
    assert list(answer)[:13] == [
        "run_id",
        "runbook",
        "outcome",
        "held",
        "reason",
        "target",
        "mode",
        "plan",
        "changes",
        "verification",
        "undo",
        "joined",
        "duplicate_of",
    ]


def test_verified_run_is_a_note(execution, inbox):
    execution("run-1").started(alarm()).turn().verify().finish()
    (message,) = inbox.messages
    assert message.subject == "[note] ChatMessage-prod: fixed (Stuck dial)"
    assert message.attributes == {
        "severity": "note",
        "runbook": "stuck_dial",
        "outcome": "verified",
        "mode": "act",
    }
    assert UNDO_COMMAND in message.text


def test_chat_is_told_too(execution, chat_inbox):
    execution("run-1").started().turn().verify().finish()
    (message,) = chat_inbox.messages
    assert json.loads(message.text)["metadata"]["threadId"] == "stuck-dial:run-1"


def test_lock_is_free_before_the_hold_watch(execution, run_table):
    execution("run-1").started().turn().verify()
    assert "owner" not in run_table.get(LOCK)


def test_cool_down_starts_when_the_fix_is_verified(execution, run_table, clock):
    one = execution("run-1").started().turn()
    clock.advance(seconds=60)
    one.verify()
    clock.advance(seconds=300)
    one.watch_hold().finish()
    assert run_table.get(PAIR) == {**FREE, "cool_down_until": COOLED_DOWN + 60}


def test_run_in_its_hold_watch_still_owns_the_symptom(execution, clock):
    execution("run-1").started().turn().verify()
    clock.advance(seconds=901)
    with pytest.raises(DuplicateRunError) as refusal:
        execution("run-2").begin(ACT)
    assert refusal.value.held_by == "stuck-dial:run-1"


def test_runbook_may_act_again_after_its_cool_down(execution, clock):
    execution("run-1").started().turn().verify().finish()
    refused(execution("run-2"), ACT, CoolDownActiveError)
    clock.advance(seconds=900)
    assert execution("run-3").begin(ACT).run["mode"] == "act"


def test_verification_that_has_not_passed_keeps_the_lock(execution, script, run_table):
    script.verification = Verification(verdict=Verdict.PENDING, reason="2 of 3 samples.")
    execution("run-1").started().turn().verify()
    assert run_table.get(LOCK)["owner"] == "stuck-dial:run-1"


def test_verified_run_closes_the_breaker(execution, run_table):
    run_table.put({"pk": BREAKER, "failures": 1})
    execution("run-1").started().turn().verify()
    assert run_table.get(BREAKER) == {}


def test_every_alarm_of_the_target_can_fire_again(execution, alarms):
    other = "remediation-ChatSession-prod-throttled"
    turn_red(dial.ALARM, dial.INDEX_ALARM, other)
    execution("run-1").started(alarm()).turn().verify()
    states = [state_of(name) for name in (dial.ALARM, dial.INDEX_ALARM, other)]
    assert states == ["OK", "OK", "ALARM"]


def test_alarm_is_left_red_while_nothing_is_proven(execution, script, alarms):
    turn_red(dial.ALARM)
    script.verification = dial.failed()
    execution("run-1", dial.KEEPS_CHANGE).started(alarm()).turn().verify().finish()
    assert state_of(dial.ALARM) == "ALARM"


def test_missing_alarm_does_not_spoil_a_verification(execution, alarms):
    clients.client("cloudwatch").delete_alarms(AlarmNames=[dial.ALARM])
    turn_red(dial.INDEX_ALARM)
    one = execution("run-1").started(ACT).turn().verify()
    assert one.variables["verification"]["verdict"] == "passed"
    assert state_of(dial.INDEX_ALARM) == "OK"


def test_symptom_that_came_back_is_said(execution, script, inbox):
    one = execution("run-1").started().turn().verify()
    script.hold = dial.failed("Errors again.")
    result = one.watch_hold().finish()
    assert (outcome(result), result["answer"]["held"]) == ("verified", False)
    assert result["answer"]["reason"] == "Both dials are stuck at 1. Errors again."
    assert "\nHeld: NO\n" in inbox.messages[0].text


def test_change_that_stands_is_listed_as_lent_out(execution, run_table):
    execution("run-1").started().turn().verify().finish()
    (item,) = run_table.listed("mitigated")
    assert (item["pk"], item["mitigation"]) == (RECORD, "standing")
    assert item["mitigation_until"] == epoch(NOW + timedelta(days=1))
    assert run_table.listed("yes") == []


def test_repeated_verification_does_not_start_the_cool_down_again(execution, run_table, clock):
    one = execution("run-1").started().turn().verify()
    clock.advance(seconds=30)
    one.verify()
    assert run_table.get(PAIR)["cool_down_until"] == COOLED_DOWN


# --- proposed ---


def test_answer_of_an_observed_run(execution, run_table):
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    result = execution("run-1").started(OBSERVE).finish()
    answer = result["answer"]
    assert (answer["outcome"], result["green"]) == ("proposed", True)
    assert answer["plan"] == {"hash": PLAN_HASH, "calls": PLANNED}
    assert answer["would_refuse"] == [
        "automation is switched off (OPS-7); switch it on again first "
        "(docs/operate.md, Kill switch)"
    ]
    assert (answer["changes"], answer["undo"], answer["held"]) == ([], None, None)


def test_observed_run_leaves_nothing_but_its_record(execution, run_table):
    execution("run-1").started(OBSERVE).finish()
    found = run_table.client.scan(TableName=run_table.name)["Items"]
    assert [item["pk"]["S"] for item in found] == [RECORD]
    assert run_table.listed("yes") == []


def test_observed_run_is_a_note(execution, inbox):
    execution("run-1").started(OBSERVE).finish()
    (message,) = inbox.messages
    assert message.subject == "[note] ChatMessage-prod: plan only, nothing changed (Stuck dial)"
    planned = "Would do:\n- dynamodb:TurnDial table/ChatMessage-prod\n    read 1 -> 5\n"
    assert planned in message.text


def test_observed_run_that_would_be_refused_says_so_once(execution, run_table, script, inbox):
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    script.prepare_error = PrerequisiteNotMetError("the dials are on auto")
    answer = execution("run-1").started(OBSERVE).finish()["answer"]
    assert answer["outcome"] == "proposed"
    assert answer["reason"] == "would be refused: the dials are on auto"
    (message,) = inbox.messages
    assert "Why: would be refused: the dials are on auto\n" in message.text
    assert (
        "Would be refused now: automation is switched off (OPS-7); switch it on again first "
        "(docs/operate.md, Kill switch)\n"
    ) in message.text
    assert message.text.count("the dials are on auto") == 1


def test_observed_run_without_a_remedy_is_proposed(execution, script):
    script.decision = Decision.HAND_OVER
    assert outcome(execution("run-1").started(OBSERVE).finish()) == "proposed"


def test_run_that_nobody_approved_is_proposed_and_lets_go(execution, run_table, inbox):
    one = execution("run-1").started(PROPOSE).ask().fails("AwaitApproval", "States.Timeout")
    result = one.finish()
    assert (outcome(result), result["green"]) == ("proposed", True)
    assert result["answer"]["reason"] == "not approved in time; nothing was changed"
    assert run_table.get(PAIR) == FREE
    assert [m.attributes["severity"] for m in inbox.messages] == ["page", "note"]


def test_task_token_is_gone_with_the_run(execution, run_table):
    one = execution("run-1").started(PROPOSE).ask().fails("AwaitApproval", "States.Timeout")
    run_table.update(RECORD, values={"approval_token": "secret"})
    one.finish()
    assert "approval_token" not in run_table.get(RECORD)


# --- refused ---


def test_answer_to_wrong_input_shows_how_to_do_it(execution, inbox):
    result = refused(execution("run-1"), {}, InvalidRequestError).finish()
    assert result["green"] is True
    assert result["answer"] == {
        "run_id": "stuck-dial:run-1",
        "runbook": "stuck_dial",
        "outcome": "refused",
        "held": None,
        "reason": 'target: missing. Try: {"target": {"table_name": "ChatMessage-prod"}, '
        '"mode": "observe", "reason": "OPS-123", "parameters": {"max_position": 7}}',
        "target": {},
        "mode": None,
        "plan": {"hash": None, "calls": []},
        "changes": [],
        "verification": None,
        "undo": None,
        "joined": None,
        "duplicate_of": None,
        "next_action": None,
    }
    assert inbox.messages == []


def test_refused_alarm_is_a_page(execution, run_table, inbox):
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    result = refused(execution("run-1"), alarm(), MutedError).finish()
    assert outcome(result) == "refused"
    assert result["answer"]["next_action"] == (
        "nobody is handling this; act by hand or remove what refused it"
    )
    (message,) = inbox.messages
    assert message.subject == (
        "[page] ChatMessage-prod: NOT handled, the run was refused (Stuck dial)"
    )


def test_alarm_refused_by_a_holder_of_the_lock_pages_nobody(execution, run_table, inbox):
    run_table.put({"pk": LOCK, "owner": "other:9", "lease_until": epoch(NOW) + 600})
    refused(execution("run-1"), alarm(), TargetLockedError).finish()
    assert inbox.messages == []
    assert run_table.get(LOCK)["owner"] == "other:9"


def test_refused_person_is_answered_and_nobody_else(execution, run_table, inbox):
    run_table.put({"pk": PAIR, "cool_down_until": epoch(NOW) + 600})
    result = refused(execution("run-1"), ACT, CoolDownActiveError).finish()
    assert result["answer"]["next_action"] is None
    assert inbox.messages == []


def test_refused_run_does_not_touch_the_pair_of_another(execution, run_table):
    execution("run-1").started()
    before = run_table.get(PAIR)
    refused(execution("run-2"), ACT, DuplicateRunError).finish()
    assert run_table.get(PAIR) == before


def test_refused_run_leaves_the_sweep_nothing_to_do(execution, run_table):
    refused(execution("run-1"), {}, InvalidRequestError).finish()
    assert run_table.listed("yes") == []


def test_kill_switch_before_the_change_ends_refused_and_frees_the_target(execution, run_table):
    one = execution("run-1").started(alarm())
    run_table.put({"pk": "SWITCH", "automation": "off"})
    with pytest.raises(MutedError):
        one.turn()
    assert outcome(one.finish()) == "refused"
    assert "owner" not in run_table.get(LOCK)
    assert run_table.get(PAIR) == FREE


def test_prerequisite_that_is_missing_ends_refused(execution, script, run_table, inbox):
    script.prepare_error = PrerequisiteNotMetError("the dials are on auto")
    one = execution("run-1").begin(alarm())
    with pytest.raises(PrerequisiteNotMetError):
        one.prepare()
    result = one.finish()
    assert (outcome(result), result["answer"]["reason"]) == ("refused", "the dials are on auto")
    assert "owner" not in run_table.get(LOCK)
    assert len(inbox.messages) == 1


def test_retried_change_refused_after_its_first_try_is_handed_over(execution, run_table, inbox):
    # The first try went through, its result was lost, and then the switch went off.
    one = execution("run-1").started().turn()
    one.variables.clear()
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    with pytest.raises(MutedError):
        one.turn()
    answer = one.finish()["answer"]
    assert answer["outcome"] == "handed_over"
    assert answer["reason"].endswith("; a change had been made before and stands")
    assert answer["changes"] == [turned("read"), turned("write")]
    assert answer["undo"] == {"command": UNDO_COMMAND}
    assert inbox.messages[0].attributes["severity"] == "page"


# --- duplicate ---


def test_duplicate_names_the_run_that_owns_the_symptom(execution, inbox):
    execution("run-1").started(alarm())
    result = refused(execution("run-2"), ACT, DuplicateRunError).finish()
    assert (outcome(result), result["green"]) == ("duplicate", True)
    assert result["answer"]["duplicate_of"] == "stuck-dial:run-1"
    assert result["answer"]["reason"] == f"run stuck-dial:run-1 already looks after {dial.ARN}"
    assert inbox.messages == []


# --- handed over ---


def test_answer_of_a_run_without_a_remedy(execution, script, inbox):
    script.decision = Decision.HAND_OVER
    result = execution("run-1").started(alarm()).finish()
    assert (outcome(result), result["green"]) == ("handed_over", False)
    assert result["answer"]["reason"] == "The dials turn, the fault is elsewhere."
    assert result["answer"]["next_action"] == (
        "look at the target and decide; automation has let go of it"
    )
    assert inbox.messages[0].subject == "[page] ChatMessage-prod: needs you (Stuck dial)"


def test_run_that_handed_over_cools_down_and_lets_go(execution, script, run_table):
    script.decision = Decision.HAND_OVER
    execution("run-1").started().finish()
    assert "owner" not in run_table.get(LOCK)
    assert run_table.get(PAIR) == {**FREE, "cool_down_until": COOLED_DOWN}
    assert run_table.get(BREAKER) == {}


def budgets_used(run_table) -> list[int]:
    items = run_table.client.scan(TableName=run_table.name)["Items"]
    return [int(i["used"]["N"]) for i in items if i["pk"]["S"].startswith("BUDGET#")]


def test_run_that_changed_nothing_gives_its_budget_back_once(execution, script, run_table):
    script.decision = Decision.HAND_OVER
    one = execution("run-1").started()
    assert budgets_used(run_table) == [1]
    one.finish()
    one.finish()
    assert budgets_used(run_table) == [0]


def test_interrupted_run_that_changed_nothing_gives_its_budget_back(execution, run_table):
    execution("run-1").started().ends_by_itself()
    assert budgets_used(run_table) == [0]


def test_run_that_changed_something_keeps_its_share_of_the_budget(execution, run_table):
    execution("run-1").started().turn().verify().finish()
    assert budgets_used(run_table) == [1]


def test_change_that_failed_before_anything_happened_is_handed_over(execution, script):
    one = execution("run-1").started()
    script.apply_errors = [ChangeFailedError("limit exceeded")]
    with pytest.raises(ChangeFailedError):
        one.turn()
    answer = one.roll_back().finish()["answer"]
    assert (answer["outcome"], answer["reason"], answer["changes"]) == (
        "handed_over",
        "nothing was changed: limit exceeded",
        [],
    )


def test_lost_result_of_begin_is_handed_over_and_frees_the_target(execution, run_table, inbox):
    one = execution("run-1").begin(alarm()).fails("Begin", "States.Timeout")
    result = one.finish()
    assert (outcome(result), result["answer"]["reason"]) == (
        "handed_over",
        "Begin failed: States.Timeout",
    )
    assert "owner" not in run_table.get(LOCK)
    assert run_table.get(PAIR) == {**FREE, "cool_down_until": COOLED_DOWN}
    assert inbox.messages[0].attributes["severity"] == "page"


def test_begin_that_crashed_is_handed_over_without_a_target(execution, run_table, inbox):
    one = execution("run-1").fails("Begin", "KeyError", "'tables'")
    answer = one.finish()["answer"]
    assert (answer["outcome"], answer["target"], answer["mode"]) == ("handed_over", {}, None)
    assert inbox.messages[0].subject == "[page] unknown target: needs you (Stuck dial)"
    assert run_table.get(RECORD)["state"] == "closed"


def test_told_alarm_is_marked_for_the_sweep(execution, script, run_table):
    script.decision = Decision.HAND_OVER
    execution("run-1").started(alarm()).finish()
    assert run_table.get(f"ALARM#{dial.ALARM}")["told_ms"] == 1_772_453_398_414


# --- ineffective ---


def test_change_that_did_not_help_stays_where_the_runbook_keeps_it(execution, script, inbox):
    script.verification = dial.failed()
    result = execution("run-1", dial.KEEPS_CHANGE).started().turn().verify().finish()
    assert (outcome(result), result["green"]) == ("ineffective", False)
    assert result["answer"]["reason"] == "Both dials are stuck at 1. Still 12 errors a minute."
    assert result["answer"]["undo"] == {"command": UNDO_COMMAND}
    assert result["answer"]["next_action"] == ("the change stands on purpose; find the real cause")
    assert inbox.messages[0].subject == (
        "[page] ChatMessage-prod: changed, but NOT proven fixed (Stuck dial)"
    )


def test_no_traffic_is_not_a_success(execution, script):
    script.verification = Verification(verdict=Verdict.INCONCLUSIVE, reason="No traffic.")
    result = execution("run-1", dial.KEEPS_CHANGE).started().turn().verify().finish()
    assert outcome(result) == "ineffective"


def test_ineffective_run_counts_cools_down_lets_go_and_is_lent_out(execution, script, run_table):
    script.verification = dial.failed()
    execution("run-1", dial.KEEPS_CHANGE).started().turn().verify().finish()
    assert run_table.get(BREAKER) == {"pk": BREAKER, "failures": 1}
    assert run_table.get(PAIR) == {**FREE, "cool_down_until": COOLED_DOWN}
    assert "owner" not in run_table.get(LOCK)
    assert [item["pk"] for item in run_table.listed("mitigated")] == [RECORD]


# --- rolled back ---


def rolled_back(one, script):
    script.verification = dial.failed()
    return one.started().turn().verify().roll_back().finish()


def test_answer_of_a_run_that_was_rolled_back(execution, script):
    result = rolled_back(execution("run-1"), script)
    assert result["green"] is False
    assert result["answer"] == {
        "run_id": "stuck-dial:run-1",
        "runbook": "stuck_dial",
        "outcome": "rolled_back",
        "held": None,
        "reason": "Still 12 errors a minute.",
        "target": {"table_name": "ChatMessage-prod"},
        "mode": "act",
        "plan": {"hash": PLAN_HASH},
        "changes": [turned("write", 5, 1), turned("read", 5, 1)],
        "verification": {"verdict": "failed", "reason": "Still 12 errors a minute.", "checks": []},
        "undo": None,
        "joined": None,
        "duplicate_of": None,
        "next_action": "what was changed is taken back; find the real cause",
    }
    assert json.loads(result["cause"]) == result["answer"]


def test_rolled_back_run_leaves_everything_as_before(execution, script, run_table, inbox):
    rolled_back(execution("run-1"), script)
    assert dial.Dials.positions == {"read": 1, "write": 1}
    assert "owner" not in run_table.get(LOCK)
    assert run_table.get(PAIR) == {**FREE, "cool_down_until": COOLED_DOWN}
    assert run_table.get(BREAKER) == {"pk": BREAKER, "failures": 1}
    assert run_table.listed("mitigated") == []
    assert inbox.messages[0].subject == (
        "[page] ChatMessage-prod: change taken back, still needs you (Stuck dial)"
    )


def test_half_made_change_is_taken_back(execution):
    one = execution("run-1").started()
    dial.Dials.positions["write"] = 3
    with pytest.raises(ConcurrentChangeError):
        one.turn()
    dial.Dials.positions["write"] = 1
    answer = one.roll_back().finish()["answer"]
    assert answer["outcome"] == "rolled_back"
    assert answer["changes"] == [turned("read", 5, 1)]
    assert dial.Dials.positions == {"read": 1, "write": 1}


def test_retried_roll_back_is_still_a_roll_back(execution, script):
    # Its first try restored everything, and its result was lost.
    script.verification = dial.failed()
    answer = execution("run-1").started().turn().verify().roll_back().roll_back().finish()["answer"]
    assert answer["outcome"] == "rolled_back"
    assert answer["changes"] == [
        turned("write", 5, 1, already=True),
        turned("read", 5, 1, already=True),
    ]
    assert answer["undo"] is None


# --- roll-back failed ---


def broken(one, script):
    script.verification = dial.failed()
    one.started(alarm()).turn().verify()
    dial.Dials.positions["write"] = 3
    return one.roll_back().finish()


def test_answer_of_a_roll_back_that_failed(execution, script, inbox):
    answer = broken(execution("run-1"), script)["answer"]
    assert answer["outcome"] == "rollback_failed"
    assert answer["reason"] == (
        f"Still 12 errors a minute; taking it back failed: {dial.ARN}: cannot take "
        "dynamodb:TurnDial back, it is neither as this run left it nor as it was before: write is "
        "3, not 5"
    )
    assert answer["undo"] is None
    assert answer["next_action"] == (
        "repair the target by hand, then release its quarantine (docs/operate.md, Quarantine)"
    )
    assert inbox.messages[0].subject == (
        "[page] ChatMessage-prod: HALF DONE, roll-back failed (Stuck dial)"
    )


def test_failed_roll_back_quarantines_the_target(execution, script, run_table, clock):
    broken(execution("run-1"), script)
    assert run_table.get(QUARANTINE) == {
        "pk": QUARANTINE,
        "run_id": "stuck-dial:run-1",
        "since": "2026-03-02T12:10:00.000Z",
    }
    clock.advance(hours=2)
    refused(execution("run-2"), ACT, TargetQuarantinedError)


def test_failed_roll_back_opens_the_breaker_at_once(execution, script, run_table):
    broken(execution("run-1"), script)
    assert run_table.get(BREAKER) == {
        "pk": BREAKER,
        "failures": 1,
        "open_until": epoch(NOW) + 3600,
    }


def test_failed_roll_back_is_counted_as_a_metric(execution, script, capsys):
    broken(execution("run-1"), script)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counted = {k for line in lines if "_aws" in line for k in line}
    assert {"TargetQuarantined", "BreakerOpened", "RemediationOutcome"} <= counted


def test_released_target_may_be_changed_again(execution, script, run_table, clock):
    broken(execution("run-1"), script)
    run_table.delete(QUARANTINE)
    dial.Dials.positions.update(read=1, write=1)
    clock.advance(hours=2)
    assert execution("run-2").begin(ACT).run["mode"] == "act"


# --- breaker ---


def test_breaker_opens_after_the_failures_allowed(execution, script, run_table, clock):
    rolled_back(execution("run-1"), script)
    assert "open_until" not in run_table.get(BREAKER)
    clock.advance(seconds=901)
    rolled_back(execution("run-2"), script)
    assert run_table.get(BREAKER)["open_until"] == epoch(clock.moment) + 3600
    clock.advance(seconds=901)
    refused(execution("run-3"), ACT, BreakerOpenError)


def test_open_breaker_stops_the_runbook_on_every_target(execution, run_table):
    run_table.put({"pk": BREAKER, "failures": 2, "open_until": epoch(NOW) + 60})
    other = {"target": {"table_name": "ChatSession-prod"}}
    refused(execution("run-1"), other, BreakerOpenError)


def test_success_in_between_starts_the_count_again(execution, script, run_table, clock):
    rolled_back(execution("run-1"), script)
    later = clock.advance(seconds=3600)
    script.verification = dial.passed()
    execution("run-2", started_at=later).started().turn().verify().finish()
    dial.Dials.positions.update(read=1, write=1)
    later = clock.advance(seconds=3600)
    rolled_back(execution("run-3", started_at=later), script)
    assert run_table.get(BREAKER) == {"pk": BREAKER, "failures": 1}


def test_failure_after_the_breaker_closed_opens_it_again(execution, script, run_table, clock):
    run_table.put({"pk": BREAKER, "failures": 2, "open_until": epoch(NOW)})
    rolled_back(execution("run-1"), script)
    assert run_table.get(BREAKER)["open_until"] == epoch(NOW) + 3600


# --- undo ---


def undone(execution):
    execution("run-1").started().turn().verify().finish()
    return execution("run-2").started({"undo": "stuck-dial:run-1"}).undo().verify()


def test_answer_of_an_undo(execution):
    answer = undone(execution).finish()["answer"]
    assert (answer["outcome"], answer["undo"]) == ("verified", None)
    assert answer["changes"] == [turned("write", 5, 1), turned("read", 5, 1)]


def test_undo_marks_the_run_it_took_back(execution, run_table):
    undone(execution)
    item = run_table.get(RECORD)
    assert (item["undone_by"], item["mitigation"]) == ("stuck-dial:run-2", "given back")
    assert run_table.listed("mitigated") == []


def test_undo_starts_no_cool_down_and_frees_the_target(execution, run_table, clock):
    execution("run-1").started().turn().verify().finish()
    clock.advance(seconds=100)
    execution("run-2").started({"undo": "stuck-dial:run-1"}).undo().verify().finish()
    assert run_table.get(PAIR) == {**FREE, "cool_down_until": COOLED_DOWN}
    assert "owner" not in run_table.get(LOCK)


def test_undo_leaves_breaker_and_alarms_alone(execution, run_table, alarms):
    execution("run-1").started().turn().verify().finish()
    run_table.put({"pk": BREAKER, "failures": 1})
    turn_red(dial.ALARM)
    execution("run-2").started({"undo": "stuck-dial:run-1"}).undo().verify().finish()
    assert run_table.get(BREAKER) == {"pk": BREAKER, "failures": 1}
    assert state_of(dial.ALARM) == "ALARM"


def test_undo_is_not_lent_out(execution, run_table):
    undone(execution).finish()
    assert run_table.listed("mitigated") == []
    assert run_table.listed("yes") == []


def test_failed_undo_does_not_count_for_the_breaker(execution, script, run_table):
    execution("run-1").started().turn().verify().finish()
    script.verification = dial.failed()
    one = execution("run-2").started({"undo": "stuck-dial:run-1"}).undo().verify()
    assert outcome(one.roll_back().finish()) == "rolled_back"
    assert run_table.get(BREAKER) == {}


# --- Finish, again ---


@pytest.mark.parametrize("ending", ["verified", "rolled_back", "rollback_failed"])
def test_finish_called_twice_answers_alike_and_tells_once(
    execution, script, run_table, inbox, ending
):
    one = execution("run-1")
    if ending == "verified":
        first = one.started().turn().verify().finish()
    else:
        first = (rolled_back if ending == "rolled_back" else broken)(one, script)
    items = run_table.client.scan(TableName=run_table.name)["Items"]
    assert outcome(first) == ending
    assert one.finish() == first
    assert run_table.client.scan(TableName=run_table.name)["Items"] == items
    assert len(inbox.messages) == 1


def test_finish_that_broke_before_it_closed_counts_once(execution, script, run_table, calls_of):
    script.verification = dial.failed()
    one = execution("run-1").started().turn().verify().roll_back()
    calls_of("sns", "Publish").will_fail("InternalError")
    with pytest.raises(Exception, match="InternalError"):
        one.finish()
    assert run_table.get(RECORD)["state"] == "open"
    assert outcome(one.finish()) == "rolled_back"
    assert run_table.get(BREAKER) == {"pk": BREAKER, "failures": 1}


def test_closed_run_keeps_answer_outcome_and_end(execution, run_table, clock):
    one = execution("run-1").started().turn().verify()
    clock.advance(seconds=90)
    result = one.finish()
    item = run_table.get(RECORD)
    assert (item["state"], item["outcome"], item["ended_at"]) == (
        "closed",
        "verified",
        "2026-03-02T12:11:30.000Z",
    )
    assert json.loads(item["answer"]) == result["answer"]


def test_record_of_a_red_run_keeps_the_plan_in_full(execution, script, run_table):
    rolled_back(execution("run-1"), script)
    assert json.loads(run_table.get(RECORD)["answer"])["plan"]["calls"] == PLANNED


def test_every_outcome_is_counted_by_runbook(execution, capsys):
    execution("run-1").started(OBSERVE).finish()
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert (line["Runbook"], line["Outcome"], line["RemediationOutcome"]) == (
        "stuck_dial",
        "proposed",
        [1.0],
    )


# --- the cause of a Fail state ---


def test_cause_is_the_answer_without_the_calls_of_the_plan(execution, script):
    result = rolled_back(execution("run-1"), script)
    assert json.loads(result["cause"])["plan"] == {"hash": PLAN_HASH}


def test_green_answer_has_the_calls_of_the_plan(execution):
    result = execution("run-1").started().turn().verify().finish()
    assert result["answer"]["plan"]["calls"] == PLANNED


@pytest.mark.parametrize("character", ["x", "ü", '"', "😀"])
def test_cause_is_json_of_at_most_30000_characters(execution, character):
    one = execution("run-1").started().fails("Turn", "KeyError", character * 40_000)
    result = one.finish()
    assert len(result["cause"]) <= 30_000
    cause = json.loads(result["cause"])
    assert (cause["run_id"], cause["outcome"]) == ("stuck-dial:run-1", "handed_over")
    assert cause["reason"].startswith("Turn failed: KeyError: ")


def test_long_verification_leaves_the_cause_with_outcome_and_reason(execution, script):
    script.verification = dial.failed("y" * 29_000)
    result = rolled_back(execution("run-1"), script)
    assert len(result["cause"]) <= 30_000
    assert json.loads(result["cause"])["outcome"] == "rolled_back"


# --- executions that ended by themselves ---


def closed(run_table) -> dict[str, Any]:
    item = run_table.get(RECORD)
    assert item["state"] == "closed"
    return json.loads(item["answer"])


def test_abort_before_the_change_frees_the_target(execution, run_table, inbox):
    one = execution("run-1").started(alarm())
    assert one.ends_by_itself() == {"closed": True}
    answer = closed(run_table)
    assert (answer["outcome"], answer["reason"], answer["changes"], answer["undo"]) == (
        "handed_over",
        "the execution ended ABORTED; nothing was changed",
        [],
        None,
    )
    assert "owner" not in run_table.get(LOCK)
    assert run_table.get(PAIR) == {**FREE, "cool_down_until": COOLED_DOWN}
    assert inbox.messages[0].subject == "[page] ChatMessage-prod: needs you (Stuck dial)"


def prepared_only(monkeypatch) -> None:
    """The first call only prepares the second, as a backup does, and is not taken back."""
    first, second = dial.PLAN.calls
    calls = [dataclasses.replace(first, reversible=False), second]
    monkeypatch.setattr(dial, "PLAN", dataclasses.replace(dial.PLAN, calls=calls))


def test_abort_after_what_only_prepares_the_change_frees_the_target(
    execution, run_table, monkeypatch
):
    prepared_only(monkeypatch)
    one = execution("run-1").started()
    dial.Dials.positions["read"] = 5
    one.ends_by_itself()
    answer = closed(run_table)
    assert answer["reason"] == "the execution ended ABORTED; nothing was changed"
    assert (answer["changes"], answer["undo"]) == ([], None)
    assert run_table.get(QUARANTINE) == {}


def test_what_only_prepared_a_change_that_was_refused_is_no_change(
    execution, run_table, monkeypatch
):
    prepared_only(monkeypatch)
    one = execution("run-1").started()
    dial.Dials.positions["read"] = 5
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    with pytest.raises(MutedError):
        one.turn()
    answer = one.finish()["answer"]
    assert (answer["outcome"], answer["changes"], answer["undo"]) == ("refused", [], None)


def test_interrupted_run_is_counted_as_our_own_failure(execution, capsys):
    one = execution("run-1").started()
    capsys.readouterr()
    one.ends_by_itself()
    assert '"RunInterrupted":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_abort_before_the_plan_frees_the_target(execution, run_table):
    execution("run-1").begin(ACT).ends_by_itself("TIMED_OUT")
    assert closed(run_table)["reason"] == "the execution ended TIMED_OUT; nothing was changed"
    assert "owner" not in run_table.get(LOCK)


def test_abort_after_the_change_lets_it_stand_with_its_undo(execution, run_table, inbox):
    execution("run-1").started().turn().ends_by_itself("FAILED")
    answer = closed(run_table)
    assert (answer["outcome"], answer["reason"]) == (
        "handed_over",
        "the execution ended FAILED; the change stands, unverified",
    )
    assert answer["changes"] == [turned("read"), turned("write")]
    assert answer["undo"] == {"command": UNDO_COMMAND}
    assert "owner" not in run_table.get(LOCK)
    assert [item["pk"] for item in run_table.listed("mitigated")] == [RECORD]
    assert UNDO_COMMAND in inbox.messages[0].text


class Bells:
    """Rung by calls that leave nothing to read."""

    service = "dynamodb"
    apis = ("dynamodb:RingBell",)
    unreadable = apis

    def __init__(self, client: Any) -> None:
        self.client = client

    def present(self, call: PlannedCall) -> dict[str, Any]:
        return call.before


def test_abort_after_a_change_with_a_call_that_leaves_no_trace_does_not_quarantine(
    execution, run_table, monkeypatch
):
    monkeypatch.setattr(dial, "RESOURCES", (dial.Dials, Bells))
    one = execution("run-1").started().turn()
    plan = json.loads(run_table.get(RECORD)["plan"])
    ring = plan["calls"][0] | {"api": "dynamodb:RingBell"}
    plan["calls"] = [c | {"reversible": False} for c in [*plan["calls"], ring]]
    run_table.update(RECORD, values={"plan": plan})
    one.ends_by_itself()
    answer = closed(run_table)
    assert (answer["outcome"], answer["reason"]) == (
        "handed_over",
        "the execution ended ABORTED; the change stands, unverified",
    )
    # Whether the bell was rung nobody knows, so it is not claimed.
    assert answer["changes"] == [turned("read"), turned("write")]
    assert run_table.get(QUARANTINE) == {}


def test_what_cannot_be_taken_back_is_offered_no_undo_and_is_not_lent_out(execution, run_table):
    runbook = dataclasses.replace(dial.KEEPS_CHANGE, reversible=False)
    answer = execution("run-1", runbook).started().turn().verify().finish()["answer"]
    assert (answer["outcome"], answer["changes"], answer["undo"]) == (
        "verified",
        [turned("read"), turned("write")],
        None,
    )
    assert run_table.listed("mitigated") == []


@pytest.mark.parametrize(
    ("positions", "made"),
    [
        ({"read": 5, "write": 1}, [turned("read")]),
        ({"read": 5, "write": 3}, [turned("read")]),
        ({"read": 3, "write": 1}, []),
    ],
    ids=["half made", "half made, half strange", "strange"],
)
def test_abort_half_way_quarantines(execution, run_table, inbox, positions, made):
    one = execution("run-1").started()
    dial.Dials.positions.update(positions)
    one.ends_by_itself()
    answer = closed(run_table)
    assert (answer["outcome"], answer["changes"], answer["undo"]) == ("rollback_failed", made, None)
    assert answer["reason"] == (
        "the execution ended ABORTED half way; the target is neither as before nor as planned"
    )
    assert run_table.get(QUARANTINE)["run_id"] == "stuck-dial:run-1"
    assert "open_until" in run_table.get(BREAKER)
    assert inbox.messages[0].attributes["severity"] == "page"


def test_closing_never_changes_the_platform(execution):
    one = execution("run-1").started()
    dial.Dials.positions["read"] = 5
    one.ends_by_itself()
    assert dial.Dials.positions == {"read": 5, "write": 1}
    assert dial.Dials.turned == []


def test_change_that_may_be_in_flight_is_left_for_the_sweep(execution, run_table, inbox):
    one = execution("run-1").started()
    run_table.update(RECORD, values={"changing_since": epoch(NOW) - 59})
    assert one.ends_by_itself() == {"closed": False}
    assert run_table.get(RECORD)["state"] == "closing"
    assert run_table.get(LOCK)["owner"] == "stuck-dial:run-1"
    assert [item["pk"] for item in run_table.listed("yes")] == [RECORD]
    assert inbox.messages == []


def test_no_further_change_is_let_in_once_closing_began(execution, run_table):
    one = execution("run-1").started()
    run_table.update(RECORD, values={"changing_since": epoch(NOW)})
    one.ends_by_itself()
    with pytest.raises(NotAdmittedError):
        one.turn()
    assert dial.Dials.turned == []


def test_change_in_flight_is_over_after_the_time_of_its_function(execution, run_table, clock):
    one = execution("run-1").started()
    run_table.update(RECORD, values={"changing_since": epoch(NOW)})
    one.ends_by_itself()
    clock.advance(seconds=60)
    assert one.ends_by_itself() == {"closed": True}
    assert closed(run_table)["outcome"] == "handed_over"


def test_execution_without_a_record_is_told(execution, run_table, inbox):
    assert execution("run-1").ends_by_itself("FAILED") == {"closed": True}
    answer = closed(run_table)
    assert (answer["outcome"], answer["reason"]) == (
        "handed_over",
        "the execution ended FAILED before the run was recorded",
    )
    assert inbox.messages[0].attributes["severity"] == "page"


@pytest.mark.parametrize("ending", ["verified", "rolled_back"])
def test_closed_run_is_left_as_it_is(execution, script, run_table, inbox, ending):
    one = execution("run-1")
    if ending == "verified":
        one.started().turn().verify().finish()
    else:
        rolled_back(one, script)
    before = run_table.client.scan(TableName=run_table.name)["Items"]
    assert one.ends_by_itself("FAILED") == {"closed": True}
    assert run_table.client.scan(TableName=run_table.name)["Items"] == before
    assert len(inbox.messages) == 1


def test_closing_twice_tells_once(execution, inbox):
    one = execution("run-1").started()
    one.ends_by_itself()
    one.ends_by_itself()
    assert len(inbox.messages) == 1


def test_abort_while_a_person_is_asked_changes_nothing(execution, run_table):
    execution("run-1").started(PROPOSE).ask().ends_by_itself()
    assert closed(run_table)["reason"] == "the execution ended ABORTED; nothing was changed"
    assert run_table.get(PAIR) == FREE


def test_abort_during_the_hold_watch_lets_the_change_stand(execution, run_table, clock):
    one = execution("run-1").started().turn().verify()
    clock.advance(seconds=100)
    one.ends_by_itself()
    assert closed(run_table)["reason"] == (
        "the execution ended ABORTED; the change stands, unverified"
    )
    assert run_table.get(PAIR) == {**FREE, "cool_down_until": COOLED_DOWN}


def test_event_of_step_functions_closes_the_run(execution, run_table):
    one = execution("run-1").started()
    event = read_event("execution_status_change")
    event["detail"]["executionArn"] = one.arn
    assert one.receives(event) == {"closed": True}
    assert closed(run_table)["reason"] == "the execution ended ABORTED; nothing was changed"


def test_records_that_only_an_ending_wrote_expire_too(execution, run_table):
    execution("run-1").ends_by_itself("FAILED")
    expires = datetime.fromtimestamp(run_table.get(RECORD)["expires_at"], UTC)
    assert expires == NOW + timedelta(days=400)
