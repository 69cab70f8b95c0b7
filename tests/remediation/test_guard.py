"""Admission: what is taken, what refuses it, and that nothing is ever half taken."""

import contextlib
import dataclasses
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.remediation.contracts import (
    Decision,
    Execution,
    Incident,
    Kind,
    Mode,
    Plan,
    Run,
    Trigger,
    encode,
)
from lambdas.remediation.errors import (
    BreakerOpenError,
    BudgetExceededError,
    CoolDownActiveError,
    DuplicateRunError,
    MutedError,
    NotAdmittedError,
    RefusedError,
    TargetLockedError,
    TargetQuarantinedError,
    ThrottledError,
)
from lambdas.remediation.guard import Guard, admit_change, budgets, check_windows, refusal_again
from lambdas.remediation.records import RunTable, epoch

NOW = datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
LEASE = NOW + timedelta(hours=1)
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
OTHER_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/customers"
HOUR = 492_348  # hours from the epoch to 2026-03-02T12:00:00Z
LOCK = f"TARGET#{ARN}"
PAIR = f"PAIR#dial#{ARN}"
BUDGET = f"BUDGET#dial#{ARN}#{HOUR}"
PLATFORM_BUDGET = f"BUDGET#platform#{HOUR}"
PLAN = Plan(decision=Decision.CHANGE, reason="busy")
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:remediation-dial:"


def make(name: str = "1", **fields: Any) -> Run:
    started = fields.pop("started_at", NOW)
    values: dict[str, Any] = {
        "id": f"dial:{name}",
        "runbook": "dial",
        "kind": Kind.CHANGE,
        "mode": Mode.ACT,
        "trigger": Trigger.SWEEP,
        "target": {"table_name": "orders"},
        "target_arn": ARN,
        "parameters": {},
        "reason": "",
        "requested_by": "person",
        "execution": Execution(arn=EXECUTION + name, name=name, started_at=started),
        "lease_until": started + timedelta(hours=1),
        "limits": {"max_changes_per_hour": 2, "breaker_failures": 2},
    }
    return Run(**values | fields)


def alarmed(name: str, event_id: str, changed_at: datetime, **fields: Any) -> Run:
    incident = Incident(alarm_name="orders-throttled", alarm_arn="arn", changed_at=changed_at)
    return make(name, trigger=Trigger.ALARM, event_id=event_id, incident=incident, **fields)


@pytest.fixture
def guard(run_table):
    """A guard at some moment, `NOW` by default; six changes an hour for the platform."""

    def at(moment: datetime = NOW, *, table: RunTable = run_table, budget: int = 6) -> Guard:
        return Guard(table, now=moment, max_platform_changes_per_hour=budget)

    return at


def everything(table: RunTable) -> list[dict[str, Any]]:
    found = table.client.scan(TableName=table.name)["Items"]
    return sorted(found, key=lambda item: item["pk"]["S"])


def keys(table: RunTable) -> list[str]:
    return [item["pk"]["S"] for item in everything(table)]


def refused(guard: Guard, run: Run, error: type[RefusedError]) -> str:
    before = everything(guard.table)
    with pytest.raises(error) as refusal:
        guard.begin(run)
    assert everything(guard.table) == before, "a refused run took something"
    return str(refusal.value)


# --- what a run takes ---


def test_act_takes_lock_pair_and_budgets(guard, run_table):
    assert guard().begin(make()) == make()
    assert keys(run_table) == [BUDGET, PLATFORM_BUDGET, PAIR, "RUN#dial:1", LOCK]
    assert run_table.get(LOCK) == {"pk": LOCK, "owner": "dial:1", "lease_until": epoch(LEASE)}
    assert run_table.get(PAIR) == {
        "pk": PAIR,
        "open_run": "dial:1",
        "last_run": "dial:1",
        "open_until": epoch(LEASE),
    }
    assert run_table.get(BUDGET)["used"] == 1
    assert run_table.get(PLATFORM_BUDGET)["used"] == 1


def test_record_of_a_run_that_acts(guard, run_table):
    guard().begin(make())
    record = run_table.record("dial:1")
    assert record.run == make()
    assert record.claimed is True
    assert {k: v for k, v in record.item.items() if k != "run"} == {
        "pk": "RUN#dial:1",
        "runbook": "dial",
        "target": ARN,
        "state": "open",
        "open": "yes",
        "mode": "act",
        "claimed": True,
        "budget_hour": 492_348,
        "execution_arn": EXECUTION + "1",
        "started_at": "2026-03-02T12:10:00.000Z",
        "lease_until": 1_772_457_000,
        "expires_at": 1_772_453_400 + 400 * 86_400,
    }


def test_propose_takes_no_lock_and_no_budget(guard, run_table):
    guard().begin(make(mode=Mode.PROPOSE))
    assert keys(run_table) == [PAIR, "RUN#dial:1"]
    assert run_table.record("dial:1").claimed is False


def test_observe_takes_nothing(guard, run_table):
    guard().begin(make(mode=Mode.OBSERVE))
    assert keys(run_table) == ["RUN#dial:1"]


def test_alarm_run_takes_its_event_and_state_change(guard, run_table):
    guard().begin(alarmed("1", "event-1", NOW))
    assert run_table.get("EVENT#event-1")["run_id"] == "dial:1"
    assert run_table.get("ALARM#orders-throttled")["run_id"] == "dial:1"
    assert run_table.get("ALARM#orders-throttled")["changed_at_ms"] == 1_772_453_400_000


def test_open_runs_are_listed_for_the_sweep(guard, run_table):
    guard().begin(make(mode=Mode.PROPOSE))
    assert [item["pk"] for item in run_table.listed("yes")] == ["RUN#dial:1"]


# --- what refuses a run ---


def test_kill_switch_refuses_with_its_reason(guard, run_table):
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    assert refused(guard(), make(), MutedError) == (
        "automation is switched off (OPS-7); switch it on again first "
        "(docs/operate.md, Kill switch)"
    )


def test_kill_switch_refuses_a_proposal(guard, run_table):
    run_table.put({"pk": "SWITCH", "automation": "off"})
    assert "(no reason given)" in refused(guard(), make(mode=Mode.PROPOSE), MutedError)


def test_kill_switch_that_is_on_refuses_nothing(guard, run_table):
    run_table.put({"pk": "SWITCH", "automation": "on"})
    assert guard().begin(make()).id == "dial:1"


def test_open_run_of_the_runbook_makes_the_next_a_duplicate(guard):
    guard().begin(make("1", mode=Mode.PROPOSE))
    with pytest.raises(DuplicateRunError) as refusal:
        guard().begin(make("2"))
    assert str(refusal.value) == f"run dial:1 already looks after {ARN}"
    assert refusal.value.held_by == "dial:1"


def test_cool_down_refuses_until_it_ends(guard, run_table):
    run_table.put({"pk": PAIR, "cool_down_until": epoch(NOW + timedelta(minutes=15))})
    assert refused(guard(), make(), CoolDownActiveError) == (
        f"dial has just acted on {ARN} and pauses until 2026-03-02T12:25:00.000Z; undo still works"
    )


def test_cool_down_that_ends_now_is_over(guard, run_table):
    run_table.put({"pk": PAIR, "cool_down_until": epoch(NOW)})
    assert guard().begin(make()).id == "dial:1"


def test_quarantine_refuses_with_the_run_that_left_it(guard, run_table):
    run_table.put({"pk": f"QUARANTINE#{ARN}", "run_id": "dial:0"})
    assert refused(guard(), make(), TargetQuarantinedError) == (
        f"{ARN} is quarantined since run dial:0 could not be rolled back; look at it, then release "
        "it (docs/operate.md, Quarantine)"
    )


def test_lock_of_another_runbook_refuses_with_holder_and_end(guard, run_table):
    run_table.put({"pk": LOCK, "owner": "other:9", "lease_until": epoch(LEASE)})
    assert refused(guard(), make(), TargetLockedError) == (
        f"run other:9 is changing {ARN} and holds it until 2026-03-02T13:10:00.000Z at the latest; "
        "wait for its end, or stop it (docs/operate.md, Stop one run)"
    )


def test_open_breaker_refuses_until_it_closes(guard, run_table):
    run_table.put(
        {"pk": "BREAKER#dial", "failures": 2, "open_until": epoch(NOW + timedelta(hours=2))}
    )
    assert refused(guard(), make(), BreakerOpenError) == (
        "dial failed too often and is stopped until 2026-03-02T14:10:00.000Z; find out why, or "
        "free it now (docs/operate.md, Breaker)"
    )


@pytest.mark.parametrize(
    "breaker",
    [{"failures": 1}, {"failures": 5, "open_until": epoch(NOW)}],
    ids=["counting", "over"],
)
def test_breaker_that_is_not_open_refuses_nothing(guard, run_table, breaker):
    run_table.put({"pk": "BREAKER#dial", **breaker})
    assert guard().begin(make()).id == "dial:1"


def test_budget_of_the_target_refuses_until_the_next_hour(guard, run_table):
    run_table.put({"pk": BUDGET, "used": 2})
    assert refused(guard(), make(), BudgetExceededError) == (
        f"budget of dial on {ARN}: 2 of 2 changes of this hour are used up until "
        "2026-03-02T13:00:00.000Z; wait, or raise runbooks.dial.limits.max_changes_per_hour in "
        "platform.json"
    )


def test_what_people_start_takes_no_share_of_the_platforms_budget(run_table):
    run = make("run-1", trigger=Trigger.PERSON)
    assert budgets(run, 7) == (f"BUDGET#{run.runbook}#{run.target_arn}#7",)


def test_budget_of_the_platform_refuses_until_the_next_hour(guard, run_table):
    run_table.put({"pk": PLATFORM_BUDGET, "used": 6})
    assert refused(guard(), make(), BudgetExceededError) == (
        "budget of the whole platform, for what starts by itself: 6 of 6 changes of this hour are "
        "used up until 2026-03-02T13:00:00.000Z; wait, or raise max_changes_per_hour, at the top "
        "level, in platform.json"
    )


def test_event_is_taken_once(guard):
    guard().begin(alarmed("1", "event-1", NOW, mode=Mode.PROPOSE))
    again = alarmed("2", "event-1", NOW, mode=Mode.PROPOSE)
    with pytest.raises(DuplicateRunError) as refusal:
        guard().begin(again)
    assert str(refusal.value) == "event event-1 was already taken by run dial:1"
    assert refusal.value.held_by == "dial:1"


@pytest.mark.parametrize("older", [timedelta(0), timedelta(milliseconds=1), timedelta(hours=1)])
def test_state_change_no_newer_than_the_last_one_is_a_duplicate(guard, older):
    guard().begin(alarmed("1", "event-1", NOW, target_arn=OTHER_ARN))
    with pytest.raises(DuplicateRunError) as refusal:
        guard().begin(alarmed("2", "event-2", NOW - older))
    assert "a newer state change of orders-throttled than" in str(refusal.value)
    assert refusal.value.held_by == "dial:1"


def test_newer_state_change_is_taken(guard):
    guard().begin(alarmed("1", "event-1", NOW, target_arn=OTHER_ARN))
    later = alarmed("2", "event-2", NOW + timedelta(milliseconds=1))
    assert guard().begin(later).id == "dial:2"


def test_state_change_is_taken_after_the_sweep_has_marked_the_alarm(guard, run_table):
    # Its event was lost: the sweep writes its mark before any run has taken the alarm.
    run_table.update("ALARM#orders-throttled", values={"swept_ms": epoch(NOW) * 1000})
    assert guard().begin(alarmed("1", "event-1", NOW)).id == "dial:1"


def test_marks_of_an_alarm_outlive_its_next_run(guard, run_table):
    run_table.update("ALARM#orders-throttled", values={"swept_ms": 5, "told_ms": 6})
    guard().begin(alarmed("1", "event-1", NOW))
    alarm = run_table.get("ALARM#orders-throttled")
    assert (alarm["swept_ms"], alarm["told_ms"]) == (5, 6)


def test_first_reason_wins_when_several_refuse(guard, run_table):
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    run_table.put({"pk": LOCK, "owner": "other:9", "lease_until": epoch(LEASE)})
    refused(guard(), make(), MutedError)


def test_other_target_is_not_refused(guard):
    guard().begin(make("1"))
    assert guard().begin(make("2", target_arn=OTHER_ARN)).id == "dial:2"


# --- leases and hours ---


def test_expired_lease_is_taken_over(guard, run_table):
    guard().begin(make("1"))
    guard(LEASE).begin(make("2", started_at=LEASE))
    assert run_table.get(LOCK)["owner"] == "dial:2"
    assert run_table.get(PAIR)["open_run"] == "dial:2"


def test_lease_holds_to_its_last_second(guard):
    guard().begin(make("1"))
    with pytest.raises(DuplicateRunError):
        guard(LEASE - timedelta(seconds=1)).begin(make("2", started_at=LEASE))


def test_next_clock_hour_has_a_new_budget(guard, run_table):
    run_table.put({"pk": BUDGET, "used": 2})
    run_table.put({"pk": PLATFORM_BUDGET, "used": 6})
    thirteen = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)
    guard(thirteen).begin(make(started_at=thirteen))
    assert run_table.get(f"BUDGET#dial#{ARN}#{HOUR + 1}") == {
        "pk": f"BUDGET#dial#{ARN}#{HOUR + 1}",
        "used": 1,
        "expires_at": epoch(datetime(2026, 3, 2, 15, 0, tzinfo=UTC)),
    }


def test_last_second_of_the_hour_has_the_old_budget(guard, run_table):
    run_table.put({"pk": BUDGET, "used": 2})
    end = datetime(2026, 3, 2, 12, 59, 59, tzinfo=UTC)
    refused(guard(end), make(started_at=end), BudgetExceededError)


# --- undo ---


def undo(name: str = "undo", **fields: Any) -> Run:
    return make(name, kind=Kind.UNDO, undoes="dial:1", **fields)


@pytest.mark.parametrize(
    "item",
    [
        {"pk": PAIR, "cool_down_until": epoch(LEASE)},
        {"pk": PAIR, "open_run": "dial:0", "open_until": epoch(LEASE)},
        {"pk": BUDGET, "used": 2},
        {"pk": PLATFORM_BUDGET, "used": 6},
        {"pk": "BREAKER#dial", "open_until": epoch(LEASE)},
    ],
    ids=["cool-down", "open run", "budget", "platform budget", "breaker"],
)
def test_undo_skips(guard, run_table, item):
    run_table.put(item)
    assert guard().begin(undo()).id == "dial:undo"
    assert run_table.get(item["pk"]) == item


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({"pk": LOCK, "owner": "dial:9", "lease_until": epoch(LEASE)}, TargetLockedError),
        ({"pk": "SWITCH", "automation": "off"}, MutedError),
        ({"pk": f"QUARANTINE#{ARN}", "run_id": "dial:0"}, TargetQuarantinedError),
    ],
    ids=["lock", "kill switch", "quarantine"],
)
def test_undo_does_not_skip(guard, run_table, item, error):
    run_table.put(item)
    refused(guard(), undo(), error)


def test_undo_takes_the_lock_and_no_budget(guard, run_table):
    guard().begin(undo())
    assert keys(run_table) == ["RUN#dial:undo", LOCK]


# --- observe ---

REFUSING = [
    {"pk": "SWITCH", "automation": "off", "reason": "OPS-7"},
    {"pk": PAIR, "cool_down_until": epoch(LEASE)},
    {"pk": f"QUARANTINE#{ARN}", "run_id": "dial:0"},
    {"pk": LOCK, "owner": "other:9", "lease_until": epoch(LEASE)},
    {"pk": "BREAKER#dial", "open_until": epoch(LEASE)},
    {"pk": BUDGET, "used": 2},
    {"pk": PLATFORM_BUDGET, "used": 6},
]


def test_observe_is_refused_by_nothing(guard, run_table):
    for item in REFUSING:
        run_table.put(item)
    assert guard().begin(make(mode=Mode.OBSERVE)).id == "dial:1"


def test_observe_lists_everything_that_would_refuse(guard, run_table):
    for item in REFUSING:
        run_table.put(item)
    assert guard().would_refuse(make(mode=Mode.OBSERVE)) == [
        "automation is switched off (OPS-7); switch it on again first "
        "(docs/operate.md, Kill switch)",
        f"dial has just acted on {ARN} and pauses until 2026-03-02T13:10:00.000Z; undo still works",
        f"{ARN} is quarantined since run dial:0 could not be rolled back; look at it, then release "
        "it (docs/operate.md, Quarantine)",
        f"run other:9 is changing {ARN} and holds it until 2026-03-02T13:10:00.000Z at the latest; "
        "wait for its end, or stop it (docs/operate.md, Stop one run)",
        "dial failed too often and is stopped until 2026-03-02T13:10:00.000Z; find out why, or "
        "free it now (docs/operate.md, Breaker)",
        f"budget of dial on {ARN}: 2 of 2 changes of this hour are used up until "
        "2026-03-02T13:00:00.000Z; wait, or raise runbooks.dial.limits.max_changes_per_hour in "
        "platform.json",
        "budget of the whole platform, for what starts by itself: 6 of 6 changes of this hour are "
        "used up until 2026-03-02T13:00:00.000Z; wait, or raise max_changes_per_hour, at the top "
        "level, in platform.json",
    ]


def test_observe_lists_nothing_where_nothing_would_refuse(guard):
    assert guard().would_refuse(make(mode=Mode.OBSERVE)) == []


def test_asking_what_would_refuse_takes_nothing(guard, run_table):
    guard().would_refuse(make(mode=Mode.OBSERVE))
    assert keys(run_table) == []


def test_observed_undo_lists_only_what_refuses_an_undo(guard, run_table):
    for item in REFUSING:
        run_table.put(item)
    listed = guard().would_refuse(undo(mode=Mode.OBSERVE))
    assert [line.partition(" ")[0] for line in listed] == ["automation", ARN, "run"]


# --- two at once ---


class Serialised:
    """DynamoDB runs transactions one after the other; moto, in threads, does not."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **arguments: Any) -> Any:
        with self._lock:
            return self._client.transact_write_items(**arguments)


def test_one_of_two_runs_at_once_is_let_in(guard, run_table):
    table = RunTable(Serialised(run_table.client), run_table.name)
    together = threading.Barrier(2)
    results: dict[str, Any] = {}

    def begin(name: str) -> None:
        one = guard(table=table)
        together.wait()
        try:
            results[name] = one.begin(make(name))
        except RefusedError as error:
            results[name] = error

    threads = [threading.Thread(target=begin, args=(name,)) for name in ("1", "2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    (winner,) = [r for r in results.values() if isinstance(r, Run)]
    (loser,) = [r for r in results.values() if isinstance(r, DuplicateRunError)]
    assert loser.held_by == winner.id
    assert run_table.get(LOCK)["owner"] == winner.id
    assert run_table.get(BUDGET)["used"] == 1


@pytest.fixture
def sleeps(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def conflict(*codes: str) -> dict[str, Any]:
    return {"CancellationReasons": [{"Code": code} for code in codes]}


CONFLICT = conflict("None", "None", "None", "None", "TransactionConflict", "None", "None", "None")


def test_transaction_conflict_is_retried(guard, run_table, calls_of, sleeps):
    transact = calls_of("dynamodb", "TransactWriteItems")
    transact.will_fail("TransactionCanceledException", times=3, **CONFLICT)
    assert guard().begin(make()).id == "dial:1"
    assert len(transact.made) == 4
    assert len(sleeps) == 3
    assert run_table.get(LOCK)["owner"] == "dial:1"


def test_waits_between_conflicts_are_jittered_and_grow(guard, calls_of, sleeps, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    transact = calls_of("dynamodb", "TransactWriteItems")
    transact.will_fail("TransactionCanceledException", times=3, **CONFLICT)
    guard().begin(make())
    assert sleeps == [0.05, 0.1, 0.2]


def test_endless_conflict_is_retryable_and_never_a_refusal(guard, calls_of, sleeps):
    transact = calls_of("dynamodb", "TransactWriteItems")
    transact.will_fail("TransactionCanceledException", times=5, **CONFLICT)
    with pytest.raises(ThrottledError) as error:
        guard().begin(make())
    assert str(error.value) == "the run table is busy; the state machine tries again"
    assert not isinstance(error.value, RefusedError)
    assert len(transact.made) == 5


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_throttled_transaction_is_retried(guard, calls_of, sleeps, code):
    transact = calls_of("dynamodb", "TransactWriteItems")
    codes = ["None"] * 7 + [code]
    transact.will_fail("TransactionCanceledException", **conflict(*codes))
    assert guard().begin(make()).id == "dial:1"


def test_conflict_beside_a_refusal_is_a_refusal(guard, calls_of, sleeps):
    transact = calls_of("dynamodb", "TransactWriteItems")
    codes = ["None", "None", "TransactionConflict", "None", "ConditionalCheckFailed"] + ["None"] * 3
    transact.will_fail("TransactionCanceledException", **conflict(*codes))
    with pytest.raises(TargetLockedError):
        guard().begin(make())


def test_unknown_reason_is_neither_retried_nor_a_refusal(guard, calls_of, sleeps):
    transact = calls_of("dynamodb", "TransactWriteItems")
    codes = ["ItemCollectionSizeLimitExceeded"] + ["None"] * 7
    transact.will_fail("TransactionCanceledException", **conflict(*codes))
    with pytest.raises(RuntimeError) as error:
        guard().begin(make())
    assert str(error.value) == (
        "the run table refused the transaction: ['ItemCollectionSizeLimitExceeded']"
    )
    assert sleeps == []


# --- retried Begin ---


def test_retried_begin_gets_its_own_run_back(guard, run_table):
    guard().begin(make())
    before = everything(run_table)
    later = guard(NOW + timedelta(seconds=20))
    assert later.begin(make(reason="again")) == make()
    assert everything(run_table) == before


def test_retried_begin_of_an_alarm_is_not_its_own_duplicate(guard):
    run = alarmed("1", "event-1", NOW)
    guard().begin(run)
    assert guard().begin(run) == run


def test_retried_begin_of_a_refused_run_is_refused_again(guard, run_table):
    run_table.put(
        {
            "pk": "RUN#dial:1",
            "state": "open",
            "execution_arn": EXECUTION + "1",
            "run": encode(make()),
            "refusal": {"error": "TargetLockedError", "message": "run other:9 is changing it"},
        }
    )
    assert refused(guard(), make(), TargetLockedError) == "run other:9 is changing it"


def test_record_of_another_execution_is_not_ones_own(guard):
    guard().begin(make())
    other = Execution(arn=EXECUTION.replace("dial", "other") + "1", name="1", started_at=NOW)
    assert refused(guard(), make(execution=other), DuplicateRunError) == (
        "run dial:1 exists already"
    )


def test_closed_run_is_not_begun_again(guard, run_table):
    guard().begin(make())
    run_table.update("RUN#dial:1", values={"state": "closed"})
    refused(guard(), make(), DuplicateRunError)


@pytest.mark.parametrize("error", RefusedError.__subclasses__())
def test_every_refusal_can_be_given_again(error):
    again = refusal_again({"error": error.__name__, "message": "because"})
    assert (type(again), str(again)) == (error, "because")


# --- claim ---


@pytest.fixture
def approved(guard, run_table):
    """A proposed run that got its yes."""
    run = make(mode=Mode.PROPOSE)
    guard().begin(run)
    run_table.update("RUN#dial:1", values={"decision": "approve"})
    return run


def test_claim_takes_lock_and_budgets(guard, run_table, approved):
    guard().claim(approved)
    assert run_table.get(LOCK)["owner"] == "dial:1"
    assert run_table.get(BUDGET)["used"] == 1
    assert run_table.get(PLATFORM_BUDGET)["used"] == 1
    assert run_table.record("dial:1").claimed is True


def test_retried_claim_does_not_use_the_budget_twice(guard, run_table, approved):
    guard().claim(approved)
    guard().claim(approved)
    assert run_table.get(BUDGET)["used"] == 1
    assert run_table.get(PLATFORM_BUDGET)["used"] == 1


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({"pk": LOCK, "owner": "other:9", "lease_until": epoch(LEASE)}, TargetLockedError),
        ({"pk": "SWITCH", "automation": "off"}, MutedError),
        ({"pk": f"QUARANTINE#{ARN}", "run_id": "dial:0"}, TargetQuarantinedError),
        ({"pk": "BREAKER#dial", "open_until": epoch(LEASE)}, BreakerOpenError),
        ({"pk": BUDGET, "used": 2}, BudgetExceededError),
    ],
    ids=["lock", "kill switch", "quarantine", "breaker", "budget"],
)
def test_claim_is_refused_by_what_came_up_meanwhile(guard, run_table, approved, item, error):
    run_table.put(item)
    with pytest.raises(error):
        guard().claim(approved)
    assert run_table.record("dial:1").claimed is False


@pytest.mark.parametrize("decision", [None, "reject"])
def test_claim_without_a_yes_is_not_admitted(guard, run_table, decision):
    run = make(mode=Mode.PROPOSE)
    guard().begin(run)
    if decision:
        run_table.update("RUN#dial:1", values={"decision": decision})
    with pytest.raises(NotAdmittedError) as refusal:
        guard().claim(run)
    assert str(refusal.value) == "the run is not approved"
    assert run_table.get(LOCK) == {}


def test_claim_of_a_closed_run_is_not_admitted(guard, run_table, approved):
    run_table.update("RUN#dial:1", values={"state": "closing"})
    with pytest.raises(NotAdmittedError):
        guard().claim(approved)


def test_harmless_run_takes_no_share_of_the_platforms_budget(guard, run_table):
    guard().begin(dataclasses.replace(make(), harmless=True))
    assert run_table.get(BUDGET)["used"] == 1
    assert run_table.get(PLATFORM_BUDGET) == {}


# --- maintenance windows ---


def window(key: str, **fields: Any) -> dict[str, Any]:
    start, end = NOW - timedelta(minutes=5), NOW + timedelta(minutes=20)
    return {"pk": f"WINDOW#{key}", "from": epoch(start), "until": epoch(end), **fields}


@pytest.mark.parametrize("key", ["*", ARN], ids=["platform", "target"])
@pytest.mark.parametrize("trigger", [Trigger.ALARM, Trigger.SWEEP])
def test_window_mutes_what_nobody_asked_for(run_table, key, trigger):
    run_table.put(window(key, reason="release 7"))
    with pytest.raises(MutedError) as refusal:
        check_windows(run_table, ARN, trigger, NOW)
    assert str(refusal.value) == "maintenance until 2026-03-02T12:30:00.000Z: release 7"


def test_person_may_act_in_a_window(run_table):
    run_table.put(window("*"))
    assert check_windows(run_table, ARN, Trigger.PERSON, NOW) is None


@pytest.mark.parametrize(("minutes", "muted"), [(-6, False), (-5, True), (19, True), (20, False)])
def test_window_ends_before_its_last_moment(run_table, minutes, muted):
    run_table.put(window("*"))
    at = NOW + timedelta(minutes=minutes)
    with pytest.raises(MutedError) if muted else contextlib.nullcontext() as refusal:
        check_windows(run_table, ARN, Trigger.ALARM, at)
    assert (refusal is not None) is muted


def test_window_of_another_target_mutes_nothing(run_table):
    run_table.put(window(OTHER_ARN))
    assert check_windows(run_table, ARN, Trigger.ALARM, NOW) is None


# --- each changing call ---


@pytest.fixture
def open_run(guard, run_table):
    guard().begin(make())
    run_table.update("RUN#dial:1", values={"plan_hash": "hash", "plan": PLAN, "snapshot": "{}"})
    return make()


def admit(table: RunTable, run_id: str = "dial:1", plan_hash: str = "hash", **fields: Any) -> Any:
    arguments: dict[str, Any] = {
        "now": NOW,
        "longest": timedelta(seconds=60),
        "rolling_back": False,
    }
    return admit_change(table, run_id, plan_hash, **arguments | fields)


def not_admitted(table: RunTable, **fields: Any) -> str:
    with pytest.raises(NotAdmittedError) as refusal:
        admit(table, **fields)
    return str(refusal.value)


def test_change_of_an_open_run_is_admitted_and_marked(run_table, open_run):
    record = admit(run_table)
    assert (record.run, record.plan) == (open_run, PLAN)
    assert run_table.get("RUN#dial:1")["changing_since"] == epoch(NOW)


def test_change_of_an_unknown_run_is_refused(run_table):
    assert not_admitted(run_table, run_id="dial:7") == "there is no run dial:7"


def test_change_of_a_run_refused_early_is_refused(run_table):
    run_table.put({"pk": "RUN#dial:7", "state": "open"})
    assert not_admitted(run_table, run_id="dial:7") == "there is no run dial:7"


@pytest.mark.parametrize("state", ["closing", "closed"])
def test_change_of_a_run_that_is_not_open_is_refused(run_table, open_run, state):
    run_table.update("RUN#dial:1", values={"state": state})
    assert not_admitted(run_table) == f"run dial:1 is {state} and may not change anything"


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.PROPOSE])
def test_change_of_a_run_that_was_not_claimed_is_refused(guard, run_table, mode):
    guard().begin(make(mode=mode))
    run_table.update("RUN#dial:1", values={"plan_hash": "hash"})
    assert not_admitted(run_table) == "run dial:1 is open and may not change anything"


def test_change_with_another_plan_is_refused(run_table, open_run):
    assert not_admitted(run_table, plan_hash="other") == (
        "run dial:1: plan_hash is not the hash of its plan"
    )


def test_change_before_the_plan_is_refused(guard, run_table):
    guard().begin(make())
    assert not_admitted(run_table) == "run dial:1: plan_hash is not the hash of its plan"


def test_change_without_the_lock_is_refused(run_table, open_run):
    run_table.update(LOCK, values={"owner": "other:9"})
    assert not_admitted(run_table) == f"run dial:1 does not hold {ARN} long enough"


def test_change_after_the_lock_was_freed_is_refused(run_table, open_run):
    run_table.delete(LOCK)
    assert not_admitted(run_table) == f"run dial:1 does not hold {ARN} long enough"


def test_lease_must_outlast_the_function(run_table, open_run):
    last = LEASE - timedelta(seconds=60)
    assert not_admitted(run_table, now=last) == f"run dial:1 does not hold {ARN} long enough"
    assert admit(run_table, now=last - timedelta(seconds=1)).run_id == "dial:1"


def test_kill_switch_stops_the_next_change(run_table, open_run):
    run_table.put({"pk": "SWITCH", "automation": "off", "reason": "OPS-7"})
    with pytest.raises(MutedError) as refusal:
        admit(run_table)
    assert str(refusal.value).startswith("automation is switched off (OPS-7)")


def test_kill_switch_lets_a_roll_back_through(run_table, open_run):
    run_table.put({"pk": "SWITCH", "automation": "off"})
    assert admit(run_table, rolling_back=True).run_id == "dial:1"


def test_roll_back_still_needs_the_lock(run_table, open_run):
    run_table.delete(LOCK)
    assert "does not hold" in not_admitted(run_table, rolling_back=True)


@pytest.mark.parametrize("refusing", [LOCK, "RUN#dial:1"])
def test_refused_change_is_not_marked(run_table, open_run, refusing):
    run_table.update(refusing, values={"owner": "other:9", "state": "closing"})
    not_admitted(run_table)
    assert "changing_since" not in run_table.get("RUN#dial:1")


class ClosesMeanwhile(RunTable):
    """Another process closes the run between the reads and the mark."""

    def get_together(self, keys: Any) -> Any:
        found = super().get_together(keys)
        super().update("RUN#dial:1", values={"state": "closing"})
        return found


def test_run_closed_just_now_is_not_admitted(run_table, open_run):
    table = ClosesMeanwhile(run_table.client, run_table.name)
    assert not_admitted(table) == "run dial:1 was closed just now"
    assert "changing_since" not in run_table.get("RUN#dial:1")


def test_lock_and_kill_switch_are_read_as_of_one_moment(run_table, open_run, calls_of):
    read = calls_of("dynamodb", "TransactGetItems")
    admit(run_table)
    asked = [item["Get"]["Key"]["pk"]["S"] for item in read.made[0]["TransactItems"]]
    assert asked == ["RUN#dial:1", LOCK, "SWITCH"]


def test_run_is_never_changed_by_a_guard(guard):
    given = make()
    assert guard().begin(given) == dataclasses.replace(given)
