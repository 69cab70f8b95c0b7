"""What the engine tests of this runbook set in the platform file."""

from tests.e2e.user_pools import listed

LIMITS = {"hold_checks": 0, "cool_down_seconds": 0, "max_changes_per_hour": 10}
PLATFORM = {"user_pools": listed("Reset", 7)}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "The statuses in which Cognito refuses a reset: the engine resets any user.",
    "That sending the invitation again moves `UserLastModifiedDate`: nobody has seen it on AWS.",
)
