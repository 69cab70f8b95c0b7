"""A bad deployment, from failing requests to the stage that points back: every outcome."""

from typing import Any

import pytest

from tests.e2e.product import Product, eventually
from tests.e2e.services import BAD, FEW, Service
from tests.e2e.test_dynamodb_throttling_iam import role_of, without

pytestmark = pytest.mark.engine


def target(service: Service, **more: Any) -> dict[str, Any]:
    return {"target": {"api_name": service.api}, **more}


def run(product: Product, service: Service, **more: Any) -> dict[str, Any]:
    return product.run(target(service, **more), machine=product.api_errors)


def break_it(service: Service) -> tuple[str, str]:
    """A bad deployment; gives the one before and the bad one."""
    before = service.deployment()
    return before, service.deploy(broken=True)


def test_alarm_takes_a_bad_deployment_back(product: Product) -> None:
    """Nothing is set by hand: the alarm turns red from what the failing requests leave."""
    service = product.create_service(alarmed=True)
    before, bad = break_it(service)
    with service.traffic():
        execution = product.started_by(service.api_alarm, product.api_errors)
        answer = product.ended(execution)
    (call,) = answer["changes"]
    assert (answer["outcome"], answer["held"]) == ("verified", True)
    assert (service.deployment(), service.call()) == (before, 200)
    assert call["before"]["deploymentId"] == bad
    assert product.alarm_state(service.api_alarm) == "OK"


def test_observe_shows_the_call_and_makes_none(product: Product, service: Service) -> None:
    before, bad = break_it(service)
    service.burst()
    answer = run(product, service, mode="observe")
    (call,) = answer["plan"]["calls"]
    assert (answer["outcome"], call["after"]["deploymentId"]) == ("proposed", before)
    assert service.deployment() == bad


def test_proposed_roll_back_waits_for_a_yes(product: Product, service: Service) -> None:
    before, bad = break_it(service)
    with service.traffic():
        service.burst()
        asked = product.proposed(target(service), product.api_errors)
        meanwhile = service.deployment()
        product.approve(asked)
        answer = product.ended(asked.execution)
    assert (meanwhile, answer["outcome"], service.deployment()) == (bad, "verified", before)


def test_undo_points_the_stage_to_where_it_was(product: Product, service: Service) -> None:
    _, bad = break_it(service)
    with service.traffic():
        service.burst()
        answer = run(product, service)
    undone = product.run({"undo": answer["run_id"]}, machine=product.api_errors)
    assert (answer["outcome"], undone["outcome"]) == ("verified", "verified")
    assert service.deployment() == bad


def test_errors_without_a_recent_change_are_handed_over(product: Product, service: Service) -> None:
    before = service.deployment()
    service.burst("poison")
    answer = run(product, service)
    (message,) = product.told(answer["run_id"])
    assert (answer["error"], answer["changes"]) == ("handed_over", [])
    assert (service.deployment(), message["severity"]) == (before, "page")


def break_both(product: Product, service: Service) -> tuple[str, str]:
    """Two deployments that lead to an alias that is gone; the function itself is healthy."""
    client = product.client("lambda")
    client.create_alias(
        FunctionName=service.function, Name="front", FunctionVersion=service.version()
    )
    service.integrate("front")
    before = service.deploy()
    product.poll(service)
    client.delete_alias(FunctionName=service.function, Name="front")
    return before, service.deploy()


def test_roll_back_that_does_not_help_is_taken_back(product: Product, service: Service) -> None:
    _, latest = break_both(product, service)
    with service.traffic():
        service.burst()
        answer = run(product, service)
    assert (answer["error"], service.deployment()) == ("rolled_back", latest)


def test_deployment_that_somebody_made_after_the_change_stays(
    product: Product, service: Service
) -> None:
    """Whether the roll-back has helped can no longer be told, and it is not taken back."""
    before, _ = break_it(service)
    service.burst(requests=FEW)
    execution = product.start(target(service), machine=product.api_errors)
    product.wait_for_state(execution, "WaitToVerify")
    newest = service.deploy()
    answer = product.ended(execution)
    (call,) = answer["changes"]
    (message,) = product.told(answer["run_id"])
    assert (answer["status"], answer["error"]) == ("FAILED", "ineffective")
    assert answer["verification"]["verdict"] == "inconclusive"
    assert "someone else has changed the stage since" in answer["reason"]
    assert (call["after"]["deploymentId"], service.deployment()) == (before, newest)
    assert (message["severity"], message["outcome"]) == ("page", "ineffective")


def test_alarm_of_a_stage_that_a_run_looks_after_is_a_duplicate(
    product: Product, service: Service
) -> None:
    _, bad = break_it(service)
    service.burst(requests=FEW)
    asked = product.proposed(target(service), product.api_errors)
    answer = product.ended(product.alarm_starts(service.api_alarm, product.api_errors))
    product.approve(asked, "reject")
    assert (answer["status"], answer["outcome"]) == ("SUCCEEDED", "duplicate")
    assert (answer["duplicate_of"], answer["changes"]) == (asked.run_id, [])
    assert product.told(answer["run_id"]) == []
    assert service.deployment() == bad


def test_bad_release_is_left_to_the_runbook_of_the_function(
    product: Product, service: Service
) -> None:
    before = service.version()
    service.release(BAD)
    with service.traffic():
        service.burst()
        answer = run(product, service)
    child = product.record(answer["child"])
    assert (answer["outcome"], answer["changes"], answer["joined"]) == ("verified", [], None)
    assert (child["outcome"], service.version()) == ("verified", before)
    assert answer["child"] in answer["undo"]["command"]


def test_delegated_run_is_undone_by_undoing_the_child(product: Product, service: Service) -> None:
    bad = service.release(BAD)
    with service.traffic():
        service.burst()
        answer = run(product, service)
    refused = product.run({"undo": answer["run_id"]}, machine=product.api_errors)
    undone = product.run({"undo": answer["child"]}, machine=product.lambda_errors)
    assert (refused["outcome"], undone["outcome"]) == ("refused", "verified")
    assert answer["child"] in refused["reason"]
    assert service.version() == bad


def test_wrong_input_is_refused(product: Product) -> None:
    answer = product.run({"target": {"api_name": "nope"}}, machine=product.api_errors)
    assert answer["outcome"] == "refused"
    assert "target.api_name" in answer["reason"]


def test_bad_deployment_is_healed_with_the_deployed_roles(enforced: Product) -> None:
    service = enforced.create_service(alarmed=True)
    before, _ = break_it(service)
    with service.traffic():
        execution = enforced.started_by(service.api_alarm, enforced.api_errors)
        answer = enforced.ended(execution)
    assert (answer["outcome"], service.deployment()) == ("verified", before), answer["reason"]


def test_bad_release_is_healed_once_with_the_deployed_roles(enforced: Product) -> None:
    """By whichever of the two alarms comes first; the other run joins it or is its duplicate."""
    service = enforced.create_service(alarmed=True)
    before = service.version()
    service.release(BAD)
    with service.traffic():
        execution = enforced.started_by(service.api_alarm, enforced.api_errors)
        answer = enforced.ended(execution)
    assert (answer["outcome"], service.version()) == ("verified", before), answer["reason"]
    assert answer["child"].startswith("lambda-errors:")


def test_plan_is_shown_then_approved_with_the_deployed_roles(enforced: Product) -> None:
    service = enforced.create_service(alarmed=True)
    before, bad = break_it(service)
    service.burst(requests=FEW)
    observed = run(enforced, service, mode="observe")
    asked = enforced.proposed(target(service), enforced.api_errors)
    meanwhile = service.deployment()
    enforced.approve(asked)
    eventually(lambda: service.deployment() == before, what="the roll-back")
    with service.traffic():
        answer = enforced.ended(asked.execution)
    assert (observed["outcome"], meanwhile) == ("proposed", bad), observed["reason"]
    assert (answer["mode"], answer["outcome"]) == ("propose", "verified"), answer["reason"]


def test_roll_back_that_cannot_be_taken_back_is_quarantined(enforced: Product) -> None:
    """It has not helped, and meanwhile the role has lost its one changing action."""
    service = enforced.create_service(alarmed=True)
    before, _ = break_both(enforced, service)
    service.burst(requests=FEW)
    execution = enforced.start(target(service), machine=enforced.api_errors)
    enforced.wait_for_state(execution, "WaitToVerify")
    change = role_of(enforced, "api_gateway_errors.handler.change")
    with without(enforced, change, "apigateway:PATCH"), service.traffic():
        answer = enforced.ended(execution)
    refused = run(enforced, service)
    assert (answer["status"], answer["error"]) == ("FAILED", "rollback_failed")
    assert "AccessDenied" in answer["reason"]
    assert [c["after"]["deploymentId"] for c in answer["changes"]] == [before]
    assert service.deployment() == before
    assert f"is quarantined since run {answer['run_id']}" in refused["reason"]
    assert "open_until" in enforced.item("BREAKER#api_gateway_errors")
    # The alarm is red by then, and what its run tells names this one too.
    told = [m for m in enforced.told(answer["run_id"]) if m["outcome"] == "rollback_failed"]
    assert [m["severity"] for m in told] == ["page"]


def test_outage_of_every_api_notifies_the_operators(enforced: Product) -> None:
    """Drill: the states of the alarms are set by hand."""
    fronts = [f"remediation-orders-api-{number:02}-prod-5xx" for number in range(8)]
    behind = "remediation-orders-07-errors"
    for alarm in fronts:
        enforced.set_alarm(alarm)
    before = enforced.composite_state("remediation-outage")
    enforced.set_alarm(behind)
    eventually(lambda: enforced.composite_state("remediation-outage") == "ALARM")
    eventually(lambda: [m for m in enforced.told("remediation-outage") if "outcome" not in m])
    for alarm in (*fronts, behind):
        # Nobody's sweep shall find them red.
        enforced.set_alarm(alarm, "OK")
    assert before == "OK"
