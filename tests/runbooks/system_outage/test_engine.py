"""An outage on a platform of two services, from failing requests to the alarm that is green.

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
    assembled = assembly(tmp_path_factory.mktemp("small"), tables=4, services=2, alone=True)
    with Engine(enforce_iam=True) as engine:
        yield Product(engine, assembled, tables=4, services=2)


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


def test_outage_is_ended_by_one_runbook_after_the_other(small: Product) -> None:
    """Two services fail: what heals the first does not end the outage, so the second is next.

    No alarm is set by hand, and every call is checked against its caller's policies.
    """
    services = [small.create_service(alarmed=True) for _ in range(2)]
    for service in services:
        leave_it_to_the_outage(small, service)
    before = [service.version() for service in services]
    for service in services:
        service.release(BAD)
    machine = small.machine("system-outage")
    with services[0].traffic(), services[1].traffic():
        execution = small.started_by("remediation-outage", machine)
        answer = small.ended(execution, 90)
    assert (answer["outcome"], answer["held"]) == ("verified", True), answer["reason"]
    assert answer["reason"].startswith("Red since ")
    assert [service.version() for service in services] == before
    states = small.states(execution)
    assert (states.count("RunChild"), states.count("TryNext")) == (2, 1)
    assert answer["changes"] == []
    (message,) = [m for m in small.told(answer["run_id"]) if m["runbook"] == "system_outage"]
    assert message["text"].count("Done by lambda_errors:") == 2
    eventually(
        lambda: small.composite_state("remediation-outage") == "OK", what="the alarm to be green"
    )
