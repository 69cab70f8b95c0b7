"""What the engine tests of this runbook set in the platform file."""

from tests.e2e import released

LIMITS = released.LIMITS
PLATFORM = {
    "functions": [
        released.listed(f"code-{number:02}", code_bucket=released.BUCKET) for number in range(7)
    ]
}
