"""What the engine tests of this runbook set in the platform file."""

BUCKET = "deployment-templates"
ROLE = "deployment-role"
STACKS = [f"Deployed{n}" for n in range(14)]
# One that the stack of the last test holds: no other test may find it failing.
FUNCTION = "deployed-function"
PLATFORM = {
    "stacks": [
        {"stack_name": name, "template_bucket": BUCKET, "execution_role": ROLE} for name in STACKS
    ],
    "tables": [{"table_name": f"{name}-orders"} for name in STACKS],
    "functions": [{"function_name": FUNCTION, "alias": "live", "smoke_event": {"smoke": True}}],
}
LIMITS = {
    "hold_checks": 0,
    "cool_down_seconds": 0,
    # A deployment that takes longer than three seconds is cancelled.
    "poll_attempts": 3,
    "verify_window_seconds": 1,
    "verify_attempts": 5,
    "max_changes_per_hour": 20,
}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "Stacks in `UPDATE_FAILED` and `UPDATE_ROLLBACK_FAILED`.",
    "Rollback triggers, which the engine does not keep, and the role of a stack, which it "
    "does not show.",
    "The refusal over a standing run, apart from its rights.",
)
