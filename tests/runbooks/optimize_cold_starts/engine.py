"""What the engine tests of this runbook set in the platform file."""

PLATFORM = {
    "functions": [{"function_name": f"cold-{n}", "alias": "live"} for n in range(8)],
}
LIMITS = {
    "hold_checks": 0,
    "cool_down_seconds": 0,
    "look_back_seconds": 600,
    "minimum_cold_starts": 2,
    "verify_attempts": 3,
    "poll_attempts": 5,
}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "Concurrency that takes time to allocate, fails or spills over: the engine allocates at once.",
    "Cold starts in the log: the engine's reports have no `Init Duration`.",
)
