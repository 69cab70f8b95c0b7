"""Changes of other runs that a deployment might undo."""

from datetime import UTC, datetime, timedelta

import pytest

from lambdas.remediation.clients import client
from lambdas.remediation.contracts import Execution, Kind, Mode, Run, Trigger, encode, iso
from lambdas.remediation.platform import Api, Platform
from lambdas.remediation.standing_runs import StandingRun, StandingRuns

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ARN = "arn:aws:states:us-east-1:123456789012:execution:remediation-dynamodb-throttling"
UNDO = "aws stepfunctions start-execution ..."


def run(name: str) -> Run:
    return Run(
        id=f"dynamodb-throttling:{name}",
        runbook="dynamodb_throttling",
        kind=Kind.CHANGE,
        mode=Mode.ACT,
        trigger=Trigger.PERSON,
        target={"table_name": "orders"},
        target_arn="arn:aws:dynamodb:us-east-1:123456789012:table/orders",
        parameters={},
        reason="",
        requested_by="person",
        execution=Execution(arn=f"{ARN}:{name}", name=name, started_at=NOON),
        lease_until=NOON + timedelta(hours=1),
        limits={},
    )


@pytest.fixture
def put(environment, run_table):
    def put(name: str, **more: object) -> None:
        item = {"pk": f"RUN#dynamodb-throttling:{name}", "started_at": iso(NOON), "state": "open"}
        run_table.put({**item, "run": encode(run(name)), **more})

    return put


def found() -> tuple[StandingRun, ...]:
    return StandingRuns(client("dynamodb")).read()


def test_a_change_that_stands_comes_with_the_way_to_take_it_back(put):
    put("raised", state="closed", open="mitigated", answer={"undo": {"command": UNDO}})

    assert found() == (
        StandingRun(
            run_id="dynamodb-throttling:raised",
            runbook="dynamodb_throttling",
            target={"table_name": "orders"},
            undo=UNDO,
        ),
    )


def test_a_run_that_holds_its_target_is_under_way(put):
    put("busy", open="yes", claimed=True)

    (standing,) = found()
    assert (standing.under_way, standing.undo) == (True, "")


def test_a_run_that_only_asks_or_looks_does_not_count(put):
    put("asking", open="yes")

    assert found() == ()


def test_a_record_without_a_run_does_not_count(put, run_table):
    run_table.put({"pk": "RUN#x", "started_at": iso(NOON), "state": "open", "open": "yes"})

    assert found() == ()


def test_a_stack_holds_an_api_under_its_id_and_its_stage():
    standing = StandingRun(run_id="x", runbook="api_gateway_errors", target={"api_name": "shop"})
    platform = Platform(name="test", apis=(Api(api_name="shop", api_id="e1n2", stage="prod"),))

    assert standing.names(platform) == {"shop", "e1n2", "prod"}
