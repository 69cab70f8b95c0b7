"""One execution of a runbook's machine, its states entered by hand and in any order."""

import json
from datetime import datetime
from types import ModuleType
from typing import Any

from lambdas.remediation.contracts import iso
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.runtime import lambda_handler
from lambdas.remediation.step import Role
from tests.conftest import ACCOUNT_ID, NOW, REGION
from tests.remediation import dial

MACHINE_ARN = f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:remediation-stuck-dial"


class Context:
    """What the Lambda service passes beside the event."""

    def __init__(self, remaining_seconds: int = 60) -> None:
        self.remaining_seconds = remaining_seconds

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_seconds * 1000


class Execution:
    """Keeps the machine's variables: what states assigned, and the error that one caught."""

    def __init__(
        self,
        name: str,
        runbook: Runbook = dial.RUNBOOK,
        *,
        steps: ModuleType = dial,
        started_at: datetime = NOW,
    ) -> None:
        self.name = name
        self.run_id = f"stuck-dial:{name}"
        self.arn = f"{MACHINE_ARN.replace(':stateMachine:', ':execution:')}:{name}"
        self.described = {"arn": self.arn, "name": name, "started_at": iso(started_at)}
        self.context = Context()
        self._handlers = {role: lambda_handler(runbook, steps, role) for role in Role}
        self.run: dict[str, Any] | None = None
        self.plan: dict[str, Any] | None = None
        self.child_number = 0
        self.variables: dict[str, Any] = {}

    def call(self, role: Role, step: str, **fields: Any) -> Any:
        """Invoke one of the two functions; arguments and result travel as JSON."""
        event = json.loads(json.dumps({"step": step, "run_id": self.run_id, **fields}))
        return json.loads(json.dumps(self._handlers[role](event, self.context)))

    def begin(self, given: Any) -> "Execution":
        self.run = self._state("Begin", Role.OBSERVE, execution=self.described, input=given)["run"]
        return self

    def prepare(self) -> "Execution":
        self.plan = self._state("Prepare", Role.OBSERVE)["plan"]
        return self

    def started(self, given: Any = None) -> "Execution":
        """`Begin` and `Prepare`; to act on the one target unless told otherwise."""
        return self.begin({"target": dial.TARGET} if given is None else given).prepare()

    def ask(self) -> "Execution":
        """`RequestApproval`."""
        self._state("RequestApproval", Role.OBSERVE)
        return self

    def claim(self) -> "Execution":
        self._state("Claim", Role.OBSERVE)
        return self

    def child(self) -> "Execution":
        """`Begin` of the execution that `RunChild` starts."""
        start = self.plan["children"][self.child_number]
        return Execution(start["name"]).begin(start["input"])

    def read_child(self, attempt: int = 1, attempts: int = 5) -> "Execution":
        look = {"child_number": self.child_number, "attempt": attempt, "attempts": attempts}
        self.variables["company"] = self._state("ReadChild", Role.OBSERVE, **look)
        return self

    def try_next(self) -> "Execution":
        """`TryNext`."""
        self.child_number += 1
        self.variables |= {"company": None, "verification": None}
        return self

    def turn(self) -> "Execution":
        return self._changing("Turn", "change")

    def undo(self) -> "Execution":
        return self._changing("Undo", "change")

    def verify(self) -> "Execution":
        return self._looking("Verify", "verification")

    def watch_hold(self) -> "Execution":
        return self._looking("WatchHold", "hold")

    def roll_back(self) -> "Execution":
        plan_hash = self.plan["hash"] if self.plan else None
        try:
            self.variables["rollback"] = self.call(Role.CHANGE, "roll_back", plan_hash=plan_hash)
        except Exception as error:
            self.variables["rollback_failure"] = caught(error)
        return self

    def fails(self, state: str, error: str, message: str = "") -> "Execution":
        """An error that a state catches."""
        self.variables |= {
            "failure": {"Error": error, "Cause": json.dumps({"errorMessage": message})},
            "failed_state": state,
        }
        return self

    def finish(self) -> dict[str, Any]:
        """`answer`, `cause` and `green` of the run."""
        result: dict[str, Any] = self.call(
            Role.OBSERVE, "finish", execution=self.described, **self.variables
        )
        return result

    def ends_by_itself(self, status: str = "ABORTED") -> Any:
        """The event of an execution that never came to `Finish`."""
        detail = {"executionArn": self.arn, "name": self.name, "status": status}
        return self.receives(
            {"detail-type": "Step Functions Execution Status Change", "detail": detail}
        )

    def receives(self, event: dict[str, Any]) -> Any:
        """An event that comes to the reading function by a rule."""
        return self._handlers[Role.OBSERVE](event, self.context)

    def _changing(self, state: str, variable: str) -> "Execution":
        plan_hash = self.plan["hash"] if self.plan else None
        self.variables[variable] = self._state(state, Role.CHANGE, plan_hash=plan_hash)
        return self

    def _looking(self, state: str, variable: str) -> "Execution":
        change = self.variables.get("change")
        self.variables[variable] = self._state(state, Role.OBSERVE, change=change)
        return self

    def _state(self, state: str, role: Role, **fields: Any) -> Any:
        step = "".join(f"_{c.lower()}" if c.isupper() else c for c in state).strip("_")
        try:
            return self.call(role, step, **fields)
        except Exception as error:
            self.variables |= {"failure": caught(error), "failed_state": state}
            raise


def caught(error: Exception) -> dict[str, str]:
    """`$states.errorOutput` of a Lambda function that raised."""
    cause = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []}
    return {"Error": type(error).__name__, "Cause": json.dumps(cause)}
