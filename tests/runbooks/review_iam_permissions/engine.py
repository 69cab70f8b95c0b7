"""What the engine tests of this runbook set in the platform file."""

COUNT = 8
NAMES = [f"reviewed-{number}" for number in range(COUNT)]
LIMITS = {
    # The engine's roles are all new.
    "minimum_role_age_days": 0,
    "minimum_invocations": 3,
    "verify_attempts": 10,
    "look_back_seconds": 60,
}
PLATFORM = {
    "functions": [{"function_name": name} for name in NAMES],
    "roles": [{"role_name": name, "must_allow": ["dynamodb:GetItem"]} for name in NAMES],
}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "Reports of calls that were made, and reports that take time: the engine's are empty, and "
    "at once.",
    "Which stack deploys a role: the engine knows it by tags only.",
)
