"""From the input to the change: what each state of the envelope does with a tiny runbook."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation.contracts import Decision, iso
from lambdas.remediation.errors import (
    ApprovalDeniedError,
    BudgetExceededError,
    ChangeFailedError,
    ConcurrentChangeError,
    CoolDownActiveError,
    DuplicateRunError,
    InvalidRequestError,
    MutedError,
    NotAdmittedError,
    PrerequisiteNotMetError,
    ResourceBusyError,
    TargetLockedError,
    TargetNotFoundError,
    WorldMovedError,
)
from lambdas.remediation.records import epoch
from lambdas.remediation.step import Role
from tests.conftest import NOW, read_event
from tests.remediation import dial

LEASE = datetime(2026, 3, 2, 13, 10, tzinfo=UTC)  # start + time-out of 3540 s + 60 s
LOCK = f"TARGET#{dial.ARN}"
PAIR = f"PAIR#stuck_dial#{dial.ARN}"
OBSERVE = {"target": dial.TARGET, "mode": "observe"}
PROPOSE = {"target": dial.TARGET, "mode": "propose", "reason": "OPS-9"}
UNDO = {"undo": "stuck-dial:run-1", "reason": "was a load test"}
EXAMPLE = (
    ' Try: {"target": {"table_name": "ChatMessage-prod"}, "mode": "observe", "reason": "OPS-123", '
    '"parameters": {"max_position": 7}}'
)
PLAN_HASH = dial.PLAN.hash("stuck_dial", dial.ARN)


def verified(one):
    """A whole run that acted and helped; the target is free again."""
    one.started().turn().verify().finish()
    return one


# --- Begin ---


def test_begin_answers_with_what_the_machine_needs(execution):
    run = execution("run-1").begin({"target": dial.TARGET}).run
    assert {k: v for k, v in run.items() if k != "limits"} == {
        "id": "stuck-dial:run-1",
        "kind": "change",
        "mode": "act",
        "keep_when_ineffective": False,
    }
    assert run["limits"]["cool_down_seconds"] == 900


def test_limits_of_the_platform_file_are_in_force(execution, use_platform):
    use_platform(runbooks={"stuck_dial": {"limits": {"verify_attempts": 3}}})
    run = execution("run-1").begin({"target": dial.TARGET}).run
    assert run["limits"]["verify_attempts"] == 3


def test_machine_learns_that_the_runbook_keeps_its_change(execution):
    one = execution("run-1", dial.KEEPS_CHANGE).begin({"target": dial.TARGET})
    assert one.run["keep_when_ineffective"] is True


def test_begin_records_target_by_arn_and_lease_of_the_whole_machine(execution, run_table):
    execution("run-1").begin({"target": dial.TARGET})
    run = run_table.record("stuck-dial:run-1").run
    assert run.target_arn == "arn:aws:dynamodb:us-east-1:123456789012:table/ChatMessage-prod"
    assert run.lease_until == LEASE
    assert run_table.get(LOCK)["lease_until"] == epoch(LEASE)


def test_begin_of_an_alarm_records_the_incident(execution, run_table):
    execution("run-1").begin(read_event("alarm_metric_math"))
    run = run_table.record("stuck-dial:run-1").run
    assert run.incident.alarm_name == dial.ALARM
    assert run.event_id == "5f0a1b5e-0f3c-4d0e-9a55-2f6f1f1d8c01"


def test_same_event_started_twice_is_a_duplicate(execution):
    execution("run-1").begin(read_event("alarm_metric_math"))
    with pytest.raises(DuplicateRunError) as refusal:
        execution("run-2").begin(read_event("alarm_metric_math"))
    assert refusal.value.held_by == "stuck-dial:run-1"


@pytest.mark.parametrize(
    ("given", "error"),
    [({}, InvalidRequestError), ({"target": {"table_name": "x"}}, TargetNotFoundError)],
)
def test_refused_input_leaves_a_record_with_the_reason(execution, run_table, given, error):
    with pytest.raises(error) as refusal:
        execution("run-1").begin(given)
    record = run_table.record("stuck-dial:run-1")
    assert (record.run, record.state) == (None, "open")
    assert record.refusal == {
        "error": error.__name__,
        "message": str(refusal.value),
        "held_by": None,
    }


def test_refused_run_is_recorded_with_its_target(execution, run_table):
    run_table.put({"pk": "SWITCH", "automation": "off"})
    with pytest.raises(MutedError):
        execution("run-1").begin({"target": dial.TARGET})
    record = run_table.record("stuck-dial:run-1")
    assert record.run.target == dial.TARGET
    assert record.item["target"] == dial.ARN
    assert record.claimed is False


def test_retried_begin_after_a_lost_result_is_the_same_run(execution, run_table):
    first = execution("run-1").begin({"target": dial.TARGET}).run
    again = execution("run-1").begin({"target": dial.TARGET}).run
    assert again == first
    assert run_table.get(f"BUDGET#stuck_dial#{dial.ARN}#492348")["used"] == 1


def test_retried_begin_after_a_refusal_is_refused_alike(execution, run_table):
    run_table.put({"pk": LOCK, "owner": "other:9", "lease_until": epoch(LEASE)})
    with pytest.raises(TargetLockedError) as first:
        execution("run-1").begin({"target": dial.TARGET})
    run_table.delete(LOCK)
    with pytest.raises(TargetLockedError) as again:
        execution("run-1").begin({"target": dial.TARGET})
    assert str(again.value) == str(first.value)
    assert run_table.get(LOCK) == {}


def test_alarm_in_a_maintenance_window_is_muted(execution, run_table):
    window = {"pk": "WINDOW#*", "from": epoch(NOW) - 60, "until": epoch(NOW) + 60, "reason": "v7"}
    run_table.put(window)
    with pytest.raises(MutedError) as refusal:
        execution("run-1").begin(read_event("alarm_metric_math"))
    assert str(refusal.value) == "maintenance until 2026-03-02T12:11:00.000Z: v7"


def test_alarm_in_a_maintenance_window_may_be_observed(execution, run_table, use_platform):
    use_platform(mode="observe")
    run_table.put({"pk": "WINDOW#*", "from": epoch(NOW) - 60, "until": epoch(NOW) + 60})
    assert execution("run-1").begin(read_event("alarm_metric_math")).run["mode"] == "observe"


def test_third_change_in_an_hour_is_over_the_budget(execution, clock):
    for name in ("run-1", "run-2"):
        verified(execution(name))
        dial.Dials.positions.update(read=1, write=1)
        clock.advance(seconds=900)
    with pytest.raises(BudgetExceededError):
        execution("run-3").begin({"target": dial.TARGET})


# --- Prepare ---


def test_prepare_answers_with_the_plan_in_short(execution):
    assert execution("run-1").started().plan == {
        "hash": PLAN_HASH,
        "decision": "change",
        "reason": "Both dials are stuck at 1.",
        "calls": 2,
        "children": [],
    }


def test_prepare_stores_snapshot_and_plan(execution, run_table):
    execution("run-1").started()
    record = run_table.record("stuck-dial:run-1")
    assert record.prepared.snapshot == {"read": 1, "write": 1}
    assert record.plan == dial.PLAN
    assert record.item["plan_hash"] == PLAN_HASH


def test_retried_prepare_keeps_the_first_plan(execution, script, run_table):
    one = execution("run-1").started()
    script.decision = Decision.HAND_OVER
    one.prepare()
    assert one.plan["decision"] == "change"
    assert run_table.record("stuck-dial:run-1").plan == dial.PLAN


def test_prepare_of_a_closed_run_is_not_admitted(execution, run_table):
    one = execution("run-1").begin({"target": dial.TARGET})
    run_table.update("RUN#stuck-dial:run-1", values={"state": "closing"})
    with pytest.raises(NotAdmittedError) as refusal:
        one.prepare()
    assert str(refusal.value) == "run stuck-dial:run-1 is not open"


def test_prepare_of_a_refused_run_is_not_admitted(execution):
    one = execution("run-1")
    with pytest.raises(InvalidRequestError):
        one.begin({})
    with pytest.raises(NotAdmittedError) as refusal:
        one.prepare()
    assert str(refusal.value) == "run stuck-dial:run-1 was refused"


def test_plan_of_a_run_closed_meanwhile_is_not_stored(execution, script, run_table, monkeypatch):
    one = execution("run-1").begin({"target": dial.TARGET})

    def close_then_look(self, call):
        run_table.update("RUN#stuck-dial:run-1", values={"state": "closing"})

    monkeypatch.setattr(dial.Dials, "present", close_then_look)
    monkeypatch.setattr(dial, "prepare", preparing_with_a_look)
    with pytest.raises(NotAdmittedError) as refusal:
        one.prepare()
    assert str(refusal.value) == "run stuck-dial:run-1 was closed while it prepared"
    assert run_table.record("stuck-dial:run-1").plan is None


def preparing_with_a_look(run: dial.Run, dials: dial.Dials) -> dial.Prepared:
    dials.present(dial.PLAN.calls[0])
    return dial.Prepared(snapshot={}, plan=dial.PLAN)


# --- observe ---


def test_observed_run_has_a_plan_and_changes_nothing(execution):
    assert execution("run-1").started(OBSERVE).plan["calls"] == 2
    assert dial.Dials.positions == {"read": 1, "write": 1}


def test_observed_run_lists_what_would_refuse_it(execution, run_table):
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    execution("run-1").started(OBSERVE)
    assert run_table.record("stuck-dial:run-1").plan.would_refuse == [
        "automation is switched off (OPS-7); switch it on again first "
        "(docs/operate.md, Kill switch)"
    ]


@pytest.mark.parametrize("given", [{"target": dial.TARGET}, PROPOSE], ids=["act", "propose"])
def test_parameter_that_the_plan_cannot_use_is_refused_with_an_example(execution, script, given):
    script.prepare_error = InvalidRequestError("parameters.max_position: too high for this dial")
    one = execution("run-1").begin(given)
    with pytest.raises(InvalidRequestError) as refusal:
        one.prepare()
    assert str(refusal.value) == f"parameters.max_position: too high for this dial.{EXAMPLE}"


def test_refusal_that_no_input_would_change_has_no_example(execution, script):
    script.prepare_error = TargetNotFoundError("table ChatMessage-prod: not found")
    one = execution("run-1").begin({"target": dial.TARGET})
    with pytest.raises(TargetNotFoundError) as refusal:
        one.prepare()
    assert str(refusal.value) == "table ChatMessage-prod: not found"


def test_observed_run_shows_the_example_too(execution, script, run_table):
    script.prepare_error = InvalidRequestError("parameters.max_position: too high for this dial")
    execution("run-1").started(OBSERVE)
    plan = run_table.record("stuck-dial:run-1").plan
    assert plan.reason == (
        f"would be refused: parameters.max_position: too high for this dial.{EXAMPLE}"
    )


def test_observed_run_reports_a_missing_prerequisite(execution, script, run_table):
    script.prepare_error = PrerequisiteNotMetError("the dials are on auto")
    execution("run-1").started(OBSERVE)
    plan = run_table.record("stuck-dial:run-1").plan
    assert plan.decision is Decision.HAND_OVER
    assert plan.reason == "would be refused: the dials are on auto"
    assert plan.would_refuse == ["the dials are on auto"]


def test_changing_function_refuses_an_observed_run(execution):
    one = execution("run-1").started(OBSERVE)
    with pytest.raises(NotAdmittedError):
        one.turn()
    assert dial.Dials.positions == {"read": 1, "write": 1}


# --- change ---


def test_change_is_made_as_planned(execution):
    one = execution("run-1").started().turn()
    assert dial.Dials.positions == {"read": 5, "write": 5}
    assert one.variables["change"] == {
        "calls": [
            {
                "api": "dynamodb:TurnDial",
                "resource": dial.ARN,
                "before": {name: 1},
                "after": {name: 5},
                "already_applied": False,
            }
            for name in ("read", "write")
        ],
        "applied_at": "2026-03-02T12:10:00.000Z",
    }


def test_retried_change_is_made_once(execution):
    execution("run-1").started().turn().turn()
    assert dial.Dials.turned == [{"read": 5}, {"write": 5}]


def test_record_is_marked_only_while_a_change_is_under_way(execution, run_table, monkeypatch):
    seen = []

    def look(self, call):
        seen.append(run_table.get("RUN#stuck-dial:run-1").get("changing_since"))

    one = execution("run-1").started()
    monkeypatch.setattr(dial.Dials, "apply", look)
    one.turn()
    assert seen == [epoch(NOW), epoch(NOW)]
    assert "changing_since" not in run_table.get("RUN#stuck-dial:run-1")


def test_mark_is_gone_after_a_change_that_failed(execution, script, run_table):
    one = execution("run-1").started()
    script.apply_errors = [ChangeFailedError("limit exceeded")]
    with pytest.raises(ChangeFailedError):
        one.turn()
    assert "changing_since" not in run_table.get("RUN#stuck-dial:run-1")


def test_busy_resource_is_for_the_machine_to_retry(execution, script):
    one = execution("run-1").started()
    script.apply_errors = [ResourceBusyError("updating")]
    with pytest.raises(ResourceBusyError):
        one.turn()
    one.turn()
    assert dial.Dials.positions == {"read": 5, "write": 5}


def test_change_of_somebody_else_stops_the_run(execution):
    one = execution("run-1").started()
    dial.Dials.positions["write"] = 3
    with pytest.raises(ConcurrentChangeError):
        one.turn()
    assert dial.Dials.positions["write"] == 3


def test_kill_switch_stops_a_run_before_its_change(execution, run_table):
    one = execution("run-1").started()
    run_table.put({"pk": "SWITCH", "automation": "off"})
    with pytest.raises(MutedError):
        one.turn()
    assert dial.Dials.turned == []


def test_kill_switch_does_not_stop_the_roll_back(execution, run_table):
    one = execution("run-1").started().turn()
    run_table.put({"pk": "SWITCH", "automation": "off"})
    one.roll_back()
    assert dial.Dials.positions == {"read": 1, "write": 1}


def test_lease_must_outlast_the_remaining_time_of_the_function(execution, clock):
    one = execution("run-1").started()
    clock.moment = LEASE - timedelta(seconds=60)
    with pytest.raises(NotAdmittedError):
        one.turn()
    one.context.remaining_seconds = 59
    one.turn()
    assert dial.Dials.positions == {"read": 5, "write": 5}


def test_another_plan_hash_changes_nothing(execution):
    one = execution("run-1").started()
    with pytest.raises(NotAdmittedError):
        one.call(Role.CHANGE, "turn", plan_hash="forged")
    assert dial.Dials.turned == []


# --- which function does what ---


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Role.OBSERVE, "turn"),
        (Role.OBSERVE, "roll_back"),
        (Role.OBSERVE, "undo"),
        (Role.CHANGE, "begin"),
        (Role.CHANGE, "finish"),
        (Role.CHANGE, "check_dials"),
        (Role.OBSERVE, "changes"),
        (Role.CHANGE, "PLAN"),
    ],
)
def test_function_refuses_what_is_not_a_step_of_its_role(execution, role, name):
    one = execution("run-1").started()
    with pytest.raises(NotAdmittedError) as refusal:
        one.call(role, name, plan_hash=one.plan["hash"])
    assert str(refusal.value) == f"{role.value} function of stuck_dial has no step {name}"


def test_poll_knows_which_look_it_is(execution):
    one = execution("run-1").started().turn()
    dial.Dials.positions["read"] = 2
    change = one.variables["change"]
    looks = [
        one.call(Role.OBSERVE, "check_dials", change=change, attempt=n, attempts=2) for n in (1, 2)
    ]
    assert [(look["verdict"], look["reason"]) for look in looks] == [
        ("pending", "look 1"),
        ("failed", "look 2"),
    ]


def test_poll_without_a_change_gets_none(execution):
    one = execution("run-1").started()
    look = one.call(Role.OBSERVE, "check_dials", attempt=1, attempts=2)
    assert look["verdict"] == "inconclusive"


# --- approval ---


def test_question_is_sent_with_the_command_that_approves(execution, inbox):
    execution("run-1").started(PROPOSE).ask()
    (question,) = inbox.messages
    assert question.subject == "[approve] ChatMessage-prod: Stuck dial"
    assert question.attributes["outcome"] == "waiting"
    command = (
        "aws stepfunctions start-execution --state-machine-arn "
        "arn:aws:states:us-east-1:123456789012:stateMachine:remediation-approve --input "
        f'\'{{"run_id": "stuck-dial:run-1", "plan_hash": "{PLAN_HASH}", "decision": "approve", '
        '"reason": ""}\'\n'
    )
    assert command in question.text


def test_question_says_what_would_refuse_the_change_after_the_yes(execution, run_table, inbox):
    run_table.put({"pk": LOCK, "owner": "stuck-dial:other", "lease_until": epoch(NOW) + 600})
    execution("run-1").started(PROPOSE).ask()
    (question,) = inbox.messages
    warned = question.text.partition("Would be refused now, also after a yes: ")[2]
    assert warned.startswith("run stuck-dial:other is changing")


def test_question_warns_of_nothing_where_nothing_stands_in_the_way(execution, inbox):
    execution("run-1").started(PROPOSE).ask()
    (question,) = inbox.messages
    assert "Would be refused" not in question.text


def test_question_has_a_deadline(execution, run_table):
    execution("run-1").started(PROPOSE).ask()
    deadline = run_table.get("RUN#stuck-dial:run-1")["approval_deadline"]
    assert deadline == epoch(datetime(2026, 3, 2, 13, 10, tzinfo=UTC))


def test_nothing_is_held_while_a_person_is_asked(execution, run_table):
    execution("run-1").started(PROPOSE).ask()
    assert run_table.get(LOCK) == {}
    with pytest.raises(NotAdmittedError):
        execution("run-1").call(Role.CHANGE, "turn", plan_hash=PLAN_HASH)


def approve(run_table, decision="approve", reason=""):
    values = {"decision": decision, "decision_reason": reason}
    run_table.update("RUN#stuck-dial:run-1", values=values)


def test_approved_run_takes_the_lock_and_changes(execution, run_table):
    one = execution("run-1").started(PROPOSE).ask()
    approve(run_table)
    one.claim().turn()
    assert run_table.get(LOCK)["owner"] == "stuck-dial:run-1"
    assert dial.Dials.positions == {"read": 5, "write": 5}


def test_retried_claim_uses_the_budget_once(execution, run_table):
    one = execution("run-1").started(PROPOSE).ask()
    approve(run_table)
    one.claim().claim()
    assert run_table.get(f"BUDGET#stuck_dial#{dial.ARN}#492348")["used"] == 1


@pytest.mark.parametrize(
    ("reason", "message"),
    [("not today", "rejected: not today"), ("", "rejected: no reason given")],
)
def test_rejected_run_is_denied(execution, run_table, reason, message):
    one = execution("run-1").started(PROPOSE).ask()
    approve(run_table, "reject", reason)
    with pytest.raises(ApprovalDeniedError) as refusal:
        one.claim()
    assert str(refusal.value) == message
    assert run_table.get(LOCK) == {}


def test_world_that_moved_after_the_question_refuses_with_a_fresh_command(execution, run_table):
    one = execution("run-1").started(PROPOSE).ask()
    approve(run_table)
    dial.Dials.positions["write"] = 2
    with pytest.raises(WorldMovedError) as refusal:
        one.claim()
    assert str(refusal.value) == (
        f"{dial.ARN} changed since the plan was made; for a new one: aws stepfunctions "
        "start-execution --state-machine-arn "
        "arn:aws:states:us-east-1:123456789012:stateMachine:remediation-stuck-dial --input "
        '\'{"target": {"table_name": "ChatMessage-prod"}, "mode": "propose", "reason": "OPS-9"}\''
    )
    assert run_table.get(LOCK) == {}


def test_fresh_command_asks_for_the_same_parameters(execution, run_table):
    one = execution("run-1").started(PROPOSE | {"parameters": {"max_position": 7}}).ask()
    approve(run_table)
    dial.Dials.positions["write"] = 2
    with pytest.raises(WorldMovedError) as refusal:
        one.claim()
    assert str(refusal.value).endswith(
        '\'{"target": {"table_name": "ChatMessage-prod"}, "parameters": {"max_position": 7}, '
        '"mode": "propose", "reason": "OPS-9"}\''
    )


def test_fresh_command_of_an_undo_is_one_too(execution, run_table):
    verified(execution("run-1"))
    one = execution("run-2").started(UNDO | {"mode": "propose"}).ask()
    run_table.update("RUN#stuck-dial:run-2", values={"decision": "approve"})
    dial.Dials.positions["write"] = 2
    with pytest.raises(WorldMovedError) as refusal:
        one.claim()
    assert str(refusal.value).endswith(
        '\'{"undo": "stuck-dial:run-1", "mode": "propose", "reason": "was a load test"}\''
    )


# --- undo ---


def test_undo_plans_the_way_back_newest_first(execution, run_table):
    verified(execution("run-1"))
    execution("run-2").started(UNDO)
    plan = run_table.record("stuck-dial:run-2").plan
    assert plan.reason == "Takes back run stuck-dial:run-1. was a load test"
    assert [(c.before, c.after) for c in plan.calls] == [
        ({"write": 5}, {"write": 1}),
        ({"read": 5}, {"read": 1}),
    ]


def test_undo_gives_back_exactly_the_state_before(execution):
    verified(execution("run-1"))
    execution("run-2").started(UNDO).undo()
    assert dial.Dials.positions == {"read": 1, "write": 1}


def test_undo_has_no_hold_watch(execution):
    verified(execution("run-1"))
    run = execution("run-2").begin(UNDO).run
    assert (run["kind"], run["limits"]["hold_checks"]) == ("undo", 0)


def test_undo_leaves_alone_what_was_given_back_by_hand(execution, run_table):
    verified(execution("run-1"))
    dial.Dials.positions["read"] = 1
    execution("run-2").started(UNDO)
    (call,) = run_table.record("stuck-dial:run-2").plan.calls
    assert call.after == {"write": 1}


def test_undo_works_in_the_cool_down(execution):
    verified(execution("run-1"))
    with pytest.raises(CoolDownActiveError):
        execution("run-2").begin({"target": dial.TARGET})
    assert execution("run-3").begin(UNDO).run["kind"] == "undo"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            "other:run-1",
            InvalidRequestError,
            "undo: 'other:run-1' is not a run of stuck_dial; start its own machine",
        ),
        (
            "stuck-dial:run-7",
            TargetNotFoundError,
            "undo: there is no run 'stuck-dial:run-7' in the run table",
        ),
    ],
)
def test_undo_of_what_is_no_run_of_the_runbook(execution, given, error, message):
    with pytest.raises(error) as refusal:
        execution("run-2").begin({"undo": given})
    assert str(refusal.value) == f"{message}.{EXAMPLE}"


def test_undo_of_an_observed_run_is_refused(execution):
    execution("run-1").started(OBSERVE).finish()
    with pytest.raises(PrerequisiteNotMetError) as refusal:
        execution("run-2").begin(UNDO)
    assert str(refusal.value) == "undo: run stuck-dial:run-1 changed nothing"


def test_undo_of_a_target_that_left_the_platform_is_refused(execution, use_platform):
    verified(execution("run-1"))
    use_platform(tables=[{"table_name": "ChatSession-prod"}])
    with pytest.raises(TargetNotFoundError) as refusal:
        execution("run-2").begin(UNDO)
    assert str(refusal.value).startswith(
        "undo: the target of stuck-dial:run-1 left platform.json. Try: {"
    )


def test_undo_happens_once(execution):
    verified(execution("run-1"))
    execution("run-2").started(UNDO).undo().verify().finish()
    with pytest.raises(PrerequisiteNotMetError) as refusal:
        execution("run-3").begin(UNDO)
    assert str(refusal.value) == (
        "undo: run stuck-dial:run-1 was already undone by run stuck-dial:run-2"
    )


def test_undo_of_what_somebody_changed_since_is_refused(execution):
    verified(execution("run-1"))
    dial.Dials.positions["write"] = 7
    one = execution("run-2").begin(UNDO)
    with pytest.raises(WorldMovedError) as refusal:
        one.prepare()
    assert str(refusal.value) == (
        f"undo: {dial.ARN} is no longer what run stuck-dial:run-1 left: write is 7, not 5; "
        "change it by hand"
    )


def test_undo_of_what_is_gone_says_so(execution):
    verified(execution("run-1"))
    dial.Dials.positions["write"] = None
    one = execution("run-2").begin(UNDO)
    with pytest.raises(WorldMovedError) as refusal:
        one.prepare()
    assert str(refusal.value) == (
        f"undo: what run stuck-dial:run-1 left at {dial.ARN} is gone; there is nothing to take back"
    )


def test_undo_of_what_cannot_be_found_any_more_says_so(execution, monkeypatch):
    verified(execution("run-1"))
    one = execution("run-2").begin(UNDO)

    def missing(_self, call):
        raise TargetNotFoundError(f"{call.resource}: not found")

    monkeypatch.setattr(dial.Dials, "present", missing)
    with pytest.raises(WorldMovedError) as refusal:
        one.prepare()
    assert str(refusal.value) == (
        f"undo: what run stuck-dial:run-1 left at {dial.ARN} is gone; there is nothing to take back"
    )


def test_undo_of_a_run_that_was_rolled_back_is_refused(execution):
    execution("run-1").started().turn().roll_back().finish()
    one = execution("run-2").begin(UNDO)
    with pytest.raises(PrerequisiteNotMetError) as refusal:
        one.prepare()
    assert str(refusal.value) == ("undo: nothing of run stuck-dial:run-1 is left to take back")


def test_undo_of_an_irreversible_call_is_refused(execution, run_table):
    verified(execution("run-1"))
    plan = json.loads(run_table.get("RUN#stuck-dial:run-1")["plan"])
    for call in plan["calls"]:
        call["reversible"] = False
    run_table.update("RUN#stuck-dial:run-1", values={"plan": plan})
    one = execution("run-2").begin(UNDO)
    with pytest.raises(PrerequisiteNotMetError) as refusal:
        one.prepare()
    assert str(refusal.value) == (
        "undo: dynamodb:TurnDial of run stuck-dial:run-1 cannot be taken back"
    )


def test_change_of_somebody_else_before_the_first_call_is_no_failure_of_ours(execution):
    one = execution("run-1").started()
    dial.Dials.positions["read"] = 3
    with pytest.raises(WorldMovedError, match="someone else changed it"):
        one.turn()
    # The next try cannot know what the first one did.
    with pytest.raises(ConcurrentChangeError):
        one.turn()
    assert dial.Dials.turned == []


def test_undo_takes_back_what_it_can_and_leaves_what_followed_from_it(execution, run_table):
    verified(execution("run-1"))
    plan = json.loads(run_table.get("RUN#stuck-dial:run-1")["plan"])
    plan["calls"][1]["reversible"] = False
    run_table.update("RUN#stuck-dial:run-1", values={"plan": plan})
    execution("run-2").begin(UNDO).prepare().undo()
    assert dial.Dials.positions == {"read": 1, "write": 5}


def test_undo_asks_the_runbook_whether_it_is_safe_now(execution, script):
    verified(execution("run-1"))
    script.undo_obstacle = PrerequisiteNotMetError("consumption is above the old capacity")
    one = execution("run-2").begin(UNDO)
    with pytest.raises(PrerequisiteNotMetError) as refusal:
        one.prepare()
    assert str(refusal.value) == "consumption is above the old capacity"


def test_observed_undo_reports_the_way_back_and_takes_nothing(execution, run_table):
    verified(execution("run-1"))
    execution("run-2").started(UNDO | {"mode": "observe"})
    plan = run_table.record("stuck-dial:run-2").plan
    assert (len(plan.calls), plan.would_refuse) == (2, [])
    assert dial.Dials.positions == {"read": 5, "write": 5}


def test_time_of_a_run_is_that_of_its_execution(execution, run_table, clock):
    clock.advance(seconds=30)
    execution("run-1").begin({"target": dial.TARGET})
    record = run_table.record("stuck-dial:run-1")
    assert record.item["started_at"] == iso(NOW)
    assert record.run.lease_until == LEASE
