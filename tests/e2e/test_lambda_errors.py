"""A bad release, from failing requests to the alias that points back: every outcome."""

from typing import Any

import pytest

from tests.e2e.product import Product, eventually, run_id_of
from tests.e2e.services import BAD, FEW, GOOD, Service
from tests.e2e.test_dynamodb_throttling_iam import role_of, without

pytestmark = pytest.mark.engine


def target(service: Service, **more: Any) -> dict[str, Any]:
    return {"target": {"function_name": service.function}, **more}


def run(product: Product, service: Service, **more: Any) -> dict[str, Any]:
    return product.run(target(service, **more), machine=product.lambda_errors)


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
    with service.traffic():
        service.burst()
        asked = product.proposed(target(service), product.lambda_errors)
        meanwhile = service.version()
        product.approve(asked)
        answer = product.ended(asked.execution)
    assert (meanwhile, answer["outcome"], service.version()) == (bad, "verified", before)


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
    asked = product.proposed(target(service), product.lambda_errors)
    newest = service.release(GOOD, "3")
    product.approve(asked)
    answer = product.ended(asked.execution)
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
    execution = product.start(target(service), machine=product.lambda_errors)
    product.wait_for_state(execution, "WaitToVerify")
    product.client("stepfunctions").stop_execution(executionArn=execution)
    run_id = run_id_of(execution)
    eventually(lambda: product.record(run_id).get("outcome") == "handed_over")
    (message,) = product.told(run_id)
    assert service.version() == before
    assert "the change stands, unverified" in message["text"]


def test_version_that_somebody_chose_after_the_change_stays(
    product: Product, service: Service
) -> None:
    """Whether the roll-back has helped can no longer be told, and it is not taken back."""
    before, _ = break_it(service)
    service.burst(requests=FEW)
    execution = product.start(target(service), machine=product.lambda_errors)
    product.wait_for_state(execution, "WaitToVerify")
    newest = service.release(GOOD, "3")
    answer = product.ended(execution)
    (call,) = answer["changes"]
    (message,) = product.told(answer["run_id"])
    assert (answer["status"], answer["error"]) == ("FAILED", "ineffective")
    assert answer["verification"]["verdict"] == "inconclusive"
    assert f"moved the alias to version {newest} since" in answer["reason"]
    assert (call["after"]["FunctionVersion"], service.version()) == (before, newest)
    assert (message["severity"], message["outcome"]) == ("page", "ineffective")


def test_alarm_of_a_function_that_a_run_looks_after_is_a_duplicate(
    product: Product, service: Service
) -> None:
    _, bad = break_it(service)
    service.burst(requests=FEW)
    asked = product.proposed(target(service), product.lambda_errors)
    second = product.alarm_starts(service.function_alarm, product.lambda_errors)
    answer = product.ended(second)
    product.approve(asked, "reject")
    assert (answer["status"], answer["outcome"]) == ("SUCCEEDED", "duplicate")
    assert (answer["duplicate_of"], answer["changes"]) == (asked.run_id, [])
    assert product.told(answer["run_id"]) == []
    assert service.version() == bad


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


def test_plan_is_shown_then_approved_with_the_deployed_roles(enforced: Product) -> None:
    service = enforced.create_service(alarmed=True)
    before, bad = break_it(service)
    service.burst(requests=FEW)
    observed = run(enforced, service, mode="observe")
    asked = enforced.proposed(target(service), enforced.lambda_errors)
    meanwhile = service.version()
    enforced.approve(asked)
    eventually(lambda: service.version() == before, what="the roll-back")
    with service.traffic():
        answer = enforced.ended(asked.execution)
    assert (observed["outcome"], meanwhile) == ("proposed", bad), observed["reason"]
    assert (answer["mode"], answer["outcome"]) == ("propose", "verified"), answer["reason"]


def test_roll_back_that_cannot_be_taken_back_is_quarantined(enforced: Product) -> None:
    """It has not helped, and meanwhile the role has lost its one changing action."""
    service = enforced.create_service(alarmed=True)
    before = service.version()
    service.release(GOOD)
    service.burst("poison", requests=FEW)
    execution = enforced.start(target(service), machine=enforced.lambda_errors)
    enforced.wait_for_state(execution, "WaitToVerify")
    change = role_of(enforced, "lambda_errors.handler.change")
    with without(enforced, change, "lambda:UpdateAlias"), service.traffic("poison"):
        answer = enforced.ended(execution)
    refused = run(enforced, service)
    assert (answer["status"], answer["error"]) == ("FAILED", "rollback_failed")
    assert "AccessDenied" in answer["reason"]
    assert [c["after"]["FunctionVersion"] for c in answer["changes"]] == [before]
    assert service.version() == before
    assert f"is quarantined since run {answer['run_id']}" in refused["reason"]
    assert "open_until" in enforced.item("BREAKER#lambda_errors")
    # The alarms are red by then, and what their runs tell names this one too.
    told = [m for m in enforced.told(answer["run_id"]) if m["outcome"] == "rollback_failed"]
    assert [m["severity"] for m in told] == ["page"]
