"""Releases of variables on the engine: what serves, what is taken back, and that no value leaks."""

import json
from typing import Any

import pytest

from tests.e2e.product import Product
from tests.e2e.released import Released, package

pytestmark = pytest.mark.engine
KEBAB = "update-lambda-environment"
OLD = {"APP_MODE": "old-value-1", "APP_KEPT": "kept-value-2", "APP_GONE": "gone-value-3"}
NEW = {"APP_MODE": "new-value-4", "APP_ADDED": "added-value-5", "APP_OTHER": "other-value-6"}
MERGED = {"APP_MODE": "new-value-4", "APP_KEPT": "kept-value-2", "APP_ADDED": "added-value-5"}
CHANGE = {"set": ["APP_MODE", "APP_ADDED"], "remove": ["APP_GONE"]}


def prepared(product: Product, name: str, values: dict[str, str] | None = None) -> Released:
    product.client("secretsmanager").create_secret(
        Name=f"{name}/values", SecretString=json.dumps(values or NEW)
    )
    return Released(product, name, OLD)


def run(product: Product, function: Released, **parameters: Any) -> dict[str, Any]:
    product.delete_item("BREAKER#update_lambda_environment")
    given = {"target": {"function_name": function.name}, "parameters": parameters}
    return product.run(given, machine=product.machine(KEBAB))


def undo(product: Product, answer: dict[str, Any]) -> dict[str, Any]:
    given = {"undo": answer["run_id"], "reason": "test"}
    return product.run(given, machine=product.machine(KEBAB))


def leaked(product: Product, *answers: dict[str, Any]) -> list[str]:
    """Values of variables in answers, records, histories and messages."""
    seen = [json.dumps(answers), json.dumps(product.received())]
    for answer in answers:
        record = product.record(answer["run_id"])
        seen.append(json.dumps(record))
        pages = product.client("stepfunctions").get_paginator("get_execution_history")
        seen += [
            json.dumps(page["events"], default=str)
            for page in pages.paginate(executionArn=record["execution_arn"])
        ]
    return [v for v in {*OLD.values(), *NEW.values()} if any(v in text for text in seen)]


def test_variables_are_merged_served_and_taken_back_without_a_trace_of_a_value(
    product: Product,
) -> None:
    function = prepared(product, "variables-00")
    with function.traffic():
        answer = run(product, function, **CHANGE, canary_percent=50)
        served, alias, latest = function.call(), function.alias(), function.variables()
        undone = undo(product, answer)

    assert answer["outcome"] == "verified", answer["reason"]
    assert [c["api"] for c in answer["changes"]] == [
        "lambda:UpdateFunctionConfiguration",
        "lambda:PublishVersion",
        "lambda:UpdateAlias",
        "lambda:UpdateAlias",
    ]
    assert (latest, function.variables("2"), alias) == (MERGED, MERGED, ("2", {}))
    assert served["names"] == ["APP_ADDED", "APP_KEPT", "APP_MODE"]
    assert undone["outcome"] == "verified", undone["reason"]
    assert (function.variables(), function.alias()) == (OLD, ("1", {}))
    assert leaked(product, answer, undone) == []


def test_observe_names_the_change_and_makes_none(product: Product) -> None:
    function = prepared(product, "variables-01")
    given = {"target": {"function_name": function.name}, "parameters": CHANGE, "mode": "observe"}
    answer = product.run(given, machine=product.machine(KEBAB))
    update = answer["plan"]["calls"][0]

    assert answer["outcome"] == "proposed"
    assert update["before"] == {"Variables": {"same_as_version": "1"}}
    assert update["after"]["Variables"]["set"] == ["APP_ADDED", "APP_MODE"]
    assert update["after"]["Variables"]["removed"] == ["APP_GONE"]
    assert (function.variables(), function.versions()) == (OLD, ["1"])
    assert leaked(product, answer) == []


def test_variables_that_no_version_keeps_are_published_first_and_come_back(
    product: Product,
) -> None:
    function = prepared(product, "variables-02")
    drifted = {**OLD, "APP_KEPT": "somebody-7"}
    function.set_variables(**drifted)
    answer = run(product, function, **CHANGE, canary_percent=0)
    served = function.variables("3")
    undone = undo(product, answer)

    assert answer["outcome"] == "verified", answer["reason"]
    assert [c["api"] for c in answer["changes"]] == [
        "lambda:PublishVersion",
        "lambda:UpdateFunctionConfiguration",
        "lambda:PublishVersion",
        "lambda:UpdateAlias",
    ]
    assert "Environment.APP_KEPT" in answer["reason"]
    assert served == {**MERGED, "APP_KEPT": "somebody-7"}
    assert undone["outcome"] == "verified", undone["reason"]
    assert (function.variables(), function.alias()) == (drifted, ("1", {}))


def test_variables_that_fail_the_test_invocation_are_taken_back(product: Product) -> None:
    function = prepared(product, "variables-03", {"FAILS": "always"})
    answer = run(product, function, set=["FAILS"])

    assert answer["error"] == "rolled_back"
    assert "smoke invocation of version 2 failed" in answer["reason"]
    assert (function.variables(), function.alias()) == (OLD, ("1", {}))
    assert [c["api"] for c in answer["changes"]] == ["lambda:UpdateFunctionConfiguration"]


@pytest.mark.parametrize(
    ("name", "canary", "left_out"), [("variables-07", 50, "ShiftTraffic"), ("variables-08", 0, "-")]
)
def test_variables_that_fail_under_traffic_are_taken_back(
    product: Product, name: str, canary: int, left_out: str
) -> None:
    """As a share of the traffic, and only when they have all of it."""
    function = prepared(product, name, {"FAILS": "traffic"})
    with function.traffic():
        answer = run(product, function, set=["FAILS"], canary_percent=canary)
    states = product.states(product.record(answer["run_id"])["execution_arn"])

    assert answer["error"] == "rolled_back", answer["reason"]
    assert "RollBack" in states
    assert left_out not in states
    assert ("Verify" in states) is (canary == 0)
    assert (function.variables(), function.alias()) == (OLD, ("1", {}))
    assert [c["api"] for c in answer["changes"]] == [
        "lambda:UpdateAlias",
        "lambda:UpdateFunctionConfiguration",
    ]


def test_unpublished_code_is_not_released_with_variables(product: Product) -> None:
    function = prepared(product, "variables-04")
    product.client("lambda").update_function_code(
        FunctionName=function.name, ZipFile=package("other")
    )
    function.settle()
    answer = run(product, function, **CHANGE)

    assert answer["outcome"] == "refused"
    assert "($LATEST) is not that of version 1" in answer["reason"]
    assert "to put the code of version 1 there" in answer["reason"]
    assert (function.variables(), function.versions()) == (OLD, ["1"])


def test_an_undo_does_not_overwrite_what_somebody_set_since(product: Product) -> None:
    function = prepared(product, "variables-05")
    answer = run(product, function, **CHANGE, canary_percent=0)
    function.set_variables(APP_MODE="somebody-7")
    refused = undo(product, answer)

    assert (answer["outcome"], refused["outcome"]) == ("verified", "refused")
    assert function.variables() == {"APP_MODE": "somebody-7"}
    assert "somebody-7" not in json.dumps(refused)


def test_a_release_and_its_undo_with_the_deployed_roles(enforced: Product) -> None:
    function = prepared(enforced, "variables-06")
    answer = run(enforced, function, **CHANGE)
    undone = undo(enforced, answer)

    assert answer["outcome"] == "verified", answer["reason"]
    assert undone["outcome"] == "verified", undone["reason"]
    assert (function.variables(), function.alias()) == (OLD, ("1", {}))
