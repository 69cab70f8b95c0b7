"""Steps declare what they need and get it by annotation."""

from datetime import UTC, datetime
from types import ModuleType

import pytest

from lambdas.remediation import clients, step
from lambdas.remediation.contracts import (
    Change,
    Decision,
    Execution,
    Kind,
    Mode,
    Plan,
    Run,
    Trigger,
)
from lambdas.remediation.errors import ChangeFailedError, ResourceBusyError
from lambdas.remediation.step import Attempt, Clock, Role, StepInfo, call_step, steps_of

NOW = datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
PLAN = Plan(decision=Decision.CHANGE, reason="busy")
CHANGE = Change(calls=[], applied_at=NOW)
RUN = Run(
    id="x:run-1",
    runbook="x",
    kind=Kind.CHANGE,
    mode=Mode.ACT,
    trigger=Trigger.PERSON,
    target={"table_name": "orders"},
    target_arn="arn",
    parameters={},
    reason="",
    requested_by="person",
    execution=Execution(arn="a:b:c:d:e", name="run-1", started_at=NOW),
    lease_until=NOW,
    limits={},
)


class Tables:
    service = "dynamodb"

    def __init__(self, client) -> None:
        self.client = client


@step.step(
    Role.CHANGE,
    calls=["dynamodb:UpdateTable"],
    raises=[ResourceBusyError, ChangeFailedError],
)
def bump(run: Run) -> str:
    """Raise capacity.

    Never lowers it.
    """
    return run.id


def everything(
    run: Run, plan: Plan, change: Change, attempt: Attempt, clock: Clock, tables: Tables
) -> tuple:
    return run, plan, change, attempt, clock, tables


def optional(change: Change | None, plan: Plan | None) -> tuple:
    return change, plan


def test_declaration_is_kept_on_the_function():
    assert bump.step == StepInfo(
        name="bump",
        role=Role.CHANGE,
        calls=("dynamodb:UpdateTable",),
        raises=(ResourceBusyError, ChangeFailedError),
        summary="Raise capacity.",
    )


def test_declared_step_is_still_the_plain_function():
    assert bump(RUN) == "x:run-1"


def test_steps_of_a_module_are_its_declared_functions():
    module = ModuleType("steps")
    module.bump = bump
    module.helper = everything
    module.number = 5
    assert steps_of(module) == {"bump": bump.step}


def test_arguments_are_injected_by_annotation(aws):
    clock, attempt = Clock(), Attempt(number=2, final=False)
    got = call_step(everything, run=RUN, plan=PLAN, change=CHANGE, attempt=attempt, clock=clock)
    assert got[:5] == (RUN, PLAN, CHANGE, attempt, clock)


def test_resource_is_built_on_the_client_of_its_service(aws):
    tables = call_step(everything, run=RUN)[5]
    assert tables.client is clients.client("dynamodb")


def test_resource_is_built_once(aws):
    first, second = (call_step(everything, run=RUN)[5] for _ in range(2))
    assert first is second


def test_absent_optional_argument_is_none():
    assert call_step(optional, run=RUN) == (None, None)


def test_present_optional_argument_is_given():
    assert call_step(optional, run=RUN, plan=PLAN, change=CHANGE) == (CHANGE, PLAN)


def test_single_look_is_the_first_and_the_last(aws):
    assert call_step(everything, run=RUN)[3] == Attempt(number=1, final=True)


def test_clock_of_a_step_is_the_real_one_unless_given(aws):
    before = datetime.now(UTC)
    now = call_step(everything, run=RUN)[4].now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


@pytest.mark.parametrize(("role", "name"), [(Role.OBSERVE, "observe"), (Role.CHANGE, "change")])
def test_role_is_written_as_its_name(role, name):
    assert role == name
