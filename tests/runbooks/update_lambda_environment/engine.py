"""What the engine tests of this runbook set in the platform file."""

from tests.e2e import released

LIMITS = released.LIMITS
PLATFORM = {
    "functions": [
        released.listed(f"variables-{n:02}", variables_secret_id=f"variables-{n:02}/values")
        for n in range(9)
    ]
}
# Not on the engine: against botocore's model, or against fakes of the service.
MODEL_ONLY = (
    "Variables that Lambda cannot decrypt, and a function that is changed between two calls.",
)
