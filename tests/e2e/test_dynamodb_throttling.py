"""Every outcome of the design's table, on the deployed product."""

import json
import threading

import pytest

from tests.e2e.product import INDEX, Product, eventually

pytestmark = pytest.mark.engine


def target(table: str, **more: object) -> dict[str, object]:
    return {"target": {"table_name": table}, **more}


# --- verified ---


def test_alarm_heals_the_table_and_tells_what_it_did(product: Product, table: str) -> None:
    with product.load(table, alarming=True):
        execution = product.run_of_alarm(table)
        answer = product.ended(execution)
    assert (answer["status"], answer["outcome"], answer["held"]) == ("SUCCEEDED", "verified", True)
    assert product.capacity(table)[0] > 8
    assert product.states(execution)[:4] == ["Begin", "Prepare", "ChooseMode", "BumpCapacity"]
    assert not product.locked(table)
    (message,) = product.told(answer["run_id"])
    assert message["severity"] == "note"
    assert message["outcome"] == "verified"
    assert f"table.{table}" not in message["subject"]
    assert table in message["subject"]
    assert "WriteCapacityUnits 5 -> " in message["text"]
    assert answer["undo"]["command"] in message["text"]


def test_index_is_raised_with_its_table(product: Product, table: str) -> None:
    with product.load(table):
        product.act(table)
    assert product.capacity(table)[1] > 5


def test_alarm_is_set_to_ok_after_verified(product: Product, table: str) -> None:
    product.set_alarm(product.alarm(table, INDEX))
    with product.load(table):
        answer = product.ended(product.run_of_alarm(table, index=INDEX))
        assert answer["outcome"] == "verified"
        assert product.alarm_state(product.alarm(table, INDEX)) == "OK"


def test_verified_but_not_held_when_throttling_comes_back(product: Product, table: str) -> None:
    with product.load(table):
        execution = product.start(target(table))
        product.wait_for_state(execution, "WaitToHold")
    with product.load(table, units_per_second=1_000):
        answer = product.ended(execution)
    assert (answer["status"], answer["outcome"], answer["held"]) == ("SUCCEEDED", "verified", False)


def test_target_is_free_during_the_hold_watch(product: Product, table: str) -> None:
    with product.load(table):
        execution = product.start(target(table))
        product.wait_for_state(execution, "WaitToHold")
        assert not product.locked(table)
        product.ended(execution)


# --- proposed ---


def test_observe_reports_the_exact_calls_and_changes_nothing(product: Product, table: str) -> None:
    with product.load(table):
        answer = product.act(table, mode="observe")
    (call,) = answer["plan"]["calls"]
    assert (answer["status"], answer["outcome"]) == ("SUCCEEDED", "proposed")
    assert call["api"] == "dynamodb:UpdateTable"
    assert call["before"]["WriteCapacityUnits"] == 5
    assert call["after"]["WriteCapacityUnits"] > 5
    assert product.capacity(table) == (5, 5)
    assert product.item(f"TARGET#{product.arn(table)}") == {}


def test_observe_says_what_would_be_refused(product: Product, table: str) -> None:
    product.put_item(f"QUARANTINE#{product.arn(table)}", run_id="earlier", since="2026-11-24")
    with product.load(table):
        answer = product.act(table, mode="observe")
    assert "quarantined since run earlier" in answer["would_refuse"][0]


def test_proposal_changes_nothing_without_a_yes_in_time(product: Product, table: str) -> None:
    with product.load(table):
        answer = product.act(table, mode="propose")
    assert (answer["status"], answer["outcome"]) == ("SUCCEEDED", "proposed")
    assert answer["reason"] == "not approved in time; nothing was changed"
    assert product.capacity(table) == (5, 5)


def propose(product: Product, table: str) -> tuple[str, dict[str, str]]:
    """Execution that waits for a yes, and the answer its message asks for."""
    execution = product.start(target(table, mode="propose"))
    product.wait_for_state(execution, "AwaitApproval")
    run_id = f"dynamodb-throttling:{execution.rpartition(':')[2]}"
    (message,) = eventually(lambda: product.told(run_id), what="the question")
    given = json.loads(message["text"].partition("--input '")[2].partition("'")[0])
    return execution, given


def test_approved_proposal_acts(product: Product, table: str) -> None:
    with product.load(table):
        execution, given = propose(product, table)
        assert not product.locked(table)
        decided = product.run(given, machine=product.approve_machine)
        answer = product.ended(execution)
    assert decided["outcome"] == "approved"
    assert (answer["outcome"], answer["mode"]) == ("verified", "propose")
    assert product.capacity(table)[0] > 5


def test_rejected_proposal_is_refused_and_changes_nothing(product: Product, table: str) -> None:
    with product.load(table):
        execution, given = propose(product, table)
        product.run(
            {**given, "decision": "reject", "reason": "sale tonight"},
            machine=product.approve_machine,
        )
        answer = product.ended(execution)
    assert (answer["outcome"], answer["reason"]) == ("refused", "rejected: sale tonight")
    assert product.capacity(table) == (5, 5)


def test_second_answer_and_forged_hash_do_not_count(product: Product, table: str) -> None:
    with product.load(table):
        execution, given = propose(product, table)
        forged = product.run({**given, "plan_hash": "0" * 64}, machine=product.approve_machine)
        first = product.run({**given, "decision": "reject"}, machine=product.approve_machine)
        second = product.run(given, machine=product.approve_machine)
        product.ended(execution)
        late = product.run(given, machine=product.approve_machine)
    assert [forged["outcome"], first["outcome"]] == ["refused", "rejected"]
    assert [second["outcome"], late["outcome"]] == ["refused", "refused"]
    assert product.capacity(table) == (5, 5)


def test_approval_is_refused_when_the_world_moved(product: Product, table: str) -> None:
    with product.load(table):
        execution, given = propose(product, table)
        product.set_write_capacity(table, 9)
        product.run(given, machine=product.approve_machine)
        answer = product.ended(execution)
    assert answer["outcome"] == "refused"
    assert "changed since the plan was made" in answer["reason"]
    assert product.capacity(table)[0] == 9


# --- refused ---


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "target: missing"),
        ({"Comment": "Insert your JSON here"}, "Comment: unknown field"),
        ({"target": {"table_name": "Nope"}}, "target.table_name: 'Nope' is not in platform.json"),
        ({"target": {"table_name": "Orders-00"}, "mode": "go"}, "mode: 'go' is not one of"),
        (
            {"target": {"table_name": "Orders-00"}, "parameters": {"max_capacity_units": 4000}},
            "parameters.max_capacity_units: 4000 is outside 1 to 400",
        ),
        ({"undo": "dynamodb-throttling:nothing"}, "undo: there is no run"),
        ({"undo": "create-user:x"}, "undo: 'create-user:x' is not a run of dynamodb_throttling"),
    ],
)
def test_bad_input_is_refused_with_field_fix_and_example(
    product: Product, given: dict[str, object], reason: str
) -> None:
    answer = product.run(given)
    assert (answer["status"], answer["outcome"]) == ("SUCCEEDED", "refused")
    assert answer["reason"].startswith(reason)
    assert 'Try: {"target": {"table_name": "Orders-00"}' in answer["reason"]
    assert product.told(answer["run_id"]) == []


def test_healthy_table_is_refused(product: Product, table: str) -> None:
    product.put_metrics(table, ConsumedWriteCapacityUnits=1)
    answer = product.act(table)
    assert answer["outcome"] == "refused"
    assert not product.locked(table)
    assert product.capacity(table) == (5, 5)


def test_kill_switch_refuses_an_alarm_and_pages(product: Product, table: str) -> None:
    product.put_item("SWITCH", automation="off", reason="big sale")
    try:
        with product.load(table, alarming=True):
            answer = product.ended(product.run_of_alarm(table))
    finally:
        product.delete_item("SWITCH")
    assert answer["outcome"] == "refused"
    assert answer["reason"].startswith("automation is switched off (big sale)")
    (message,) = product.told(answer["run_id"])
    assert message["severity"] == "page"
    assert product.capacity(table) == (5, 5)


def test_cool_down_refuses_a_second_run(product: Product, table: str) -> None:
    with product.load(table):
        product.act(table)
    with product.load(table, units_per_second=1_000):
        answer = product.act(table)
    assert answer["outcome"] == "refused"
    assert "has just acted on" in answer["reason"]


# --- duplicate ---


def test_second_run_on_the_same_table_is_a_duplicate(product: Product, table: str) -> None:
    with product.load(table):
        first = product.start(target(table))
        product.wait_for_state(first, "Prepare")
        second = product.act(table)
        answer = product.ended(first)
    assert (second["status"], second["outcome"]) == ("SUCCEEDED", "duplicate")
    assert second["duplicate_of"] == answer["run_id"]
    assert answer["outcome"] == "verified"


def test_of_runs_started_at_the_same_moment_one_acts(product: Product, table: str) -> None:
    with product.load(table):
        executions: list[str] = []
        threads = [
            threading.Thread(target=lambda: executions.append(product.start(target(table))))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcomes = sorted(product.ended(e)["outcome"] for e in executions)
    assert outcomes == ["duplicate", "duplicate", "duplicate", "verified"]


def test_redelivered_alarm_event_is_a_duplicate(product: Product, table: str) -> None:
    with product.load(table, alarming=True):
        execution = product.run_of_alarm(table)
        event = product.client("stepfunctions").describe_execution(executionArn=execution)["input"]
        product.ended(execution)
    again = product.run(event)
    assert again["outcome"] == "duplicate"
    assert again["duplicate_of"] == f"dynamodb-throttling:{execution.rpartition(':')[2]}"


# --- handed over ---


@pytest.mark.parametrize("cause", ["KeyRangeThroughput", "AccountLimit"])
def test_what_capacity_cannot_heal_is_handed_over(product: Product, table: str, cause: str) -> None:
    with product.load(table, cause=cause):
        answer = product.act(table)
    assert (answer["status"], answer["error"]) == ("FAILED", "handed_over")
    assert answer["changes"] == []
    assert product.capacity(table) == (5, 5)
    (message,) = product.told(answer["run_id"])
    assert message["severity"] == "page"


def test_aborted_run_that_changed_nothing_is_closed(product: Product, table: str) -> None:
    with product.load(table):
        execution, _ = propose(product, table)
    product.client("stepfunctions").stop_execution(executionArn=execution)
    run_id = f"dynamodb-throttling:{execution.rpartition(':')[2]}"
    record = eventually(lambda: _closed(product, run_id), what="the closing")
    assert record["outcome"] == "handed_over"
    assert json.loads(record["answer"])["reason"].endswith("ABORTED; nothing was changed")


def test_aborted_run_leaves_its_change_and_its_undo(product: Product, table: str) -> None:
    with product.load(table):
        execution = product.start(target(table))
        product.wait_for_state(execution, "WaitToVerify")
        product.client("stepfunctions").stop_execution(executionArn=execution)
    run_id = f"dynamodb-throttling:{execution.rpartition(':')[2]}"
    record = eventually(lambda: _closed(product, run_id), what="the closing")
    answer = json.loads(record["answer"])
    assert (answer["outcome"], len(answer["changes"])) == ("handed_over", 1)
    assert answer["undo"]["command"].endswith(f'{{"undo": "{run_id}", "reason": ""}}\'')
    assert not product.locked(table)
    assert len([m for m in product.told(run_id) if m["severity"] == "page"]) == 1


def _closed(product: Product, run_id: str) -> dict[str, object] | None:
    record = product.record(run_id)
    return record if record.get("state") == "closed" else None


# --- ineffective ---


def test_change_that_does_not_help_is_kept_and_pages(product: Product, table: str) -> None:
    with product.load(table, units_per_second=5_000):
        answer = product.act(table)
    assert (answer["status"], answer["error"]) == ("FAILED", "ineffective")
    assert answer["verification"]["verdict"] == "failed"
    assert product.capacity(table)[0] > 5
    assert "calls" not in answer["plan"]
    (message,) = product.told(answer["run_id"])
    assert (message["severity"], message["outcome"]) == ("page", "ineffective")


def test_no_traffic_after_the_change_is_inconclusive(product: Product, table: str) -> None:
    with product.load(table):
        execution = product.start(target(table))
        product.wait_for_state(execution, "BumpCapacity")
    answer = product.ended(execution)
    assert answer["outcome"] == "ineffective"
    assert answer["verification"]["verdict"] == "inconclusive"


def test_breaker_opens_after_failures_in_a_row_and_a_success_closes_it(
    product: Product, table: str
) -> None:
    product.put_item("BREAKER#dynamodb_throttling", failures=2)
    with product.load(table, units_per_second=5_000):
        product.act(table)
    opened = product.item("BREAKER#dynamodb_throttling")
    product.delete_item(f"PAIR#dynamodb_throttling#{product.arn(table)}")
    stopped = product.act(table)
    assert int(opened["failures"]) == 3
    assert "failed too often and is stopped until" in stopped["reason"]


# --- rollback failed ---


def test_aborted_run_on_a_foreign_state_is_quarantined(product: Product, table: str) -> None:
    with product.load(table):
        execution = product.start(target(table))
        product.wait_for_state(execution, "WaitToVerify")
        product.set_write_capacity(table, 77)
        product.client("stepfunctions").stop_execution(executionArn=execution)
        run_id = f"dynamodb-throttling:{execution.rpartition(':')[2]}"
        record = eventually(lambda: _closed(product, run_id), what="the closing")
    assert record["outcome"] == "rollback_failed"
    refused = product.act(table)
    assert "is quarantined since run" in refused["reason"]
    assert product.capacity(table)[0] == 77


# --- undo ---


def test_undo_restores_what_the_run_changed(product: Product, table: str) -> None:
    with product.load(table):
        done = product.act(table)
    eventually(lambda: _undone(product, done["run_id"]), 70, "consumption to fall")
    assert product.capacity(table) == (5, 5)
    assert product.record(done["run_id"])["undone_by"].startswith("dynamodb-throttling:")
    again = product.run({"undo": done["run_id"]})
    assert "was already undone" in again["reason"]


def _undone(product: Product, run_id: str) -> bool:
    return bool(product.run({"undo": run_id, "reason": "test over"})["outcome"] == "verified")


def test_undo_is_refused_while_the_capacity_is_used(product: Product, table: str) -> None:
    with product.load(table):
        done = product.act(table)
        answer = product.run({"undo": done["run_id"]})
    assert answer["outcome"] == "refused"
    assert "not taken back" in answer["reason"]


def test_undo_is_refused_when_the_table_is_no_longer_as_left(product: Product, table: str) -> None:
    with product.load(table):
        done = product.act(table)
    product.set_write_capacity(table, 77)
    answer = product.run({"undo": done["run_id"]})
    assert "is no longer what run" in answer["reason"]
    assert product.capacity(table)[0] == 77
