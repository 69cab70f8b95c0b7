"""What the engine tests of this runbook set in the platform file."""

LIMITS = {"minimum_invocations": 3, "verify_attempts": 4}
