"""Releases of code on the engine: every outcome, and the alias that serves.

The engine publishes whatever `CodeSha256` is given, so that a wrong one is refused is tested
against botocore's model (tests/remediation/test_resources_lambda_release.py).
"""

from typing import Any

import pytest

from tests.e2e.product import Product, eventually
from tests.e2e.released import Released, package, sha256

pytestmark = pytest.mark.engine
KEBAB = "update-lambda-code"


def run(product: Product, function: Released, **parameters: Any) -> dict[str, Any]:
    product.delete_item("BREAKER#update_lambda_code")
    given = {"target": {"function_name": function.name}, "parameters": parameters}
    return product.run(given, machine=product.machine(KEBAB))


def test_a_release_under_traffic_is_verified_and_undone(product: Product) -> None:
    function = Released(product, "code-00")
    with function.traffic():
        answer = run(product, function, **function.upload("two"), canary_percent=50)
        served, alias = function.call(), function.alias()
        undone = product.run({"undo": answer["run_id"]}, machine=product.machine(KEBAB))

    assert answer["outcome"] == "verified", answer["reason"]
    assert [c["api"] for c in answer["changes"]] == [
        "lambda:UpdateFunctionCode",
        "lambda:PublishVersion",
        "lambda:UpdateAlias",
        "lambda:UpdateAlias",
    ]
    assert (served["release"], alias) == ("two", ("2", {}))
    assert function.code("2") == sha256(package("two"))
    assert (undone["outcome"], function.alias()) == ("verified", ("1", {}))
    assert "($LATEST) is still" in undone["verification"]["reason"]
    assert function.call()["release"] == "one"


def test_observe_shows_the_calls_and_makes_none(product: Product) -> None:
    function = Released(product, "code-01")
    given = {
        "target": {"function_name": "code-01"},
        "parameters": function.upload("two"),
        "mode": "observe",
    }
    answer = product.run(given, machine=product.machine(KEBAB))

    assert answer["outcome"] == "proposed"
    assert [(c["api"], c["reversible"]) for c in answer["plan"]["calls"]] == [
        ("lambda:UpdateFunctionCode", False),
        ("lambda:PublishVersion", False),
        ("lambda:UpdateAlias", True),
    ]
    assert (function.alias(), function.versions()) == (("1", {}), ["1"])
    assert function.code() == sha256(package("one"))


def test_a_version_that_fails_its_test_invocation_gets_no_traffic(product: Product) -> None:
    function = Released(product, "code-02")
    answer = run(product, function, **function.upload("two", "always"))
    (message,) = product.told(answer["run_id"])

    assert answer["error"] == "rolled_back"
    assert "smoke invocation of version 2 failed" in answer["reason"]
    assert "$LATEST" in message["text"]
    assert function.alias() == ("1", {})
    assert [(c["api"], c["before"] == c["after"]) for c in answer["changes"]] == [
        ("lambda:UpdateAlias", True)
    ]


def test_a_canary_that_fails_under_traffic_is_taken_out(product: Product) -> None:
    function = Released(product, "code-03")
    with function.traffic():
        execution = start(product, function, **function.upload("two", "traffic"))
        product.wait_for_state(execution, "CheckCanary")
        answer = product.ended(execution)

    assert answer["error"] == "rolled_back"
    assert "canary:" in answer["reason"]
    assert "ShiftTraffic" not in product.states(execution)
    assert (function.alias(), function.call()["release"]) == (("1", {}), "one")


def test_a_release_that_fails_under_all_the_traffic_is_taken_back(product: Product) -> None:
    function = Released(product, "code-07")
    with function.traffic():
        execution = start(product, function, canary=0, **function.upload("two", "traffic"))
        answer = product.ended(execution)
    (message,) = product.told(answer["run_id"])

    assert answer["error"] == "rolled_back", answer["reason"]
    assert answer["verification"]["verdict"] == "failed"
    assert {"ShiftTraffic", "Verify", "RollBack"} <= set(product.states(execution))
    assert (function.alias(), function.call()["release"]) == (("1", {}), "one")
    assert "to put the code of version 1 there" in message["text"]


def test_an_interrupted_canary_is_quarantined(product: Product) -> None:
    function = Released(product, "code-04")
    execution = start(product, function, **function.upload("two"))
    product.wait_for_state(execution, "WaitForCanary")
    product.client("stepfunctions").stop_execution(executionArn=execution)
    run_id = f"{KEBAB}:{execution.rpartition(':')[2]}"

    eventually(lambda: product.record(run_id).get("outcome") == "rollback_failed", what=run_id)
    assert function.alias() == ("1", {"2": 0.5})
    assert product.item(f"QUARANTINE#{function.arn}")["run_id"] == run_id
    product.delete_item("BREAKER#update_lambda_code")


def test_code_that_serves_already_is_refused_and_a_second_try_uses_its_version(
    product: Product,
) -> None:
    function = Released(product, "code-05")
    two = function.upload("two")
    first = run(product, function, **two, canary_percent=0)
    product.delete_item(f"PAIR#update_lambda_code#{function.arn}")
    again = run(product, function, **two)

    assert (first["outcome"], again["outcome"]) == ("verified", "refused")
    assert "nothing to do: code-05:live serves this code already" in again["reason"]
    function.point("1")
    third = run(product, function, **two, canary_percent=0)
    assert third["outcome"] == "verified"
    assert [c["api"] for c in third["changes"]] == ["lambda:UpdateAlias"]
    assert (function.alias(), function.versions()) == (("2", {}), ["1", "2"])


def test_a_release_and_its_undo_with_the_deployed_roles(enforced: Product) -> None:
    function = Released(enforced, "code-06")
    answer = run(enforced, function, **function.upload("two"))
    undone = enforced.run({"undo": answer["run_id"]}, machine=enforced.machine(KEBAB))

    assert answer["outcome"] == "verified", answer["reason"]
    assert (undone["outcome"], function.alias()) == ("verified", ("1", {}))


def start(product: Product, function: Released, canary: int = 50, **parameters: Any) -> str:
    product.delete_item("BREAKER#update_lambda_code")
    given = {
        "target": {"function_name": function.name},
        "parameters": {**parameters, "canary_percent": canary},
    }
    return product.start(given, machine=product.machine(KEBAB))
