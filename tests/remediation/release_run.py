"""A run of a runbook that releases, step by step against the fake Lambda."""

from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from lambdas.remediation import clients
from lambdas.remediation.contracts import Change, Execution, Kind, Mode, Plan, Run, Trigger
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.step import Attempt, call_step, steps_of
from tests.remediation.release_service import FUNCTION_ARN, ReleaseService

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EARLY, LAST = Attempt(number=1, final=False), Attempt(number=8, final=True)
RELEASING = ("publish_version", "start_canary", "shift_traffic")
# What Lambda's API calls need, where the action has another name.
_ACTIONS = {"Invoke": {"InvokeFunction", "InvokeFunction@versions"}}


class ReleaseRun:
    """The function, and a run on it; each call that a step makes must be one that it declares.

    Parameters
    ----------
    first
        The step that changes what is then released.
    """

    def __init__(
        self, runbook: Runbook, steps: ModuleType, *, first: str, parameters: dict[str, Any]
    ) -> None:
        self.service = ReleaseService(clients.client("lambda"))
        self.steps = steps
        self.first = first
        self.run = Run(
            id=f"{runbook.kebab}:one",
            runbook=runbook.name,
            kind=Kind.CHANGE,
            mode=Mode.ACT,
            trigger=Trigger.PERSON,
            target={"function_name": "chat"},
            target_arn=FUNCTION_ARN,
            parameters={"canary_percent": 10, **parameters},
            reason="",
            requested_by="person",
            execution=Execution(arn="arn:aws:states:::x", name="one", started_at=NOON),
            lease_until=NOON,
            limits=runbook.limits.as_dict(),
            options={"require_smoke_event": True},
        )

    def step(self, name: str, plan: Plan | None = None, **known: Any) -> Any:
        seen = len(self.service.made)
        try:
            return call_step(getattr(self.steps, name), run=self.run, plan=plan, **known)
        finally:
            declared = {c.partition(":")[2] for c in steps_of(self.steps)[name].calls}
            for made, _ in self.service.made[seen:]:
                assert _ACTIONS.get(made, {made}) & declared, f"{name} declares no {made}"

    def until(self, last: str, plan: Plan) -> Change:
        """The changing steps in order, up to one."""
        change: Change = self.step(self.first, plan)
        for name in () if last == self.first else RELEASING:
            change = self.step(name, plan, change=change)
            if name == last:
                break
        return change
