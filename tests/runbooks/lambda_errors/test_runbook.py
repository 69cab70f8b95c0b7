"""lambda_errors as a whole: its declaration, its machine, and runs through its functions.

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
from lambdas.runbooks.lambda_errors import handler
from lambdas.runbooks.lambda_errors.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed
from tests.conftest import NOW
from tests.runbooks.lambda_errors.lambda_service import FUNCTION_ARN, LambdaService

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:remediation-lambda-errors"
FUNCTIONS = [{"function_name": "chat", "alias": "live"}, {"function_name": "plain"}]
PLATFORM = parse({"name": "test", "functions": FUNCTIONS})
TARGET = {"function_name": "chat"}
MINUTE = timedelta(minutes=1)


def alarm_event(name: str) -> dict[str, Any]:
    return {
        "id": "event-1",
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "resources": [f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"],
        "detail": {
            "alarmName": name,
            "state": {"value": "ALARM", "timestamp": "2026-03-02T12:09:00.000+0000"},
        },
    }


class TestDeclaration:
    def test_alarms_watch_the_alias_where_there_is_one(self):
        found = {a.name: (a.target, a.dimensions) for a in RUNBOOK.alarms(PLATFORM, "remediation")}

        assert found == {
            "remediation-chat-errors": (
                {"function_name": "chat"},
                {"FunctionName": "chat", "Resource": "chat:live"},
            ),
            "remediation-plain-errors": ({"function_name": "plain"}, {"FunctionName": "plain"}),
        }

    def test_its_alarm_starts_a_run_that_may_act(self):
        event = alarm_event("remediation-chat-errors")

        request = read_request(RUNBOOK, PLATFORM, "remediation", event)

        assert request.target == TARGET
        assert (request.mode, request.trigger) == (Mode.ACT, Trigger.ALARM)

    def test_a_person_may_name_a_version(self):
        given = {"target": TARGET, "parameters": {"version": "6"}}

        assert read_request(RUNBOOK, PLATFORM, "remediation", given).parameters == {"version": "6"}

    @pytest.mark.parametrize("parameters", [{"version": 6}, {"error_rate_percent": 1}], ids=str)
    def test_nothing_else_can_be_asked_for(self, parameters):
        with pytest.raises(InvalidRequestError):
            read_request(
                RUNBOOK, PLATFORM, "remediation", {"target": TARGET, "parameters": parameters}
            )

    def test_a_change_that_does_not_help_is_taken_back(self):
        assert (RUNBOOK.reversible, RUNBOOK.keep_when_ineffective) == (True, False)

    def test_leaves_throttled_tables_to_their_own_runbook(self):
        assert RUNBOOK.children == ("dynamodb_throttling",)


class TestMachine:
    @pytest.fixture(scope="class")
    def states(self) -> dict[str, Any]:
        (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
        machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
        return machine

    def test_the_move_is_verified_at_once(self, states):
        assert states["ChooseMode"]["Default"] == "MoveAlias"
        assert states["MoveAlias"]["Next"] == "Verify"

    def test_a_move_of_which_nothing_is_known_is_rolled_back(self, states):
        assert states["MoveAlias"]["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
        assert states["MoveAlias"]["Catch"][-1]["Next"] == "RollBack"


class Execution:
    """Keeps what the machine's states assign."""

    def __init__(self, name: str) -> None:
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
        self.described = {"arn": arn, "name": name, "started_at": iso(NOW)}
        self.run_id = f"lambda-errors:{name}"
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

    def started(self, given: dict[str, Any]) -> "Execution":
        self.call(Role.OBSERVE, "begin", execution=self.described, input=given)
        self.plan = self.call(Role.OBSERVE, "prepare")["plan"]
        return self

    def change(self, step: str, variable: str = "change") -> "Execution":
        self.variables[variable] = self.call(Role.CHANGE, step, plan_hash=self.plan["hash"])
        return self

    def verify(self, attempt: int = 1) -> "Execution":
        self.variables["verification"] = self.call(
            Role.OBSERVE,
            "verify",
            change=self.variables.get("change"),
            attempt=attempt,
            attempts=8,
        )
        return self

    def answer(self) -> dict[str, Any]:
        finished = self.call(Role.OBSERVE, "finish", execution=self.described, **self.variables)
        answer: dict[str, Any] = finished["answer"]
        return answer


@pytest.fixture
def service(environment, use_platform) -> LambdaService:
    use_platform(functions=FUNCTIONS)
    return LambdaService(clients.client("lambda"), [])


@pytest.fixture
def poll(service, clock):
    """The poll that notes releases."""

    def note():
        return Execution("poll").call(Role.OBSERVE, "note_releases")

    return note


def serve(minutes: int, errors: int) -> None:
    """Thirty invocations, so many minutes after the run began."""
    for name, value in (("Invocations", 30), ("Errors", errors)):
        clients.client("cloudwatch").put_metric_data(
            Namespace="AWS/Lambda",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [
                        {"Name": "FunctionName", "Value": "chat"},
                        {"Name": "Resource", "Value": "chat:live"},
                    ],
                    "Timestamp": NOW + minutes * MINUTE,
                    "Value": value,
                }
            ],
        )


@pytest.fixture
def bad_release(service, poll, clock) -> None:
    """Version 6 was noted as good; version 7 came five minutes ago and fails."""
    service.point("6")
    clock.advance(minutes=-15)
    poll()
    clock.advance(minutes=10)
    service.point("7")
    poll()
    clock.moment = NOW
    serve(-2, errors=12)


def healed(clock) -> None:
    for minute in range(5):
        serve(minute, errors=0)
    clock.advance(minutes=5)


class TestRun:
    ALARM = alarm_event("remediation-chat-errors")

    def test_a_bad_release_is_taken_back_and_proven_gone(self, service, bad_release, clock):
        run = Execution("one").started(self.ALARM).change("move_alias")
        healed(clock)

        answer = run.verify().answer()

        assert answer["outcome"] == "verified"
        assert service.place == ("6", {})
        assert [(c["before"], c["after"]) for c in answer["changes"]] == [
            (
                {"FunctionVersion": "7", "AdditionalVersionWeights": {}},
                {"FunctionVersion": "6", "AdditionalVersionWeights": {}},
            )
        ]
        assert '"undo": "lambda-errors:one"' in answer["undo"]["command"]

    def test_the_version_it_left_is_not_gone_back_to(self, service, bad_release, clock, poll):
        run = Execution("one").started(self.ALARM).change("move_alias")
        healed(clock)
        run.verify().answer()
        poll()

        seen = resource(ReleaseLedger).read(FUNCTION_ARN)

        assert [(s.value, s.bad) for s in seen] == [("6", False), ("7", True), ("6", False)]

    def test_observe_shows_the_call_and_makes_none(self, service, bad_release):
        answer = Execution("one").started({"target": TARGET, "mode": "observe"}).answer()

        assert answer["outcome"] == "proposed"
        assert [c["api"] for c in answer["plan"]["calls"]] == ["lambda:UpdateAlias"]
        assert service.place == ("7", {})

    def test_a_move_that_does_not_help_is_taken_back(self, service, bad_release, clock):
        run = Execution("one").started(self.ALARM).change("move_alias")
        for minute in range(5):
            serve(minute, errors=12)
        clock.advance(minutes=5)
        run.verify(attempt=8)

        answer = run.change("roll_back", "rollback").answer()

        assert run.variables["verification"]["verdict"] == "failed"
        assert answer["outcome"] == "rolled_back"
        assert service.place == ("7", {})

    def test_undo_puts_the_alias_where_it_was(self, service, bad_release, clock):
        run = Execution("one").started(self.ALARM).change("move_alias")
        healed(clock)
        run.verify().answer()

        undo = Execution("two").started({"undo": "lambda-errors:one"}).change("undo").verify()

        assert undo.answer()["outcome"] == "verified"
        assert service.place == ("7", {})

    def test_undo_of_a_move_that_was_overtaken_is_refused(self, service, bad_release, clock):
        run = Execution("one").started(self.ALARM).change("move_alias")
        healed(clock)
        run.verify().answer()
        service.point("8")

        with pytest.raises(WorldMovedError):
            Execution("two").started({"undo": "lambda-errors:one"})

    def test_without_a_ledger_a_person_is_told(self, service, clock):
        serve(-2, errors=12)

        answer = Execution("one").started(self.ALARM).answer()

        assert answer["outcome"] == "handed_over"
        assert "ledger of releases is empty" in answer["reason"]
        assert service.place == ("7", {})
