"""What the engine tests of this runbook set in the platform file."""

LIMITS = {"minimum_requests": 1, "status_interval_seconds": 60, "verify_attempts": 3}
# A stack that no other test deploys; the outage of the platform is named by it.
PLATFORM = {"stacks": [{"stack_name": "OrdersPlatform"}]}
