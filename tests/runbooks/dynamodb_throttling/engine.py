"""What the engine tests of this runbook set in the platform file."""

LIMITS = {"max_capacity_units": 400, "throttled_requests_per_period": 9}
