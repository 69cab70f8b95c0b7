"""A bad deployment, from failing requests to the stage that points back: every outcome."""

from typing import Any

import pytest

from tests.e2e.product import Product, eventually
from tests.e2e.services import ALIAS, BAD, Service

pytestmark = pytest.mark.engine


def run(product: Product, service: Service, **more: Any) -> dict[str, Any]:
    given = {"target": {"api_name": service.api}, **more}
    return product.run(given, machine=product.api_errors)


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
    given = {"target": {"api_name": service.api}, "mode": "propose"}
    with service.traffic():
        service.burst()
        execution = product.start(given, machine=product.api_errors)
        run_id = f"api-gateway-errors:{execution.rpartition(':')[2]}"
        item = eventually(
            lambda: "approval_token" in (found := product.record(run_id)) and found, what="a token"
        )
        asked = service.deployment()
        yes = {"run_id": run_id, "plan_hash": item["plan_hash"], "decision": "approve"}
        product.run(yes, machine=product.approve_machine)
        answer = product.ended(execution)
    assert (asked, answer["outcome"], service.deployment()) == (bad, "verified", before)


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


def test_roll_back_that_does_not_help_is_taken_back(product: Product, service: Service) -> None:
    """Both deployments lead to an alias that is gone; the function itself is healthy."""
    client = product.client("lambda")
    client.create_alias(
        FunctionName=service.function, Name="front", FunctionVersion=service.version()
    )
    service.integrate("front")
    service.deploy()
    product.poll(service)
    client.delete_alias(FunctionName=service.function, Name="front")
    latest = service.deploy()
    with service.traffic():
        service.burst()
        answer = run(product, service)
    service.integrate(ALIAS)
    assert (answer["error"], service.deployment()) == ("rolled_back", latest)


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


def test_outage_of_every_api_notifies_the_operators(enforced: Product) -> None:
    """Drill: the states of the alarms are set by hand."""
    for alarm in (*(f"remediation-orders-api-{n:02}-prod-5xx" for n in range(4)),):
        enforced.set_alarm(alarm)
    before = enforced.composite_state("remediation-outage")
    enforced.set_alarm("remediation-orders-03-errors")
    eventually(lambda: enforced.composite_state("remediation-outage") == "ALARM")
    eventually(lambda: [m for m in enforced.told("remediation-outage") if "outcome" not in m])
    assert before == "OK"
