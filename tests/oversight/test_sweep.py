"""No alarm, no run and no lent-out change is forgotten, and nobody is told twice."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from lambdas.oversight.sweep import _observe_functions, handler
from lambdas.remediation import clients
from lambdas.remediation.contracts import Execution, Kind, Mode, Run, Trigger
from lambdas.remediation.guard import Guard
from lambdas.remediation.platform import load
from lambdas.remediation.records import epoch
from lambdas.remediation.request import read_request
from lambdas.runbooks.dynamodb_throttling.runbook import RUNBOOK
from lambdas.runbooks.system_outage.runbook import RUNBOOK as OUTAGE
from tests.conftest import ACCOUNT_ID, NOW, REGION

ALARM = "remediation-ChatMessage-prod-throttled"
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/ChatMessage-prod"
PAIR = f"PAIR#dynamodb_throttling#{ARN}"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:remediation-dynamodb-throttling"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:observe"
EXECUTION = MACHINE.replace(":stateMachine:", ":execution:") + ":"
NOTHING = {"closed": 0, "started": 0, "told": 0, "reminded": 0, "status": 0, "polled": 0}


class Context:
    invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:sweep"


@pytest.fixture
def sweep(environment, clock, monkeypatch, calls_of):
    """One sweep, an hour after nothing in particular."""
    functions = {"dynamodb_throttling": FUNCTION}
    monkeypatch.setenv("OBSERVE_FUNCTION_ARNS", json.dumps(functions))
    _observe_functions.cache_clear()
    clients.client("stepfunctions").create_state_machine(
        name="remediation-dynamodb-throttling",
        definition=json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}),
        roleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/machine",
    )
    yield lambda: handler({}, Context())
    _observe_functions.cache_clear()


@pytest.fixture
def started(sweep, calls_of):
    """Executions the sweep starts."""
    return calls_of("stepfunctions", "StartExecution")


@pytest.fixture
def invoked(sweep, calls_of):
    """Invocations of reading functions, answered as the Lambda service does."""
    calls = calls_of("lambda", "Invoke")
    calls.will_answer(*[{"StatusCode": 202}] * 3)
    return calls


@pytest.fixture
def red(sweep, clock):
    """Turn an alarm red; the clock is ten minutes later."""

    def turn(name: str = ALARM, *, minutes: float = 10) -> datetime:
        cloudwatch = clients.client("cloudwatch")
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="Tests",
            MetricName="Errors",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="57 throttled")
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        changed: datetime = alarm["StateUpdatedTimestamp"]
        clock.moment = changed + timedelta(minutes=minutes)
        return changed

    return turn


def begun(run_table, name: str, moment: datetime = NOW, **fields: Any) -> Run:
    values: dict[str, Any] = {
        "id": f"dynamodb-throttling:{name}",
        "runbook": "dynamodb_throttling",
        "kind": Kind.CHANGE,
        "mode": Mode.ACT,
        "trigger": Trigger.PERSON,
        "target": {"table_name": "ChatMessage-prod"},
        "target_arn": ARN,
        "parameters": {},
        "reason": "",
        "requested_by": "person",
        "execution": Execution(arn=EXECUTION + name, name=name, started_at=moment),
        "lease_until": moment + timedelta(hours=1),
        "limits": {"max_changes_per_hour": 2},
    }
    guard = Guard(run_table, now=moment, max_platform_changes_per_hour=6)
    return guard.begin(Run(**values | fields))


def start_execution(name: str) -> None:
    clients.client("stepfunctions").start_execution(stateMachineArn=MACHINE, name=name, input="{}")


# --- how it stands ---


def test_run_that_goes_on_is_told_of_on_a_cadence(sweep, run_table, inbox, clock):
    limits = RUNBOOK.limits.as_dict() | {"status_interval_seconds": 900}
    run = begun(run_table, "long", limits=limits)
    start_execution(run.execution.name)
    assert sweep() == NOTHING
    clock.advance(minutes=16)
    assert sweep() == NOTHING | {"status": 1}
    assert sweep() == NOTHING
    clock.advance(minutes=16)
    assert sweep() == NOTHING | {"status": 1}
    first, _ = inbox.messages
    assert first.subject == (
        "[note] ChatMessage-prod: not over yet, after 16 min (DynamoDB throttling)"
    )
    assert run.id in first.text


def test_an_outage_is_told_to_the_chat_every_quarter_of_an_hour(
    sweep, run_table, inbox, chat_inbox, clock, monkeypatch
):
    monkeypatch.setenv("OBSERVE_FUNCTION_ARNS", json.dumps({"system_outage": FUNCTION}))
    _observe_functions.cache_clear()
    run = begun(
        run_table,
        "long",
        id="system-outage:long",
        runbook="system_outage",
        target={"stack_name": "Orders"},
        limits=OUTAGE.limits.as_dict(),
    )
    start_execution(run.execution.name)
    clock.advance(minutes=14)
    assert sweep() == NOTHING
    clock.advance(minutes=1)
    assert sweep() == NOTHING | {"status": 1}
    title = "[note] Orders: not over yet, after 15 min (System outage)"
    (text,), (chat,) = inbox.messages, chat_inbox.messages
    shown = json.loads(chat.text)
    assert (text.subject, shown["content"]["title"]) == (title, title)
    assert shown["source"] == "custom"
    assert "run system-outage:long goes on since 15 min." in shown["content"]["description"]


def test_other_runs_are_not_told_of_while_they_go_on(sweep, run_table, inbox, clock):
    start_execution(begun(run_table, "long").execution.name)
    clock.advance(hours=1)
    assert sweep() == NOTHING
    assert inbox.messages == []


# --- alarms ---


def test_quiet_platform_needs_nothing(sweep, inbox):
    assert sweep() == NOTHING
    assert inbox.messages == []


def test_red_alarm_that_nobody_owns_starts_its_runbook(sweep, red, started):
    red()
    assert sweep() == NOTHING | {"started": 1}
    (execution,) = started.made
    assert execution["stateMachineArn"] == MACHINE
    assert execution["name"].startswith("sweep-")


def test_sweep_starts_a_run_that_the_runbook_accepts(sweep, red, started):
    red()
    sweep()
    event = json.loads(started.made[0]["input"])
    request = read_request(RUNBOOK, load(), "remediation", event)
    assert (request.trigger, request.target) == (
        Trigger.SWEEP,
        {"table_name": "ChatMessage-prod"},
    )
    assert request.incident.alarm_arn == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT_ID}:alarm:{ALARM}"
    assert request.incident.reason == "still red: 57 throttled"


@pytest.mark.parametrize("key", ["*", ARN])
def test_alarm_in_a_maintenance_window_is_looked_after_when_it_is_over(
    sweep, red, run_table, started, inbox, clock, key
):
    changed = red()
    window = {"from": epoch(changed), "until": epoch(clock.moment) + 60, "reason": "release 7"}
    run_table.put({"pk": f"WINDOW#{key}", **window})
    assert sweep() == NOTHING
    assert inbox.messages == []
    clock.moment += timedelta(minutes=2)
    assert sweep() == NOTHING | {"started": 1}


@pytest.fixture
def taken(started, run_table, clock):
    """The run that the sweep started: begun, and closed without having helped."""

    def take() -> Run:
        event = json.loads(started.made[-1]["input"])
        request = read_request(RUNBOOK, load(), "remediation", event)
        name = started.made[-1]["name"]
        fields = {"event_id": request.event_id, "incident": request.incident}
        run = begun(run_table, name, clock.moment, trigger=request.trigger, **fields)
        run_table.update(f"RUN#{run.id}", remove=["open"])
        run_table.put({"pk": PAIR, "cool_down_until": epoch(clock.moment) + 900})
        return run

    return take


def test_run_of_the_sweep_is_let_in_although_the_event_was_lost(sweep, red, taken):
    red()
    sweep()
    assert taken().trigger is Trigger.SWEEP


def test_runbook_is_started_once_for_an_alarm_that_stays_red(sweep, red, started, taken, clock):
    red()
    sweep()
    taken()
    for _ in range(3):
        clock.advance(hours=2)
        sweep()
    assert len(started.made) == 1


def test_person_is_told_when_the_run_of_the_sweep_did_not_help(sweep, red, taken, inbox, clock):
    red()
    sweep()
    taken()
    clock.advance(hours=2)
    assert sweep() == NOTHING | {"told": 1}
    assert len(inbox.messages) == 1


def test_second_sweep_of_the_same_red_alarm_tells_a_person(sweep, red, started, inbox, clock):
    changed = red()
    sweep()
    clock.advance(minutes=5)
    assert sweep() == NOTHING | {"told": 1}
    assert len(started.made) == 1
    (message,) = inbox.messages
    since = changed.strftime("%Y-%m-%dT%H:%M:%S.") + f"{changed.microsecond // 1000:03}Z"
    assert message.subject == (
        "[page] ChatMessage-prod: still red, automation has done what it may (DynamoDB throttling)"
    )
    assert message.text == (
        f"Alarm {ALARM} is red since {since}.\n"
        "The runbook ran for it and may not run again by itself.\n"
        "\n"
        "To see what it would do now, without a change:\n"
        f"aws stepfunctions start-execution --state-machine-arn {MACHINE} --input "
        '\'{"target": {"table_name": "ChatMessage-prod"}, "mode": "observe", '
        '"reason": "alarm still red"}\''
    )
    assert message.attributes == {
        "severity": "page",
        "runbook": "dynamodb_throttling",
        "outcome": "none",
        "mode": "none",
    }


def test_person_is_told_once(sweep, red, inbox, clock):
    red()
    for _ in range(4):
        sweep()
        clock.advance(minutes=5)
    assert len(inbox.messages) == 1


def test_person_who_was_told_by_a_run_is_not_told_again(sweep, red, inbox, run_table, clock):
    changed = red()
    sweep()
    told_ms = int(changed.timestamp() * 1000)
    run_table.update(f"ALARM#{ALARM}", values={"told_ms": told_ms})
    clock.advance(minutes=5)
    assert sweep() == NOTHING
    assert inbox.messages == []


def test_times_that_differ_by_rounding_are_the_same_state_change(sweep, red, run_table):
    changed = red()
    rounded = int(changed.timestamp() * 1000) - 900
    run_table.update(f"ALARM#{ALARM}", values={"swept_ms": rounded, "told_ms": rounded})
    assert sweep() == NOTHING


def test_next_state_change_is_news(sweep, red, started, run_table):
    changed = red()
    before = int(changed.timestamp() * 1000) - 60_000
    run_table.update(f"ALARM#{ALARM}", values={"swept_ms": before, "told_ms": before})
    assert sweep() == NOTHING | {"started": 1}
    assert len(started.made) == 1


def test_alarm_with_an_open_run_is_owned(sweep, red, run_table, clock):
    red()
    run_table.put(
        {"pk": PAIR, "open_run": "dynamodb-throttling:1", "open_until": epoch(clock.moment) + 60}
    )
    assert sweep() == NOTHING


def test_run_whose_lease_is_over_owns_nothing(sweep, red, started, run_table, clock):
    red()
    run_table.put(
        {"pk": PAIR, "open_run": "dynamodb-throttling:1", "open_until": epoch(clock.moment)}
    )
    assert sweep() == NOTHING | {"started": 1}


def test_cooling_target_is_left_alone_until_it_has_cooled(sweep, red, started, run_table, clock):
    red()
    run_table.put({"pk": PAIR, "cool_down_until": epoch(clock.moment) + 60})
    assert sweep() == NOTHING
    clock.advance(seconds=60)
    assert sweep() == NOTHING | {"started": 1}


@pytest.mark.parametrize(("seconds", "count"), [(119, 0), (121, 1)])
def test_fresh_alarm_has_its_own_event_on_the_way(sweep, red, started, seconds, count):
    red(minutes=seconds / 60)
    sweep()
    assert len(started.made) == count


def test_alarm_of_an_index_starts_the_runbook_of_its_table(sweep, red, started):
    red("remediation-ChatMessage-prod-chatSessionId-index-throttled")
    assert sweep() == NOTHING | {"started": 1}


@pytest.mark.parametrize("name", ["ServerCpuTooHigh", "remediation-runs-failed"])
def test_alarm_of_no_runbook_is_left_alone(sweep, red, started, name):
    red(name)
    assert sweep() == NOTHING


def test_only_red_alarms_are_asked_for(sweep, calls_of):
    asked = calls_of("cloudwatch", "DescribeAlarms")
    sweep()
    assert [call["StateValue"] for call in asked.made] == ["ALARM"]


def test_every_alarm_of_a_large_platform_is_looked_at(sweep, use_platform, red, started):
    use_platform(tables=[{"table_name": f"Orders-{n:03}"} for n in range(120)])
    red("remediation-Orders-000-throttled")
    red("remediation-Orders-119-throttled")
    assert sweep() == NOTHING | {"started": 2}


# --- runs without an outcome ---


def test_run_whose_execution_is_over_is_closed(sweep, run_table, invoked):
    begun(run_table, "run-1")
    start_execution("run-1")
    clients.client("stepfunctions").stop_execution(executionArn=EXECUTION + "run-1")
    assert sweep() == NOTHING | {"closed": 1}
    (call,) = invoked.made
    assert (call["FunctionName"], call["InvocationType"]) == (FUNCTION, "Event")
    assert json.loads(call["Payload"]) == {
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": EXECUTION + "run-1", "name": "run-1", "status": "ABORTED"},
    }


def test_run_whose_execution_still_runs_is_left_alone(sweep, run_table, invoked):
    begun(run_table, "run-1")
    start_execution("run-1")
    assert sweep() == NOTHING
    assert invoked.made == []


def test_run_that_step_functions_has_forgotten_is_closed(sweep, run_table, invoked):
    begun(run_table, "run-1")
    assert sweep() == NOTHING | {"closed": 1}
    assert json.loads(invoked.made[0]["Payload"])["detail"]["status"] == "ABORTED"


def test_closed_run_is_left_alone(sweep, run_table, invoked):
    begun(run_table, "run-1")
    run_table.update("RUN#dynamodb-throttling:run-1", remove=["open"])
    assert sweep() == NOTHING
    assert invoked.made == []


def test_open_run_of_a_removed_runbook_does_not_stop_the_sweep(sweep, red, started, run_table):
    begun(run_table, "run-1", runbook="retired")
    red()
    assert sweep() == NOTHING | {"started": 1}


# --- changes lent out ---


@pytest.fixture
def lent_out(sweep, run_table):
    """A change that stands, due in ten minutes."""
    run_table.put(
        {
            "pk": "RUN#dynamodb-throttling:run-1",
            "runbook": "dynamodb_throttling",
            "target": ARN,
            "state": "closed",
            "started_at": "2026-03-01T12:10:00.000Z",
            "open": "mitigated",
            "mitigation": "standing",
            "mitigation_until": epoch(NOW) + 600,
            "answer": {
                "changes": [
                    {
                        "api": "dynamodb:UpdateTable",
                        "resource": ARN,
                        "before": {"write": 5},
                        "after": {"write": 11},
                        "already_applied": False,
                    }
                ]
            },
        }
    )


def test_change_that_is_not_due_is_left_alone(sweep, lent_out, inbox, clock):
    clock.advance(seconds=599)
    assert sweep() == NOTHING
    assert inbox.messages == []


def test_person_is_reminded_of_a_change_that_is_due(sweep, lent_out, inbox, clock):
    clock.advance(seconds=600)
    assert sweep() == NOTHING | {"reminded": 1}
    (message,) = inbox.messages
    assert message.subject == (
        "[note] ChatMessage-prod: a temporary change is due to be given back (DynamoDB throttling)"
    )
    assert message.text == (
        "Run dynamodb-throttling:run-1 changed ChatMessage-prod for the time being.\n"
        "- dynamodb:UpdateTable table/ChatMessage-prod\n"
        "    write 5 -> 11\n"
        "\n"
        "To give it back (to keep it, do nothing: you are told this once):\n"
        f"aws stepfunctions start-execution --state-machine-arn {MACHINE} --input "
        '\'{"undo": "dynamodb-throttling:run-1", "reason": "lease ended"}\''
    )


def test_person_is_reminded_once(sweep, lent_out, inbox, run_table, clock):
    clock.advance(seconds=600)
    sweep()
    assert sweep() == NOTHING
    assert len(inbox.messages) == 1
    assert run_table.get("RUN#dynamodb-throttling:run-1")["mitigation"] == "reminded"


def test_change_given_back_meanwhile_is_no_longer_due(sweep, lent_out, inbox, run_table, clock):
    clock.advance(seconds=600)
    # The index is read a moment late: it still lists what undo has just marked.
    run_table.update("RUN#dynamodb-throttling:run-1", values={"mitigation": "given back"})
    assert sweep() == NOTHING
    assert inbox.messages == []


def test_change_of_a_runbook_that_is_gone_is_left_alone(sweep, lent_out, inbox, run_table, clock):
    clock.advance(seconds=600)
    run_table.update("RUN#dynamodb-throttling:run-1", values={"runbook": "retired"})
    assert sweep() == NOTHING
    assert inbox.messages == []
