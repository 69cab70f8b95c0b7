"""rotate_api_key as a whole: its declaration, its machine, and runs through its functions.

The states of a run are entered by hand, in the order that the machine's file gives them.
"""

import json
from datetime import timedelta
from typing import Any

import pytest

from lambdas.remediation import clients
from lambdas.remediation.contracts import Mode, iso
from lambdas.remediation.errors import ChangeFailedError, InvalidRequestError, TargetNotFoundError
from lambdas.remediation.platform import Platform, Secret
from lambdas.remediation.request import read_request
from lambdas.remediation.step import Role
from lambdas.runbooks.rotate_api_key import handler
from lambdas.runbooks.rotate_api_key.runbook import RUNBOOK
from stacks.catalog import discover
from stacks.runbook import composed
from tests.conftest import FrozenClock

SECRET = "keys/chat"
TARGET = {"secret_id": SECRET}
PLATFORM = Platform(name="test", secrets=(Secret(secret_id=SECRET),))
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:remediation-rotate-api-key"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:remediation-rotation"
MINUTE = timedelta(minutes=1)


# --- its declaration ---


def read(**given: Any):
    return read_request(RUNBOOK, PLATFORM, "remediation", {"target": TARGET, **given})


def test_acts_unless_asked_for_less_for_the_old_key_stays_valid():
    assert read().mode is Mode.ACT
    assert read(mode="observe").mode is Mode.OBSERVE
    assert RUNBOOK.schedulable is True


@pytest.mark.parametrize("parameters", [{"value": "k"}, {"version_id": "v"}], ids=str)
def test_nobody_types_a_key(parameters):
    with pytest.raises(InvalidRequestError, match="unknown field"):
        read(parameters=parameters)


def test_other_secrets_are_refused():
    with pytest.raises(TargetNotFoundError, match=r"'keys/other' is not in platform\.json"):
        read(target={"secret_id": "keys/other"})


def test_nothing_starts_it_by_an_alarm():
    assert RUNBOOK.alarms(PLATFORM, "remediation") == ()


# --- its machine ---


@pytest.fixture(scope="module")
def states() -> dict[str, Any]:
    (entry,) = [e for e in discover() if e.runbook.name == RUNBOOK.name]
    machine: dict[str, Any] = composed(entry, PLATFORM)["States"]
    return machine


def test_only_a_rotation_that_has_ended_is_verified(states):
    ways = [
        name
        for name in ("StartRotation", "CheckRotation", "IsRotated", "WaitForRotation")
        for holder in [
            states[name],
            *states[name].get("Choices", []),
            *states[name].get("Catch", []),
        ]
        if "Verify" in (holder.get("Next"), holder.get("Default"))
    ]

    assert ways == ["IsRotated"]
    assert states["IsRotated"]["Choices"][0] == {
        "Condition": "{% $settled.verdict = 'passed' %}",
        "Next": "Verify",
    }
    assert states["IsRotated"]["Default"] == "RollBack"


def test_a_rotation_that_fails_at_any_look_is_stopped(states):
    assert [(c["ErrorEquals"], c["Next"]) for c in states["CheckRotation"]["Catch"]] == [
        (["States.ALL"], "RollBack")
    ]


def test_a_key_that_consumers_do_not_work_with_is_taken_back(states):
    assert RUNBOOK.keep_when_ineffective is False
    assert {
        "Condition": "{% $verification.verdict = 'failed' "
        "and $run.keep_when_ineffective = false %}",
        "Next": "RollBack",
    } in states["JudgeVerification"]["Choices"]


# --- runs ---


class Context:
    """What the Lambda service passes beside the event."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Execution:
    """One execution of the machine: its variables, as the states assign them."""

    def __init__(self, name: str, clock: FrozenClock) -> None:
        self.run_id = f"rotate-api-key:{name}"
        self.described = {
            "arn": f"{EXECUTION}:{name}",
            "name": name,
            "started_at": iso(clock.now()),
        }
        self.plan: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}

    def observe(self, step: str, **fields: Any) -> Any:
        return self._call(Role.OBSERVE, step, **fields)

    def change(self, step: str, **fields: Any) -> Any:
        return self._call(Role.CHANGE, step, plan_hash=self.plan["hash"], **fields)

    def _call(self, role: Role, step: str, **fields: Any) -> Any:
        function = handler.observe if role is Role.OBSERVE else handler.change
        event = json.loads(json.dumps({"step": step, "run_id": self.run_id, **fields}))
        return json.loads(json.dumps(function(event, Context())))

    def started(self, **given: Any) -> "Execution":
        self.observe("begin", execution=self.described, input=given)
        self.plan = self.observe("prepare")["plan"]
        return self

    def rotated(self) -> "Execution":
        """StartRotation and a look."""
        self.variables["change"] = self.change("start_rotation")
        assert self.look(2)["verdict"] == "passed"
        return self

    def look(self, attempt: int) -> dict[str, Any]:
        found: dict[str, Any] = self.observe(
            "check_rotation", change=self.variables["change"], attempt=attempt, attempts=40
        )
        return found

    def undone(self) -> "Execution":
        self.variables["change"] = self.change("undo")
        return self

    def verified(self) -> "Execution":
        self.variables["verification"] = self.observe(
            "verify", change=self.variables["change"], attempt=6, attempts=15
        )
        return self

    def taken_back(self) -> "Execution":
        self.variables["rollback"] = self.change("roll_back")
        return self

    def answer(self) -> dict[str, Any]:
        finished = self.observe("finish", execution=self.described, **self.variables)
        answer: dict[str, Any] = finished["answer"]
        return answer


class Vault:
    """The secret in simulated Secrets Manager, which rotates it when told to.

    moto turns rotation on by rotating only, and calls no function: the labels are moved here as a
    rotation moves them, or left and taken away as one that is given up does.
    """

    def __init__(self) -> None:
        self.gives_up = False
        self.client = clients.client("secretsmanager")
        self.arn = self.client.create_secret(Name=SECRET, SecretString="old")["ARN"]
        self.old = self.current()
        events = self.client.meta.events
        events.register("after-call.secrets-manager.DescribeSecret", self._with_rotation)
        events.register("provide-client-params.secrets-manager.RotateSecret", self._rotate)

    def _with_rotation(self, parsed: dict[str, Any], **_: Any) -> None:
        parsed |= {"RotationEnabled": True, "RotationLambdaARN": FUNCTION}

    def _rotate(self, params: dict[str, Any], **_: Any) -> None:
        if self.gives_up:
            return
        self.client.put_secret_value(
            SecretId=self.arn,
            ClientRequestToken=params["ClientRequestToken"],
            SecretString="new",
            VersionStages=["AWSCURRENT"],
        )

    def current(self) -> str:
        stages = self.client.describe_secret(SecretId=SECRET)["VersionIdsToStages"]
        (found,) = [v for v, labels in stages.items() if "AWSCURRENT" in labels]
        return str(found)


@pytest.fixture
def vault(environment, use_platform, calls_of) -> Vault:
    use_platform(
        functions=[{"function_name": "chat"}],
        secrets=[{"secret_id": SECRET, "key_field": "api_key", "consumers": ["chat"]}],
    )
    calls_of("secretsmanager", "RotateSecret").will_answer({})
    return Vault()


@pytest.fixture
def execution(vault, clock):
    """Start executions: `execution("run-1")`."""
    return lambda name: Execution(name, clock)


def serve(clock: FrozenClock, *, errors: int) -> None:
    """Ten invocations of the consumer in each of the six minutes that pass."""
    for minute in range(6):
        clients.client("cloudwatch").put_metric_data(
            Namespace="AWS/Lambda",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "FunctionName", "Value": "chat"}],
                    "Timestamp": clock.now() + minute * MINUTE,
                    "Value": value,
                }
                for name, value in (("Invocations", 10), ("Errors", errors))
            ],
        )
    clock.advance(minutes=6)


def test_a_new_key_that_works_is_verified_and_can_be_taken_back(execution, vault, clock):
    one = execution("one").started(target=TARGET).rotated()
    serve(clock, errors=0)
    answer = one.verified().answer()
    new = vault.current()
    undone = execution("two").started(undo="rotate-api-key:one").undone().verified().answer()

    assert answer["outcome"] == "verified"
    assert new == answer["changes"][0]["after"]["AWSCURRENT"] != vault.old
    assert '"undo": "rotate-api-key:one"' in answer["undo"]["command"]
    assert (undone["outcome"], vault.current()) == ("verified", vault.old)


def test_a_key_that_consumers_fail_with_is_taken_back(execution, vault, clock):
    """No consumer is invoked by the run: their error rate alone shows the new key to be bad."""
    one = execution("one").started(target=TARGET).rotated()
    serve(clock, errors=3)

    judged = one.verified().variables["verification"]
    answer = one.taken_back().answer()

    assert (judged["verdict"], judged["reason"]) == ("failed", "chat: 15 of 50 invocations failed")
    assert answer["outcome"] == "rolled_back"
    assert vault.current() == vault.old


def test_a_rotation_that_is_given_up_ends_the_run_and_names_log_group_and_field(
    execution, vault, clock
):
    vault.gives_up = True
    one = execution("one").started(target=TARGET)
    one.variables["change"] = one.change("start_rotation")
    first = one.look(1)

    with pytest.raises(ChangeFailedError) as caught:
        one.look(2)

    assert first["verdict"] == "pending"
    assert "a JSON object with the text field api_key (key_field in" in str(caught.value)
    assert "log group /aws/lambda/remediation-rotation says more" in str(caught.value)
    one.variables["failure"] = {"Error": "ChangeFailedError", "Cause": str(caught.value)}
    answer = one.taken_back().answer()
    assert (answer["outcome"], vault.current()) == ("rolled_back", vault.old)


def test_observe_shows_the_call_and_rotates_nothing(execution, vault):
    answer = execution("one").started(target=TARGET, mode="observe").answer()

    assert answer["outcome"] == "proposed"
    assert [c["api"] for c in answer["plan"]["calls"]] == ["secretsmanager:RotateSecret"]
    assert vault.current() == vault.old
