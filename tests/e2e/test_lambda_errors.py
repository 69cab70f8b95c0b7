"""A bad release, from failing requests to the alias that points back: every outcome."""

from typing import Any

import pytest

from tests.e2e.product import Product, eventually
from tests.e2e.services import BAD, GOOD, Service

pytestmark = pytest.mark.engine


def run(product: Product, service: Service, **more: Any) -> dict[str, Any]:
    given = {"target": {"function_name": service.function}, **more}
    return product.run(given, machine=product.lambda_errors)


def break_it(service: Service) -> tuple[str, str]:
    """A bad release; gives the version before and the bad one."""
    before = service.version()
    return before, service.release(BAD)


def test_alarm_takes_a_bad_release_back(product: Product) -> None:
    """Nothing is set by hand: the alarm turns red from what the failing requests leave."""
    service = product.create_service(alarmed=True)
    before, bad = break_it(service)
    with service.traffic():
        execution = product.started_by(service.function_alarm, product.lambda_errors)
        answer = product.ended(execution)
    assert (answer["outcome"], answer["held"]) == ("verified", True)
    assert (service.version(), service.call()) == (before, 200)
    (call,) = answer["changes"]
    assert call["before"]["FunctionVersion"] == bad
    assert product.alarm_state(service.function_alarm) == "OK"


def test_observe_shows_the_call_and_makes_none(product: Product, service: Service) -> None:
    before, bad = break_it(service)
    service.burst()
    answer = run(product, service, mode="observe")
    (call,) = answer["plan"]["calls"]
    assert answer["outcome"] == "proposed"
    assert (call["api"], call["after"]["FunctionVersion"]) == ("lambda:UpdateAlias", before)
    assert service.version() == bad


def test_proposed_roll_back_waits_for_a_yes(product: Product, service: Service) -> None:
    before, bad = break_it(service)
    given = {"target": {"function_name": service.function}, "mode": "propose"}
    with service.traffic():
        service.burst()
        execution = product.start(given, machine=product.lambda_errors)
        run_id = f"lambda-errors:{execution.rpartition(':')[2]}"
        item = eventually(
            lambda: "approval_token" in (found := product.record(run_id)) and found, what="a token"
        )
        asked = service.version()
        yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
        product.run(yes, machine=product.approve_machine)
        answer = product.ended(execution)
    assert (asked, answer["outcome"], service.version()) == (bad, "verified", before)


def test_undo_points_the_alias_to_where_it_was(product: Product, service: Service) -> None:
    _, bad = break_it(service)
    with service.traffic():
        service.burst()
        answer = run(product, service)
    undone = product.run({"undo": answer["run_id"]}, machine=product.lambda_errors)
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified")
    assert service.version() == bad


def test_errors_without_a_release_are_handed_over_with_their_patterns(
    product: Product, service: Service
) -> None:
    before = service.version()
    service.burst("poison")
    answer = run(product, service)
    (message,) = product.told(answer["run_id"])
    assert (answer["error"], answer["changes"], service.version()) == ("handed_over", [], before)
    assert "ConnectionError" in answer["reason"]
    assert message["severity"] == "page"


def test_empty_ledger_is_no_evidence(product: Product) -> None:
    service = product.create_service(known=False)
    _, bad = break_it(service)
    service.burst()
    answer = run(product, service)
    assert (answer["error"], answer["changes"], service.version()) == ("handed_over", [], bad)


def test_roll_back_that_does_not_help_is_taken_back(product: Product, service: Service) -> None:
    released = service.release(GOOD)
    with service.traffic("poison"):
        service.burst("poison")
        answer = run(product, service)
    assert (answer["error"], service.version()) == ("rolled_back", released)
    assert "breaker" not in answer["reason"]


def test_release_behind_a_run_is_not_overwritten(product: Product, service: Service) -> None:
    """Between the plan and the yes somebody released again: the world moved."""
    break_it(service)
    service.burst()
    given = {"target": {"function_name": service.function}, "mode": "propose"}
    execution = product.start(given, machine=product.lambda_errors)
    run_id = f"lambda-errors:{execution.rpartition(':')[2]}"
    item = eventually(
        lambda: "approval_token" in (found := product.record(run_id)) and found, what="the token"
    )
    newest = service.release(GOOD, "3")
    yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
    product.run(yes, machine=product.approve_machine)
    answer = product.ended(execution)
    assert (answer["outcome"], service.version()) == ("refused", newest)


def test_second_run_pauses(product: Product, service: Service) -> None:
    break_it(service)
    with service.traffic():
        service.burst()
        run(product, service)
        again = run(product, service)
    assert again["outcome"] == "refused"
    assert "pauses until" in again["reason"]


def test_quiet_function_is_proven_by_its_smoke_event(product: Product, service: Service) -> None:
    before, _ = break_it(service)
    service.burst()
    answer = run(product, service)
    assert (answer["outcome"], service.version()) == ("verified", before)
    assert any("smoke" in c["name"] for c in answer["verification"]["checks"])


def test_aborted_run_lets_the_change_stand_and_says_so(product: Product, service: Service) -> None:
    before, _ = break_it(service)
    service.burst()
    given = {"target": {"function_name": service.function}}
    execution = product.start(given, machine=product.lambda_errors)
    product.wait_for_state(execution, "WaitToVerify")
    product.client("stepfunctions").stop_execution(executionArn=execution)
    run_id = f"lambda-errors:{execution.rpartition(':')[2]}"
    eventually(lambda: product.record(run_id).get("outcome") == "handed_over")
    (message,) = product.told(run_id)
    assert service.version() == before
    assert "the change stands, unverified" in message["text"]


def test_wrong_input_is_refused(product: Product) -> None:
    answer = product.run({"target": {"function_name": "nope"}}, machine=product.lambda_errors)
    assert answer["outcome"] == "refused"
    assert "target.function_name" in answer["reason"]


def test_alarm_is_healed_with_the_deployed_roles(enforced: Product) -> None:
    service = enforced.create_service(alarmed=True)
    before, _ = break_it(service)
    with service.traffic():
        execution = enforced.started_by(service.function_alarm, enforced.lambda_errors)
        answer = enforced.ended(execution)
    assert (answer["outcome"], service.version()) == ("verified", before), answer["reason"]
