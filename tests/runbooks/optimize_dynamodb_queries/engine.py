"""What the engine tests of this runbook set in the platform file."""

LIMITS = {"hold_checks": 0, "poll_attempts": 10}
