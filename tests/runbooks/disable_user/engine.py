"""What the engine tests of this runbook set in the platform file."""

from tests.e2e.user_pools import listed

LIMITS = {"hold_checks": 0, "cool_down_seconds": 0, "max_changes_per_hour": 10}
PLATFORM = {"user_pools": listed("Disable", 6)}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "That tokens die with the sign-out: the engine lets them work on, so only the call is "
    "checked there.",
)
