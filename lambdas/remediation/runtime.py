"""The Lambda entry points of a runbook: one per privilege."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from lambdas.remediation.life import Life
from lambdas.remediation.runbook import Runbook
from lambdas.remediation.step import Role

ENDED = "Step Functions Execution Status Change"


def lambda_handler(runbook: Runbook, steps: ModuleType, role: Role) -> Callable[[Any, Any], Any]:
    """Build one of a runbook's two Lambda entry points.

    Parameters
    ----------
    runbook
        Its declaration.
    steps
        Its `steps` module.
    role
        Which of the two: reading, or changing.

    Returns
    -------
    Callable
        Handler of `{"step": ..., ...}` from the state machine, and (observe only) of the
        EventBridge event of an execution that ended without an outcome.
    """

    def handler(event: dict[str, Any], context: Any) -> Any:
        life = Life(runbook, steps, role, context)
        if event.get("detail-type") == ENDED:
            return life.close_ended(event["detail"])
        return life.perform(event)

    return handler
