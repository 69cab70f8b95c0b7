"""Sweep, closing, maintenance, last resort: what looks after the runs themselves."""

import json
import time

import pytest

from tests.e2e.product import Product, eventually
from tests.e2e.test_dynamodb_throttling import propose, target

pytestmark = pytest.mark.engine

ENDED = "Step Functions Execution Status Change"


def sweep(product: Product) -> dict[str, int]:
    return product.invoke("oversight.sweep.handler", {})


def red(product: Product, table: str) -> str:
    """An alarm that is red for longer than its own event can be on its way."""
    product.set_alarm(product.alarm(table))
    product.ended(product.run_of_alarm(table))
    time.sleep(2.1)
    return product.alarm(table)


def test_sweep_starts_once_and_then_tells_a_person_once(product: Product, table: str) -> None:
    # No throttling in the metrics: the runs are refused and own nothing.
    alarm = red(product, table)
    before = len(product.executions())
    first = sweep(product)
    swept = eventually(lambda: len(product.executions()) > before)
    second = sweep(product)
    third = sweep(product)
    product.set_alarm(alarm, "OK")
    assert swept
    assert first["started"] >= 1
    assert second["started"] == 0
    assert third["told"] == 0


def test_sweep_leaves_a_cooling_target_alone(product: Product, table: str) -> None:
    with product.load(table):
        product.act(table)
    product.set_alarm(product.alarm(table))
    product.ended(product.run_of_alarm(table))
    time.sleep(2.1)
    before = len(product.executions())
    done = sweep(product)
    product.set_alarm(product.alarm(table), "OK")
    assert done["started"] == 0
    assert len(product.executions()) == before


def test_sweep_closes_a_run_whose_event_was_lost(product: Product, table: str) -> None:
    rule = next(
        r["Name"]
        for r in product.client("events").list_rules()["Rules"]
        if "aws.states" in r.get("EventPattern", "") and product.throttling in r["EventPattern"]
    )
    product.client("events").disable_rule(Name=rule)
    try:
        with product.load(table):
            execution = product.start(target(table))
            product.wait_for_state(execution, "WaitToVerify")
            product.client("stepfunctions").stop_execution(executionArn=execution)
    finally:
        product.client("events").enable_rule(Name=rule)
    run_id = f"dynamodb-throttling:{execution.rpartition(':')[2]}"
    assert product.record(run_id)["state"] == "open"
    assert sweep(product)["closed"] == 1
    record = eventually(lambda: product.record(run_id).get("outcome"))
    assert record == "handed_over"
    assert not product.locked(table)


def test_timed_out_run_is_closed_by_its_event(product: Product, table: str) -> None:
    with product.load(table):
        execution, _ = propose(product, table)
        # The engine has no machine that times out within a test: the documented event instead.
        event = {
            "detail-type": ENDED,
            "source": "aws.states",
            "detail": {
                "executionArn": execution,
                "name": execution.rpartition(":")[2],
                "status": "TIMED_OUT",
            },
        }
        closed = product.invoke("dynamodb_throttling.handler.observe", event)
        again = product.invoke("dynamodb_throttling.handler.observe", event)
        product.ended(execution)
    record = product.record(f"dynamodb-throttling:{execution.rpartition(':')[2]}")
    assert closed == again == {"closed": True}
    assert json.loads(record["answer"])["reason"] == (
        "the execution ended TIMED_OUT; nothing was changed"
    )


def test_maintenance_window_refuses_alarms_without_paging_and_lets_a_person_act(
    product: Product, table: str
) -> None:
    now = int(time.time())
    window = f"WINDOW#{product.arn(table)}"
    product.put_item(window, reason="load test", **{"from": now - 60, "until": now + 600})
    with product.load(table, alarming=True):
        answer = product.ended(product.run_of_alarm(table))
        by_hand = product.act(table)
    product.delete_item(window)
    assert answer["outcome"] == "refused"
    assert answer["reason"].startswith("maintenance until ")
    assert product.told(answer["run_id"]) == []
    assert by_hand["outcome"] == "verified"


def test_broken_code_cannot_mute_an_incident(product: Product, table: str) -> None:
    functions = product.client("lambda")
    name = product.function("dynamodb_throttling.handler.observe")
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    broken = {k: v for k, v in variables.items() if k != "RUN_TABLE_NAME"}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": broken})
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    try:
        execution = product.start(target(table))
        answer = product.ended(execution)
    finally:
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": variables}
        )
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert (answer["status"], answer["error"]) == ("FAILED", "handed_over")
    assert product.states(execution) == ["Begin", "Finish", "NotifyOperators", "Failed"]
    (message,) = product.told(f"Look at its execution: {execution}")
    assert message["subject"] == "[page] dynamodb_throttling: a run could not be closed"
    assert (message["severity"], message["outcome"]) == ("page", "handed_over")


def test_alarm_goes_to_the_operators_by_itself(product: Product, table: str) -> None:
    product.set_alarm(product.alarm(table))
    messages = eventually(lambda: product.told(f'"AlarmName": "{product.alarm(table)}"'))
    product.set_alarm(product.alarm(table), "OK")
    assert messages[0]["subject"].startswith("ALARM: ")


def test_change_that_stands_is_a_lease_with_an_expiry(product: Product, table: str) -> None:
    with product.load(table):
        answer = product.act(table)
    record = product.record(answer["run_id"])
    assert record["mitigation"] == "standing"
    assert int(record["mitigation_until"]) - time.time() == pytest.approx(60, abs=10)
