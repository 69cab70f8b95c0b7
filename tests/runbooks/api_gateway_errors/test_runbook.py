"""api_gateway_errors as a whole: its declaration, its machine, and runs through its functions.

The states of a run are entered by hand, in the order that the machine's file gives them.
"""

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import Mode, Trigger, iso
from lambdas.remediation.errors import InvalidRequestError, WorldMovedError
from lambdas.remediation.ledger import ReleaseLedger
from lambdas.remediation.platform import parse
from lambdas.remediation.request import read_request
from lambdas.remediation.step import Role, resource
from lambdas.runbooks.api_gateway_errors import handler
from lambdas.runbooks.api_gateway_errors.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed
from tests.conftest import NOW
from tests.runbooks.api_gateway_errors.services import (
    FUNCTION_ARN,
    HTTP_ARN,
    MINUTE,
    PLATFORM,
    REST_ARN,
    Services,
)

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:remediation-api-gateway-errors"
TARGET = {"api_name": "chat-api"}
BAD = [NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW - MINUTE]
PARSED = parse({"name": "test", **PLATFORM})


class TestDeclaration:
    def test_alarms_watch_the_stage_by_the_dimensions_of_its_kind(self):
        found = {a.name: (a.target, a.dimensions) for a in RUNBOOK.alarms(PARSED, "remediation")}

        assert found == {
            "remediation-chat-api-prod-5xx": (
                {"api_name": "chat-api"},
                {"ApiName": "chat-api", "Stage": "prod"},
            ),
            "remediation-http-api-prod-5xx": (
                {"api_name": "http-api"},
                {"ApiId": "h1t2", "Stage": "prod"},
            ),
        }

    def test_its_alarm_starts_a_run_that_may_act(self):
        name = "remediation-chat-api-prod-5xx"
        event = {
            "id": "event-1",
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "resources": [f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"],
            "detail": {
                "alarmName": name,
                "state": {"value": "ALARM", "timestamp": "2026-03-02T12:09:00.000+0000"},
            },
        }

        request = read_request(RUNBOOK, PARSED, "remediation", event)

        assert request.target == TARGET
        assert (request.mode, request.trigger) == (Mode.ACT, Trigger.ALARM)

    def test_nothing_can_be_asked_for_but_the_target(self):
        given = {"target": TARGET, "parameters": {"error_rate_percent": 50}}

        with pytest.raises(InvalidRequestError):
            read_request(RUNBOOK, PARSED, "remediation", given)

    def test_a_change_that_does_not_help_is_taken_back(self):
        assert (RUNBOOK.reversible, RUNBOOK.keep_when_ineffective) == (True, False)

    def test_leaves_functions_and_tables_to_their_own_runbooks(self):
        assert RUNBOOK.children == ("lambda_errors", "dynamodb_throttling")

    def test_the_numbers_of_the_alarm(self):
        limits = RUNBOOK.limits.as_dict()

        assert limits["error_rate_percent"] == 5
        assert limits["minimum_requests"] == 20
        assert limits["release_look_back_seconds"] == 3_600


class TestMachine:
    @pytest.fixture(scope="class")
    def states(self) -> dict[str, Any]:
        (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
        machine: dict[str, Any] = composed(entry, PARSED)["States"]
        return machine

    def test_the_move_is_verified_at_once(self, states):
        assert states["ChooseMode"]["Default"] == "MoveStage"
        assert states["MoveStage"]["Next"] == "Verify"

    def test_a_move_of_which_nothing_is_known_is_rolled_back(self, states):
        assert states["MoveStage"]["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
        assert states["MoveStage"]["Catch"][-1]["Next"] == "RollBack"


class Execution:
    """Keeps what the machine's states assign."""

    def __init__(self, name: str) -> None:
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
        self.described = {"arn": arn, "name": name, "started_at": iso(NOW)}
        self.run_id = f"api-gateway-errors:{name}"
        self.context = SimpleNamespace(
            get_remaining_time_in_millis=lambda: 60_000,
            invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:observe",
        )
        self.plan: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}

    def call(self, role: Role, step: str, **fields: Any) -> Any:
        """Invoke one of the two functions; arguments and result travel as JSON."""
        function = getattr(handler, role.value)
        event = json.loads(json.dumps({"step": step, "run_id": self.run_id, **fields}))
        return json.loads(json.dumps(function(event, self.context)))

    def started(self, **given: Any) -> "Execution":
        self.call(Role.OBSERVE, "begin", execution=self.described, input=given)
        self.plan = self.call(Role.OBSERVE, "prepare")["plan"]
        return self

    def changed(self, step: str = "move_stage") -> "Execution":
        made = self.call(Role.CHANGE, step, plan_hash=self.plan["hash"])
        self.variables["rollback" if step == "roll_back" else "change"] = made
        return self

    def verified(self, attempt: int = 1, attempts: int = 15) -> "Execution":
        self.variables["verification"] = self.call(
            Role.OBSERVE,
            "verify",
            change=self.variables.get("change"),
            attempt=attempt,
            attempts=attempts,
        )
        return self

    def answer(self) -> dict[str, Any]:
        finished = self.call(Role.OBSERVE, "finish", execution=self.described, **self.variables)
        answer: dict[str, Any] = finished["answer"]
        return answer


@pytest.fixture
def aws(environment, use_platform, clock) -> Services:
    """A new deployment of which a third of the requests fails; two hours ago another was good."""
    use_platform(**PLATFORM)
    services = Services(clients.client)
    services.deployments = {"good": NOW - timedelta(days=9), "new": NOW - 10 * MINUTE}
    ledger = resource(ReleaseLedger)
    ledger.note(REST_ARN, "good", healthy=True, now=NOW - timedelta(hours=2))
    ledger.note(REST_ARN, "new", healthy=False, now=NOW - 10 * MINUTE)
    services.requests(BAD, failed=30)
    services.invocations(BAD, count=70, failed=0)
    return services


@pytest.fixture
def healthy_minutes(aws, clock):
    """Five good minutes from now on."""

    def pass_by() -> None:
        aws.requests([clock.moment + i * MINUTE for i in range(5)])
        clock.advance(minutes=5)

    return pass_by


class TestRun:
    def test_moves_the_stage_back_and_proves_it(self, aws, healthy_minutes):
        run = Execution("one").started(target=TARGET).changed()
        healthy_minutes()

        answer = run.verified().answer()

        assert answer["outcome"] == "verified"
        assert aws.rest["deploymentId"] == "good"
        assert answer["changes"][0]["before"] == {"deploymentId": "new"}
        assert '"undo": "api-gateway-errors:one"' in answer["undo"]["command"]

    def test_observe_shows_the_call_and_makes_none(self, aws):
        answer = Execution("one").started(target=TARGET, mode="observe").answer()

        assert answer["outcome"] == "proposed"
        (call,) = answer["plan"]["calls"]
        assert (call["before"], call["after"]) == (
            {"deploymentId": "new"},
            {"deploymentId": "good"},
        )
        assert "apigateway:PATCH" not in aws.calls

    def test_a_move_that_does_not_help_is_taken_back(self, aws, clock):
        run = Execution("one").started(target=TARGET).changed()
        aws.requests([NOW + i * MINUTE for i in range(5)], failed=30)
        clock.advance(minutes=5)

        answer = run.verified(15).changed("roll_back").answer()

        assert answer["outcome"] == "rolled_back"
        assert answer["reason"].startswith("150 of 500 requests were answered with 5XX")
        assert aws.rest["deploymentId"] == "new"

    def test_undo_puts_the_stage_back_to_the_new_deployment(self, aws, healthy_minutes):
        run = Execution("one").started(target=TARGET).changed()
        healthy_minutes()
        run.verified().answer()

        undo = Execution("two").started(undo="api-gateway-errors:one").changed("undo").verified()

        assert undo.answer()["outcome"] == "verified"
        assert aws.rest["deploymentId"] == "new"

    def test_undo_refuses_once_somebody_deployed(self, aws, healthy_minutes):
        run = Execution("one").started(target=TARGET).changed()
        healthy_minutes()
        run.verified().answer()
        aws.rest["deploymentId"] = "fix"

        with pytest.raises(WorldMovedError):
            Execution("two").started(undo="api-gateway-errors:one")

    def test_a_second_incident_does_not_go_back_to_the_bad_deployment(
        self, aws, healthy_minutes, clock
    ):
        run = Execution("one").started(target=TARGET).changed()
        healthy_minutes()
        run.verified().answer()
        clock.advance(minutes=30)
        aws.requests([clock.moment - i * MINUTE for i in (1, 2, 3)], failed=30)

        again = Execution("two").started(target=TARGET)

        assert again.plan["decision"] == "hand_over"
        assert "(run api-gateway-errors:one moved it there)" in again.plan["reason"]

    def test_a_failing_new_function_is_left_to_its_own_machine(self, aws):
        aws.invocations(BAD, count=100, failed=30)
        ledger = resource(ReleaseLedger)
        ledger.note(FUNCTION_ARN, "6", healthy=True, now=NOW - timedelta(hours=2))
        ledger.note(FUNCTION_ARN, "7", healthy=False, now=NOW - 5 * MINUTE)

        plan = Execution("one").started(target=TARGET).plan

        assert plan["decision"] == "delegate"
        assert plan["children"][0]["machine_arn"].endswith(":remediation-lambda-errors")
        assert plan["children"][0]["input"]["target"] == {"function_name": "chat"}
        assert plan["calls"] == 0


def test_the_poll_notes_the_deployment_of_every_stage(aws):
    note = Execution("poll").call(Role.OBSERVE, "note_releases")

    assert note == {"noted": 2}
    ledger = resource(ReleaseLedger)
    assert [s.value for s in ledger.read(REST_ARN)] == ["good", "new"]
    assert [s.value for s in ledger.read(HTTP_ARN)] == ["new"]
