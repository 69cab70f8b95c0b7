"""An outage on a platform of one service, from failing requests to the hour of watching.

A product of its own: an outage is when every API fails, and the others' platform has dozens.
"""

from collections.abc import Iterator

import pytest

from local.engine.process import Engine
from tests.e2e.product import Product, assembly, eventually
from tests.e2e.services import BAD, Service

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    assembled = assembly(tmp_path_factory.mktemp("small"), tables=2, services=1, alone=True)
    with Engine(enforce_iam=True) as engine:
        yield Product(engine, assembled, tables=2, services=1)


def leave_it_to_the_outage(product: Product, service: Service) -> None:
    """Switch off the rules by which function and API would heal before anybody calls it one."""
    events = product.client("events")
    for rule in events.list_rules()["Rules"]:
        pattern = rule.get("EventPattern", "")
        if any(f'"{alarm}"' in pattern for alarm in (service.function_alarm, service.api_alarm)):
            events.disable_rule(Name=rule["Name"])


def test_without_an_outage_nothing_is_started(small: Product) -> None:
    given = {"target": {"stack_name": "OrdersPlatform"}}
    answer = small.run(given, machine=small.machine("system-outage"))
    assert answer["outcome"] == "refused"
    assert "no alarm of the platform is red" in answer["reason"]


def test_outage_is_ended_by_the_runbook_of_the_newest_release(small: Product) -> None:
    """No alarm is set by hand, and every call is checked against its caller's policies."""
    service = small.create_service(alarmed=True)
    leave_it_to_the_outage(small, service)
    before = service.version()
    service.release(BAD)
    machine = small.machine("system-outage")
    with service.traffic():
        execution = small.started_by("remediation-outage", machine)
        observed = small.run(
            {"target": {"stack_name": "OrdersPlatform"}, "mode": "observe"}, machine=machine
        )
        answer = small.ended(execution, 60)
    assert observed["outcome"] == "proposed"
    assert (answer["outcome"], answer["held"]) == ("verified", True), answer["reason"]
    assert answer["reason"].startswith("Red since ")
    assert service.version() == before
    assert answer["changes"] == []
    (message,) = [m for m in small.told(answer["run_id"]) if m["runbook"] == "system_outage"]
    assert "Done by lambda_errors:" in message["text"]
    eventually(
        lambda: small.composite_state("remediation-outage") == "OK", what="the alarm to be green"
    )
