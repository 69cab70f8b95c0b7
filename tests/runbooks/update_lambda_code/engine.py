"""What the engine tests of this runbook set in the platform file."""

from tests.e2e import released

LIMITS = released.LIMITS
PLATFORM = {
    "functions": [
        released.listed(f"code-{number:02}", code_bucket=released.BUCKET) for number in range(8)
    ]
}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "A package of another checksum, and a function that is changed between two calls: the "
    "engine publishes whatever it has.",
    "The code storage limit.",
)
