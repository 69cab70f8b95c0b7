"""One cause raises two alarms: one change, both symptoms verified, one message for both."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.product import Product, eventually, run_id_of
from tests.e2e.services import BAD, Service

pytestmark = pytest.mark.engine


def changes_of(product: Product, api: str, arn: str) -> int:
    """How many runs made a changing call on a target: by their records."""
    pages = product.client("dynamodb").get_paginator("scan").paginate(TableName=product.run_table)
    answers = [
        json.loads(item["answer"]["S"])
        for page in pages
        for item in page["Items"]
        if item.get("target", {}).get("S") == arn and "answer" in item
    ]
    return sum(any(c["api"] == api for c in answer["changes"]) for answer in answers)


def closing(product: Product, *alarms: str) -> list[dict[str, Any]]:
    """Messages of runs that answer for any of the alarms, other than the alarms' own."""
    told = {m["text"]: m for alarm in alarms for m in product.told(alarm) if "outcome" in m}
    return list(told.values())


# --- a bad release: the alarms of the function and of the API ---


def bad_release(service: Service) -> str:
    """Gives the good version."""
    before = service.version()
    service.release(BAD)
    service.burst()
    return before


def check_release(
    product: Product, service: Service, before: str, api: dict[str, Any], function: dict[str, Any]
) -> None:
    assert api["outcome"] == "verified", api["reason"]
    assert function["outcome"] in {"verified", "duplicate"}, function["reason"]
    assert service.version() == before
    assert changes_of(product, "lambda:UpdateAlias", service.function_arn) == 1
    (message,) = closing(product, service.api_alarm, service.function_alarm)
    assert service.api_alarm in message["text"]
    assert service.function_alarm in message["text"]
    assert message["outcome"] == "verified"


def test_function_alarm_first(product: Product, service: Service) -> None:
    before = bad_release(service)
    with service.traffic():
        first = product.alarm_starts(service.function_alarm, product.lambda_errors)
        product.wait_for_state(first, "Verify")
        second = product.alarm_starts(service.api_alarm, product.api_errors)
        function, api = product.ended(first), product.ended(second)
    assert api["joined"] == function["run_id"], api["reason"]
    check_release(product, service, before, api, function)


def test_run_that_is_aborted_while_it_waits_for_another_is_closed(
    product: Product, service: Service
) -> None:
    """It has made no change, and it keeps nobody else from ending and from telling."""
    before = bad_release(service)
    deployed = service.deployment()
    with service.traffic():
        first = product.alarm_starts(service.function_alarm, product.lambda_errors)
        product.wait_for_state(first, "Verify")
        second = product.alarm_starts(service.api_alarm, product.api_errors)
        product.wait_for_state(second, "WaitToJoin")
        product.client("stepfunctions").stop_execution(executionArn=second)
        record = eventually(lambda: closed(product, second), what="the closing")
        function = product.ended(first)
    answer = json.loads(record["answer"])
    told = [(m["severity"], m["outcome"]) for m in closing(product, service.api_alarm)]
    assert (answer["outcome"], answer["changes"]) == ("handed_over", [])
    assert answer["reason"] == "the execution ended ABORTED; nothing was changed"
    assert answer["joined"] == function["run_id"]
    assert ("page", "handed_over") in told
    assert "owner" not in product.item(f"TARGET#{service.stage_arn}")
    assert (function["outcome"], service.version()) == ("verified", before)
    assert service.deployment() == deployed
    own = [m for m in closing(product, service.function_alarm) if m["outcome"] == "verified"]
    assert len(own) == 1


def closed(product: Product, execution: str) -> dict[str, Any] | None:
    record = product.record(run_id_of(execution))
    return record if record.get("state") == "closed" else None


def test_api_alarm_first(product: Product, service: Service) -> None:
    before = bad_release(service)
    with service.traffic():
        first = product.alarm_starts(service.api_alarm, product.api_errors)
        owner = f"TARGET#{service.function_arn}"
        eventually(lambda: "owner" in product.item(owner), what="the child's lock")
        second = product.alarm_starts(service.function_alarm, product.lambda_errors)
        function, api = product.ended(second), product.ended(first)
    assert function["duplicate_of"] == api["child"]
    check_release(product, service, before, api, function)


def test_both_alarms_at_the_same_moment(product: Product) -> None:
    """Both turn red by themselves, from the same failing requests, and start by their rules."""
    service = product.create_service(alarmed=True)
    before = service.version()
    service.release(BAD)
    with service.traffic():
        function = product.started_by(service.function_alarm, product.lambda_errors)
        api = product.started_by(service.api_alarm, product.api_errors)
        answers = product.ended(api), product.ended(function)
    check_release(product, service, before, *answers)


# --- a throttled table: the alarms of the table and of the API ---


@pytest.fixture
def starved(product: Product, service: Service) -> Iterator[Service]:
    """A service whose requests fail for as long as its table is short of capacity."""
    product.create_table(service.table)
    with product.load(service.table), service.traffic(lambda: body_for(product, service)):
        service.burst("poison")
        yield service


def body_for(product: Product, service: Service) -> str:
    return "poison" if product.capacity(service.table)[0] < 8 else "{}"


def check_table(
    product: Product, service: Service, api: dict[str, Any], table: dict[str, Any]
) -> None:
    alarm = product.alarm(service.table)
    assert api["outcome"] == "verified", api["reason"]
    assert table["outcome"] in {"verified", "duplicate"}, table["reason"]
    assert product.capacity(service.table)[0] >= 8
    assert changes_of(product, "dynamodb:UpdateTable", product.arn(service.table)) == 1
    (message,) = closing(product, service.api_alarm, alarm)
    assert alarm in message["text"]
    assert service.api_alarm in message["text"]


def test_throttle_alarm_first(product: Product, starved: Service) -> None:
    first = product.alarm_starts(product.alarm(starved.table), product.throttling)
    product.wait_for_state(first, "BumpCapacity")
    second = product.alarm_starts(starved.api_alarm, product.api_errors)
    table, api = product.ended(first), product.ended(second)
    assert api["joined"] == table["run_id"]
    check_table(product, starved, api, table)


def test_api_alarm_before_that_of_its_table(product: Product, starved: Service) -> None:
    first = product.alarm_starts(starved.api_alarm, product.api_errors)
    eventually(lambda: product.locked(starved.table), what="the child's lock")
    second = product.alarm_starts(product.alarm(starved.table), product.throttling)
    table, api = product.ended(second), product.ended(first)
    assert table["duplicate_of"] == api["child"]
    check_table(product, starved, api, table)
