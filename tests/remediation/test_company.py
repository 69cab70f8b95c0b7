"""A run and its child, and two runs with one cause: one change, and one message for both."""

import pytest

from lambdas.remediation.contracts import Decision, Verdict, Verification
from lambdas.remediation.errors import (
    CoolDownActiveError,
    DuplicateRunError,
    InvalidRequestError,
    NotAdmittedError,
    TargetLockedError,
)
from lambdas.remediation.request import STARTED_BY
from tests.remediation import dial
from tests.remediation.execution import MACHINE_ARN

OTHER = {"target": {"table_name": "ChatSession-prod"}}
OTHER_ALARM = "remediation-ChatSession-prod-throttled"


def alarm_of(name: str, table: str, event_id: str = "event-1"):
    assert name.endswith("-throttled")
    assert table in name
    return {
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "id": event_id,
        "resources": [f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"],
        "detail": {
            "alarmName": name,
            "state": {"value": "ALARM", "timestamp": "2026-03-02T12:09:00.000+0000"},
        },
    }


@pytest.fixture
def parent(execution, script):
    """A run on ChatMessage-prod whose remedy is the runbook, on ChatSession-prod."""
    script.decision = Decision.DELEGATE
    one = execution("parent").started(alarm_of(dial.ALARM, "ChatMessage-prod"))
    script.decision = Decision.CHANGE
    return one


def heal(one):
    one.prepare().turn().verify().finish()
    return one


def company(one):
    found = one.variables["company"]
    return found["next"], found["joined"], found["outcome"]


# --- child ---


def test_child_is_started_with_what_the_plan_asks_for(parent):
    start = parent.plan["children"][0]
    assert start["machine_arn"] == MACHINE_ARN
    assert start["input"] == {
        "target": {"table_name": "ChatSession-prod"},
        "mode": "act",
        "reason": "asked by a test",
        "parent": "stuck-dial:parent",
        STARTED_BY: parent.arn,
    }
    assert len(start["name"]) <= 80


def test_every_try_to_start_the_child_names_the_same_execution(parent):
    assert parent.prepare().plan["children"][0]["name"] == parent.plan["children"][0]["name"]


def test_child_says_who_asked_and_leaves_the_watch_to_it(parent, run_table):
    child = parent.child()
    run = run_table.record(child.run_id).run
    assert (run.parent, run.requested_by, run.trigger.value) == (
        "stuck-dial:parent",
        "run stuck-dial:parent",
        "parent",
    )
    assert child.run["limits"]["hold_checks"] == 0


def test_parent_goes_on_to_its_own_symptom_when_the_child_has_healed(parent):
    heal(parent.child())
    parent.read_child()
    assert company(parent) == ("verify", False, "verified")


def test_parent_tells_what_the_child_did_and_the_child_is_silent(parent, inbox):
    child = heal(parent.child())
    assert inbox.messages == []
    answer = parent.read_child().verify().finish()["answer"]
    (message,) = inbox.messages
    assert (answer["outcome"], answer["changes"], answer["joined"], answer["child"]) == (
        "verified",
        [],
        None,
        child.run_id,
    )
    assert f'"undo": "{child.run_id}"' in answer["undo"]["command"]
    assert "Done by stuck_dial:\n- dynamodb:TurnDial" in message.text
    assert child.run_id in message.text


def test_parent_that_changed_nothing_gives_its_budget_back(parent, run_table):
    heal(parent.child())
    parent.read_child().verify().finish()
    items = run_table.client.scan(TableName=run_table.name)["Items"]
    used = {
        i["pk"]["S"].rpartition("#")[0]: i["used"]["N"]
        for i in items
        if i["pk"]["S"].startswith("BUDGET#")
    }
    assert used == {
        f"BUDGET#stuck_dial#{dial.ARN}": "0",
        f"BUDGET#stuck_dial#{dial.ARN.replace('Message', 'Session')}": "1",
        "BUDGET#platform": "1",
    }


def test_failed_child_hands_its_parent_over(parent, script, inbox):
    child = parent.child()
    script.decision = Decision.HAND_OVER
    child.prepare().finish()
    answer = parent.read_child().finish()["answer"]
    assert company(parent) == ("finish", False, "handed_over")
    assert answer["outcome"] == "handed_over"
    assert "The dials turn, the fault is elsewhere." in answer["reason"]
    assert [m.attributes["severity"] for m in inbox.messages] == ["page"]


def test_symptom_that_outlives_the_child_is_handed_over(parent, script):
    heal(parent.child())
    script.verification = Verification(verdict=Verdict.FAILED, reason="Still 12 errors a minute.")
    answer = parent.read_child().verify().roll_back().finish()["answer"]
    assert (answer["outcome"], answer["changes"]) == ("handed_over", [])
    assert "Still 12 errors a minute." in answer["reason"]


def test_child_that_never_began_is_not_waited_for_long(parent):
    looks = []
    for attempt in (1, 2, 3):
        parent.read_child(attempt)
        looks.append(company(parent))
    assert looks == [("wait", False, None), ("wait", False, None), ("finish", False, None)]
    assert parent.finish()["answer"]["outcome"] == "handed_over"


def test_interrupted_child_is_told_to_people_by_itself(parent, inbox):
    child = parent.child()
    child.prepare().ends_by_itself()
    assert [m.attributes["severity"] for m in inbox.messages] == ["page"]


def test_undo_of_a_run_that_delegated_names_the_run_to_undo(parent, execution):
    child = heal(parent.child())
    parent.read_child().verify().finish()
    with pytest.raises(Exception, match="changed nothing itself") as refusal:
        execution("undo").begin({"undo": parent.run_id})
    assert f'"undo": "{child.run_id}"' in str(refusal.value)


@pytest.fixture
def trying(execution, script, use_platform):
    """A run on ChatMessage-prod that tries two runbooks, one after the other."""
    names = ("ChatMessage-prod", "ChatSession-prod", "ChatUser-prod")
    use_platform(tables=[{"table_name": name} for name in names])
    script.decision = Decision.DELEGATE
    script.then = [
        dial.ChildRequest(
            runbook="stuck_dial", target={"table_name": "ChatUser-prod"}, reason="second"
        )
    ]
    one = execution("parent").started(alarm_of(dial.ALARM, "ChatMessage-prod"))
    script.decision, script.then = Decision.CHANGE, []
    return one


def test_each_runbook_that_is_tried_is_an_execution_of_its_own(trying):
    first, second = trying.plan["children"]
    assert first["name"] != second["name"]
    assert [c["input"]["target"]["table_name"] for c in (first, second)] == [
        "ChatSession-prod",
        "ChatUser-prod",
    ]


def test_what_every_runbook_did_is_in_one_message(trying, script, inbox):
    first = heal(trying.child())
    trying.read_child()
    second = heal(trying.try_next().child())
    answer = trying.read_child().verify().finish()["answer"]
    (message,) = inbox.messages
    assert (answer["outcome"], answer["child"]) == ("verified", second.run_id)
    assert first.run_id in message.text
    assert second.run_id in message.text


def test_a_runbook_that_is_not_in_the_plan_is_not_tried(trying):
    trying.child_number = 2
    with pytest.raises(NotAdmittedError, match="has no child 2"):
        trying.read_child()


def test_child_starts_no_child(parent, script, run_table):
    child = parent.child()
    script.decision = Decision.DELEGATE
    assert child.prepare().plan["decision"] == "hand_over"
    assert "starts none itself" in run_table.record(child.run_id).plan.reason


# --- who may call itself a child ---


@pytest.mark.parametrize(
    "change",
    [
        {"parent": "stuck-dial:nobody"},
        {"target": {"table_name": "ChatMessage-prod"}},
        {STARTED_BY: "arn:aws:states:us-east-1:123456789012:execution:remediation-stuck-dial:x"},
    ],
)
def test_child_that_its_parent_did_not_ask_for_is_refused(parent, execution, change):
    with pytest.raises(InvalidRequestError, match=r"^parent: "):
        execution("run-2").begin({**parent.plan["children"][0]["input"], **change})


def test_person_cannot_name_a_parent(parent, execution):
    given = {k: v for k, v in parent.plan["children"][0]["input"].items() if k != STARTED_BY}
    with pytest.raises(InvalidRequestError, match=r"^parent: unknown field"):
        execution("run-2").begin(given)


def test_child_of_a_closed_run_is_refused(parent, execution):
    start = parent.plan["children"][0]
    parent.ends_by_itself()
    with pytest.raises(InvalidRequestError, match="is not the open run"):
        execution(start["name"]).begin(start["input"])


# --- before a change, under one lock ---


@pytest.fixture
def first(execution, script):
    """A run that has another runbook done on its own target before its own change."""
    script.child = dial.ChildRequest(runbook="stuck_dial", target=dial.TARGET, reason="first")
    one = execution("parent").started()
    script.child = None
    return one


def test_child_on_the_same_target_is_a_second_run_of_one_runbook_only_by_name(first):
    # The pair of runbook and target is the parent's own: a runbook never starts itself there.
    with pytest.raises(DuplicateRunError):
        first.child()


def test_child_works_under_the_lock_of_its_parent(first, run_table, monkeypatch):
    run_table.delete(f"PAIR#stuck_dial#{dial.ARN}")
    child = first.child()
    assert run_table.record(child.run_id).run.under_lock_of == first.run_id
    assert run_table.get(f"TARGET#{dial.ARN}")["owner"] == first.run_id
    child.prepare().turn().verify().finish()
    assert run_table.get(f"TARGET#{dial.ARN}")["owner"] == first.run_id
    assert company(first.read_child()) == ("change", False, "verified")


def test_child_without_the_lock_of_its_parent_may_not_begin(first, run_table):
    run_table.delete(f"PAIR#stuck_dial#{dial.ARN}")
    run_table.put({"pk": f"TARGET#{dial.ARN}", "owner": "someone", "lease_until": 9_999_999_999})
    with pytest.raises(TargetLockedError, match="run someone is changing"):
        first.child()


# --- one cause, several alarms ---


def test_run_that_meets_an_open_one_joins_it_and_waits(parent, execution, run_table):
    owner = execution("owner").started(alarm_of(OTHER_ALARM, "ChatSession-prod", "event-2"))
    with pytest.raises(DuplicateRunError):
        parent.child()
    parent.read_child()
    assert company(parent) == ("wait", True, None)
    assert run_table.get(f"RUN#{owner.run_id}")["joined_by"] == parent.run_id


def test_one_change_and_one_message_that_names_both_alarms(parent, execution, inbox):
    owner = execution("owner").started(alarm_of(OTHER_ALARM, "ChatSession-prod", "event-2"))
    with pytest.raises(DuplicateRunError):
        parent.child()
    parent.read_child()
    owner.turn().verify().finish()
    answer = parent.read_child(2).verify().finish()["answer"]
    (message,) = inbox.messages
    assert len(dial.Dials.turned) == 2
    assert (answer["outcome"], answer["joined"]) == ("verified", owner.run_id)
    assert f"Alarms: {dial.ALARM}, {OTHER_ALARM}" in message.text
    assert owner.run_id in message.text


def test_alarm_that_comes_after_the_child_is_named_too(parent, execution, inbox):
    child = parent.child()
    with pytest.raises(DuplicateRunError) as refusal:
        execution("late").begin(alarm_of(OTHER_ALARM, "ChatSession-prod", "event-2"))
    heal(child)
    parent.read_child().verify().finish()
    (message,) = inbox.messages
    assert refusal.value.held_by == child.run_id
    assert f"Alarms: {dial.ALARM}, {OTHER_ALARM}" in message.text


def test_run_that_was_healed_just_before_is_joined_although_it_has_ended(parent, execution):
    owner = heal(execution("owner").begin(OTHER))
    with pytest.raises(CoolDownActiveError):
        parent.child()
    parent.read_child()
    assert company(parent) == ("verify", True, "verified")
    assert parent.variables["company"]["run_id"] == owner.run_id


def test_joined_run_that_did_not_heal_hands_over(parent, execution, script):
    owner = execution("owner").begin(OTHER)
    with pytest.raises(DuplicateRunError):
        parent.child()
    script.decision = Decision.HAND_OVER
    owner.prepare().finish()
    answer = parent.read_child().finish()["answer"]
    assert (company(parent), answer["outcome"]) == (("finish", True, "handed_over"), "handed_over")


def test_joined_run_that_ends_red_tells_people_itself(parent, execution, script, inbox):
    owner = execution("owner").begin(OTHER)
    with pytest.raises(DuplicateRunError):
        parent.child()
    parent.read_child()
    script.decision = Decision.HAND_OVER
    owner.prepare().finish()
    assert [m.attributes["severity"] for m in inbox.messages] == ["page"]


def test_joined_run_whose_joiner_is_gone_tells_people_itself(parent, execution, inbox):
    owner = execution("owner").begin(OTHER)
    with pytest.raises(DuplicateRunError):
        parent.child()
    parent.read_child().ends_by_itself()
    heal(owner)
    assert [m.attributes["severity"] for m in inbox.messages] == ["page", "note"]


def test_nobody_waits_for_a_joined_run_for_ever(parent, execution):
    execution("owner").begin(OTHER)
    with pytest.raises(DuplicateRunError):
        parent.child()
    answer = parent.read_child(5).finish()["answer"]
    assert answer["outcome"] == "handed_over"
    assert "still open" in answer["reason"]


def test_target_held_by_another_runbook_is_joined_too(parent, run_table, execution):
    run_table.put(
        {
            "pk": f"TARGET#{dial.ARN.replace('Message', 'Session')}",
            "owner": "stuck-dial:holder",
            "lease_until": 9_999_999_999,
        }
    )
    with pytest.raises(TargetLockedError):
        parent.child()
    parent.read_child()
    # The holder has left no record: there is nothing to wait for.
    assert company(parent) == ("finish", True, None)


def test_interrupted_parent_names_the_run_it_relied_on(parent, inbox):
    child = heal(parent.child())
    parent.read_child().ends_by_itself()
    (message,) = inbox.messages
    assert message.attributes["severity"] == "page"
    assert child.run_id in message.text
    assert "nothing was changed" in message.text
